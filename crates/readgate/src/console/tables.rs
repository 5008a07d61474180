//! The console's tables: what each column means stands in docs/console.md. A table is filled
//! only if a query names it.
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use access::{Role, Timestamp, UserStore};
use config::{Feed, FeedPlace, WhenBehind};
use rusqlite::types::Value;

use super::functions::moment;
use super::ledger_tail;
use crate::clock::today;
use crate::daemon::Daemon;
use crate::feeds::Standing;
use crate::registry::Entry;

/// A row, in the order of the columns.
pub type Row = Vec<Value>;

/// A table: its name, its columns as SQLite declares them, and where its rows come from.
pub struct Definition {
    /// Its name.
    pub name: &'static str,
    /// Names and types.
    pub columns: &'static [(&'static str, &'static str)],
    /// Its rows at this moment.
    pub fill: fn(&Daemon) -> Vec<Row>,
}

const INT: &str = "BIGINT";
const REAL: &str = "DOUBLE";
const TEXT: &str = "TEXT";
const AT: &str = "DATETIME";

/// All tables, by name.
#[rustfmt::skip]
pub const TABLES: &[Definition] = &[
    Definition { name: "checkpoints", fill: ledger_tail::checkpoints, columns: &[("sequence", INT), ("at", AT), ("why", TEXT), ("records", INT), ("line", TEXT)] },
    Definition { name: "config", fill: config, columns: &[("name", TEXT), ("value", TEXT), ("pending", INT)] },
    Definition { name: "denials", fill: denials, columns: &[("at", AT), ("source", TEXT), ("source_port", INT), ("listener", TEXT), ("user", TEXT), ("ending", TEXT), ("reason", TEXT)] },
    Definition { name: "feeds", fill: feeds, columns: &[("name", TEXT), ("state", TEXT), ("since", AT), ("reason", TEXT), ("arrived", AT), ("age_s", INT), ("due", AT), ("when_stale", TEXT), ("place", TEXT)] },
    Definition { name: "ledger", fill: ledger, columns: &[("fault", TEXT), ("last_sequence", INT), ("written_sequence", INT), ("synced_sequence", INT), ("queued_bytes", INT), ("capacity_bytes", INT), ("open_intents", INT), ("refused", INT)] },
    Definition { name: "ledger_tail", fill: ledger_tail::records, columns: &[("sequence", INT), ("at", AT), ("event", TEXT), ("session", INT), ("user", TEXT), ("record", TEXT)] },
    Definition { name: "limits", fill: limits, columns: &[("name", TEXT), ("value", INT), ("unit", TEXT)] },
    Definition { name: "metrics", fill: metrics, columns: &[("name", TEXT), ("labels", TEXT), ("value", REAL)] },
    Definition { name: "refusals", fill: refusals, columns: &[("at", AT), ("session", INT), ("user", TEXT), ("role", TEXT), ("rule", TEXT), ("kind", TEXT), ("shape", TEXT)] },
    Definition { name: "replicas", fill: replicas, columns: &[("name", TEXT), ("address", TEXT), ("account", TEXT), ("version", TEXT), ("tls", INT), ("default_schema", TEXT), ("up", INT), ("problems", TEXT), ("refusal", TEXT)] },
    Definition { name: "roles", fill: roles, columns: &[("name", TEXT), ("operator", INT), ("require_tls", INT), ("allow_native", INT), ("account", TEXT), ("see_others", INT), ("sources", TEXT), ("schemas", TEXT), ("functions", TEXT), ("calls", TEXT), ("connections", INT), ("statement_timeout_s", REAL), ("idle_timeout_s", REAL), ("session_time_s", REAL), ("result_rows", INT), ("result_bytes", INT), ("bytes_per_day", INT)] },
    Definition { name: "sessions", fill: sessions, columns: &[("id", INT), ("user", TEXT), ("full_name", TEXT), ("role", TEXT), ("source", TEXT), ("source_name", TEXT), ("listener", TEXT), ("encrypted", INT), ("method", TEXT), ("account", TEXT), ("replica_session", INT), ("since", AT), ("seconds", INT)] },
    Definition { name: "sources", fill: sources, columns: &[("name", TEXT), ("networks", TEXT), ("owner", TEXT), ("reason", TEXT), ("ticket", TEXT), ("added_on", TEXT), ("expires_on", TEXT), ("in_force", INT)] },
    Definition { name: "statements", fill: statements, columns: &[("fingerprint", TEXT), ("kind", TEXT), ("shape", TEXT), ("count", INT), ("errors", INT), ("p50_ms", REAL), ("p95_ms", REAL), ("p99_ms", REAL), ("total_ms", REAL), ("row_count", INT), ("byte_count", INT), ("first_seen", AT), ("last_seen", AT)] },
    Definition { name: "users", fill: users, columns: &[("name", TEXT), ("full_name", TEXT), ("email", TEXT), ("owner", TEXT), ("role", TEXT), ("status", TEXT), ("kept_in", TEXT), ("valid_from", TEXT), ("valid_until", TEXT), ("plugins", TEXT), ("sources", TEXT), ("connections", INT), ("sessions", INT), ("credentials", INT), ("credential", TEXT), ("credential_ends", AT)] },
];

