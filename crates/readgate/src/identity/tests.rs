//! One suite for every store, and what is peculiar to each.
mod sqlite;

use std::time::Duration;

use access::identity::Alteration;
use access::store::{Author, IdentityStore, StoreError};
use access::{
    Change, ChangeError, CredentialId, CredentialPolicy, Identity, SourceSet, Standing, Timestamp,
    UserName, UserStatus,
};
use mysql_auth::{AuthPlugin, Password};

const POLICY: CredentialPolicy = CredentialPolicy {
    collect_within: Duration::from_secs(14 * 86_400),
    valid_for: Some(Duration::from_secs(365 * 86_400)),
    warn_before: Duration::from_secs(30 * 86_400),
    overlap: Duration::from_secs(3600),
};

fn now() -> Timestamp {
    "2026-01-01T12:00:00.123456789Z".parse().unwrap()
}

fn name(text: &str) -> UserName {
    UserName::new(text).unwrap()
}

fn apply(store: &dyn IdentityStore, change: Change) -> Result<Identity, StoreError> {
    store.apply(&change, &Author::new("os:tester", "a test").unwrap(), &POLICY, now())
}

fn add(store: &dyn IdentityStore, user: &str) -> Identity {
    let identity = Identity::new(name(user), "Someone", "reader");
    apply(store, Change::Add(Box::new(identity))).unwrap()
}

fn facts_of(store: &dyn IdentityStore, user: &str) -> Vec<(String, String)> {
    let snapshot = store.load().unwrap();
    let found = snapshot.identities.into_iter().find(|identity| identity.name == name(user));
    found.unwrap().facts()
}

/// What every store must do. The store must be fresh.
fn every_store(store: &dyn IdentityStore) {
    starts_empty(store);
    keeps_every_property(store);
    keeps_credentials_and_their_life(store);
    leaves_no_trace_of_a_refused_change(store);
    remembers_each_change(store);
    gives_each_credential_to_its_user(store);
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
    assert_eq!(standings, [(3, valid(true)), (2, Standing::Retired), (1, valid(false))]);
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
