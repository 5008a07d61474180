use std::net::{Ipv4Addr, Ipv6Addr};

use jiff::civil::date;
use proptest::prelude::*;

use super::*;

const TODAY: Date = date(2026, 6, 15);

fn entry(name: &str, networks: &[&str]) -> SourceEntry {
    SourceEntry {
        name: name.to_owned(),
        networks: networks.iter().map(|net| net.parse().unwrap()).collect(),
        owner: String::from("owner"),
        reason: String::from("test"),
        ticket: None,
        added_on: None,
        expires_on: None,
    }
}

fn admitted_by(networks: &SourceNetworks, accepted: &[&str], addr: &str) -> Option<String> {
    let accepted: SourceSet = accepted.iter().copied().collect();
    let admitted = networks.admit(&accepted, addr.parse().unwrap(), TODAY).ok()?;
    Some(admitted.entry().name.clone())
}

#[test]
fn an_empty_list_lets_nobody_in() {
    let nothing = SourceNetworks::default();
    assert_eq!(admitted_by(&nothing, &["a"], "127.0.0.1"), None);
    let networks = SourceNetworks::new([entry("a", &["0.0.0.0/0", "::/0"])]);
    assert_eq!(admitted_by(&networks, &[], "127.0.0.1"), None);
    assert_eq!(admitted_by(&networks, &["a"], "127.0.0.1"), Some(String::from("a")));
}

#[test]
fn the_longest_prefix_answers() {
    let networks = SourceNetworks::new([
        entry("wide", &["198.0.0.0/8"]),
        entry("office", &["198.51.0.0/16"]),
        entry("desk", &["198.51.7.9/32"]),
    ]);
    let all = ["wide", "office", "desk"];
    assert_eq!(admitted_by(&networks, &all, "198.51.7.9").as_deref(), Some("desk"));
    assert_eq!(admitted_by(&networks, &all, "198.51.7.8").as_deref(), Some("office"));
    assert_eq!(admitted_by(&networks, &all, "198.52.7.8").as_deref(), Some("wide"));
    assert_eq!(admitted_by(&networks, &["wide"], "198.51.7.9").as_deref(), Some("wide"));
    assert_eq!(admitted_by(&networks, &all, "199.0.0.0"), None);
}

#[test]
fn mapped_addresses_are_ipv4_addresses() {
    let v6_all = SourceNetworks::new([entry("six", &["::/0", "::ffff:0:0/90"])]);
    assert_eq!(admitted_by(&v6_all, &["six"], "::ffff:198.51.7.9"), None);
    assert_eq!(admitted_by(&v6_all, &["six"], "2a00::1").as_deref(), Some("six"));
    let v4 = SourceNetworks::new([entry("four", &["198.51.7.0/24"])]);
    assert_eq!(admitted_by(&v4, &["four"], "::ffff:198.51.7.9").as_deref(), Some("four"));
    let mapped = SourceNetworks::new([entry("mapped", &["::ffff:198.51.7.0/120"])]);
    assert_eq!(admitted_by(&mapped, &["mapped"], "198.51.7.9").as_deref(), Some("mapped"));
    assert_eq!(admitted_by(&mapped, &["mapped"], "198.51.8.9"), None);
}

#[test]
fn an_entry_counts_from_its_first_to_its_last_day() {
    let mut dated = entry("dated", &["198.51.7.0/24"]);
    dated.added_on = Some(date(2026, 6, 15));
    dated.expires_on = Some(date(2026, 6, 20));
    let networks = SourceNetworks::new([dated]);
    let accepted: SourceSet = ["dated"].into_iter().collect();
    let on = |day| networks.admit(&accepted, "198.51.7.1".parse().unwrap(), day);
    assert!(on(date(2026, 6, 15)).is_ok());
    assert!(on(date(2026, 6, 20)).is_ok());
    for day in [date(2026, 6, 14), date(2026, 6, 21)] {
        let cause = SourceDenyCause::OutOfDate { entry: String::from("dated") };
        assert_eq!(on(day).unwrap_err().cause, cause);
    }
}

#[test]
fn an_entry_out_of_date_does_not_hide_a_wider_valid_one() {
    let mut old = entry("old", &["198.51.7.0/24"]);
    old.expires_on = Some(date(2026, 1, 1));
    let networks = SourceNetworks::new([old, entry("wide", &["198.51.0.0/16"])]);
    assert_eq!(admitted_by(&networks, &["old", "wide"], "198.51.7.1").as_deref(), Some("wide"));
    assert_eq!(admitted_by(&networks, &["old"], "198.51.7.1"), None);
}

#[test]
fn two_entries_may_list_the_same_network() {
    let networks =
        SourceNetworks::new([entry("a", &["198.51.7.0/24"]), entry("b", &["198.51.7.0/24"])]);
    assert_eq!(admitted_by(&networks, &["b"], "198.51.7.1").as_deref(), Some("b"));
    assert_eq!(admitted_by(&networks, &["a"], "198.51.7.1").as_deref(), Some("a"));
}

