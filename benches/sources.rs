//! How long it takes to know whether an address may come in, by how many networks are listed:
//! `cargo bench -p readgate-benches --bench sources`. Bar: the same for 100 and 100,000.

#![allow(clippy::unwrap_used, reason = "a benchmark may stop at the first surprise")]

use std::net::{IpAddr, Ipv4Addr};

use access::{Date, SourceEntry, SourceNetworks, SourceSet};
use divan::Bencher;

const TODAY: Date = Date::constant(2026, 6, 15);

fn main() {
    divan::main();
}

/// Networks of eight lengths, each apart from the others.
fn networks(count: u32) -> SourceNetworks {
    let networks = (0..count).map(|number| {
        let addr = Ipv4Addr::from(0x0a00_0000 + (number << 12));
        format!("{addr}/{}", 20 + number % 8).parse().unwrap()
    });
    SourceNetworks::new([SourceEntry {
        name: String::from("office"),
        networks: networks.collect(),
        owner: String::from("bench"),
        reason: String::from("bench"),
        ticket: None,
        added_on: None,
        expires_on: None,
    }])
}

fn lookup(bencher: Bencher<'_, '_>, count: u32, addr: u32) {
    let networks = networks(count);
    let accepted: SourceSet = ["office"].into_iter().collect();
    let addr = IpAddr::V4(Ipv4Addr::from(addr));
    bencher.bench_local(|| networks.admit(&accepted, divan::black_box(addr), TODAY).is_ok());
}

#[divan::bench(args = [100, 100_000])]
fn listed(bencher: Bencher<'_, '_>, count: u32) {
    lookup(bencher, count, 0x0a00_0000 + (57 << 12));
}

#[divan::bench(args = [100, 100_000])]
fn stranger(bencher: Bencher<'_, '_>, count: u32) {
    lookup(bencher, count, 0x0900_0001);
}
