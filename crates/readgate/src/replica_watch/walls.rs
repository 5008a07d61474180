//! What is wrong with the replica and its feeds, and what config makes of it: nothing, a
//! warning, or no service. Decides, and does nothing.
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use config::WhenBehind;
use mysql_wire::error_code::ER_SERVER_ISNT_AVAILABLE;
use mysql_wire::{ErrPacket, SqlState};
use tokio::sync::watch;
use tokio::time::timeout;

use super::lag::Lag;
use crate::replica::account::Account;
use crate::replica::checks::{AccountFindings, Findings};

/// What config says about findings.
#[derive(Debug, Clone, Copy)]
pub struct WallPolicy {
    /// No sessions while the account can do more than read.
    pub refuse_excess_rights: bool,
    /// No sessions while the replica is not read-only.
    pub refuse_writable: bool,
    /// How far behind the replica may be; `None`: any time.
    pub max_lag: Option<Duration>,
    /// What happens when it is further behind.
    pub when_behind: WhenBehind,
}

/// Why data is too old to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stale {
    /// The rule in records of refusals.
    pub rule: &'static str,
    /// In words.
    pub why: String,
}

/// A feed that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedTrouble {
    /// What is wrong, naming the feed.
    pub why: String,
    /// What config makes of it.
    pub when_stale: WhenBehind,
    /// It has not been looked at yet: that is all that is wrong.
    pub is_unseen: bool,
}

/// The walls as they stand: put together of what the watch of the replica and that of the
/// feeds say.
pub struct StandingWalls {
    now: ArcSwap<Walls>,
    parts: Mutex<(Walls, Vec<FeedTrouble>)>,
    /// Told of each look; false: the replica could not be looked at, and never was.
    looks: watch::Sender<bool>,
}

impl StandingWalls {
    /// Nothing has been looked at yet.
    pub fn unseen(policy: &WallPolicy) -> Self {
        let replica = Walls::unseen(policy);
        let now = ArcSwap::from_pointee(replica.clone());
        Self { now, parts: Mutex::new((replica, vec![])), looks: watch::Sender::new(true) }
    }

    /// Waits for the first look at what this account's sessions need, which a start or a reload
    /// has begun: who comes in that moment is not to be refused. For no longer than `most`, and
    /// not for a replica that is not there.
    pub async fn seen(&self, account: &Account, most: Duration) {
        if !self.load().awaits_a_look(account) {
            return;
        }
        let mut looks = self.looks.subscribe();
        let seen = looks.wait_for(|is_there| !is_there || !self.load().awaits_a_look(account));
        // Late or in time: what is known then decides.
        let _ = timeout(most, seen).await;
    }

    /// The replica can't be looked at, and never was; `why` is fit for clients.
    pub fn not_there(&self, why: &str) {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(no_service) = &mut parts.0.no_service {
            *no_service = format!("the replica has not been checked yet: {why}");
        }
        self.now.store(Arc::new(parts.0.clone().with_feeds(&parts.1)));
        self.looks.send_replace(false);
    }

    /// As they stand.
    pub fn load(&self) -> Guard<Arc<Walls>> {
        self.now.load()
    }

    /// The replica has been looked at. Returns how it stood before.
    pub fn replica(&self, walls: Walls) -> Walls {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut parts.0, walls);
        self.now.store(Arc::new(parts.0.clone().with_feeds(&parts.1)));
        self.looks.send_replace(true);
        before
    }

    /// Feeds have been looked at; those that are as they should be are left out.
    pub fn feeds(&self, troubles: Vec<FeedTrouble>) {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        if parts.1 != troubles {
            parts.1 = troubles;
            self.now.store(Arc::new(parts.0.clone().with_feeds(&parts.1)));
            self.looks.send_modify(|_| {});
        }
    }
}

/// The walls as last seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walls {
    /// What is wrong, in words.
    pub problems: Vec<String>,
    /// Which walls don't stand, whatever config makes of it.
    pub unsafe_for: Vec<String>,
    /// Why no account has service, if none has.
    no_service: Option<String>,
    /// The accounts that have been asked, the replica's own first.
    accounts: Vec<AccountWall>,
    /// Why an account that hasn't been asked yet has no service.
    unasked: Option<String>,
    /// Why the data is too old to be read, if it is: sessions stay, statements are refused.
    pub stale: Option<Stale>,
    /// The replica is too far behind, whatever config makes of it.
    pub is_behind: bool,
    /// Statements are refused until a feed has been looked at.
    awaits_a_feed: bool,
}

/// How an account stands.
#[derive(Debug, Clone, PartialEq, Eq)]
struct AccountWall {
    /// Its user name on the replica.
    user: String,
    /// Why it has no service, if it has none.
    refusal: Option<String>,
}

impl WallPolicy {
    /// As configured.
    pub fn of(replica: &config::Replica) -> Self {
        Self {
            refuse_excess_rights: replica.refuse_excess_rights,
            refuse_writable: replica.refuse_writable,
            max_lag: replica.max_lag,
            when_behind: replica.when_behind,
        }
    }
}

impl Walls {
    /// Nothing has been asked yet: no service before that, unless config only warns.
    pub fn unseen(policy: &WallPolicy) -> Self {
        let refuses = policy.refuse_excess_rights || policy.refuse_writable;
        let why = "the shared account and the replica have not been checked yet";
        Self { no_service: refuses.then(|| why.to_owned()), ..Self::sound(policy) }
    }

