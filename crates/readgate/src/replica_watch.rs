//! Looks at the replica now and then: is it there, how far is it behind, is it still the same
//! version, and do the walls behind the judge stand (the accounts only read, the replica is
//! read-only)?
pub mod elsewhere;
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
pub use walls::{FeedTrouble, Stale, StandingWalls, WallPolicy, Walls, no_session};

/// The replica is looked at this often.
const PERIOD: Duration = Duration::from_secs(5);
/// The accounts' rights are asked this often.
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
    /// When the lag was last told, and how many seconds it was.
    told: Option<(Instant, f64)>,
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
        told: None,
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
        let opened = self.open().await;
        self.tell(&opened);
        let was_up = self.was_up.replace(opened.is_ok());
        let fault = opened.as_ref().err().map(|fault| Arc::new(fault.in_full()));
        daemon.signals.replica_fault.store(fault);
        let mut session = match opened {
            Ok(session) => session,
            Err(fault) => return self.judge_unasked(&fault).await,
        };
        self.note_version().await;
        // What has come back may be another server.
        let examined = self.examine(&mut session, was_up == Some(false)).await;
        let is_well = examined.is_ok();
        match examined {
            Ok(lag) => {
                self.told = lag.seconds().map(|seconds| (Instant::now(), seconds));
                self.judge(&lag, lag.seconds()).await;
            }
            Err(fault) => {
                tracing::warn!(%fault, "the replica could not be checked");
                self.judge_unasked(&fault).await;
            }
        }
        if is_well {
            daemon.pool.keep_to_spare(session);
        } else {
            let _ = session.channel.shut_down().await;
        }
    }

    /// A new session, which shows that the replica lets readgate in; where it has no place for
    /// another at the moment, the one of the last look.
    async fn open(&self) -> Result<ReplicaSession, ReplicaFault> {
        let pool = &self.daemon.pool;
        let accounts = pool.target.accounts.load_full();
        let wish = Arc::new(SessionWish::own("readgate-watch", accounts.own()));
        let opened = pool.target.open(&wish).await;
        self.daemon.metrics.replica_opened(&opened, accounts.own());
        pool.or_spare(opened, &wish).await
    }

    /// The replica has not told how far it is behind. At worst it stands still since it did: that
    /// is no reason to refuse anything before it makes it too far.
    async fn judge_unasked(&self, fault: &ReplicaFault) {
        let daemon = &self.daemon;
        if self.checked.is_none() {
            // Its walls have never been seen: that they haven't is what counts.
            daemon.metrics.state.replica_lag(&daemon.pool.target.name, None, false);
            daemon.walls.not_there(fault.words());
            return;
        }
        let worst = self.told.map(|(at, seconds)| seconds + at.elapsed().as_secs_f64());
        let longest = daemon.wall_policy.max_lag.unwrap_or(Duration::MAX).as_secs_f64();
        let lag = match worst.filter(|worst| *worst <= longest) {
            Some(worst) => Lag::Seconds(worst),
            None => Lag::Unknown(fault.to_string()),
        };
        self.judge(&lag, None).await;
    }

    fn tell(&self, opened: &Result<ReplicaSession, ReplicaFault>) {
        let replica = &self.daemon.pool.target.name;
        match opened {
            Ok(_) if self.was_up != Some(true) => tracing::info!(replica, "replica is up"),
            Err(fault) if self.was_up != Some(false) => {
                tracing::error!(replica, fault = fault.in_full(), "replica is down");
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

    async fn examine(
        &mut self,
        session: &mut ReplicaSession,
        is_back: bool,
    ) -> Result<Lag, ReplicaFault> {
        let daemon = Arc::clone(&self.daemon);
        let target = &daemon.pool.target;
        let accounts = target.accounts.load_full();
        let is_fresh = |(last, of): &(Instant, Arc<Accounts>)| {
            last.elapsed() < CHECK_PERIOD && Arc::ptr_eq(of, &accounts)
        };
        self.findings.is_writable = session.baseline.server_is_writable;
        if is_back || !self.checked.as_ref().is_some_and(is_fresh) {
            let execute_is_wanted = daemon.live().calls_routines();
            let before = &self.findings.accounts;
            let accounts_now = checks::rights(target, session, execute_is_wanted, before).await?;
            self.findings.accounts = accounts_now;
            self.checked = Some((Instant::now(), accounts));
        }
        daemon.metrics.checked(self.findings.accounts_only_read(), !self.findings.is_writable);
        lag::ask(target, session, self.heartbeat.as_deref()).await
    }

    /// Puts what was found in force, and records it if it isn't what it was. `told`: the seconds
    /// for the metric, if they are known.
    async fn judge(&self, lag: &Lag, told: Option<f64>) {
        let daemon = &self.daemon;
        let replica = &daemon.pool.target.name;
        let walls = Walls::of(&self.findings, lag, &daemon.wall_policy);
        daemon.metrics.state.replica_lag(replica, told, walls.is_behind);
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
