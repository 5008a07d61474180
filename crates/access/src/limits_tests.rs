use jiff::civil::date;
use mysql_auth::{AuthPlugin, Nonce, Password};

use super::*;
use crate::credential::{Credential, CredentialId};
use crate::login::{Arrival, Exchange, LoginCheck};
use crate::role::Role;
use crate::source::{SourceEntry, SourceNetworks, SourceSet};
use crate::user::{User, UserName, Users};

const SETTINGS: LimitSettings =
    LimitSettings { connections: 3, connections_per_source: 2, connections_per_user: 1 };

fn networks() -> SourceNetworks {
    SourceNetworks::new([SourceEntry {
        name: String::from("all"),
        networks: vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()],
        owner: String::from("owner"),
        reason: String::from("test"),
        ticket: None,
        added_on: None,
        expires_on: None,
    }])
}

fn source(addr: &str) -> SourceAdmitted {
    let accepted = SourceSet::from_iter(["all"]);
    networks().admit(&accepted, addr.parse().unwrap(), date(2026, 6, 15)).unwrap()
}

/// Logs a user in by the only way there is.
fn named(name: &str, max_connections: Option<u32>) -> NamedUser {
    of_role(name, max_connections, Role::named("reader"))
}

fn of_role(name: &str, max_connections: Option<u32>, role: Role) -> NamedUser {
    let secret = Password::new("secret");
    let plugins = vec![AuthPlugin::MysqlNativePassword];
    let users = Users::new([User {
        credentials: vec![Credential::of_password(CredentialId(1), &secret, &plugins)],
        plugins,
        max_connections,
        ..User::new(UserName::new(name).unwrap(), "Test", Arc::new(role))
    }]);
    let nonce = Nonce::generate().unwrap();
    let sha = |bytes: &[u8]| {
        let hash = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, bytes);
        hash.as_ref().to_vec()
    };
    let stage1 = sha(b"secret");
    let mask = sha(&[nonce.as_bytes().as_slice(), &sha(&stage1)].concat());
    let scramble: Vec<u8> = stage1.iter().zip(mask).map(|(a, b)| a ^ b).collect();
    let networks = networks();
    let now = jiff::Timestamp::UNIX_EPOCH;
    let arrival = Arrival {
        source: source("198.51.7.1"),
        networks: &networks,
        encrypted: true,
        certificate: None,
        now,
    };
    let check = LoginCheck::for_user(&users, name.as_bytes(), arrival);
    match check.exchange(Some(AuthPlugin::MysqlNativePassword)) {
        Exchange::Native(native) => native.verify(&nonce, &scramble).unwrap(),
        Exchange::CachingSha2(_) => panic!("switched"),
    }
}

#[test]
fn says_which_limit_is_reached() {
    let limits = ConnectionLimits::new(SETTINGS);
    let a = source("198.51.7.1");
    let _first = limits.admit_source(&a).unwrap();
    let _second = limits.admit_source(&a).unwrap();
    assert_eq!(limits.admit_source(&a).unwrap_err(), LimitReached::Source(2));
    let _third = limits.admit_source(&source("198.51.7.2")).unwrap();
    let refused = limits.admit_source(&source("198.51.7.3")).unwrap_err();
    assert_eq!(refused, LimitReached::All(3));
    let _alice = limits.admit_user(&named("alice", None)).unwrap();
    assert_eq!(limits.admit_user(&named("alice", None)).unwrap_err(), LimitReached::User(1));
    let _bob = limits.admit_user(&named("bob", None)).unwrap();
}

#[test]
fn a_dropped_slot_is_free_again() {
    let limits = ConnectionLimits::new(SETTINGS);
    let a = source("198.51.7.1");
    for _ in 0..10 {
        let slots = (limits.admit_source(&a).unwrap(), limits.admit_source(&a).unwrap());
        let user = limits.admit_user(&named("alice", None)).unwrap();
        assert_eq!(limits.connections(), 2);
        drop((slots, user));
    }
    assert_eq!(limits.connections(), 0);
    let counts = limits.counts();
    assert!(counts.by_source.is_empty() && counts.by_user.is_empty());
}

#[test]
fn a_refused_connection_is_not_counted() {
    let limits = ConnectionLimits::new(SETTINGS);
    let a = source("198.51.7.1");
    let _slots = (limits.admit_source(&a).unwrap(), limits.admit_source(&a).unwrap());
    for _ in 0..10 {
        assert!(limits.admit_source(&a).is_err());
    }
    assert_eq!(limits.connections(), 2);
}

#[test]
fn a_users_own_limit_counts_first() {
    let limits = ConnectionLimits::new(SETTINGS);
    let tool = named("tool", Some(2));
    let _slots = (limits.admit_user(&tool).unwrap(), limits.admit_user(&tool).unwrap());
    assert_eq!(limits.admit_user(&tool).unwrap_err(), LimitReached::User(2));
    assert_eq!(limits.admit_user(&named("none", Some(0))).unwrap_err(), LimitReached::User(0));
}

#[test]
fn a_role_narrows_everybodys_limit_and_not_a_users_own() {
    let limits = ConnectionLimits::new(LimitSettings { connections_per_user: 3, ..SETTINGS });
    let role = |connections| {
        let mut role = Role::named("analyst");
        role.limits.connections = Some(connections);
        role
    };
    let most = |named: NamedUser| {
        let slots: Vec<_> = std::iter::from_fn(|| limits.admit_user(&named).ok()).take(9).collect();
        slots.len()
    };
    assert_eq!(most(of_role("few", None, role(2))), 2);
    assert_eq!(most(of_role("none", None, role(0))), 0);
    assert_eq!(most(of_role("many", None, role(5))), 3);
    assert_eq!(most(of_role("own", Some(4), role(2))), 4);
}

#[test]
fn one_ipv6_network_of_64_bits_is_one_source() {
    let limits = ConnectionLimits::new(SETTINGS);
    let _one = limits.admit_source(&source("2a00:1:2:3::1")).unwrap();
    let _two = limits.admit_source(&source("2a00:1:2:3:ffff::2")).unwrap();
    let same = limits.admit_source(&source("2a00:1:2:3:4::5"));
    assert_eq!(same.unwrap_err(), LimitReached::Source(2));
    let _other = limits.admit_source(&source("2a00:1:2:4::1")).unwrap();
}

#[test]
fn a_changed_limit_counts_at_once_and_ends_nobody() {
    let limits = ConnectionLimits::new(SETTINGS);
    let a = source("198.51.7.1");
    let _slots = (limits.admit_source(&a).unwrap(), limits.admit_source(&a).unwrap());
    limits.set(LimitSettings { connections_per_source: 1, ..SETTINGS });
    assert_eq!(limits.admit_source(&a).unwrap_err(), LimitReached::Source(1));
    limits.set(LimitSettings { connections_per_source: 3, ..SETTINGS });
    assert!(limits.admit_source(&a).is_ok());
}
