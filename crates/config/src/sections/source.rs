//! `[[source]]`: static networks that clients connect from, and why they are listed.
use std::collections::BTreeSet;

use access::{SourceEntry, SourceNetworks, network};
use ipnet::IpNet;

use crate::error::Wrong;
use crate::keys::{Counts, Form, Kind, Section, default, optional, required};
use crate::sections::{Unique, date_range};
use crate::table::Table;
use crate::values;

/// The rules for all entries.
pub(crate) static RULES: Section = Section {
    name: "source_rules",
    form: Form::OneOrNone,
    meaning: "What every `[[source]]` entry must keep to.",
    counts: Counts::AtReload,
    keys: &[
        default(
            "shortest_ipv4_prefix",
            Kind::Count(0, 32),
            "8",
            "16",
            "IPv4 networks with a shorter prefix need `allow_wide` in their entry.",
        ),
        default(
            "shortest_ipv6_prefix",
            Kind::Count(0, 128),
            "16",
            "32",
            "IPv6 networks with a shorter prefix need `allow_wide` in their entry.",
        ),
    ],
    sections: &[],
};

pub(crate) static SOURCE: Section = Section {
    name: "source",
    form: Form::SeveralOrNone,
    meaning: "Static networks of one organisation that clients connect from.",
    counts: Counts::AtReload,
    keys: &[
        required(
            "name",
            Kind::Name,
            "\"office\"",
            "Unique name, for listeners and users to refer to.",
        ),
        required(
            "networks",
            Kind::List(&Kind::Network),
            "[\"198.51.7.0/24\", \"2a00:1450:17::/48\"]",
            "Networks, or single addresses. IPv4-mapped IPv6 addresses count as IPv4.",
        ),
        required("owner", Kind::Text, "\"platform team\"", "Who answers for this entry."),
        required("reason", Kind::Text, "\"site network\"", "Why it is listed."),
        optional("ticket", Kind::Text, "\"CHG-1234\"", "Reference of the request for it."),
        optional("added_on", Kind::Date, "2026-01-31", "First day (UTC) on which it counts."),
        optional("expires_on", Kind::Date, "2027-01-31", "Last day (UTC) on which it counts."),
        default(
            "allow_private",
            Kind::Flag,
            "false",
            "true",
            "Lets the entry hold addresses that can't be an organisation's on the internet: private, loopback, link-local, carrier-grade NAT, multicast, documentation and other special ranges.",
        ),
        default(
            "allow_wide",
            Kind::Flag,
            "false",
            "true",
            "Lets the entry hold networks wider than `[source_rules]` say.",
        ),
    ],
    sections: &[],
};

/// The entries, and the names that are there: those of wrong entries too, so that one
/// mistake isn't reported again at every reference.
pub(super) fn read(root: &Table<'_, '_>) -> (Option<SourceNetworks>, BTreeSet<String>) {
    let rules = read_rules(root);
    let mut unique = Unique::default();
    let mut names = BTreeSet::new();
    let mut read = Vec::new();
    for table in root.children("source") {
        let name = table.get("name", values::name);
        unique.note(&table, "name", name.clone());
        names.extend(name.clone());
        read.push(read_one(&table, name, &rules).map(|(entry, lines)| Placed {
            entry,
            lines,
            table,
        }));
    }
    let read: Option<Vec<Placed<'_, '_>>> = read.into_iter().collect();
    let networks = read.map(|read| {
        let networks = SourceNetworks::new(read.iter().map(|placed| placed.entry.clone()));
        note_overlaps(&networks, &read);
        networks
    });
    (networks, names)
}

/// An entry, where it stands, and the lines of its networks.
struct Placed<'d, 't> {
    entry: SourceEntry,
    lines: Vec<usize>,
    table: Table<'d, 't>,
}

struct Rules {
    shortest_ipv4_prefix: u32,
    shortest_ipv6_prefix: u32,
}

/// Rules that can't be read are noted; nothing is then too wide.
fn read_rules(root: &Table<'_, '_>) -> Rules {
    let table = root.child("source_rules");
    let number =
        |name| table.as_ref().and_then(|table| table.get(name, values::count)).unwrap_or(0);
    Rules {
        shortest_ipv4_prefix: number("shortest_ipv4_prefix"),
        shortest_ipv6_prefix: number("shortest_ipv6_prefix"),
    }
}

fn read_one(
    table: &Table<'_, '_>,
    name: Option<String>,
    rules: &Rules,
) -> Option<(SourceEntry, Vec<usize>)> {
    let networks = table.list("networks", values::network);
    let owner = table.get("owner", values::text);
    let reason = table.get("reason", values::text);
    let ticket = table.optional("ticket", values::text);
    let (added_on, expires_on) = date_range(table, "added_on", "expires_on");
    let allow_private = table.get("allow_private", values::flag);
    let allow_wide = table.get("allow_wide", values::flag);
    for net in networks.items() {
        let problem = (allow_wide == Some(false))
            .then(|| too_wide(&net.value, rules))
            .flatten()
            .or_else(|| (allow_private == Some(false)).then(|| special(&net.value)).flatten());
        if let Some(wrong) = problem {
            table.problem_at(net.line, "networks", wrong);
        }
    }
    let lines = networks.items().iter().map(|net| net.line).collect();
    let entry = SourceEntry {
        name: name?,
        networks: networks.values()?,
        owner: owner?,
        reason: reason?,
        ticket: ticket?,
        added_on: added_on?,
        expires_on: expires_on?,
    };
    Some((entry, lines))
}

fn too_wide(net: &IpNet, rules: &Rules) -> Option<Wrong> {
    let shortest = match net {
        IpNet::V4(_) => rules.shortest_ipv4_prefix,
        IpNet::V6(_) => rules.shortest_ipv6_prefix,
    };
    let wrong = format!("\"{net}\" is wider than /{shortest}");
    let right = "list smaller networks, or set allow_wide = true in this entry";
    (u32::from(net.prefix_len()) < shortest).then(|| Wrong::new(wrong, right))
}

fn special(net: &IpNet) -> Option<Wrong> {
    let range = network::special_range(net)?;
    let wrong = format!("\"{net}\" holds {range} addresses");
    let right = "list public static networks, or set allow_private = true in this entry";
    Some(Wrong::new(wrong, right))
}

fn note_overlaps(networks: &SourceNetworks, read: &[Placed<'_, '_>]) {
    for overlap in networks.overlaps() {
        let Some(placed) = read.get(overlap.entry) else {
            continue;
        };
        let line = placed.lines.get(overlap.network).copied().unwrap_or(0);
        let (inner, outer) = (overlap.inner, overlap.outer);
        let of = read.get(overlap.outer_entry).map_or("", |outer| &outer.entry.name);
        let wrong = match inner == outer {
            true => format!("\"{inner}\" is listed by source {of:?} too"),
            false => format!("\"{inner}\" lies within \"{outer}\" of source {of:?}"),
        };
        let right = "remove it unless both entries are meant";
        placed.table.warning_at(line, "networks", Wrong::new(wrong, right));
    }
}
