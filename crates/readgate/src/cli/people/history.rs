//! `readgate access history`: every change, or what they had made of the users by a day.
use std::collections::BTreeMap;

use access::store::HistoryEntry;
use access::{Date, day_of};

use super::opened::{Failure, Opened, Where, user_name};
use crate::cli::json;

/// Every change, oldest first.
pub(super) fn history(user: Option<&str>, place: &Where) -> Result<String, Failure> {
    let user = user.map(user_name).transpose()?;
    let entries = Opened::at(place)?.store()?.history(user.as_ref())?;
    if place.json {
        return Ok(json::lines(entries.iter().map(json::change)));
    }
    Ok(entries.iter().map(entry_lines).collect::<Vec<_>>().join("\n"))
}

/// What the changes up to the end of a day had made of each user: the history alone says
/// it, so it can be compared with what the store holds.
pub(super) fn state_on(day: Date, user: Option<&str>, place: &Where) -> Result<String, Failure> {
    let user = user.map(user_name).transpose()?;
    let mut users: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for entry in Opened::at(place)?.store()?.history(user.as_ref())? {
        if day_of(entry.at) > day || entry.user.is_empty() {
            continue;
        }
        let facts = users.entry(entry.user).or_default();
        for difference in entry.differences {
            match difference.after.is_empty() {
                true => facts.remove(&difference.fact),
                false => facts.insert(difference.fact, difference.after),
            };
        }
    }
    if place.json {
        let of_user = |(user, facts)| serde_json::json!({ "name": user, "facts": facts });
        return Ok(json::lines(users.iter().map(of_user)));
    }
    let lines = users.iter().map(|(user, facts)| {
        let facts = facts.iter().map(|(fact, value)| format!("\n  {fact}: {value}"));
        format!("{user}{}", facts.collect::<String>())
    });
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

fn entry_lines(entry: &HistoryEntry) -> String {
    let HistoryEntry { number, at, by, reason, user, label, differences } = entry;
    let differences = differences
        .iter()
        .map(|one| format!("\n  {}: {:?} -> {:?}", one.fact, one.before, one.after));
    let differences: String = differences.collect();
    format!("{number} {at} {label} {user} by {by} because {reason:?}{differences}")
}
