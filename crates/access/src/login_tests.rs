use jiff::civil::date;
use mysql_auth::Nonce;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};

use super::*;
use crate::source::{SourceEntry, SourceSet};
use crate::user::{UserName, Users, Verifier};

const TODAY: Date = date(2026, 6, 15);
const RIGHT: &str = "correct horse";

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

fn user(name: &str) -> User {
    User {
        name: UserName::new(name).unwrap(),
        full_name: String::from("Test"),
        role: String::from("reader"),
        status: UserStatus::Enabled,
        verifiers: vec![Verifier::CachingSha2(Sha2Verifier::from_password(
            &Password::new(RIGHT),
        ))],
        sources: None,
        max_connections: None,
    }
}

fn world() -> World {
    let native = Verifier::Native(NativeVerifier::from_password(&Password::new(RIGHT)));
    let both = vec![user("x").verifiers.remove(0), native.clone()];
    World {
        networks: SourceNetworks::new([
            entry("office", "198.51.0.0/16"),
            entry("desk", "198.51.7.9/32"),
        ]),
        users: Users::new([
            user("alice"),
            User {
                status: UserStatus::Disabled,
                ..user("gone")
            },
            User {
                sources: Some(SourceSet::from_iter(["desk"])),
                ..user("pinned")
            },
            User {
                verifiers: vec![native],
                ..user("old")
            },
            User {
                verifiers: both,
                ..user("both")
            },
            User {
                verifiers: Vec::new(),
                ..user("empty")
            },
        ]),
        nonce: Nonce::generate().unwrap(),
    }
}

impl World {
    fn check_from(&self, name: &str, addr: &str) -> LoginCheck {
        let listener = SourceSet::from_iter(["office", "desk"]);
        let source = self
            .networks
            .admit(&listener, addr.parse().unwrap(), TODAY)
            .unwrap();
        LoginCheck::for_user(&self.users, &self.networks, name.as_bytes(), source, TODAY)
    }

    fn sha2(&self, name: &str) -> CachingSha2 {
        match self
            .check_from(name, "198.51.7.9")
            .exchange(Some(AuthPlugin::CachingSha2Password))
        {
            Exchange::CachingSha2(exchange) => exchange,
            Exchange::Native(_) => panic!("{name} was switched to native"),
        }
    }

    fn native(&self, name: &str) -> Native {
        match self
            .check_from(name, "198.51.7.9")
            .exchange(Some(AuthPlugin::MysqlNativePassword))
        {
            Exchange::Native(exchange) => exchange,
            Exchange::CachingSha2(_) => panic!("{name} was switched to caching_sha2"),
        }
    }
}

fn xor(a: &[u8], b: &[u8]) -> Vec<u8> {
    a.iter().zip(b).map(|(a, b)| a ^ b).collect()
}

fn sha2_scramble(password: &str, nonce: &Nonce) -> Vec<u8> {
    let sha = |bytes: &[u8]| digest(&SHA256, bytes).as_ref().to_vec();
    let stage1 = sha(password.as_bytes());
    xor(
        &stage1,
        &sha(&[&sha(&stage1), nonce.as_bytes().as_slice()].concat()),
    )
}

fn native_scramble(password: &str, nonce: &Nonce) -> Vec<u8> {
    let sha = |bytes: &[u8]| digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes).as_ref().to_vec();
    let stage1 = sha(password.as_bytes());
    xor(
        &stage1,
        &sha(&[nonce.as_bytes().as_slice(), &sha(&stage1)].concat()),
    )
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
    let FastAuth::Accepted(named) = world
        .sha2("alice")
        .fast(&world.nonce, &sha2_scramble(RIGHT, &world.nonce))
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
    let pinned_elsewhere = |name: &str| match world
        .check_from(name, "198.51.7.8")
        .exchange(Some(AuthPlugin::CachingSha2Password))
    {
        Exchange::CachingSha2(exchange) => exchange,
        Exchange::Native(_) => panic!("switched"),
    };
    for (exchange, reason) in [
        (world.sha2("gone"), "user_disabled (password right)"),
        (
            pinned_elsewhere("pinned"),
            "source_not_for_user (password right)",
        ),
    ] {
        let right = sha2_scramble(RIGHT, &world.nonce);
        let denied = full_of(exchange.fast(&world.nonce, &right)).verify(&Password::new(RIGHT));
        assert_eq!(denied.unwrap_err().to_string(), reason);
    }
    let denied = full_of(world.sha2("gone").fast(&world.nonce, b"x")).verify(&Password::new("x"));
    assert_eq!(denied.unwrap_err().to_string(), "user_disabled");
}

#[test]
fn an_unknown_user_is_asked_for_the_password_too() {
    let world = world();
    // A stranger borrows the plugins of a user; take one that borrowed caching_sha2.
    let plugin = Some(AuthPlugin::CachingSha2Password);
    let mut exchanges = (0..).map(|i| {
        world
            .check_from(&format!("nobody{i}"), "198.51.7.9")
            .exchange(plugin)
    });
    let Some(Exchange::CachingSha2(exchange)) =
        exchanges.find(|exchange| exchange.plugin() == AuthPlugin::CachingSha2Password)
    else {
        panic!("none");
    };
    let right = sha2_scramble(RIGHT, &world.nonce);
    let denied = full_of(exchange.fast(&world.nonce, &right)).verify(&Password::new(RIGHT));
    assert_eq!(denied.unwrap_err().to_string(), "unknown_user");
}

#[test]
fn a_user_pinned_to_a_source_logs_in_from_it() {
    let world = world();
    let right = sha2_scramble(RIGHT, &world.nonce);
    assert!(matches!(
        world.sha2("pinned").fast(&world.nonce, &right),
        FastAuth::Accepted(_)
    ));
}

#[test]
fn nobody_has_an_empty_password() {
    let mut world = world();
    let empty = Password::new("");
    let verifiers = vec![
        Verifier::CachingSha2(Sha2Verifier::from_password(&empty)),
        Verifier::Native(NativeVerifier::from_password(&empty)),
    ];
    world.users = Users::new([
        User {
            verifiers,
            ..user("blank")
        },
        user("alice"),
    ]);
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
    let plugin_of = |name, client| {
        world
            .check_from(name, "198.51.7.9")
            .exchange(client)
            .plugin()
    };
    let (sha2, native) = (
        AuthPlugin::CachingSha2Password,
        AuthPlugin::MysqlNativePassword,
    );
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
    let denied = world
        .native("old")
        .verify(&world.nonce, &wrong)
        .unwrap_err();
    assert_eq!(denied.to_string(), "wrong_password");
}

#[test]
fn a_user_without_verifier_cannot_log_in() {
    let world = world();
    let right = sha2_scramble(RIGHT, &world.nonce);
    let full = full_of(world.sha2("empty").fast(&world.nonce, &right));
    assert_eq!(
        full.verify(&Password::new(RIGHT)).unwrap_err().cause,
        DenyCause::WrongPassword
    );
}