#[test]
fn reports_networks_within_others_once() {
    let networks = SourceNetworks::new([
        entry("a", &["198.51.7.0/24", "198.51.7.0/24", "8.8.8.0/24"]),
        entry("b", &["198.51.0.0/16", "8.8.8.0/24", "2a00::/32"]),
        entry("c", &["198.51.7.9/32", "2a00:0:1::/48", "::ffff:8.8.8.8/128", "9.9.9.9/32"]),
    ]);
    let shown = |overlap: Overlap| {
        let Overlap { entry, network, inner, outer_entry, outer } = overlap;
        format!("{entry}.{network} {inner} in {outer_entry} {outer}")
    };
    assert_eq!(
        networks.overlaps().map(shown).collect::<Vec<_>>(),
        [
            "0.0 198.51.7.0/24 in 1 198.51.0.0/16",
            "0.1 198.51.7.0/24 in 0 198.51.7.0/24",
            "1.1 8.8.8.0/24 in 0 8.8.8.0/24",
            "2.0 198.51.7.9/32 in 0 198.51.7.0/24",
            "2.1 2a00:0:1::/48 in 1 2a00::/32",
            "2.2 8.8.8.8/32 in 0 8.8.8.0/24",
        ]
    );
}

// ---- against a slow, obvious version ----------------------------------------------

/// Asks each network in turn; keeps the longest prefix, the first listed among equals.
fn oracle<'a>(
    entries: &'a [SourceEntry],
    accepted: &SourceSet,
    addr: IpAddr,
    today: Date,
) -> Option<(u8, &'a str)> {
    let addr = match addr {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(addr, IpAddr::V4),
        IpAddr::V4(_) => addr,
    };
    let mut best: Option<(u8, &str)> = None;
    for entry in entries {
        let starts = entry.added_on.is_none_or(|day| day <= today);
        let lasts = entry.expires_on.is_none_or(|day| day >= today);
        if !starts || !lasts || !accepted.names().contains(&entry.name.as_str()) {
            continue;
        }
        for net in &entry.networks {
            let longer = best.is_none_or(|(len, _)| net.prefix_len() > len);
            if net.contains(&addr) && longer {
                best = Some((net.prefix_len(), &entry.name));
            }
        }
    }
    best
}

/// Addresses from few bits, so that networks and addresses meet often.
fn any_addr() -> impl Strategy<Value = IpAddr> {
    let v4 = any::<[bool; 4]>().prop_map(|bits| {
        let [a, b, c, d] = bits.map(u8::from);
        Ipv4Addr::new(a << 7, b << 6, c, d)
    });
    let v6 = (any::<[bool; 4]>(), any::<u16>()).prop_map(|([a, b, c, d], low)| {
        let [a, b, c, d] = [a, b, c, d].map(u16::from);
        Ipv6Addr::new(a << 15, 0, b << 8, c, 0, 0, d, low & 3)
    });
    prop_oneof![v4.prop_map(IpAddr::V4), v4_mapped().prop_map(IpAddr::V6), v6.prop_map(IpAddr::V6)]
}

fn v4_mapped() -> impl Strategy<Value = Ipv6Addr> {
    any::<[bool; 4]>().prop_map(|bits| {
        let [a, b, c, d] = bits.map(u8::from);
        Ipv4Addr::new(a << 7, b << 6, c, d).to_ipv6_mapped()
    })
}

fn any_net() -> impl Strategy<Value = IpNet> {
    (any_addr(), 0_u8..=128).prop_map(|(addr, len)| {
        let addr = addr.to_canonical();
        let len = if addr.is_ipv4() { len % 33 } else { len };
        IpNet::new(addr, len).unwrap().trunc()
    })
}

fn any_day() -> impl Strategy<Value = Option<Date>> {
    prop::option::of((1_i8..=3).prop_map(|day| date(2026, 6, day)))
}

fn any_entries() -> impl Strategy<Value = Vec<SourceEntry>> {
    let one = (prop::collection::vec(any_net(), 0..4), any_day(), any_day());
    prop::collection::vec(one, 0..12).prop_map(|list| {
        let named = list.into_iter().enumerate();
        let make = |(i, (networks, added_on, expires_on))| SourceEntry {
            networks,
            added_on,
            expires_on,
            ..entry(&format!("e{i}"), &[])
        };
        named.map(make).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn admits_exactly_what_a_linear_search_admits(
        entries in any_entries(),
        accepted_bits in any::<u16>(),
        addrs in prop::collection::vec(any_addr(), 1..8),
    ) {
        let accepted: SourceSet =
            (0..12).filter(|i| accepted_bits >> i & 1 == 1).map(|i| format!("e{i}")).collect();
        let networks = SourceNetworks::new(entries.clone());
        let today = date(2026, 6, 2);
        for addr in addrs {
            let expected = oracle(&entries, &accepted, addr, today).map(|(_, name)| name);
            let admitted = networks.admit(&accepted, addr, today).ok();
            prop_assert_eq!(admitted.as_ref().map(|a| a.entry().name.as_str()), expected);
        }
    }
}
