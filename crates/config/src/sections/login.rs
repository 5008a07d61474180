//! `[login]`: what failed logins cost.
use access::ThrottleSettings;

use crate::error::Wrong;
use crate::keys::{Counts, Form, Kind, Section, default};
use crate::model::Limits;
use crate::table::Table;
use crate::values;

pub(crate) static LOGIN: Section = Section {
    name: "login",
    form: Form::OneOrNone,
    meaning: "What failed logins cost: growing waits, then a block, for each source and for each user from each source. No source can lock a user out elsewhere.",
    counts: Counts::AtReload,
    keys: &[
        default(
            "free_failures",
            Kind::Count(0, 1000),
            "3",
            "3",
            "Failures of one user from one source without a wait.",
        ),
        default(
            "free_failures_per_source",
            Kind::Count(0, 100_000),
            "20",
            "20",
            "Failures of one source, whatever the names, without a wait.",
        ),
        default(
            "first_delay",
            Kind::Duration("1ms", "1m"),
            "\"500ms\"",
            "\"500ms\"",
            "The first wait; each further failure doubles it.",
        ),
        default(
            "longest_delay",
            Kind::Duration("1ms", "5m"),
            "\"8s\"",
            "\"8s\"",
            "The longest wait. Attempts that would wait longer in their queue are refused.",
        ),
        default(
            "block_after",
            Kind::Count(1, 100_000),
            "20",
            "20",
            "Failures of one user from one source that block it for `block_time`.",
        ),
        default(
            "block_after_per_source",
            Kind::Count(1, 1_000_000),
            "200",
            "200",
            "Failures of one source, whatever the names, that block it for `block_time`.",
        ),
        default(
            "block_time",
            Kind::Duration("1s", "7d"),
            "\"15m\"",
            "\"15m\"",
            "Length of a block; after as long without failure all is forgotten.",
        ),
    ],
    sections: &[],
};

pub(super) fn read(root: &Table<'_, '_>, limits: Option<&Limits>) -> Option<ThrottleSettings> {
    let table = root.child("login")?;
    let free_failures = table.get("free_failures", values::count);
    let free_failures_per_source = table.get("free_failures_per_source", values::count);
    let first_delay = table.get("first_delay", values::duration);
    let longest_delay = table.get("longest_delay", values::duration);
    let block_after = table.get("block_after", values::count);
    let block_after_per_source = table.get("block_after_per_source", values::count);
    let block_time = table.get("block_time", values::duration);
    if let (Some(wait), Some(limits)) = (longest_delay, limits)
        && wait >= limits.login_timeout
    {
        let most = limits.login_timeout;
        if table.has("longest_delay") {
            let wrong = format!("{wait:?} is not shorter than limits.login_timeout, {most:?}");
            let right = "write a shorter wait, or raise limits.login_timeout";
            table.problem("longest_delay", Wrong::new(wrong, right));
        } else {
            let wrong = format!("{most:?} is not longer than login.longest_delay, {wait:?}");
            let right = "write a longer time, or lower login.longest_delay";
            root.problem_below("limits", "login_timeout", Wrong::new(wrong, right));
        }
    }
    if let (Some(first), Some(longest)) = (first_delay, longest_delay)
        && first > longest
    {
        let wrong = format!("{first:?} is longer than longest_delay, {longest:?}");
        table.problem("first_delay", Wrong::new(wrong, "write a shorter wait"));
    }
    Some(ThrottleSettings {
        free_failures: free_failures?,
        free_failures_per_source: free_failures_per_source?,
        first_delay: first_delay?,
        longest_delay: longest_delay?,
        block_after: block_after?,
        block_after_per_source: block_after_per_source?,
        block_time: block_time?,
    })
}