    fn sound(policy: &WallPolicy) -> Self {
        let unasked = "the account has not been checked yet (replica.excess_rights)";
        Self {
            problems: Vec::new(),
            unsafe_for: Vec::new(),
            no_service: None,
            accounts: Vec::new(),
            unasked: policy.refuse_excess_rights.then(|| unasked.to_owned()),
            stale: None,
            is_behind: false,
            awaits_a_feed: false,
        }
    }

    /// What comes of the newest findings.
    pub fn of(findings: &Findings, lag: &Lag, policy: &WallPolicy) -> Self {
        let mut walls = Self::sound(policy);
        for found in &findings.accounts {
            let problem = wrong_with(found);
            let refusal = problem.as_ref().map(|problem| problem.refusal.clone());
            walls.problems.extend(problem.map(|problem| problem.words));
            let refusal = refusal.filter(|_| policy.refuse_excess_rights);
            walls.accounts.push(AccountWall { user: found.user.clone(), refusal });
        }
        if findings.is_writable {
            let problem = "the replica is not read-only";
            walls.problems.push(problem.to_owned());
            let refusal = format!("{problem} (replica.writable)");
            walls.no_service = policy.refuse_writable.then_some(refusal);
        }
        walls.unsafe_for.clone_from(&walls.problems);
        if let Some(why) = policy.max_lag.and_then(|most| too_far(lag, most)) {
            walls.is_behind = true;
            match policy.when_behind {
                WhenBehind::Serve => {}
                WhenBehind::Warn => walls.problems.push(why),
                WhenBehind::Refuse => {
                    walls.problems.push(why.clone());
                    walls.stale = Some(Stale { rule: "replica_behind", why });
                }
            }
        }
        walls
    }

    /// Feeds have the same say as the replica's lag.
    fn with_feeds(mut self, troubles: &[FeedTrouble]) -> Self {
        for FeedTrouble { why, when_stale, is_unseen } in troubles {
            match when_stale {
                WhenBehind::Serve => {}
                WhenBehind::Warn => self.problems.push(why.clone()),
                WhenBehind::Refuse => {
                    self.problems.push(why.clone());
                    self.awaits_a_feed |= is_unseen;
                    let stale = Stale { rule: "feed_stale", why: why.clone() };
                    self.stale.get_or_insert(stale);
                }
            }
        }
        self
    }

    /// Why an account's sessions have no service, if they have none.
    pub fn refusal_of(&self, account: &Account) -> Option<&str> {
        let asked = self.accounts.iter().find(|asked| asked.user == account.user);
        let refusal = match asked {
            Some(asked) => asked.refusal.as_deref(),
            None => self.unasked.as_deref(),
        };
        self.no_service.as_deref().or(refusal)
    }

    /// Whether an account's sessions have no service only until the first look has come to its end.
    fn awaits_a_look(&self, account: &Account) -> bool {
        let was_asked = self.accounts.iter().any(|asked| asked.user == account.user);
        // A look tells of some account; where it has told of others, something else may be wrong.
        let is_unseen = self.accounts.is_empty() || self.no_service.is_none();
        self.awaits_a_feed || (!was_asked && is_unseen && self.refusal_of(account).is_some())
    }

    /// Why the replica's own account has no service, if it has none.
    pub fn refusal(&self) -> Option<&str> {
        let own = self.accounts.first().and_then(|own| own.refusal.as_deref());
        self.no_service.as_deref().or(own)
    }

    /// The same, or that the data is too old.
    pub fn no_service(&self) -> Option<&str> {
        self.refusal().or(self.why_stale())
    }

    fn why_stale(&self) -> Option<&str> {
        self.stale.as_ref().map(|stale| stale.why.as_str())
    }

    /// Why no session begins under an account, if none does; fit for clients.
    pub fn no_session(&self, account: &Account) -> Option<String> {
        let why = self.refusal_of(account).or(self.why_stale())?;
        Some(format!("no service: {why}"))
    }

    /// What a client is told that can't have a session under an account.
    pub fn err_packet(&self, account: &Account) -> Option<ErrPacket> {
        self.no_session(account).map(|why| no_session(&why))
    }
}

/// What a client is told then.
pub fn no_session(why: &str) -> ErrPacket {
    ErrPacket::new(ER_SERVER_ISNT_AVAILABLE, SqlState::LINK, format!("readgate: {why}"))
}

/// What is wrong with an account.
struct Problem {
    words: String,
    refusal: String,
}

/// Clients hear no names and rights of accounts, the log and the ledger do.
fn wrong_with(found: &AccountFindings) -> Option<Problem> {
    let (name, told) = match &found.name {
        None => ("the shared account".to_owned(), "the shared account"),
        Some(name) => (format!("the account '{name}'"), "the role's account"),
    };
    let what = match &found.excess_rights {
        Ok(rights) if rights.is_empty() => return None,
        Ok(rights) => ("can do more than read", rights.join(", ")),
        Err(why) => ("could not be checked", why.clone()),
    };
    Some(Problem {
        words: format!("{name} {}: {}", what.0, what.1),
        refusal: format!("{told} {} (replica.excess_rights)", what.0),
    })
}

/// The words stay the same while the lag grows: they are recorded when they change. What
/// can't be known counts as too far: nobody would notice a replication that has stopped.
fn too_far(lag: &Lag, most: Duration) -> Option<String> {
    let limit = most.as_secs_f64();
    match lag {
        Lag::Seconds(seconds) if *seconds <= limit => None,
        Lag::Seconds(_) => {
            Some(format!("the replica is more than {limit} s behind (replica.max_lag)"))
        }
        Lag::Unknown(why) => {
            Some(format!("how far the replica is behind is not known (replica.max_lag): {why}"))
        }
    }
}

#[cfg(test)]
mod tests;
