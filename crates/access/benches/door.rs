//! What the door costs: `cargo bench -p access`.
//!
//! Bars: a source check and a login with 100,000 networks and users cost what they cost
//! with 100; making both lists anew stays below 1 s; and a name that nobody has takes as
//! long as one that somebody has.

#![allow(clippy::unwrap_used, reason = "a benchmark may stop at the first surprise")]

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use access::login::FastAuth;
use access::{
    Arrival, Credential, CredentialId, Exchange, LoginCheck, Role, SourceEntry, SourceNetworks,
    SourceSet, Timestamp, User, UserName, Users, day_of,
};
use divan::{Bencher, black_box};
use mysql_auth::{AuthPlugin, Nonce, Password};

const COUNTS: [u32; 3] = [100, 10_000, 100_000];

fn main() {
    divan::main();
}

fn entries(count: u32) -> Vec<SourceEntry> {
    let entry = |i: u32| SourceEntry {
        name: format!("source-{i}"),
        // Prefix lengths from /20 to /32, spread over the address space.
        networks: vec![format!("{}/{}", Ipv4Addr::from(i << 12), 20 + i % 13).parse().unwrap()],
        owner: String::from("owner"),
        reason: String::from("bench"),
        ticket: None,
        added_on: None,
        expires_on: None,
    };
    (0..count).map(entry).collect()
}

fn users(count: u32) -> Vec<User> {
    let role = Arc::new(Role::named("reader"));
    let user = |i: u32| {
        let name = UserName::new(format!("user-{i}")).unwrap();
        let plugins = [AuthPlugin::CachingSha2Password];
        let password = Password::new(format!("password-{i}"));
        let credential = Credential::of_password(CredentialId(1), &password, &plugins);
        User { credentials: vec![credential], ..User::new(name, "Bench", Arc::clone(&role)) }
    };
    (0..count).map(user).collect()
}

fn all_sources(count: u32) -> SourceSet {
    (0..count).map(|i| format!("source-{i}")).collect()
}

#[divan::bench(args = COUNTS)]
fn index_networks(bencher: Bencher<'_, '_>, count: u32) {
    bencher.with_inputs(|| entries(count)).bench_local_values(SourceNetworks::new);
}

#[divan::bench(args = COUNTS)]
fn list_users(bencher: Bencher<'_, '_>, count: u32) {
    let users = users(count);
    bencher.with_inputs(|| users.clone()).bench_local_values(Users::new);
}

#[divan::bench(args = COUNTS)]
fn check_source(bencher: Bencher<'_, '_>, count: u32) {
    let (networks, accepted) = (SourceNetworks::new(entries(count)), all_sources(count));
    let today = day_of(Timestamp::now());
    let addr = IpAddr::V4(Ipv4Addr::from((count / 2) << 12));
    bencher.bench_local(|| networks.admit(&accepted, black_box(addr), today).is_ok());
}

#[divan::bench(args = COUNTS)]
fn refuse_source(bencher: Bencher<'_, '_>, count: u32) {
    let (networks, accepted) = (SourceNetworks::new(entries(count)), all_sources(count));
    let today = day_of(Timestamp::now());
    let addr: IpAddr = "250.1.2.3".parse().unwrap();
    bencher.bench_local(|| networks.admit(&accepted, black_box(addr), today).is_err());
}

/// One wrong scramble: known and unknown names must not differ.
fn wrong_login(bencher: Bencher<'_, '_>, count: u32, name: &str) {
    let (networks, accepted) = (SourceNetworks::new(entries(100)), all_sources(100));
    let (users, now) = (Users::new(users(count)), Timestamp::now());
    let addr = IpAddr::V4(Ipv4Addr::from(50 << 12));
    let nonce = Nonce::generate().unwrap();
    bencher
        .with_inputs(|| networks.admit(&accepted, addr, day_of(now)).unwrap())
        .bench_local_values(|source| {
            let arrival =
                Arrival { source, networks: &networks, encrypted: true, certificate: None, now };
            let check = LoginCheck::for_user(&users, black_box(name.as_bytes()), arrival);
            match check.exchange(Some(AuthPlugin::CachingSha2Password)) {
                Exchange::CachingSha2(sha2) => {
                    matches!(sha2.fast(&nonce, &[7; 32]), FastAuth::FullNeeded(_))
                }
                Exchange::Native(_) => false,
            }
        });
}

#[divan::bench(args = COUNTS)]
fn login_of_a_user(bencher: Bencher<'_, '_>, count: u32) {
    wrong_login(bencher, count, "user-50");
}

#[divan::bench(args = COUNTS)]
fn login_of_nobody(bencher: Bencher<'_, '_>, count: u32) {
    wrong_login(bencher, count, "nobody-");
}
