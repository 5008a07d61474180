//! `[limits]`: numbers and times that bound what clients can use up.
use access::LimitSettings;

use crate::error::Wrong;
use crate::keys::{Counts, Form, Kind, Section, default};
use crate::model::Limits;
use crate::table::Table;
use crate::values;

pub(crate) static LIMITS: Section = Section {
    name: "limits",
    form: Form::OneOrNone,
    meaning: "Numbers and times that bound what clients can use up.",
    counts: Counts::AtReload,
    keys: &[
        default(
            "workers",
            Kind::Count(0, 1024),
            "0",
            "4",
            "Threads that connections live on; 0 is one for each core.",
        )
        .at_next_start(),
        default("connections", Kind::Count(1, 1_000_000), "2000", "2000", "All clients together."),
        default(
            "connections_per_source",
            Kind::Count(1, 1_000_000),
            "500",
            "500",
            "One source address; with IPv6 one /64 network.",
        ),
        default("connections_per_user", Kind::Count(1, 1_000_000), "200", "200", "One user."),
        default(
            "login_timeout",
            Kind::Duration("1s", "10m"),
            "\"10s\"",
            "\"10s\"",
            "From accept to the end of login.",
        ),
        default(
            "replica_timeout",
            Kind::Duration("100ms", "10m"),
            "\"4s\"",
            "\"4s\"",
            "To connect and log in to the replica.",
        ),
        default(
            "idle_timeout",
            Kind::Duration("1s", "30d"),
            "\"8h\"",
            "\"8h\"",
            "Longest pause between two commands.",
        ),
        default(
            "write_timeout",
            Kind::Duration("1s", "1d"),
            "\"10m\"",
            "\"10m\"",
            "How long a client may read nothing of what is sent to it.",
        ),
        default(
            "statement_timeout",
            Kind::Duration("0s", "30d"),
            "\"1h\"",
            "\"1h\"",
            "Longest statement. The replica keeps it; what goes on for two seconds more (MySQL keeps \
             it for queries alone) readgate stops. \"0s\" is no limit.",
        ),
        default(
            "lock_wait_timeout",
            Kind::Duration("1s", "1d"),
            "\"10s\"",
            "\"10s\"",
            "Longest wait for a lock, kept by the replica; whole seconds.",
        ),
        default(
            "max_payload",
            Kind::Size("64KiB", "1GiB"),
            "\"64MiB\"",
            "\"64MiB\"",
            "Largest command of a client.",
        ),
        default(
            "prepared_statements",
            Kind::Count(1, 1_000_000),
            "4096",
            "4096",
            "Prepared statements of one session; their texts together are at most `max_payload`, and \
             so is what is sent ahead for their parameters (long data).",
        ),
        default(
            "drain",
            Kind::Duration("0s", "1d"),
            "\"30s\"",
            "\"5m\"",
            "How long statements under way may take to end when readgate stops; then they are cut. Keep it below the service manager's own limit.",
        ),
    ],
    sections: &[],
};

pub(super) fn read(root: &Table<'_, '_>) -> Option<Limits> {
    let table = root.child("limits")?;
    let connections = read_connections(&table);
    let login_timeout = table.get("login_timeout", values::duration);
    let replica_timeout = table.get("replica_timeout", values::duration);
    let idle_timeout = table.get("idle_timeout", values::duration);
    let write_timeout = table.get("write_timeout", values::duration);
    let statement_timeout = table.get("statement_timeout", values::duration);
    let lock_wait_timeout = table.get("lock_wait_timeout", values::seconds);
    let max_payload = table.get("max_payload", values::size);
    let workers = table.get("workers", values::count);
    let prepared_statements = table.get("prepared_statements", values::count);
    let drain = table.get("drain", values::duration);
    Some(Limits {
        drain: drain?,
        connections: connections?,
        login_timeout: login_timeout?,
        replica_timeout: replica_timeout?,
        idle_timeout: idle_timeout?,
        write_timeout: write_timeout?,
        statement_timeout: statement_timeout.map(|time| (!time.is_zero()).then_some(time))?,
        lock_wait_timeout: lock_wait_timeout?,
        max_payload: u32::try_from(max_payload?).ok()?,
        workers: workers?,
        prepared_statements: prepared_statements?,
    })
}

fn read_connections(table: &Table<'_, '_>) -> Option<LimitSettings> {
    let all = table.get("connections", values::count);
    let per_source = table.get("connections_per_source", values::count);
    let per_user = table.get("connections_per_user", values::count);
    let all = all?;
    for (key, part) in [("connections_per_source", per_source), ("connections_per_user", per_user)]
    {
        if table.has(key) && part.is_some_and(|part| part > all) {
            let right = "write at most as many, or raise connections";
            table.problem(key, Wrong::new(format!("is more than connections, {all}"), right));
        }
    }
    Some(LimitSettings {
        connections: all,
        connections_per_source: per_source?,
        connections_per_user: per_user?,
    })
}
