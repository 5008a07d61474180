//! Looks at the replica now and then: is it there, and do the walls behind the judge stand
//! (the account only reads, the replica is read-only)?
use std::sync::Arc;
use std::time::{Duration, Instant};

use ledger::Event;
use mysql_wire::{ErrPacket, SqlState};
use tokio::time::{MissedTickBehavior, interval};

use crate::daemon::Daemon;
use crate::registry::{Order, Reason};
use crate::replica::checks::{self, Findings};
use crate::replica::{ReplicaFault, ReplicaSession, SessionWish};

/// The replica is looked at this often.
const PERIOD: Duration = Duration::from_secs(5);
/// Rights and read-only state are asked this often.
const CHECK_PERIOD: Duration = Duration::from_secs(60);
/// `CR_CONN_HOST_ERROR`, as for a replica that can't be reached.
const NO_SERVICE: u16 = 2003;

/// What config says about findings.
#[derive(Debug, Clone, Copy)]
pub struct WallPolicy {
    /// No sessions while the account can do more than read.
    pub refuse_excess_rights: bool,
    /// No sessions while the replica is not read-only.
    pub refuse_writable: bool,
}

/// The walls as last seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walls {
    /// What is wrong, in words.
    pub problems: Vec<String>,
    /// Why there is no service, if there is none.
    pub refusal: Option<String>,
}

impl Walls {
    /// Nothing has been asked yet: no service before that, unless config only warns.
    pub fn unseen(policy: WallPolicy) -> Self {
        let refuses = policy.refuse_excess_rights || policy.refuse_writable;
        let why = "the shared account and the replica have not been checked yet";
        Self { problems: Vec::new(), refusal: refuses.then(|| why.to_owned()) }
    }

    fn of(findings: &Findings, policy: WallPolicy) -> Self {
        let (mut problems, mut refusal) = (Vec::new(), None);
        if !findings.excess_rights.is_empty() {
            let rights = findings.excess_rights.join(", ");
            problems.push(format!("the shared account can do more than read: {rights}"));
            if policy.refuse_excess_rights {
                refusal = Some("the shared account can do more than read (replica.excess_rights)");
            }
        }
        if findings.is_writable {
            problems.push("the replica is not read-only".to_owned());
            if policy.refuse_writable {
                refusal = refusal.or(Some("the replica is not read-only (replica.writable)"));
            }
        }
        Self { problems, refusal: refusal.map(str::to_owned) }
    }

    /// What a client is told that can't have a session.
    pub fn err_packet(&self) -> Option<ErrPacket> {
        let why = self.refusal.as_ref()?;
        Some(ErrPacket::new(NO_SERVICE, SqlState::LINK, format!("readgate: no service: {why}")))
    }
}

/// Watches for as long as the daemon runs.
pub async fn watch(daemon: Arc<Daemon>) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let wish = SessionWish::own("readgate-watch");
    let mut was_up = None;
    let mut checked: Option<Instant> = None;
    loop {
        ticks.tick().await;
        daemon.pool.tidy();
        let opened = daemon.pool.target.open(&wish).await;
        daemon.metrics.replica_opened(&opened);
        tell(&daemon, was_up, &opened);
        was_up = Some(opened.is_ok());
        let Ok(mut session) = opened else { continue };
        if checked.is_none_or(|last| last.elapsed() >= CHECK_PERIOD) {
            match check(&daemon, &mut session).await {
                Ok(()) => checked = Some(Instant::now()),
                Err(fault) => tracing::warn!(%fault, "the replica could not be checked"),
            }
        }
        let _ = session.channel.shut_down().await;
    }
}

fn tell(daemon: &Daemon, was_up: Option<bool>, opened: &Result<ReplicaSession, ReplicaFault>) {
    let replica = &daemon.pool.target.name;
    match opened {
        Ok(_) if was_up != Some(true) => tracing::info!(replica, "replica is up"),
        Err(fault) if was_up != Some(false) => {
            tracing::error!(replica, %fault, "replica is down");
        }
        Ok(_) | Err(_) => {}
    }
}

async fn check(daemon: &Daemon, session: &mut ReplicaSession) -> Result<(), ReplicaFault> {
    let execute_is_wanted = daemon.live().calls_routines();
    let findings = checks::look(&daemon.pool.target, session, execute_is_wanted).await?;
    daemon.metrics.checked(findings.excess_rights.is_empty(), !findings.is_writable);
    let walls = Walls::of(&findings, daemon.wall_policy);
    let before = daemon.walls.swap(Arc::new(walls.clone()));
    if *before == walls {
        return Ok(());
    }
    for problem in &walls.problems {
        tracing::warn!(problem, "a wall behind the judge does not stand");
    }
    let result =
        if walls.problems.is_empty() { "ok".to_owned() } else { walls.problems.join("; ") };
    let replica = &daemon.pool.target.name;
    daemon.record(&Event::ReplicaCheck { replica, result: &result }).await;
    if walls.refusal.is_some() {
        daemon.registry.order_all(Order::FinishAndEnd(Reason::Revoked), |_| true);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn config_decides_between_no_service_and_a_warning() {
        let refuse = WallPolicy { refuse_excess_rights: true, refuse_writable: true };
        let warn = WallPolicy { refuse_excess_rights: false, refuse_writable: false };
        let findings = Findings { excess_rights: vec!["INSERT ON *.*".into()], is_writable: true };
        let refused = Walls::of(&findings, refuse);
        let err = refused.err_packet().expect("no service");
        assert_eq!((err.code, err.sqlstate), (2003, SqlState::LINK));
        assert!(String::from_utf8_lossy(&err.message).contains("replica.excess_rights"));
        let warned = Walls::of(&findings, warn);
        assert_eq!((warned.problems.len(), warned.refusal), (2, None));
        assert!(Walls::unseen(refuse).refusal.is_some());
        assert_eq!(Walls::of(&Findings::default(), refuse).refusal, None);
    }
}
