//! Looks at the replica now and then: is it there, how far is it behind, is it still the same
//! version, and do the walls behind the judge stand (the accounts only read, the replica is
//! read-only)?
pub mod lag;
mod walls;

use std::sync::Arc;
use std::time::{Duration, Instant};

use ledger::Event;
use tokio::time::{MissedTickBehavior, interval};

use crate::daemon::Daemon;
use crate::registry::{Order, Reason};
use crate::replica::account::Accounts;
use crate::replica::checks::{self, Findings};
use crate::replica::{ReplicaFault, ReplicaSession, SessionWish};
use lag::Lag;
pub use walls::{FeedTrouble, Stale, StandingWalls, WallPolicy, Walls};

/// The replica is looked at this often.
const PERIOD: Duration = Duration::from_secs(5);
/// Rights and read-only state are asked this often.
const CHECK_PERIOD: Duration = Duration::from_secs(60);

/// What is remembered from one look to the next.
struct Watch {
    daemon: Arc<Daemon>,
    heartbeat: Option<String>,
    was_up: Option<bool>,
    version: Option<Vec<u8>>,
    findings: Findings,
    /// When the accounts of then were last asked.
    checked: Option<(Instant, Arc<Accounts>)>,
}

/// Looks for as long as the daemon runs. `heartbeat` is the operator's own query for the lag.
pub async fn watch(daemon: Arc<Daemon>, heartbeat: Option<String>) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut watch = Watch {
        daemon,
        heartbeat,
        was_up: None,
        version: None,
        findings: Findings::default(),
        checked: None,
    };
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = watch.daemon.look_at_walls.notified() => {}
        }
        watch.look().await;
    }
}

impl Watch {
    async fn look(&mut self) {
        let daemon = Arc::clone(&self.daemon);
        daemon.pool.tidy();
        let accounts = daemon.pool.target.accounts.load_full();
        let wish = Arc::new(SessionWish::own("readgate-watch", accounts.own()));
        let opened = daemon.pool.target.open(&wish).await;
        daemon.metrics.replica_opened(&opened);
        self.tell(&opened);
        self.was_up = Some(opened.is_ok());
        let fault = opened.as_ref().err().map(|fault| Arc::new(fault.to_string()));
        daemon.signals.replica_fault.store(fault);
        let Ok(mut session) = opened else {
            daemon.metrics.state.replica_lag(&daemon.pool.target.name, None, false);
            return;
        };
        self.note_version().await;
        if let Err(fault) = self.examine(&mut session).await {
            tracing::warn!(%fault, "the replica could not be checked");
        }
        let _ = session.channel.shut_down().await;
    }

    fn tell(&self, opened: &Result<ReplicaSession, ReplicaFault>) {
        let replica = &self.daemon.pool.target.name;
        match opened {
            Ok(_) if self.was_up != Some(true) => tracing::info!(replica, "replica is up"),
            Err(fault) if self.was_up != Some(false) => {
                tracing::error!(replica, %fault, "replica is down");
            }
            Ok(_) | Err(_) => {}
        }
    }

    /// Another version may read statements in another way: worth a record.
    async fn note_version(&mut self) {
        let target = &self.daemon.pool.target;
        let Some(profile) = target.profile.load_full() else { return };
        let now = profile.version_text.clone();
        if let Some(before) = self.version.replace(now.clone())
            && before != now
        {
            let (before, now) = (String::from_utf8_lossy(&before), String::from_utf8_lossy(&now));
            let result = format!("its version has changed from {before} to {now}");
            tracing::warn!(replica = target.name, result, "replica");
            let event = Event::ReplicaCheck { replica: &target.name, result: &result };
            self.daemon.record(&event).await;
        }
    }

    async fn examine(&mut self, session: &mut ReplicaSession) -> Result<(), ReplicaFault> {
        let daemon = Arc::clone(&self.daemon);
        let target = &daemon.pool.target;
        let accounts = target.accounts.load_full();
        let is_fresh = |(last, of): &(Instant, Arc<Accounts>)| {
            last.elapsed() < CHECK_PERIOD && Arc::ptr_eq(of, &accounts)
        };
        if !self.checked.as_ref().is_some_and(is_fresh) {
            let execute_is_wanted = daemon.live().calls_routines();
            self.findings = checks::look(target, session, execute_is_wanted).await?;
            let only_read = self.findings.accounts_only_read();
            daemon.metrics.checked(only_read, !self.findings.is_writable);
            self.checked = Some((Instant::now(), accounts));
        }
        let lag = lag::ask(target, session, self.heartbeat.as_deref()).await?;
        self.judge(&lag).await;
        Ok(())
    }

    /// Puts what was found in force, and records it if it isn't what it was.
    async fn judge(&self, lag: &Lag) {
        let daemon = &self.daemon;
        let replica = &daemon.pool.target.name;
        let walls = Walls::of(&self.findings, lag, &daemon.wall_policy);
        daemon.metrics.state.replica_lag(replica, lag.seconds(), walls.is_behind);
        let before = daemon.walls.replica(walls.clone());
        if before == walls {
            return;
        }
        for problem in &walls.problems {
            tracing::warn!(problem, "the replica is not as it should be");
        }
        let result =
            if walls.problems.is_empty() { "ok".to_owned() } else { walls.problems.join("; ") };
        daemon.record(&Event::ReplicaCheck { replica, result: &result }).await;
        daemon.registry.order_all(Order::FinishAndEnd(Reason::Revoked), |entry| {
            let account = entry.card.account.as_ref();
            account.is_some_and(|account| walls.refusal_of(account).is_some())
        });
    }
}