fn text(value: impl ToString) -> Value {
    Value::Text(value.to_string())
}

fn optional(value: Option<impl ToString>) -> Value {
    value.map_or(Value::Null, text)
}

fn number(value: impl TryInto<i64>) -> Value {
    Value::Integer(value.try_into().unwrap_or(i64::MAX))
}

fn at(moment_of: Timestamp) -> Value {
    Value::Text(moment(moment_of))
}

fn sessions(daemon: &Daemon) -> Vec<Row> {
    let now = Timestamp::now();
    let row = |Entry { id, card, since, .. }: Entry| {
        let user = card.named.user();
        vec![
            number(id),
            text(&user.name),
            text(&user.full_name),
            text(&user.role.name),
            text(card.named.source().addr()),
            text(&card.named.source().entry().name),
            text(&card.listener),
            number(card.encrypted),
            text(card.named.method()),
            optional(card.account.as_ref().map(|account| &account.user)),
            card.seat.as_ref().map_or(Value::Null, |seat| number(seat.id)),
            at(since),
            number(now.as_second() - since.as_second()),
        ]
    };
    daemon.registry.all().into_iter().map(row).collect()
}

fn users(daemon: &Daemon) -> Vec<Row> {
    let live = daemon.live();
    let of_a_user = daemon.limits.of_a_user();
    let all = daemon.registry.all();
    let row = |user: &Arc<access::User>| {
        let sessions = all.iter().filter(|entry| entry.card.user == user.name.as_str());
        let plugins: Vec<&str> = user.plugins.iter().map(|plugin| plugin.name()).collect();
        let newest = user.credentials.first();
        vec![
            text(&user.name),
            text(&user.full_name),
            optional(user.email.as_ref()),
            optional(user.owner.as_ref()),
            text(&user.role.name),
            text(user.status.name()),
            text(if live.is_stored(&user.name) { "store" } else { "configuration" }),
            optional(user.valid_from),
            optional(user.valid_until),
            text(plugins.join(", ")),
            optional(user.sources.as_ref().map(|set| set.names().join(", "))),
            number(user.connection_limit(of_a_user)),
            number(sessions.count()),
            number(user.credentials.len()),
            optional(newest.map(access::Credential::life)),
            newest.and_then(access::Credential::ends_at).map_or(Value::Null, at),
        ]
    };
    live.users.iter().map(row).collect()
}

fn roles(daemon: &Daemon) -> Vec<Row> {
    let row = |role: &Arc<Role>| {
        let limits = &role.limits;
        vec![
            text(&role.name),
            number(role.operator),
            number(role.require_tls),
            number(role.allow_native),
            optional(role.account.as_ref()),
            number(role.see_others),
            optional(role.sources.as_ref().map(|set| set.names().join(", "))),
            optional(role.schemas.as_ref().map(|names| names.join(", "))),
            text(role.functions.join(", ")),
            text(role.calls.join(", ")),
            limits.connections.map_or(Value::Null, number),
            seconds(limits.statement_timeout),
            seconds(limits.idle_timeout),
            seconds(limits.session_time),
            limits.result_rows.map_or(Value::Null, number),
            limits.result_bytes.map_or(Value::Null, number),
            limits.bytes_per_day.map_or(Value::Null, number),
        ]
    };
    daemon.live().roles.iter().map(row).collect()
}

fn sources(daemon: &Daemon) -> Vec<Row> {
    let row = |source: &Arc<access::SourceEntry>| {
        let networks: Vec<String> = source.networks.iter().map(ToString::to_string).collect();
        vec![
            text(&source.name),
            text(networks.join(", ")),
            text(&source.owner),
            text(&source.reason),
            optional(source.ticket.as_ref()),
            optional(source.added_on),
            optional(source.expires_on),
            number(source.is_valid_on(today())),
        ]
    };
    daemon.live().sources.entries().map(row).collect()
}

fn replicas(daemon: &Daemon) -> Vec<Row> {
    let (target, walls) = (&daemon.pool.target, daemon.walls.load());
    let accounts = target.accounts.load();
    let users: Vec<&str> = accounts.all().map(|account| account.user.as_str()).collect();
    let profile = target.profile.load_full();
    let version = profile.map(|seen| String::from_utf8_lossy(&seen.version_text).into_owned());
    vec![vec![
        text(&target.name),
        text(target.address.to_string()),
        text(users.join(", ")),
        optional(version),
        number(target.tls.is_some()),
        optional(accounts.own().default_schema.as_ref()),
        number(daemon.metrics.replica_is_up()),
        text(walls.problems.join("; ")),
        optional(walls.refusal()),
    ]]
}

