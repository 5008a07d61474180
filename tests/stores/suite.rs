//! What every store of users must do, whatever it is made of.
use std::time::Duration;

use access::identity::Alteration;
use access::store::{Author, IdentityStore, StoreError};
use access::{
    AuthPlugin, Change, ChangeError, CredentialId, CredentialPolicy, Identity, Password,
    SharedBlock, SignOff, SourceSet, Standing, Timestamp, UserName, UserStatus,
};

pub(crate) const POLICY: CredentialPolicy = CredentialPolicy {
    collect_within: Duration::from_secs(14 * 86_400),
    valid_for: Some(Duration::from_secs(365 * 86_400)),
    warn_before: Duration::from_secs(30 * 86_400),
    overlap: Duration::from_secs(3600),
};

pub(crate) fn now() -> Timestamp {
    "2026-01-01T12:00:00.123456789Z".parse().unwrap()
}

pub(crate) fn name(text: &str) -> UserName {
    UserName::new(text).unwrap()
}

pub(crate) fn apply(store: &dyn IdentityStore, change: Change) -> Result<Identity, StoreError> {
    store.apply(&change, &Author::new("os:tester", "a test").unwrap(), &POLICY, now())
}

pub(crate) fn add(store: &dyn IdentityStore, user: &str) -> Identity {
    let identity = Identity::new(name(user), "Someone", "reader");
    apply(store, Change::Add(Box::new(identity))).unwrap()
}

fn facts_of(store: &dyn IdentityStore, user: &str) -> Vec<(String, String)> {
    let snapshot = store.load().unwrap();
    let found = snapshot.identities.into_iter().find(|identity| identity.name == name(user));
    found.unwrap().facts()
}

/// What every store must do. The store must be fresh.
pub(crate) fn every_store(store: &dyn IdentityStore) {
    starts_empty(store);
    keeps_every_property(store);
    keeps_credentials_and_their_life(store);
    leaves_no_trace_of_a_refused_change(store);
    remembers_each_change(store);
    gives_each_credential_to_its_user(store);
    notes_a_collection_once(store);
    remembers_a_review(store);
    tells_of_blocks_while_they_last(store);
}

fn starts_empty(store: &dyn IdentityStore) {
    assert_eq!(store.revision().unwrap(), 0);
    assert_eq!(store.load().unwrap().identities.len(), 0);
    assert_eq!(store.history(None).unwrap(), []);
}

fn keeps_every_property(store: &dyn IdentityStore) {
    let full = Identity {
        email: Some(String::from("zoë@example.org")),
        owner: Some(String::from("O'Hara; --")),
        status: UserStatus::Disabled,
        valid_from: Some("2026-01-31".parse().unwrap()),
        valid_until: Some("2027-01-31".parse().unwrap()),
        plugins: vec![AuthPlugin::MysqlNativePassword, AuthPlugin::CachingSha2Password],
        sources: Some(SourceSet::from_iter(["office", "lab"])),
        max_connections: Some(u32::MAX),
        ..Identity::new(name("Zoë"), "Zoë \u{1f600}", "analyst")
    };
    let added = apply(store, Change::Add(Box::new(full.clone()))).unwrap();
    assert_eq!(added.facts(), full.facts());
    assert_eq!(facts_of(store, "Zoë"), full.facts());
    let plain = add(store, "zoë");
    assert_eq!(facts_of(store, "zoë"), plain.facts());
    let nobody = Alteration::Sources(Some(SourceSet::default()));
    let altered = apply(store, Change::Alter(name("zoë"), nobody)).unwrap();
    assert_eq!(altered.sources, Some(SourceSet::default()));
    assert_eq!(facts_of(store, "zoë"), altered.facts());
    assert_eq!(facts_of(store, "Zoë"), full.facts());
}

fn keeps_credentials_and_their_life(store: &dyn IdentityStore) {
    add(store, "carol");
    let both = vec![AuthPlugin::CachingSha2Password, AuthPlugin::MysqlNativePassword];
    apply(store, Change::Alter(name("carol"), Alteration::Plugins(both))).unwrap();
    apply(store, Change::Issue(name("carol"), Password::new("one"))).unwrap();
    apply(store, Change::Collect(name("carol"), CredentialId(1))).unwrap();
    apply(store, Change::Issue(name("carol"), Password::new("two"))).unwrap();
    let last = apply(store, Change::Issue(name("carol"), Password::new("three"))).unwrap();
    apply(store, Change::Revoke(name("carol"), CredentialId(2))).unwrap();
    let snapshot = store.load().unwrap();
    let carol = snapshot.identities.into_iter().find(|one| one.name == name("carol")).unwrap();
    let standings: Vec<(u64, Standing)> =
        carol.credentials.iter().map(|one| (one.id.0, one.standing(now()))).collect();
    let valid = |first_use| Standing::Valid { first_use };
    // Replaced before, revoked now: sessions that it opened end.
    assert_eq!(standings, [(3, valid(true)), (2, Standing::Revoked), (1, valid(false))]);
    for (credential, password) in carol.credentials.iter().zip(["three", "two", "one"]) {
        assert!(credential.is_of(&Password::new(password)));
        assert!(credential.sha2.is_some() && credential.native.is_some());
    }
    let (stored, given) = (carol.credentials[0].stage, last.credentials[0].stage);
    assert_eq!(stored, given, "moments are kept to the nanosecond");
}

