use std::sync::LazyLock;
use std::time::Duration;

use mysql_auth::{Nonce, Password};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};

use super::*;
use crate::credential::{CredentialPolicy, Stage};
use crate::role::Role;
use crate::source::SourceEntry;
use crate::throttle::Blocked;
use crate::user::{UserName, Users};

const RIGHT: &str = "correct horse";
const SHA2: &[AuthPlugin] = &[AuthPlugin::CachingSha2Password];
const NATIVE: &[AuthPlugin] = &[AuthPlugin::MysqlNativePassword];
static NOW: LazyLock<Timestamp> = LazyLock::new(|| "2026-06-15T12:00:00Z".parse().unwrap());
const DAY: Duration = Duration::from_secs(86_400);

struct World {
    networks: SourceNetworks,
    users: Users,
    nonce: Nonce,
}

fn entry(name: &str, network: &str) -> SourceEntry {
    SourceEntry {
        name: name.to_owned(),
        networks: vec![network.parse().unwrap()],
        owner: String::from("owner"),
        reason: String::from("test"),
        ticket: None,
        added_on: None,
        expires_on: None,
    }
}

fn credential(id: u64, password: &str, plugins: &[AuthPlugin]) -> Credential {
    Credential::of_password(CredentialId(id), &Password::new(password), plugins)
}

fn user(name: &str, plugins: &[AuthPlugin]) -> User {
    let role = Arc::new(Role::named("reader"));
    User {
        plugins: plugins.to_vec(),
        credentials: vec![credential(1, RIGHT, plugins)],
        ..User::new(UserName::new(name).unwrap(), "Test", role)
    }
}

fn in_role(role: Role, name: &str) -> User {
    User { role: Arc::new(role), ..user(name, SHA2) }
}

fn world() -> World {
    let desk = || Some(SourceSet::from_iter(["desk"]));
    world_of([
        user("alice", SHA2),
        User { status: UserStatus::Disabled, ..user("gone", SHA2) },
        User { valid_until: Some(day_of(*NOW).yesterday().unwrap()), ..user("left", SHA2) },
        User { valid_from: Some(day_of(*NOW).tomorrow().unwrap()), ..user("early", SHA2) },
        User { sources: desk(), ..user("pinned", SHA2) },
        in_role(Role { sources: desk(), ..Role::named("at-desk") }, "role-pinned"),
        in_role(Role { require_tls: true, ..Role::named("safe") }, "safe"),
        user("old", NATIVE),
        user("both", &[SHA2, NATIVE].concat()),
        User { credentials: Vec::new(), ..user("empty", SHA2) },
    ])
}

fn world_of(users: impl IntoIterator<Item = User>) -> World {
    let entries = [entry("office", "198.51.0.0/16"), entry("desk", "198.51.7.9/32")];
    World {
        networks: SourceNetworks::new(entries),
        users: Users::new(users),
        nonce: Nonce::generate().unwrap(),
    }
}

impl World {
    fn check(&self, name: &str, addr: &str, encrypted: bool) -> LoginCheck {
        let listener = SourceSet::from_iter(["office", "desk"]);
        let today = day_of(*NOW);
        let source = self.networks.admit(&listener, addr.parse().unwrap(), today).unwrap();
        let arrival =
            Arrival { source, networks: &self.networks, encrypted, certificate: None, now: *NOW };
        LoginCheck::for_user(&self.users, name.as_bytes(), arrival)
    }

    fn sha2_from(&self, name: &str, addr: &str, encrypted: bool) -> CachingSha2 {
        match self.check(name, addr, encrypted).exchange(Some(AuthPlugin::CachingSha2Password)) {
            Exchange::CachingSha2(exchange) => exchange,
            Exchange::Native(_) => panic!("{name} was switched to native"),
        }
    }

    fn sha2(&self, name: &str) -> CachingSha2 {
        self.sha2_from(name, "198.51.7.9", true)
    }

    fn native(&self, name: &str) -> Native {
        match self.check(name, "198.51.7.9", true).exchange(Some(AuthPlugin::MysqlNativePassword)) {
            Exchange::Native(exchange) => exchange,
            Exchange::CachingSha2(_) => panic!("{name} was switched to caching_sha2"),
        }
    }

    /// Fast, then full authentication with one password.
    fn log_in(&self, exchange: CachingSha2, password: &str) -> Result<NamedUser, LoginDenied> {
        match exchange.fast(&self.nonce, &sha2_scramble(password, &self.nonce)) {
            FastAuth::Accepted(named) => Ok(named),
            FastAuth::Denied(denied) => Err(denied),
            FastAuth::FullNeeded(full) => full.verify(&Password::new(password)),
        }
    }
}

