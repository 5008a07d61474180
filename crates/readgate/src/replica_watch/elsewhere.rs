//! Servers that the replica's name doesn't lead to now, and where sessions or warm connections are: it
//! led there before a failover, or leads to several. One that takes writes by now, as the one that was
//! promoted, keeps neither.
use std::sync::Arc;

use ledger::Event;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::PERIOD;
use crate::daemon::Daemon;
use crate::registry::{Order, Reason};
use crate::replica::SessionWish;
use crate::replica::seat::Seat;

/// A server, in its own words.
type Server = Arc<[u8]>;

/// Looks for as long as the daemon runs, where config refuses what takes writes: beside the watch of the replica, which waits for none of
/// these.
pub async fn watch(daemon: Arc<Daemon>) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = Vec::new();
    loop {
        ticks.tick().await;
        told = look(&daemon, &told).await;
    }
}

/// Gives those that take writes; `told`: those that did at the last look.
async fn look(daemon: &Arc<Daemon>, told: &[Server]) -> Vec<Server> {
    let mut asked = JoinSet::new();
    for seat in elsewhere(daemon) {
        asked.spawn(if_writable(Arc::clone(daemon), seat));
    }
    let writable: Vec<Server> = asked.join_all().await.into_iter().flatten().collect();
    for server in &writable {
        daemon.pool.leave(server);
        let is_there = |seat: &Seat| seat.server == *server;
        let ended = daemon.registry.order_all(Order::FinishAndEnd(Reason::Revoked), |entry| {
            entry.card.seat.as_ref().is_some_and(is_there)
        });
        if told.contains(server) {
            continue;
        }
        let replica = &daemon.pool.target.name;
        let server = String::from_utf8_lossy(server);
        let result =
            format!("not read-only: another server of its name ({server}), {ended} sessions end");
        tracing::warn!(replica, result, "replica");
        daemon.record(&Event::ReplicaCheck { replica, result: &result }).await;
    }
    writable
}

/// One seat of each.
fn elsewhere(daemon: &Daemon) -> Vec<Seat> {
    let mut seats = daemon.pool.seats();
    daemon.registry.each(|_, card| seats.extend(card.seat.clone()));
    let watched = daemon.pool.spare_seat();
    let is_watched = |seat: &Seat| watched.as_ref().is_some_and(|own| own.server == seat.server);
    seats.retain(|seat| !seat.server.is_empty() && !is_watched(seat));
    seats.sort_unstable_by(|one, other| one.server.cmp(&other.server));
    seats.dedup_by(|one, other| one.server == other.server);
    seats
}

/// The server, if it takes writes. One that can't be asked has no news: behind an address may be
/// several, of which the next look may find it.
async fn if_writable(daemon: Arc<Daemon>, seat: Seat) -> Option<Server> {
    let target = &daemon.pool.target;
    let accounts = target.accounts.load_full();
    let wish = Arc::new(SessionWish::own("readgate-watch", accounts.own()));
    let session = target.open_beside(&seat, &wish).await.ok()?;
    let is_it = session.seat.server == seat.server;
    (is_it && session.baseline.server_is_writable).then(|| Arc::clone(&seat.server))
}
