//! The life of a credential: issued, collected in time or void, replaced with an overlap,
//! expired or revoked. Guarantees that whether one counts depends on nothing but itself
//! and the moment asked about; the caller brings the clock.
//!
//! ```text
//! issue -> Pending --first login in time--> InUse --its day comes--> (expired)
//!             |                               |
//!             +--not collected in time        +--replaced--> (retired after the overlap)
//!                  (void: issue another)      +--revoked---> Revoked
//! ```
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use mysql_auth::{AuthPlugin, NativeVerifier, Password, Sha2Verifier};

/// Names a credential of its user, in history and ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CredentialId(pub u64);

/// What proves that a client is a user, and for how long.
#[derive(Debug, Clone)]
pub struct Credential {
    /// Which of the user's credentials it is.
    pub id: CredentialId,
    /// For `caching_sha2_password`.
    pub sha2: Option<Sha2Verifier>,
    /// For `mysql_native_password`, only if the user may use it.
    pub native: Option<NativeVerifier>,
    /// How far its life has come.
    pub stage: Stage,
    /// End of the overlap with the credential that replaced it.
    pub retires_at: Option<Timestamp>,
}

/// How far the life of a credential has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Issued, and void unless its owner logs in with it before that moment.
    Pending {
        /// First moment at which it is void.
        collect_by: Timestamp,
    },
    /// Its owner has it.
    InUse {
        /// First moment at which it is expired; `None`: never.
        expires_at: Option<Timestamp>,
    },
    /// Ended by an operator.
    Revoked,
}

/// The rules for the life of credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CredentialPolicy {
    /// Time to collect a new credential.
    pub collect_within: Duration,
    /// Life after collection; `None`: no end.
    pub valid_for: Option<Duration>,
    /// How long before its end its owner and the operators are warned.
    pub warn_before: Duration,
    /// How long a replaced credential still counts.
    pub overlap: Duration,
}

impl CredentialPolicy {
    /// What ends up to that moment is warned of at `now`.
    pub fn warns_until(&self, now: Timestamp) -> Timestamp {
        after(now, self.warn_before)
    }
}

/// Whether a credential counts at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It does. `first_use`: this login is its collection.
    Valid {
        /// The first login with it.
        first_use: bool,
    },
    /// Its owner didn't log in in time.
    NotCollected,
    /// Its day has come.
    Expired,
    /// The overlap with its successor is over.
    Retired,
    /// An operator ended it.
    Revoked,
}

impl Credential {
    /// A new credential for this password, waiting to be collected.
    pub fn issue(
        id: CredentialId,
        password: &Password,
        plugins: &[AuthPlugin],
        policy: &CredentialPolicy,
        now: Timestamp,
    ) -> Self {
        let collect_by = after(now, policy.collect_within);
        let stage = Stage::Pending { collect_by };
        Self { stage, ..Self::of_password(id, password, plugins) }
    }

    /// A credential that is in use at once and never expires, as `proxy.toml` holds them.
    pub fn of_password(id: CredentialId, password: &Password, plugins: &[AuthPlugin]) -> Self {
        let has = |plugin| plugins.contains(&plugin);
        let sha2 = || Sha2Verifier::from_password(password);
        let native = || NativeVerifier::from_password(password);
        Self {
            id,
            sha2: has(AuthPlugin::CachingSha2Password).then(sha2),
            native: has(AuthPlugin::MysqlNativePassword).then(native),
            stage: Stage::InUse { expires_at: None },
            retires_at: None,
        }
    }

    /// Whether it counts at that moment.
    pub fn standing(&self, now: Timestamp) -> Standing {
        let is_retired = self.retires_at.is_some_and(|end| end <= now);
        match self.stage {
            // Also of one that was replaced before: sessions outlive that, and end with this.
            Stage::Revoked => Standing::Revoked,
            Stage::Pending { .. } | Stage::InUse { .. } if is_retired => Standing::Retired,
            Stage::Pending { collect_by } if collect_by <= now => Standing::NotCollected,
            Stage::Pending { .. } => Standing::Valid { first_use: true },
            Stage::InUse { expires_at: Some(end) } if end <= now => Standing::Expired,
            Stage::InUse { .. } => Standing::Valid { first_use: false },
        }
    }

