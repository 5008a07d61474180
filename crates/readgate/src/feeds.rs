//! Watches deliveries (`[[feed]]`): for replicas that are filled by files rather than by
//! replication. Each feed has a task of its own; what may hang has a thread and a deadline.
mod calendar;
mod check;
mod folder;
mod query;
mod standing;
#[cfg(test)]
mod tests;
mod zip;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use access::Timestamp;
use config::{Feed, FeedFiles, FeedPlace};
use ledger::Event;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::daemon::Daemon;
use crate::panics::{errand, vital};
use crate::replica_watch::{FeedTrouble, StandingWalls};
use folder::Checks;
use standing::Seen;
pub use standing::{FeedState, Standing};

/// The configuration is compared this often with the feeds that are watched.
const PERIOD: Duration = Duration::from_secs(1);
/// Clocks of a folder on a network, or of who loads the data, may differ by so much.
const CLOCKS: Duration = Duration::from_secs(60);
/// A folder that doesn't answer within this time hangs.
const PATIENCE: Duration = Duration::from_secs(10);

/// How all feeds stand, by name.
#[derive(Default)]
pub struct Feeds(Mutex<Known>);

#[derive(Default)]
struct Known {
    standings: BTreeMap<String, (Arc<Feed>, Standing)>,
    /// Each feed has been looked at once since the start. One that a reload brings has no say
    /// before it is looked at.
    all_were_seen: bool,
}

impl Feeds {
    /// How they stand; those that have not been looked at yet are left out.
    pub fn all(&self) -> Vec<(Arc<Feed>, Standing)> {
        self.known().standings.values().cloned().collect()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn of(&self, name: &str) -> Option<Standing> {
        self.known().standings.get(name).map(|(_, standing)| standing.clone())
    }

    fn note(&self, feed: &Arc<Feed>, standing: Standing) {
        self.known().standings.insert(feed.name.clone(), (Arc::clone(feed), standing));
    }

    /// A feed that was changed stands as before until it is looked at again.
    fn keep_only(&self, feeds: &[Arc<Feed>]) {
        let is_named = |name: &String| feeds.iter().any(|feed| feed.name == *name);
        self.known().standings.retain(|name, _| is_named(name));
    }

    /// Tells the walls of feeds that are stale, and at the start of those not looked at yet.
    /// One at a time: what was seen last counts.
    fn tell(&self, walls: &StandingWalls, feeds: &[Arc<Feed>]) {
        let mut known = self.known();
        known.all_were_seen |= feeds.iter().all(|feed| known.standings.contains_key(&feed.name));
        let trouble = |feed: &Arc<Feed>| {
            let standing = known.standings.get(&feed.name).map(|(_, standing)| standing);
            let why = match standing {
                Some(standing) if !standing.state.is_stale() => return None,
                Some(standing) => standing.sentence(&feed.name),
                None if known.all_were_seen => return None,
                None => format!("feed {:?} has not been looked at yet", feed.name),
            };
            let is_unseen = standing.is_none();
            Some(FeedTrouble { why, when_stale: feed.when_stale, is_unseen })
        };
        walls.feeds(feeds.iter().filter_map(trouble).collect());
    }
}

/// Watches the feeds of the configuration in force for as long as the daemon runs.
pub async fn watch(daemon: Arc<Daemon>) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut watched: Vec<(Arc<Feed>, JoinHandle<()>)> = Vec::new();
    loop {
        ticks.tick().await;
        let feeds = Arc::clone(&daemon.live().feeds);
        let are_same = watched.iter().map(|(feed, _)| feed).eq(feeds.iter());
        if are_same {
            continue;
        }
        watched.retain(|(feed, task)| {
            let goes_on = feeds.contains(feed);
            if !goes_on {
                task.abort();
            }
            goes_on
        });
        daemon.feeds.keep_only(&feeds);
        let fresh = feeds.iter().map(|feed| {
            let known = watched.iter().position(|(known, _)| known == feed);
            known.map_or_else(
                || {
                    let keeping = vital(keep(Arc::clone(&daemon), Arc::clone(feed)));
                    (Arc::clone(feed), tokio::spawn(keeping))
                },
                |at| watched.swap_remove(at),
            )
        });
        watched = fresh.collect();
        put_in_force(&daemon);
    }
}

/// What feeds mean for service, as they stand now.
pub fn put_in_force(daemon: &Daemon) {
    daemon.feeds.tell(&daemon.walls, &daemon.live().feeds);
}

async fn keep(daemon: Arc<Daemon>, feed: Arc<Feed>) {
    let mut ticks = interval(feed.look_every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut folder = Folder::default();
    loop {
        ticks.tick().await;
        let seen = match &feed.place {
            FeedPlace::Files(files) => folder.look(files).await,
            FeedPlace::Query(query) => query::look(&daemon.pool, &feed, query).await,
        };
        note(&daemon, &feed, &seen).await;
    }
}

/// Puts what was found in force, and records it if it isn't what it was.
async fn note(daemon: &Daemon, feed: &Arc<Feed>, seen: &Seen) {
    let before = daemon.feeds.of(&feed.name);
    let standing = standing::judge(feed, seen, Timestamp::now(), before.as_ref());
    daemon.feeds.note(feed, standing.clone());
    put_in_force(daemon);
    if before.is_some_and(|before| before.state == standing.state) {
        return;
    }
    let sentence = standing.sentence(&feed.name);
    match standing.state.is_stale() {
        true => tracing::warn!(feed = feed.name, "{sentence}"),
        false => tracing::info!(feed = feed.name, "{sentence}"),
    }
    let arrived = standing.arrived.map(|at| at.to_string());
    let event = Event::FeedState {
        feed: &feed.name,
        state: standing.state.name(),
        since: &standing.since.to_string(),
        reason: &standing.why,
        arrived: arrived.as_deref(),
    };
    daemon.record(&event).await;
}

/// Looks at a folder from a thread, of which there is one at a time.
#[derive(Default)]
struct Folder {
    checks: Arc<Mutex<Checks>>,
    looking: Option<oneshot::Receiver<Seen>>,
}

impl Folder {
    async fn look(&mut self, files: &FeedFiles) -> Seen {
        let Some(mut answer) = self.looking.take().or_else(|| self.start(files)) else {
            return Seen::Unknown("its folder can't be looked at: no thread could be made".into());
        };
        match timeout(PATIENCE, &mut answer).await {
            Ok(Ok(seen)) => seen,
            Ok(Err(_)) => Seen::Unknown("the look at its folder broke off".into()),
            Err(_) => {
                self.looking = Some(answer);
                Seen::Unknown("its folder does not answer".into())
            }
        }
    }

    fn start(&self, files: &FeedFiles) -> Option<oneshot::Receiver<Seen>> {
        let (done, answer) = oneshot::channel();
        let (files, checks) = (files.clone(), Arc::clone(&self.checks));
        let look = move || {
            let mut checks = checks.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = done.send(folder::look(&files, &mut checks, SystemTime::now()));
        };
        errand("feed-look", look).ok().map(|()| answer)
    }
}