fn xor(a: &[u8], b: &[u8]) -> Vec<u8> {
    a.iter().zip(b).map(|(a, b)| a ^ b).collect()
}

fn sha2_scramble(password: &str, nonce: &Nonce) -> Vec<u8> {
    let sha = |bytes: &[u8]| digest(&SHA256, bytes).as_ref().to_vec();
    let stage1 = sha(password.as_bytes());
    xor(&stage1, &sha(&[&sha(&stage1), nonce.as_bytes().as_slice()].concat()))
}

fn native_scramble(password: &str, nonce: &Nonce) -> Vec<u8> {
    let sha = |bytes: &[u8]| digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes).as_ref().to_vec();
    let stage1 = sha(password.as_bytes());
    xor(&stage1, &sha(&[nonce.as_bytes().as_slice(), &sha(&stage1)].concat()))
}

fn full_of(fast: FastAuth) -> FullAuth {
    match fast {
        FastAuth::FullNeeded(full) => full,
        other @ (FastAuth::Accepted(_) | FastAuth::Denied(_)) => panic!("{other:?}"),
    }
}

#[test]
fn the_right_scramble_is_enough() {
    let world = world();
    let FastAuth::Accepted(named) =
        world.sha2("alice").fast(&world.nonce, &sha2_scramble(RIGHT, &world.nonce))
    else {
        panic!("refused");
    };
    assert_eq!(named.user().name.as_str(), "alice");
    assert_eq!(named.method(), "caching_sha2_password/fast");
    assert_eq!(named.source().addr().to_string(), "198.51.7.9");
}

#[test]
fn a_wrong_scramble_leads_to_the_password() {
    let world = world();
    let wrong = sha2_scramble("wrong", &world.nonce);
    let full = full_of(world.sha2("alice").fast(&world.nonce, &wrong));
    let named = full.verify(&Password::new(RIGHT)).unwrap();
    assert_eq!(named.method(), "caching_sha2_password/full");
    let full = full_of(world.sha2("alice").fast(&world.nonce, &wrong));
    let denied = full.verify(&Password::new("wrong")).unwrap_err();
    assert_eq!(denied.to_string(), "wrong_password");
}

#[test]
fn whoever_may_not_log_in_takes_the_steps_of_a_wrong_password() {
    let world = world();
    let elsewhere = |name| world.sha2_from(name, "198.51.7.8", true);
    for (exchange, reason) in [
        (world.sha2("gone"), "user_disabled (password right)"),
        (world.sha2("left"), "user_not_valid_today (password right)"),
        (world.sha2("early"), "user_not_valid_today (password right)"),
        (elsewhere("pinned"), "source_not_for_user (password right)"),
        (elsewhere("role-pinned"), "source_not_for_user (password right)"),
        (world.sha2_from("safe", "198.51.7.9", false), "tls_required (password right)"),
    ] {
        let right = sha2_scramble(RIGHT, &world.nonce);
        let denied = full_of(exchange.fast(&world.nonce, &right)).verify(&Password::new(RIGHT));
        let denied = denied.unwrap_err();
        assert_eq!((denied.to_string().as_str(), denied.advice()), (reason, None));
    }
    let denied = full_of(world.sha2("gone").fast(&world.nonce, b"x")).verify(&Password::new("x"));
    assert_eq!(denied.unwrap_err().to_string(), "user_disabled");
}

#[test]
fn whoever_is_blocked_cannot_tell_the_right_password_by_the_steps() {
    let world = world();
    let remaining = Duration::from_secs(1);
    let blocked = Attempt::Blocked(Blocked { whole_source: true, remaining });
    for (attempt, accepted) in [(blocked, false), (Attempt::After(remaining), true)] {
        let check = world.check("alice", "198.51.7.9", true).throttled(attempt);
        let Exchange::CachingSha2(exchange) = check.exchange(None) else { panic!("native") };
        let fast = exchange.fast(&world.nonce, &sha2_scramble(RIGHT, &world.nonce));
        match fast {
            FastAuth::Accepted(_) => assert!(accepted),
            FastAuth::FullNeeded(full) => {
                let denied = full.verify(&Password::new(RIGHT)).unwrap_err();
                assert_eq!(
                    (denied.to_string().as_str(), accepted),
                    ("blocked (password right)", false)
                );
            }
            FastAuth::Denied(denied) => panic!("{denied}"),
        }
    }
}