    /// After its first login. A credential that isn't pending any more stays as it is, so
    /// that two first logins at once do no harm.
    #[must_use]
    pub fn collected(mut self, policy: &CredentialPolicy, now: Timestamp) -> Self {
        if self.standing(now) == (Standing::Valid { first_use: true }) {
            let expires_at = policy.valid_for.map(|life| after(now, life));
            self.stage = Stage::InUse { expires_at };
        }
        self
    }

    /// After another one was issued in its place: it counts until the overlap ends, and
    /// never longer than it would have. A pending one ends at once: nobody uses it yet.
    #[must_use]
    pub fn replaced(mut self, policy: &CredentialPolicy, now: Timestamp) -> Self {
        let end = match self.stage {
            Stage::Pending { .. } => now,
            Stage::InUse { .. } | Stage::Revoked => after(now, policy.overlap),
        };
        self.retires_at = Some(self.retires_at.map_or(end, |earlier| earlier.min(end)));
        self
    }

    /// After an operator ended it.
    #[must_use]
    pub fn revoked(mut self) -> Self {
        self.stage = Stage::Revoked;
        self
    }

    /// Leaves nothing that any password would fit.
    pub(crate) fn forget(&mut self) {
        (self.sha2, self.native) = (None, None);
    }

    /// Its life in words, for history and reviews.
    pub fn life(&self) -> String {
        let stage = match self.stage {
            Stage::Pending { collect_by } => format!("to be collected by {collect_by}"),
            Stage::InUse { expires_at: Some(end) } => format!("in use until {end}"),
            Stage::InUse { expires_at: None } => String::from("in use"),
            Stage::Revoked => return String::from("revoked"),
        };
        match self.retires_at {
            Some(end) => format!("{stage}, replaced from {end}"),
            None => stage,
        }
    }

    /// When it expires, if it is in use and does.
    pub fn expires_at(&self) -> Option<Timestamp> {
        match self.stage {
            Stage::InUse { expires_at } => expires_at,
            Stage::Pending { .. } | Stage::Revoked => None,
        }
    }

    /// The first moment at which it doesn't count any more, if that is known.
    pub fn ends_at(&self) -> Option<Timestamp> {
        let end = match self.stage {
            Stage::Pending { collect_by } => Some(collect_by),
            Stage::InUse { expires_at } => expires_at,
            Stage::Revoked => return None,
        };
        end.into_iter().chain(self.retires_at).min()
    }

    /// The moment its owner and the operators should be warned of at `now`: the end of its
    /// life, if that is near and nothing has taken its place.
    pub fn warning(&self, policy: &CredentialPolicy, now: Timestamp) -> Option<Timestamp> {
        let end = self.ends_at().filter(|_| self.retires_at.is_none())?;
        (now < end && end <= policy.warns_until(now)).then_some(end)
    }

    /// Whether this is the credential's password: new ones must differ from old ones.
    pub fn is_of(&self, password: &Password) -> bool {
        let native = NativeVerifier::from_password(password).to_text();
        self.sha2.as_ref().is_some_and(|verifier| verifier.verify_password(password))
            || self.native.as_ref().is_some_and(|verifier| verifier.to_text() == native)
    }
}

