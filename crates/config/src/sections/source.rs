//! `[[source]]`: static networks that clients connect from, and why they are listed.
use access::{SourceEntry, SourceNetworks, network};
use ipnet::IpNet;

use crate::error::Wrong;
use crate::keys::{Form, Kind, Section, default, optional, required};
use crate::sections::Unique;
use crate::table::{Placed, Table};
use crate::values;

/// Networks with a shorter prefix need `allow_wide`.
const SHORTEST_V4: u8 = 8;
const SHORTEST_V6: u8 = 16;

pub(crate) static SOURCE: Section = Section {
    name: "source",
    form: Form::SeveralOrNone,
    meaning: "Static networks of one organisation that clients connect from.",
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
        required(
            "owner",
            Kind::Text,
            "\"platform team\"",
            "Who answers for this entry.",
        ),
        required(
            "reason",
            Kind::Text,
            "\"site network\"",
            "Why it is listed.",
        ),
        optional(
            "ticket",
            Kind::Text,
            "\"CHG-1234\"",
            "Reference of the request for it.",
        ),
        optional(
            "added_on",
            Kind::Date,
            "2026-01-31",
            "First day (UTC) on which it counts.",
        ),
        optional(
            "expires_on",
            Kind::Date,
            "2027-01-31",
            "Last day (UTC) on which it counts.",
        ),
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
            "Lets the entry hold networks wider than /8 (IPv4) or /16 (IPv6).",
        ),
    ],
    sections: &[],
};

/// The entries, and the names that are there: those of wrong entries too, so that one
/// mistake isn't reported again at every reference.
pub(super) fn read(root: &Table<'_, '_>) -> (Option<SourceNetworks>, Vec<String>) {
    let mut unique = Unique::default();
    let mut names = Vec::new();
    let mut entries = Vec::new();
    for table in root.children("source") {
        let name = table.get("name", values::name);
        unique.note(&table, "name", name.clone());
        names.extend(name.clone());
        entries.push(read_one(&table, name));
    }
    let entries: Option<Vec<SourceEntry>> = entries.into_iter().collect();
    (entries.map(SourceNetworks::new), names)
}

fn read_one(table: &Table<'_, '_>, name: Option<String>) -> Option<SourceEntry> {
    let networks = table.list("networks", values::network);
    let owner = table.get("owner", values::text);
    let reason = table.get("reason", values::text);
    let ticket = table.optional("ticket", values::text);
    let added_on = table.optional("added_on", values::date);
    let expires_on = table.optional("expires_on", values::date);
    let allow_private = table.get("allow_private", values::flag);
    let allow_wide = table.get("allow_wide", values::flag);
    for net in networks.items() {
        check_network(
            table,
            net,
            allow_private == Some(false),
            allow_wide == Some(false),
        );
    }
    if let (Some(Some(first)), Some(Some(last))) = (added_on, expires_on)
        && last < first
    {
        let wrong = format!("{last} is before added_on, {first}");
        table.problem("expires_on", Wrong::new(wrong, "write a later day"));
    }
    Some(SourceEntry {
        name: name?,
        networks: networks.values()?,
        owner: owner?,
        reason: reason?,
        ticket: ticket?,
        added_on: added_on?,
        expires_on: expires_on?,
    })
}

fn check_network(table: &Table<'_, '_>, net: &Placed<IpNet>, no_private: bool, no_wide: bool) {
    let Placed { value, line } = net;
    let shortest = if value.addr().is_ipv4() {
        SHORTEST_V4
    } else {
        SHORTEST_V6
    };
    if no_wide && value.prefix_len() < shortest {
        let wrong = format!("\"{value}\" is wider than /{shortest}");
        let right = "list smaller networks, or set allow_wide = true in this entry";
        table.problem_at(*line, "networks", Wrong::new(wrong, right));
        return;
    }
    if let (true, Some(range)) = (no_private, network::special_range(value)) {
        let wrong = format!("\"{value}\" holds {range} addresses");
        let right = "list public static networks, or set allow_private = true in this entry";
        table.problem_at(*line, "networks", Wrong::new(wrong, right));
    }
}
