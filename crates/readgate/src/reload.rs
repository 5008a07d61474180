//! SIGHUP, or a file that has changed: reads the configuration again. A valid one comes into force
//! as a whole and live sessions are checked against it; an invalid one changes nothing.
pub mod files;
pub mod kept;
mod parts;
pub mod validity;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use access::store::{HistoryEntry, StoreError};
use access::{Arrival, Role, Timestamp};
use config::{Config, ConfigHash};
use ledger::Event;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::daemon::{Daemon, Live};
use crate::recording::within_deadline;
use crate::registry::{Card, Entry, Order, Reason, Registered};
use crate::reload::kept::{Compared, Prepared};
use crate::tls;

/// Reading a configuration and its files takes milliseconds; a mount that hangs takes for ever.
const PATIENCE: Duration = Duration::from_secs(10);

/// What came of a reload.
#[derive(Debug, Default)]
pub struct Reloaded {
    /// The configuration that was read, if its text is right.
    pub config: Option<Arc<Config>>,
    /// Whether it is in force now.
    pub in_force: bool,
}

/// Reloads, records the result, and ends the sessions that are no longer allowed. That is done to
/// its end also if whoever asks for it goes away meanwhile: nothing comes into force without its
/// record.
pub async fn reload(daemon: &Arc<Daemon>, path: &Path) -> Reloaded {
    let all = carry_out(Arc::clone(daemon), path.to_owned());
    tokio::spawn(all).await.unwrap_or_default()
}

async fn carry_out(daemon: Arc<Daemon>, path: PathBuf) -> Reloaded {
    // A console's reload and one for a changed file would put parts of each in force.
    let _alone = daemon.reloading.lock().await;
    let before = daemon.live();
    let (config, result) = read(&daemon, path).await;
    let in_force = result.is_ok();
    match result {
        Ok(kept) => told_of_success(&daemon, &before, kept).await,
        Err(why) => told_of_refusal(&daemon, &before, &why).await,
    }
    Reloaded { config, in_force }
}

/// Records what has changed since the last daemon's end, if anything has. False if it can't be.
pub async fn record_start(daemon: &Arc<Daemon>, hash: &ConfigHash) -> bool {
    let (asking, hash) = (Arc::clone(daemon), hash.clone());
    let compared = tokio::task::spawn_blocking(move || {
        let (live, named) = (asking.live(), asking.ledger.kept());
        let (what, compared) = asking.kept.compare(named.as_deref(), &live.settings, &hash)?;
        Some((what, compared, asking.kept.prepare(&live.settings, &hash)))
    });
    let Ok(compared) = compared.await else { return false };
    let Some((what, compared, kept)) = compared else { return true };
    record_in_force(daemon, what, compared, kept).await
}

/// Records what is in force, in as many records as that takes; and keeps it for the next start, which
/// compares with what the last of them names. False if it can't be recorded.
async fn record_in_force(
    daemon: &Arc<Daemon>,
    what: &str,
    compared: Compared,
    kept: Prepared,
) -> bool {
    let live = daemon.live();
    let unkept = kept.fault.as_ref().map(|why| format!("; not kept for the next start: {why}"));
    let unkept = unkept.as_deref().unwrap_or_default();
    let parts = parts::of(compared.differences);
    let mut all = true;
    for (differences, number) in parts.iter().zip(1..) {
        let is_last = number == parts.len();
        let part = match parts.len() {
            1 => String::new(),
            parts => format!("; differences {number} of {parts}"),
        };
        let event = Event::ConfigLoad {
            config_hash: &live.config_hash,
            result: &format!("{what}{unkept}{part}"),
            differences,
            pending: &live.pending,
            not_compared: compared.failed.as_deref(),
            kept_sha256: is_last.then_some(&kept.sha256),
        };
        all &= daemon.record(&event).await;
    }
    if all {
        daemon.ledger.has_named(&kept.sha256);
        let daemon = Arc::clone(daemon);
        // Nothing to be done about one that fails but what it does itself.
        let _ = tokio::task::spawn_blocking(move || daemon.kept.put(kept)).await;
    }
    all
}

async fn told_of_success(daemon: &Arc<Daemon>, before: &Live, kept: Prepared) {
    let ended = end_the_shut_out(daemon);
    daemon.metrics.reloaded("ok");
    daemon.signals.config_refused.store(None);
    let live = daemon.live();
    tracing::info!(hash = live.config_hash.as_str(), ended, "configuration reloaded");
    warn_of(&live.pending);
    let but = if live.pending.is_empty() { "" } else { " but for what is pending" };
    let what = format!("in force{but}, {ended} sessions ended");
    let compared = Compared::with(&before.settings, &live.settings);
    record_in_force(daemon, &what, compared, kept).await;
}