/// A moment so much later; the end of time if there is none.
fn after(now: Timestamp, later: Duration) -> Timestamp {
    let later = SignedDuration::try_from(later).unwrap_or(SignedDuration::MAX);
    now.checked_add(later).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);
    const POLICY: CredentialPolicy = CredentialPolicy {
        collect_within: Duration::from_secs(14 * 86_400),
        valid_for: Some(Duration::from_secs(365 * 86_400)),
        warn_before: Duration::from_secs(30 * 86_400),
        overlap: Duration::from_secs(48 * 3600),
    };
    const BOTH: &[AuthPlugin] = &[AuthPlugin::CachingSha2Password, AuthPlugin::MysqlNativePassword];

    fn start() -> Timestamp {
        "2026-01-01T00:00:00Z".parse().unwrap()
    }

    fn day(n: u32) -> Timestamp {
        after(start(), DAY * n)
    }

    fn just_before(moment: Timestamp) -> Timestamp {
        moment.checked_sub(SignedDuration::from_nanos(1)).unwrap()
    }

    fn issued() -> Credential {
        Credential::issue(CredentialId(1), &Password::new("secret"), BOTH, &POLICY, start())
    }

    #[test]
    fn a_new_credential_counts_until_it_had_to_be_collected() {
        assert_eq!(issued().standing(start()), Standing::Valid { first_use: true });
        assert_eq!(issued().standing(just_before(day(14))), Standing::Valid { first_use: true });
        assert_eq!(issued().standing(day(14)), Standing::NotCollected);
    }

    #[test]
    fn a_void_credential_cannot_be_collected_any_more() {
        let late = issued().collected(&POLICY, day(14));
        assert_eq!(late.standing(day(14)), Standing::NotCollected);
    }

    #[test]
    fn a_collected_credential_lives_from_its_collection() {
        let used = issued().collected(&POLICY, day(10));
        assert_eq!(used.standing(day(20)), Standing::Valid { first_use: false });
        assert_eq!(used.standing(just_before(day(375))), Standing::Valid { first_use: false });
        assert_eq!(used.standing(day(375)), Standing::Expired);
        let again = used.collected(&POLICY, day(300));
        assert_eq!(again.standing(day(375)), Standing::Expired);
    }

    #[test]
    fn a_replaced_credential_counts_for_the_overlap_and_no_longer() {
        let old = issued().collected(&POLICY, start()).replaced(&POLICY, day(5));
        assert_eq!(old.standing(just_before(day(7))), Standing::Valid { first_use: false });
        assert_eq!(old.standing(day(7)), Standing::Retired);
        assert_eq!(old.replaced(&POLICY, day(6)).standing(day(7)), Standing::Retired);
    }

    #[test]
    fn a_replaced_pending_credential_ends_at_once() {
        assert_eq!(issued().replaced(&POLICY, day(1)).standing(day(1)), Standing::Retired);
    }

    #[test]
    fn a_revoked_credential_stays_so() {
        let revoked = issued().revoked();
        assert_eq!(revoked.standing(start()), Standing::Revoked);
        assert_eq!(
            revoked.clone().collected(&POLICY, start()).standing(start()),
            Standing::Revoked
        );
        let replaced = revoked.replaced(&POLICY, start());
        assert_eq!(replaced.standing(day(9)), Standing::Revoked);
        assert_eq!(replaced.life(), "revoked", "and not only from some day on");
    }

    #[test]
    fn warns_only_in_the_period_before_the_end() {
        let used = issued().collected(&POLICY, start());
        assert_eq!(used.warning(&POLICY, day(334)), None);
        assert_eq!(used.warning(&POLICY, day(335)), Some(day(365)));
        assert_eq!(used.warning(&POLICY, day(365)), None);
    }

    #[test]
    fn knows_its_own_password_again() {
        let native_only = Credential { sha2: None, ..issued() };
        for credential in [issued(), native_only] {
            assert!(credential.is_of(&Password::new("secret")));
            assert!(!credential.is_of(&Password::new("Secret")));
        }
    }

    #[test]
    fn the_end_of_time_is_no_overflow() {
        let forever = CredentialPolicy { collect_within: Duration::MAX, ..POLICY };
        let issued =
            Credential::issue(CredentialId(1), &Password::new("x"), BOTH, &forever, start());
        assert_eq!(issued.standing(day(1_000_000)), Standing::Valid { first_use: true });
    }
}