#[test]
fn an_unknown_user_takes_the_steps_of_a_user_and_no_password_fits() {
    let world = world();
    let mut plugins = Vec::new();
    for i in 0..50 {
        // A stranger borrows the plugins of a user, whose password must not fit them.
        let check = world.check(&format!("nobody{i}"), "198.51.7.9", true);
        let exchange = check.exchange(None);
        plugins.push(exchange.plugin());
        let denied = match exchange {
            Exchange::CachingSha2(exchange) => {
                let right = sha2_scramble(RIGHT, &world.nonce);
                full_of(exchange.fast(&world.nonce, &right)).verify(&Password::new(RIGHT))
            }
            Exchange::Native(exchange) => {
                exchange.verify(&world.nonce, &native_scramble(RIGHT, &world.nonce))
            }
        };
        assert_eq!(denied.unwrap_err().to_string(), "unknown_user");
    }
    let native = plugins.iter().filter(|plugin| **plugin == AuthPlugin::MysqlNativePassword);
    assert!((1..25).contains(&native.count()), "one user of ten prefers native");
}

#[test]
fn a_user_pinned_to_a_source_logs_in_from_it() {
    let world = world();
    for name in ["pinned", "role-pinned", "safe"] {
        assert!(world.log_in(world.sha2(name), RIGHT).is_ok(), "{name}");
    }
}

#[test]
fn nobody_has_an_empty_password() {
    let empty = Password::new("");
    let both = [SHA2, NATIVE].concat();
    let blank = User { credentials: vec![credential(1, "", &both)], ..user("blank", &both) };
    let world = world_of([blank, user("alice", SHA2)]);
    for name in ["blank", "alice"] {
        match world.sha2(name).fast(&world.nonce, b"") {
            FastAuth::Denied(denied) => assert_eq!(denied.to_string(), "no_password"),
            other @ (FastAuth::Accepted(_) | FastAuth::FullNeeded(_)) => panic!("{other:?}"),
        }
    }
    let full = full_of(world.sha2("blank").fast(&world.nonce, b"x"));
    assert!(full.verify(&empty).is_err());
    let denied = world.native("blank").verify(&world.nonce, b"").unwrap_err();
    assert_eq!(denied.to_string(), "no_password");
}

#[test]
fn a_client_is_switched_to_a_plugin_the_user_has() {
    let world = world();
    let plugin_of = |name, client| world.check(name, "198.51.7.9", true).exchange(client).plugin();
    let (sha2, native) = (AuthPlugin::CachingSha2Password, AuthPlugin::MysqlNativePassword);
    assert_eq!(plugin_of("alice", Some(native)), sha2);
    assert_eq!(plugin_of("alice", None), sha2);
    assert_eq!(plugin_of("old", Some(sha2)), native);
    assert_eq!(plugin_of("both", Some(native)), native);
    assert_eq!(plugin_of("both", Some(sha2)), sha2);
    assert_eq!(plugin_of("both", None), sha2);
    assert_eq!(plugin_of("empty", Some(native)), sha2);
}

#[test]
fn native_login_needs_the_right_scramble() {
    let world = world();
    let right = native_scramble(RIGHT, &world.nonce);
    let named = world.native("old").verify(&world.nonce, &right).unwrap();
    assert_eq!(named.method(), "mysql_native_password");
    let wrong = native_scramble("wrong", &world.nonce);
    let denied = world.native("old").verify(&world.nonce, &wrong).unwrap_err();
    assert_eq!(denied.to_string(), "wrong_password");
}

#[test]
fn a_user_without_verifier_cannot_log_in() {
    let world = world();
    let right = sha2_scramble(RIGHT, &world.nonce);
    let full = full_of(world.sha2("empty").fast(&world.nonce, &right));
    assert_eq!(full.verify(&Password::new(RIGHT)).unwrap_err().cause, DenyCause::WrongPassword);
}

// ---- credentials with a life --------------------------------------------------------

const POLICY: CredentialPolicy = CredentialPolicy {
    collect_within: Duration::from_secs(14 * 86_400),
    valid_for: Some(Duration::from_secs(90 * 86_400)),
    warn_before: Duration::from_secs(14 * 86_400),
    overlap: Duration::from_secs(86_400),
};

fn days_ago(days: u32) -> Timestamp {
    NOW.checked_sub(DAY * days).unwrap()
}

fn issued(id: u64, password: &str, days: u32) -> Credential {
    let (id, password) = (CredentialId(id), Password::new(password));
    Credential::issue(id, &password, SHA2, &POLICY, days_ago(days))
}

