//! How long a large configuration takes to be read: `cargo bench -p config`.
//!
//! Bar: 100,000 networks and users below 1 s.

#![allow(clippy::unwrap_used, reason = "a benchmark may stop at the first surprise")]

use std::fmt::Write;
use std::net::Ipv4Addr;
use std::path::Path;

use config::{Config, ConfigHash, Kept};
use divan::Bencher;

fn main() {
    divan::main();
}

/// The shipped file with as many networks, in entries of 100, and users.
fn text(count: u32) -> String {
    let mut text = String::from(include_str!("../../../proxy.toml"));
    for entry in 0..count.div_ceil(100) {
        writeln!(text, "[[source]]\nname = \"s{entry}\"\nowner = \"o\"\nreason = \"r\"").unwrap();
        writeln!(text, "allow_private = true\nnetworks = [").unwrap();
        for i in 0..100 {
            let network = Ipv4Addr::from(0x1000_0000 + ((entry * 100 + i) << 12));
            writeln!(text, "  \"{network}/20\",").unwrap();
        }
        text.push_str("]\n");
    }
    for user in 0..count {
        let verifier = "$sha2fast$9b3c4fa1e08d7a6f25c1b0e9d8374655f2e1a0c9b8d7e6f504132231405f6e7d";
        writeln!(text, "[[user]]\nname = \"u{user}\"\nfull_name = \"User {user}\"").unwrap();
        writeln!(text, "caching_sha2_verifier = \"{verifier}\"").unwrap();
    }
    text
}

#[divan::bench(args = [100, 10_000, 100_000], sample_count = 10)]
fn parse(bencher: Bencher<'_, '_>, count: u32) {
    let text = text(count);
    bencher.bench_local(|| Config::parse(&text, Path::new("proxy.toml")).unwrap());
}

/// What a reload writes down, and a start compares.
#[divan::bench(args = [100, 10_000, 100_000], sample_count = 5)]
fn keep(bencher: Bencher<'_, '_>, count: u32) {
    let text = text(count);
    let config = Config::parse(&text, Path::new("proxy.toml")).unwrap();
    let hash = ConfigHash::of(text.as_bytes());
    bencher.bench_local(|| {
        let kept = config.settings.to_be_kept(&hash, "random");
        assert!(Kept::read(&kept).unwrap().differences(&config.settings).is_empty());
        kept.len()
    });
}