async fn told_of_refusal(daemon: &Daemon, before: &Live, why: &str) {
    daemon.metrics.reloaded("refused");
    daemon.signals.config_refused.store(Some(Arc::new(why.to_owned())));
    tracing::error!(why, "configuration refused; the one in force stays");
    let event = Event::ConfigLoad {
        config_hash: &before.config_hash,
        result: &parts::shortened(why),
        differences: &[],
        pending: &before.pending,
        not_compared: None,
        kept_sha256: None,
    };
    daemon.record(&event).await;
}

/// Whoever has changed these keys believes that they count.
fn warn_of(pending: &[String]) {
    if !pending.is_empty() {
        let keys = pending.join(", ");
        tracing::warn!(keys, "these keys of it count from the next start, not yet");
    }
}

/// What metrics say of the configuration in force.
pub fn observe(daemon: &Daemon, config: &Config, hash: &ConfigHash) {
    let labels = config.ops.as_ref().map_or(0, |ops| ops.user_labels);
    daemon.metrics.statements.name_at_most(usize::try_from(labels).unwrap_or(usize::MAX));
    daemon.metrics.state.config_in_force(hash.as_str(), &tls::expiry::ends(config));
    daemon.metrics.state.config_tried(true);
}

/// Reads the configuration and puts it in force. Files are read and a store is asked: on a thread
/// that may wait, and while it does the operators are told.
async fn read(
    daemon: &Arc<Daemon>,
    path: PathBuf,
) -> (Option<Arc<Config>>, Result<Prepared, String>) {
    let reader = Arc::clone(daemon);
    let mut reading = tokio::task::spawn_blocking(move || match Config::load(&path) {
        Ok((config, hash)) => {
            // Before it counts, so that its record follows at once.
            let kept = reader.kept.prepare(&config.settings, &hash);
            let put = match reader.put_in_force(&config, &hash) {
                Ok(()) => {
                    observe(&reader, &config, &hash);
                    Ok(kept)
                }
                Err(fault) => {
                    reader.kept.discard();
                    Err(fault.to_string())
                }
            };
            (Some(Arc::new(config)), put)
        }
        Err(error) => (None, Err(error.to_string())),
    });
    let read = match timeout(PATIENCE, &mut reading).await {
        Ok(read) => read,
        Err(_) => {
            let why = "a file of the configuration, or the identity store, doesn't answer";
            daemon.metrics.state.config_tried(false);
            daemon.signals.config_refused.store(Some(Arc::new(why.to_owned())));
            tracing::error!(why, "a reload takes long; the configuration in force stays meanwhile");
            reading.await
        }
    };
    read.unwrap_or_else(|error| (None, Err(error.to_string())))
}

/// Looks at the identity store now and then: what has changed counts for logins and live
/// sessions, and is recorded.
pub async fn watch_identities(daemon: Arc<Daemon>, period: Duration) {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut was_well = true;
    loop {
        ticks.tick().await;
        let taken = take_over(&daemon).await;
        match &taken {
            Ok(()) if !was_well => tracing::info!("the identity store answers again"),
            Err(error) if was_well => {
                tracing::error!(error, "the users known before go on counting");
            }
            Ok(()) | Err(_) => {}
        }
        was_well = taken.is_ok();
    }
}

/// Takes over what has changed in the identity store: it counts for logins from here on,
/// sessions that are no longer allowed end, and the ledger hears of it.
///
/// # Errors
/// Why the store can't be asked: then what was known before goes on counting.
pub async fn take_over(daemon: &Arc<Daemon>) -> Result<(), String> {
    if asked(daemon, Daemon::take_changes).await? {
        let ended = end_the_revoked(daemon);
        tracing::info!(ended, "users have changed");
    }
    // Each by itself: what can't be had of one keeps the other from nobody.
    let recorded = record_changes(daemon).await;
    let learned = asked(daemon, Daemon::take_blocks).await;
    recorded.and(learned)
}

/// Asks the identity store, on a thread that may wait.
async fn asked<T: Send + 'static>(
    daemon: &Arc<Daemon>,
    question: fn(&Daemon) -> Result<T, StoreError>,
) -> Result<T, String> {
    let asking = Arc::clone(daemon);
    let answer = tokio::task::spawn_blocking(move || question(&asking)).await;
    answer.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
}

