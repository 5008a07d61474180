//! `[functions]`: what may be called beside the built-in functions that only compute.
use sql_judge::Policy;

use crate::keys::{Counts, Form, Kind, Section, default};
use crate::table::Table;
use crate::values;

pub(crate) static FUNCTIONS: Section = Section {
    name: "functions",
    form: Form::OneOrNone,
    meaning: "What statements may call beside the built-in functions that only compute.",
    counts: Counts::AtReload,
    keys: &[
        default(
            "allow",
            Kind::List(&Kind::Function),
            "[]",
            "[\"clin.age_at\", \"GET_LOCK\"]",
            "Stored functions that only read, with their schema, and built-in functions that are refused by default: GET_LOCK, RELEASE_LOCK, RELEASE_ALL_LOCKS, BENCHMARK, ENCRYPT, KDF, SFORMAT, ST_LINEINTERPOLATEPOINTS, ST_FRECHETDISTANCE, the waits for replication, and from MySQL 9.6 on MD5, SHA and SHA1.",
        ),
        default(
            "call",
            Kind::List(&Kind::Routine),
            "[]",
            "[\"clin.visit_report\"]",
            "Routines that CALL may run. They run with the rights of their definer.",
        ),
        default(
            "sleep_max",
            Kind::Duration("0s", "1h"),
            "\"0s\"",
            "\"5s\"",
            "Longest SLEEP() let through, in whole seconds; \"0s\" refuses it.",
        ),
    ],
    sections: &[],
};

pub(super) fn read(root: &Table<'_, '_>) -> Option<Policy> {
    let table = root.child("functions")?;
    let allowed_functions = table.list("allow", values::function);
    let allowed_calls = table.list("call", values::routine);
    let sleep_max = table.get("sleep_max", values::seconds);
    Some(Policy {
        allowed_functions: allowed_functions.values()?,
        allowed_calls: allowed_calls.values()?,
        sleep_max_seconds: u32::try_from(sleep_max?.as_secs()).ok()?,
        ..Policy::default()
    })
}
