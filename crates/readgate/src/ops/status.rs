//! What the status page shows, as JSON: no result data, no passwords, and texts of refusals
//! only where the ledger may hold them too.
use access::{Endings, Timestamp};
use ledger::LedgerHealth;
use serde_json::{Value, json};

use super::history::History;
use crate::console::Refused;
use crate::daemon::{BUILD, Daemon};
use crate::feeds::Standing;

/// Sessions that are listed one by one.
const LISTED: usize = 200;
/// Refusals that are.
const REFUSALS: usize = 50;

/// Everything at this moment.
pub(super) fn of(daemon: &Daemon, history: &History) -> Value {
    let live = daemon.live();
    let totals = daemon.metrics.statements.totals();
    let pool = daemon.pool.state();
    let (count, sessions) = sessions(daemon);
    json!({
        "now": Timestamp::now().as_second(),
        "program": BUILD,
        "config_hash": live.config_hash,
        "config_pending": *live.pending,
        "replica": replica(daemon),
        "feeds": feeds(daemon),
        "ledger": ledger(&daemon.ledger.health()),
        "session_count": count,
        "sessions": sessions,
        "pool": {
            "in_use": pool.in_use,
            "warm": pool.warm,
            "waiting": pool.waiting,
            "limit": pool.limit,
        },
        "statements": {
            "allowed": totals.allowed,
            "refused": totals.refused,
            "absorbed": totals.absorbed,
        },
        "refusals": refusals(daemon),
        "certificates": daemon.metrics.state.certificate_ends(),
        "endings": endings(&live.endings()),
        "history": history.shown(),
    })
}

fn refusals(daemon: &Daemon) -> Vec<Value> {
    let one = |(at, refused): (Timestamp, Refused)| {
        let time = at.strftime("%Y-%m-%d %H:%M:%S").to_string();
        let Refused { user, rule, kind, reason, .. } = refused;
        json!({ "time": time, "user": user, "rule": rule, "kind": kind, "reason": reason })
    };
    daemon.console.refusals.newest(REFUSALS).into_iter().map(one).collect()
}

fn replica(daemon: &Daemon) -> Value {
    let target = &daemon.pool.target;
    let walls = daemon.walls.load();
    let version = target.profile.load_full();
    let version = version.map(|p| String::from_utf8_lossy(&p.version_text).into_owned());
    json!({
        "name": target.name,
        "version": version,
        "is_up": daemon.metrics.replica_is_up(),
        "lag_seconds": daemon.metrics.state.lag(),
        "is_behind": walls.is_behind,
        "problems": walls.problems,
        "no_service": walls.no_service(),
    })
}

fn feeds(daemon: &Daemon) -> Vec<Value> {
    let one = |(feed, standing): &(std::sync::Arc<config::Feed>, Standing)| {
        json!({
            "name": feed.name,
            "state": standing.state.name(),
            "is_stale": standing.state.is_stale(),
            "since": standing.since.as_second(),
            "reason": standing.why,
            "arrived": standing.arrived.map(Timestamp::as_second),
            "due": standing.due.map(Timestamp::as_second),
        })
    };
    daemon.feeds.all().iter().map(one).collect()
}

fn ledger(health: &LedgerHealth) -> Value {
    let checkpoint = health.last_checkpoint.as_deref();
    let checkpoint = checkpoint.and_then(|line| serde_json::from_str::<Value>(line).ok());
    let checkpoint = checkpoint.as_ref().and_then(|line| line.get("time"));
    json!({
        "is_ok": health.is_ok(),
        "fault": health.fault.as_ref().map(ToString::to_string),
        "last_sequence": health.last_sequence,
        "unwritten": health.last_sequence.saturating_sub(health.written_sequence),
        "unsynced": health.last_sequence.saturating_sub(health.synced_sequence),
        "queued_bytes": health.queued_bytes,
        "capacity_bytes": health.capacity_bytes,
        "last_checkpoint": checkpoint,
    })
}

fn sessions(daemon: &Daemon) -> (usize, Vec<Value>) {
    let (mut count, mut listed) = (0, Vec::new());
    daemon.registry.each(|id, card| {
        count += 1;
        if listed.len() < LISTED {
            listed.push(json!({
                "id": id,
                "user": card.user,
                "role": card.named.user().role.name,
                "source": card.named.source().addr().to_string(),
                "listener": card.listener,
                "encrypted": card.encrypted,
            }));
        }
    });
    (count, listed)
}

fn endings(endings: &Endings) -> Value {
    let Endings { users, credentials, sources } = endings;
    let all = [("users", users), ("credentials", credentials), ("sources", sources)];
    all.map(|(what, ends)| json!({ "what": what, "soon": ends.soon, "ended": ends.ended })).into()
}