/// Tells the ledger what it doesn't hold of the store's history.
async fn record_changes(daemon: &Arc<Daemon>) -> Result<(), String> {
    let outbox = Arc::clone(&daemon.outbox).lock_owned().await;
    let (asking, mut outbox) = (Arc::clone(daemon), outbox);
    let begun = tokio::task::spawn_blocking(move || {
        let health = asking.ledger.health();
        let files_are_whole = health.written_sequence >= health.last_sequence;
        let changes = match &asking.directory {
            Some(directory) => outbox.begin(directory.store(), files_are_whole),
            None => Ok(Vec::new()),
        };
        (outbox, changes)
    });
    let (mut outbox, changes) = begun.await.map_err(|error| error.to_string())?;
    let changes = changes.map_err(|fault| fault.to_string())?;
    if changes.is_empty() {
        return Ok(());
    }
    let mut result = Ok(());
    for change in &changes {
        result = record_change(daemon, change).await;
        if result.is_err() {
            daemon.metrics.ledger_fault();
            break;
        }
        outbox.recorded(change);
    }
    let ended = tokio::task::spawn_blocking(move || outbox.end()).await;
    result?;
    ended.map_err(|error| error.to_string())?.map_err(|fault| fault.to_string())
}

async fn record_change(daemon: &Daemon, change: &HistoryEntry) -> Result<(), String> {
    let differences: Vec<(String, String, String)> = change
        .differences
        .iter()
        .map(|one| (one.fact.clone(), one.before.clone(), one.after.clone()))
        .collect();
    let event = Event::AccessChange {
        number: change.number,
        made_at: &change.at.to_string(),
        user: &change.user,
        change: &change.label,
        by: &change.by,
        reason: &change.reason,
        differences: &differences,
    };
    within_deadline(daemon.ledger.event(&event)).await.map(|_| ())
}

fn end_the_revoked(daemon: &Daemon) -> usize {
    let live = daemon.live();
    let revoked = Order::EndNow(Reason::Revoked);
    daemon.registry.order_all(revoked, |entry| !still_allowed(daemon, &live, entry))
}

/// The same, and those that their listener takes no more. Listeners change at a reload alone:
/// certificates, which take time to look at, are looked at then.
fn end_the_shut_out(daemon: &Daemon) -> usize {
    let live = daemon.live();
    let revoked = Order::EndNow(Reason::Revoked);
    daemon.registry.order_all(revoked, |entry| is_shut_out(daemon, &live, entry))
}

/// Ends a session that was let in by users, sources or a listener that have changed meanwhile.
pub fn end_if_revoked(daemon: &Daemon, registered: &Registered) {
    let live = daemon.live();
    let revoked = Order::EndNow(Reason::Revoked);
    registered.order_if(revoked, |entry| is_shut_out(daemon, &live, entry));
}

fn is_shut_out(daemon: &Daemon, live: &Live, entry: &Entry) -> bool {
    !still_allowed(daemon, live, entry) || !its_listener_takes(daemon, entry)
}

/// Whether the client may come the way it came, by TLS and by its certificate.
fn its_listener_takes(daemon: &Daemon, entry: &Entry) -> bool {
    let Card { listener, encrypted, chain, .. } = &entry.card;
    let door = daemon.doors.iter().find(|door| door.name == *listener);
    door.is_some_and(|door| door.still_takes(*encrypted, chain))
}

fn still_allowed(daemon: &Daemon, live: &Live, entry: &Entry) -> bool {
    let Some(door) = live.door(&entry.card.listener) else { return false };
    let arrival = Arrival {
        source: entry.card.named.source().clone(),
        networks: &live.sources,
        encrypted: entry.card.encrypted,
        certificate: entry.card.named.certificate().cloned(),
        now: Timestamp::now(),
    };
    // Nobody has looked at a password of who came by a certificate alone.
    let named = &entry.card.named;
    if named.credential().is_none() && !door.certificate_suffices {
        return false;
    }
    let user = named.recheck(&live.users, &door.sources, &arrival);
    user.is_ok_and(|user| {
        is_in_its_place(&user.role, entry) && has_its_account(daemon, &user.role, entry)
    })
}

/// Whether a session is still where its role belongs: an operator's is the console's, all others
/// are the replica's.
fn is_in_its_place(role: &Role, entry: &Entry) -> bool {
    role.operator == entry.card.named.user().role.operator
}

/// Whether a session's account is still its role's: one that should see less now must not go on
/// seeing more.
fn has_its_account(daemon: &Daemon, role: &Role, entry: &Entry) -> bool {
    let Some(account) = &entry.card.account else { return true };
    let accounts = daemon.pool.target.accounts.load();
    accounts.of(role).is_some_and(|now| now.user == account.user)
}