fn world_with(credentials: Vec<Credential>) -> World {
    world_of([User { credentials, ..user("alice", SHA2) }])
}

#[test]
fn the_first_login_collects_a_new_credential() {
    let world = world_with(vec![issued(7, "new", 13)]);
    let named = world.log_in(world.sha2("alice"), "new").unwrap();
    assert!(named.collects_credential());
    assert_eq!(named.credential(), Some(CredentialId(7)));
    let world = world_with(vec![issued(7, "new", 13).collected(&POLICY, days_ago(1))]);
    assert!(!world.log_in(world.sha2("alice"), "new").unwrap().collects_credential());
}

#[test]
fn both_credentials_count_while_they_overlap() {
    let old = issued(1, "old", 50).collected(&POLICY, days_ago(49));
    let overlapping = old.clone().replaced(&POLICY, *NOW);
    let world = world_with(vec![issued(2, "new", 0), overlapping]);
    assert_eq!(
        world.log_in(world.sha2("alice"), "old").unwrap().credential(),
        Some(CredentialId(1))
    );
    assert_eq!(
        world.log_in(world.sha2("alice"), "new").unwrap().credential(),
        Some(CredentialId(2))
    );
    let over = old.replaced(&POLICY, days_ago(1));
    let world = world_with(vec![issued(2, "new", 1), over]);
    let denied = world.log_in(world.sha2("alice"), "old").unwrap_err();
    assert_eq!(denied.to_string(), "credential_retired (password right)");
    assert_eq!(denied.advice(), None);
}

#[test]
fn what_to_do_about_an_ended_credential_is_told_to_its_holder_alone() {
    let void = world_with(vec![issued(1, "void", 14)]);
    let denied = void.log_in(void.sha2("alice"), "void").unwrap_err();
    assert_eq!(denied.cause, DenyCause::CredentialNotCollected);
    assert!(denied.advice().unwrap().contains("not collected in time"));
    let denied = void.log_in(void.sha2("alice"), "guess").unwrap_err();
    assert_eq!((denied.cause, denied.advice()), (DenyCause::WrongPassword, None));
    let expired = world_with(vec![issued(1, "x", 100).collected(&POLICY, days_ago(90))]);
    let denied = expired.log_in(expired.sha2("alice"), "x").unwrap_err();
    assert_eq!(denied.cause, DenyCause::CredentialExpired);
    assert!(denied.advice().unwrap().contains("expired"));
    let revoked = world_with(vec![issued(1, "x", 1).revoked()]);
    let denied = revoked.log_in(revoked.sha2("alice"), "x").unwrap_err();
    assert_eq!((denied.cause, denied.advice()), (DenyCause::CredentialRevoked, None));
}

#[test]
fn a_valid_credential_is_found_behind_any_number_of_ended_ones() {
    let ended = (2..10).rev().map(|id| issued(id, "x", 1).revoked());
    let valid = Credential { stage: Stage::InUse { expires_at: None }, ..issued(1, "right", 99) };
    let world = world_with(ended.chain([valid]).collect());
    assert_eq!(
        world.log_in(world.sha2("alice"), "right").unwrap().credential(),
        Some(CredentialId(1))
    );
}

// ---- live sessions -------------------------------------------------------------------

#[test]
fn a_session_goes_on_only_while_its_user_may_log_in() {
    let before = world_with(vec![issued(1, "x", 1)]);
    let named = before.log_in(before.sha2("alice"), "x").unwrap();
    let alice = || User { credentials: vec![issued(1, "x", 1)], ..user("alice", SHA2) };
    let after = |users: Vec<User>, listener: &[&str]| {
        let world = world_of(users);
        let source = named.source().clone();
        let arrival = Arrival {
            source,
            networks: &world.networks,
            encrypted: true,
            certificate: None,
            now: *NOW,
        };
        let listener = SourceSet::from_iter(listener.iter().copied());
        named.recheck(&world.users, &listener, &arrival).map(|user| user.full_name.clone())
    };
    let renamed = User { full_name: String::from("Alice B"), ..alice() };
    assert_eq!(after(vec![renamed], &["office"]), Ok(String::from("Alice B")));
    assert_eq!(after(vec![alice()], &[]), Err(DenyCause::SourceNotForUser));
    assert_eq!(after(vec![], &["office"]), Err(DenyCause::UnknownUser));
    let disabled = User { status: UserStatus::Disabled, ..alice() };
    assert_eq!(after(vec![disabled], &["office"]), Err(DenyCause::UserDisabled));
    let revoked = User { credentials: vec![issued(1, "x", 1).revoked()], ..alice() };
    assert_eq!(after(vec![revoked], &["office"]), Err(DenyCause::CredentialRevoked));
    let expired = issued(1, "x", 100).collected(&POLICY, days_ago(90));
    let expired = User { credentials: vec![expired], ..alice() };
    assert_eq!(after(vec![expired], &["office"]), Err(DenyCause::CredentialExpired));
    let replaced = issued(1, "x", 1).replaced(&POLICY, days_ago(1));
    let replaced = User { credentials: vec![issued(2, "y", 1), replaced], ..alice() };
    assert!(after(vec![replaced], &["office"]).is_ok());
    let both = issued(1, "x", 1).replaced(&POLICY, days_ago(1)).revoked();
    let both = User { credentials: vec![issued(2, "y", 1), both], ..alice() };
    assert_eq!(after(vec![both], &["office"]), Err(DenyCause::CredentialRevoked));
    let native = User { plugins: NATIVE.to_vec(), ..alice() };
    assert_eq!(after(vec![native], &["office"]), Err(DenyCause::CredentialRevoked));
    // As where a configuration has another verifier, or the user of that name is another by now.
    for other in [issued(1, "y", 1), issued(2, "x", 1)] {
        let changed = User { credentials: vec![other], ..alice() };
        assert_eq!(after(vec![changed], &["office"]), Err(DenyCause::CredentialRevoked));
    }
}