fn feeds(daemon: &Daemon) -> Vec<Row> {
    let now = Timestamp::now().as_second();
    let row = |(feed, standing): (Arc<Feed>, Standing)| {
        vec![
            text(&feed.name),
            text(standing.state.name()),
            at(standing.since),
            text(standing.why),
            standing.arrived.map_or(Value::Null, at),
            standing.arrived.map_or(Value::Null, |arrived| number(now - arrived.as_second())),
            standing.due.map_or(Value::Null, at),
            text(match feed.when_stale {
                WhenBehind::Serve => "serve",
                WhenBehind::Warn => "warn",
                WhenBehind::Refuse => "refuse",
            }),
            text(match &feed.place {
                FeedPlace::Files(files) => files.folder.join(&files.pattern).display().to_string(),
                FeedPlace::Query(query) => query.clone(),
            }),
        ]
    };
    daemon.feeds.all().into_iter().map(row).collect()
}

fn statements(daemon: &Daemon) -> Vec<Row> {
    let ms = |time: std::time::Duration| Value::Real(time.as_secs_f64() * 1000.0);
    let row = |(fingerprint, shape): (String, super::statistics::Shape)| {
        vec![
            text(fingerprint),
            text(shape.kind),
            text(&shape.text),
            number(shape.count),
            number(shape.errors),
            ms(shape.percentile(50)),
            ms(shape.percentile(95)),
            ms(shape.percentile(99)),
            ms(shape.time),
            number(shape.rows),
            number(shape.bytes),
            at(shape.first_seen),
            at(shape.last_seen),
        ]
    };
    daemon.console.statements.all().into_iter().map(row).collect()
}

fn refusals(daemon: &Daemon) -> Vec<Row> {
    let row = |(moment, refused): (Timestamp, super::Refused)| {
        vec![
            at(moment),
            number(refused.session),
            text(refused.user),
            text(refused.role),
            text(refused.rule),
            text(refused.kind),
            text(refused.shape),
        ]
    };
    daemon.console.refusals.all().into_iter().map(row).collect()
}

fn denials(daemon: &Daemon) -> Vec<Row> {
    let row = |(moment, denied): (Timestamp, super::Denied)| {
        vec![
            at(moment),
            text(denied.peer.ip().to_canonical()),
            number(denied.peer.port()),
            text(denied.listener),
            optional(denied.user),
            text(denied.ending),
            text(denied.reason),
        ]
    };
    daemon.console.denials.all().into_iter().map(row).collect()
}

fn ledger(daemon: &Daemon) -> Vec<Row> {
    let health = daemon.ledger.health();
    vec![vec![
        optional(health.fault.as_ref()),
        number(health.last_sequence),
        number(health.written_sequence),
        number(health.synced_sequence),
        number(health.queued_bytes),
        number(health.capacity_bytes),
        number(health.open_intents),
        number(health.refused),
    ]]
}

/// As written in the file; secrets are not shown, as in the ledger's records of reloads. A key
/// that was taken out, which doesn't count yet, has no value.
fn config(daemon: &Daemon) -> Vec<Row> {
    let live = daemon.live();
    let mut pending: BTreeSet<&str> = live.pending.iter().map(String::as_str).collect();
    let shown = live.settings.differences(&config::Settings::default());
    let mut rows: Vec<Row> = shown
        .into_iter()
        .map(|(key, _, value)| {
            let waits = pending.remove(key.as_str());
            vec![text(key), text(value), number(waits)]
        })
        .collect();
    rows.extend(pending.into_iter().map(|gone| vec![text(gone), Value::Null, number(true)]));
    rows
}

fn limits(daemon: &Daemon) -> Vec<Row> {
    let live = daemon.live();
    let limits = &live.session_limits;
    let guard = daemon.pool.target.guard(None);
    vec![
        vec![text("login_timeout"), seconds(Some(live.login_timeout)), text("s")],
        vec![text("idle_timeout"), seconds(Some(limits.idle_timeout)), text("s")],
        vec![text("write_timeout"), seconds(Some(limits.write_timeout)), text("s")],
        vec![text("max_payload"), number(limits.max_payload), text("bytes")],
        vec![text("prepared_statements"), number(limits.prepared_statements), text("")],
        vec![text("workers"), number(daemon.workers.count()), text("")],
        vec![text("statement_timeout"), seconds(guard.statement_timeout), text("s")],
        vec![text("lock_wait_timeout"), seconds(Some(guard.lock_wait_timeout)), text("s")],
    ]
}

/// Whole seconds become whole numbers in columns that hold such.
fn seconds(time: Option<Duration>) -> Value {
    time.map_or(Value::Null, |time| Value::Real(time.as_secs_f64()))
}

/// The samples of `/metrics`.
fn metrics(daemon: &Daemon) -> Vec<Row> {
    let rendered = daemon.metrics.render(daemon).unwrap_or_default();
    let samples = rendered.lines().filter(|line| !line.starts_with('#'));
    let row = |line: &str| {
        let (series, value) = line.rsplit_once(' ')?;
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let value = value.parse().map_or(Value::Null, Value::Real);
        Some(vec![text(name), text(labels.trim_end_matches('}')), value])
    };
    samples.filter_map(row).collect()
}

/// Whether a user of that name is known.
pub fn knows_user(daemon: &Daemon, name: &str) -> bool {
    daemon.live().users.find(name.as_bytes()).is_some()
}
