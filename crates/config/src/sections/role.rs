//! `[[role]]`: what users of one kind may do. A role narrows, but for the routines that it lists.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use access::role::DEFAULT_ROLE;
use access::{Role, RoleLimits};

use crate::error::Wrong;
use crate::keys::{Counts, Form, Kind, Section, default, optional, required};
use crate::sections::{Unique, optional_sources, suggestion};
use crate::table::Table;
use crate::values;

pub(crate) static ROLE: Section = Section {
    name: "role",
    form: Form::SeveralOrNone,
    meaning: "What the users of one kind may do. A role narrows what listener, limits and judge allow; only `functions` and `call` add to what all may use. Limits count for each user by itself.",
    counts: Counts::AtReload,
    keys: &[
        required(
            "name",
            Kind::Name,
            "\"analyst\"",
            "Unique name. \"default\" is the role of users that name none.",
        ),
        optional(
            "sources",
            Kind::List(&Kind::Name),
            "[\"office\"]",
            "Names of the `[[source]]` entries its users may come from, if narrower than the listener's.",
        ),
        default(
            "require_tls",
            Kind::Flag,
            "false",
            "true",
            "Refuses logins without TLS even where the listener lets them.",
        ),
        default(
            "allow_native",
            Kind::Flag,
            "true",
            "false",
            "Whether its users may have mysql_native_password. A reload to false ends sessions that were opened by it.",
        ),
        default(
            "functions",
            Kind::List(&Kind::Function),
            "[]",
            "[\"clin.age_at\"]",
            "Functions its users may call beside `functions.allow`, named as there.",
        ),
        default(
            "call",
            Kind::List(&Kind::Routine),
            "[]",
            "[\"clin.visit_report\"]",
            "Routines its users may CALL beside `functions.call`.",
        ),
        optional(
            "schemas",
            Kind::List(&Kind::Schema),
            "[\"clinical\", \"ref\"]",
            "Schemas its users may read, beside the server's own metadata; all if left out. Compared as written: where the server doesn't tell `Clinical` from `clinical` (`lower_case_table_names`), list each spelling in use.",
        ),
        optional(
            "account",
            Kind::Name,
            "\"blinded\"",
            "Name of the `[[replica.role_account]]` that its users' sessions run under on the replica; the replica's own account if left out.",
        ),
        default(
            "see_others",
            Kind::Flag,
            "false",
            "true",
            "Whether its users see other users' sessions and statements, as process list and performance_schema show them.",
        ),
        default(
            "operator",
            Kind::Flag,
            "false",
            "true",
            "Whether its users are operators: their sessions go to the console and never to the replica.",
        ),
        optional(
            "connections",
            Kind::Count(0, 1_000_000),
            "20",
            "Connections at a time, if fewer than `limits.connections_per_user`.",
        ),
        optional(
            "statement_timeout",
            Kind::Duration("1ms", "30d"),
            "\"10m\"",
            "Longest statement, if shorter than `limits.statement_timeout`.",
        ),
        optional(
            "idle_timeout",
            Kind::Duration("1s", "30d"),
            "\"1h\"",
            "Longest pause between two commands, if shorter than `limits.idle_timeout`.",
        ),
        optional("session_time", Kind::Duration("1s", "365d"), "\"12h\"", "Longest session."),
        optional(
            "result_rows",
            Kind::Count(1, u32::MAX),
            "1000000",
            "Rows of one result; more is an error, never a short result.",
        ),
        optional(
            "result_bytes",
            Kind::Size("1KiB", "1024TiB"),
            "\"1GiB\"",
            "Bytes of one result; more is an error, never a short result.",
        ),
        optional(
            "bytes_per_day",
            Kind::Size("1KiB", "1024TiB"),
            "\"20GiB\"",
            "Bytes of all results in a day (UTC).",
        ),
    ],
    sections: &[],
};

/// What roles may refer to.
pub(super) struct Known<'k> {
    /// Names of sources.
    pub(super) sources: &'k BTreeSet<String>,
    /// Names of role accounts; `None` if they could not be read.
    pub(super) accounts: Option<&'k [String]>,
}

/// The roles by name, the built-in one among them; `None`: one with a problem, which is
/// not reported again at every user.
pub(super) fn read(root: &Table<'_, '_>, known: &Known<'_>) -> BTreeMap<String, Option<Arc<Role>>> {
    let mut unique = Unique::default();
    let built_in = Some(Arc::new(Role::named(DEFAULT_ROLE)));
    let mut roles = BTreeMap::from([(DEFAULT_ROLE.to_owned(), built_in)]);
    for table in root.children("role") {
        let name = table.get("name", values::name);
        unique.note(&table, "name", name.clone());
        let role = read_one(&table, name.clone(), known).map(Arc::new);
        // A role without a name is kept too, or nothing would tell that it failed.
        roles.insert(name.unwrap_or_default(), role);
    }
    roles
}

fn read_one(table: &Table<'_, '_>, name: Option<String>, known: &Known<'_>) -> Option<Role> {
    let sources = optional_sources(table, known.sources);
    let require_tls = table.get("require_tls", values::flag);
    let allow_native = table.get("allow_native", values::flag);
    let functions = table.list("functions", values::function);
    let calls = table.list("call", values::routine);
    let schemas = table.list("schemas", values::schema).values();
    let account = read_account(table, known.accounts);
    let see_others = table.get("see_others", values::flag);
    let operator = table.get("operator", values::flag);
    let limits = read_limits(table);
    Some(Role {
        name: name?,
        sources: sources?,
        require_tls: require_tls?,
        allow_native: allow_native?,
        functions: functions.values()?,
        calls: calls.values()?,
        schemas: schemas.map(|schemas| table.has("schemas").then_some(schemas))?,
        account: account?,
        see_others: see_others?,
        operator: operator?,
        limits: limits?,
    })
}

/// Who is meant to see little must never see more for a name that is written wrong.
fn read_account(table: &Table<'_, '_>, known: Option<&[String]>) -> Option<Option<String>> {
    let account = table.optional("account", values::name)?;
    if let (Some(name), Some(known)) = (&account, known)
        && !known.contains(name)
    {
        let all = known.iter().map(String::as_str);
        let right = suggestion(name, all, "add it as a [[replica.role_account]]");
        table.problem("account", Wrong::new(format!("the replica has no account {name:?}"), right));
        return None;
    }
    Some(account)
}

fn read_limits(table: &Table<'_, '_>) -> Option<RoleLimits> {
    let connections = table.optional("connections", values::count);
    let statement_timeout = table.optional("statement_timeout", values::duration);
    let idle_timeout = table.optional("idle_timeout", values::duration);
    let session_time = table.optional("session_time", values::duration);
    let result_rows = table.optional("result_rows", values::count);
    let result_bytes = table.optional("result_bytes", values::size);
    let bytes_per_day = table.optional("bytes_per_day", values::size);
    Some(RoleLimits {
        connections: connections?,
        statement_timeout: statement_timeout?,
        idle_timeout: idle_timeout?,
        session_time: session_time?,
        result_rows: result_rows?.map(u64::from),
        result_bytes: result_bytes?,
        bytes_per_day: bytes_per_day?,
    })
}