#[test]
fn a_session_by_the_native_plugin_ends_with_its_password() {
    let before = world();
    let right = native_scramble(RIGHT, &before.nonce);
    let named = before.native("old").verify(&before.nonce, &right).unwrap();
    let (networks, source) = (&before.networks, named.source().clone());
    let arrival = Arrival { source, networks, encrypted: true, certificate: None, now: *NOW };
    let listener = SourceSet::from_iter(["office"]);
    for (password, goes_on) in [(RIGHT, true), ("another", false)] {
        let credentials = vec![credential(1, password, NATIVE)];
        let users = Users::new([User { credentials, ..user("old", NATIVE) }]);
        let rechecked = named.recheck(&users, &listener, &arrival).map(drop);
        assert_eq!(rechecked, if goes_on { Ok(()) } else { Err(DenyCause::CredentialRevoked) });
    }
}

// ---- client certificates -------------------------------------------------------------

#[test]
fn a_certificate_lets_in_the_user_that_it_names_and_keeps_others_out() {
    let listed = vec!["email:carol@example.org".parse().unwrap()];
    let world = world_of([
        user("alice", SHA2),
        User { certificates: listed, ..user("carol", SHA2) },
        User { status: UserStatus::Disabled, ..user("gone", SHA2) },
    ]);
    let ways = |name: &str, held: Option<&str>| {
        let check = || {
            let listener = SourceSet::from_iter(["office"]);
            let (networks, today) = (&world.networks, day_of(*NOW));
            let source = networks.admit(&listener, "198.51.7.9".parse().unwrap(), today).unwrap();
            let held =
                held.map(|name| Arc::new(ClientCertificate::new(vec![name.parse().unwrap()])));
            let arrival =
                Arrival { source, networks, encrypted: true, certificate: held, now: *NOW };
            LoginCheck::for_user(&world.users, name.as_bytes(), arrival)
        };
        let Exchange::CachingSha2(exchange) = check().exchange(None) else { panic!("{name}") };
        let by_password = world.log_in(exchange, RIGHT);
        let told = |denied: LoginDenied| denied.cause;
        (
            by_password.map(drop).map_err(told),
            check().by_certificate().map(|way| way.map(drop).map_err(told)),
        )
    };
    let of_another = Err(DenyCause::CertificateOfAnother);
    for (name, held, by_password, by_certificate) in [
        ("alice", None, Ok(()), None),
        ("alice", Some("cn:alice"), Ok(()), Some(Ok(()))),
        ("alice", Some("cn:carol"), of_another, Some(of_another)),
        ("carol", Some("email:carol@example.org"), Ok(()), Some(Ok(()))),
        ("carol", Some("cn:carol"), of_another, Some(of_another)),
        ("carol", None, Err(DenyCause::CertificateMissing), None),
        ("gone", Some("cn:gone"), Err(DenyCause::UserDisabled), Some(Err(DenyCause::UserDisabled))),
        (
            "nobody",
            Some("cn:nobody"),
            Err(DenyCause::UnknownUser),
            Some(Err(DenyCause::UnknownUser)),
        ),
    ] {
        assert_eq!(ways(name, held), (by_password, by_certificate), "{name} with {held:?}");
    }
}