fn leaves_no_trace_of_a_refused_change(store: &dyn IdentityStore) {
    let before = (store.revision().unwrap(), store.history(None).unwrap().len());
    let refused = |change| match apply(store, change) {
        Err(StoreError::Change(error)) => error,
        other => panic!("{other:?}"),
    };
    let again = Identity::new(name("carol"), "Other", "x");
    assert_eq!(refused(Change::Add(Box::new(again))), ChangeError::UserExists);
    let issue = Change::Issue(name("nobody"), Password::new("x"));
    assert_eq!(refused(issue), ChangeError::NoSuchUser);
    let reuse = Change::Choose(name("carol"), Password::new("one"));
    assert_eq!(refused(reuse), ChangeError::PasswordUsedBefore);
    let after = (store.revision().unwrap(), store.history(None).unwrap().len());
    assert_eq!(after, before);
}

fn remembers_each_change(store: &dyn IdentityStore) {
    let all = store.history(None).unwrap();
    assert_eq!(all.last().unwrap().number, store.revision().unwrap());
    assert!(all.windows(2).all(|pair| pair[0].number < pair[1].number));
    let carols = store.history(Some(&name("carol"))).unwrap();
    let labels: Vec<&str> = carols.iter().map(|entry| entry.label.as_str()).collect();
    assert_eq!(
        labels,
        [
            "user_added",
            "user_altered",
            "credential_issued",
            "credential_collected",
            "credential_issued",
            "credential_issued",
            "credential_revoked",
        ]
    );
    let collected = &carols[3];
    assert_eq!((collected.by.as_str(), collected.reason.as_str()), ("os:tester", "a test"));
    assert_eq!(collected.at, now());
    assert_eq!(collected.differences[0].fact, "credential 1");
    assert!(collected.differences[0].before.starts_with("to be collected by 2026-01-15"));
    assert!(collected.differences[0].after.starts_with("in use until 2027-01-01"));
    let after_the_first = store.changes_since(all[0].number).unwrap();
    assert_eq!(after_the_first, all[1..]);
    assert_eq!(store.changes_since(store.revision().unwrap()).unwrap(), []);
    let text = format!("{all:?}");
    assert!(!text.contains("$sha2fast$") && !text.contains('*'), "history holds a verifier");
}

fn gives_each_credential_to_its_user(store: &dyn IdentityStore) {
    for user in ["a", "b", "B", "c d", "e"] {
        add(store, user);
    }
    for user in ["e", "B", "a"] {
        apply(store, Change::Issue(name(user), Password::new(user))).unwrap();
    }
    for identity in store.load().unwrap().identities {
        let user = identity.name.as_str();
        match user {
            "a" | "B" | "e" => {
                assert_eq!(identity.credentials.len(), 1, "{user}");
                assert!(identity.credentials[0].is_of(&Password::new(user)), "{user}");
            }
            "b" | "c d" => assert_eq!(identity.credentials.len(), 0, "{user}"),
            _ => {}
        }
    }
}

fn notes_a_collection_once(store: &dyn IdentityStore) {
    apply(store, Change::Collect(name("a"), CredentialId(1))).unwrap();
    let revision = store.revision().unwrap();
    let again = apply(store, Change::Collect(name("a"), CredentialId(1))).unwrap();
    assert_eq!(again.credentials[0].standing(now()), Standing::Valid { first_use: false });
    assert_eq!(store.revision().unwrap(), revision);
    let history = store.history(Some(&name("a"))).unwrap();
    let collected = history.iter().filter(|entry| entry.label == "credential_collected");
    assert_eq!(collected.count(), 1);
}

fn remembers_a_review(store: &dyn IdentityStore) {
    let before = store.revision().unwrap();
    let sign_off = SignOff {
        reviewer: String::from("Rita Reviewer"),
        comment: String::from("as it should be"),
        digest: String::from("0123"),
    };
    let author = Author::new("os:tester", "quarterly review").unwrap();
    store.sign_off(&author, &sign_off, now()).unwrap();
    assert_eq!(store.revision().unwrap(), before + 1);
    let last = store.history(None).unwrap().pop().unwrap();
    assert_eq!((last.number, last.user.as_str()), (before + 1, ""));
    assert_eq!(last.label, SignOff::LABEL);
    assert_eq!(last.differences, sign_off.differences());
}

fn tells_of_blocks_while_they_last(store: &dyn IdentityStore) {
    let until = |seconds| now().checked_add(Duration::from_secs(seconds)).unwrap();
    let block = |user: Option<&[u8]>, seconds| SharedBlock {
        source: "2001:db8::".parse().unwrap(),
        user: user.map(<[u8]>::to_vec),
        until: until(seconds),
    };
    let odd: &[u8] = b"\xff\0'; --";
    store.block(&block(Some(odd), 10), now()).unwrap();
    store.block(&block(None, 20), now()).unwrap();
    store.block(&block(None, 15), now()).unwrap();
    let mut told = store.blocks(now()).unwrap();
    told.sort_by_key(|block| block.until);
    assert_eq!(told, [block(Some(odd), 10), block(None, 20)]);
    assert_eq!(store.blocks(until(10)).unwrap(), [block(None, 20)]);
    store.block(&block(Some(b"x"), 60), until(30)).unwrap();
    assert_eq!(store.blocks(now()).unwrap(), [block(Some(b"x"), 60)]);
}
