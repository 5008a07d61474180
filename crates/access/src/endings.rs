//! What ends soon or has ended and is still listed: users, credentials, sources. For those
//! that have to act before somebody is refused.
use crate::credential::{Credential, CredentialPolicy, Standing};
use crate::source::SourceNetworks;
use crate::user::{User, UserStatus};
use crate::{Date, Timestamp, day_of};

/// How many end soon, and how many have ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ends {
    /// Within the warning period.
    pub soon: u32,
    /// Over; nobody has disabled or removed it.
    pub ended: u32,
}

/// All counts at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Endings {
    /// Enabled users by their last day.
    pub users: Ends,
    /// The newest credentials of enabled users: to be collected, or to be replaced.
    pub credentials: Ends,
    /// Source entries by their last day.
    pub sources: Ends,
}

impl Ends {
    fn note(&mut self, soon: bool, ended: bool) {
        self.soon += u32::from(soon);
        self.ended += u32::from(ended);
    }

    fn note_day(&mut self, last: Option<Date>, today: Date, soon: Date) {
        let Some(last) = last else { return };
        self.note(today <= last && last <= soon, last < today);
    }
}

impl Endings {
    /// Counts them at `now`; the policy says what is soon.
    pub fn count<'u>(
        users: impl Iterator<Item = &'u User>,
        sources: &SourceNetworks,
        policy: &CredentialPolicy,
        now: Timestamp,
    ) -> Self {
        let (today, soon) = (day_of(now), day_of(policy.warns_until(now)));
        let mut endings = Self::default();
        for user in users.filter(|user| user.status == UserStatus::Enabled) {
            endings.users.note_day(user.valid_until, today, soon);
            if let Some(newest) = user.credentials.first() {
                let ended = matches!(
                    newest.standing(now),
                    Standing::NotCollected | Standing::Expired | Standing::Retired
                );
                endings.credentials.note(newest.warning(policy, now).is_some(), ended);
            }
        }
        for entry in sources.entries() {
            endings.sources.note_day(entry.expires_on, today, soon);
        }
        endings
    }
}

/// The first moment after `now` at which somebody's validity ends: a user's or a source's last
/// day, or a credential in use.
pub fn next_end<'u>(
    users: impl Iterator<Item = &'u User>,
    sources: &SourceNetworks,
    now: Timestamp,
) -> Option<Timestamp> {
    let of_users = users.filter(|user| user.status == UserStatus::Enabled).flat_map(|user| {
        let credentials = user.credentials.iter().filter_map(Credential::expires_at);
        user.valid_until.and_then(end_of).into_iter().chain(credentials)
    });
    let of_sources = sources.entries().filter_map(|entry| entry.expires_on.and_then(end_of));
    of_users.chain(of_sources).filter(|end| *end > now).min()
}

/// The first moment after a day (UTC).
fn end_of(last: Date) -> Option<Timestamp> {
    let next = last.tomorrow().ok()?;
    Some(next.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use mysql_auth::{AuthPlugin, Password};

    use super::*;
    use crate::credential::CredentialId;
    use crate::role::Role;
    use crate::user::UserName;

    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn counts_what_ends_within_the_warning_period_and_what_is_over() {
        let policy = CredentialPolicy {
            collect_within: 14 * DAY,
            valid_for: None,
            warn_before: 10 * DAY,
            overlap: DAY,
        };
        let start: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        let user = |name: &str, last: &str, status| User {
            status,
            valid_until: Some(last.parse().unwrap()),
            credentials: vec![Credential::issue(
                CredentialId(1),
                &Password::new(name),
                &[AuthPlugin::CachingSha2Password],
                &policy,
                start,
            )],
            ..User::new(UserName::new(name).unwrap(), "Test", Arc::new(Role::named("r")))
        };
        let users = [
            user("a", "2026-03-11", UserStatus::Enabled),
            user("b", "2026-03-12", UserStatus::Enabled),
            user("c", "2026-03-10", UserStatus::Disabled),
        ];
        let at = |days: u32| {
            let now = start.checked_add(DAY * days).unwrap();
            let found = Endings::count(users.iter(), &SourceNetworks::default(), &policy, now);
            (found.users, found.credentials)
        };
        let ends = |soon, ended| Ends { soon, ended };
        assert_eq!(at(0), (ends(1, 0), ends(0, 0)));
        assert_eq!(at(4), (ends(2, 0), ends(2, 0)));
        assert_eq!(at(11), (ends(1, 1), ends(2, 0)));
        assert_eq!(at(14), (ends(0, 2), ends(0, 2)));
    }

    #[test]
    fn the_next_end_is_the_first_of_all_that_are_ahead() {
        let policy = CredentialPolicy {
            collect_within: DAY,
            valid_for: Some(Duration::from_secs(90)),
            warn_before: DAY,
            overlap: DAY,
        };
        let now: Timestamp = "2026-03-01T23:59:00Z".parse().unwrap();
        let plain =
            |name| User::new(UserName::new(name).unwrap(), "Test", Arc::new(Role::named("r")));
        let next = |users: &[User]| {
            let next = next_end(users.iter(), &SourceNetworks::default(), now);
            next.map(|end| end.to_string())
        };
        assert_eq!(next(&[plain("a")]), None);
        let day = |day: &str| User { valid_until: Some(day.parse().unwrap()), ..plain("b") };
        assert_eq!(next(&[day("2026-02-28")]), None, "it is over");
        assert_eq!(next(&[day("2026-03-02"), day("2026-03-01")]).unwrap(), "2026-03-02T00:00:00Z");
        let plugins = [AuthPlugin::CachingSha2Password];
        let pending =
            Credential::issue(CredentialId(1), &Password::new("p"), &plugins, &policy, now);
        let with = |credential| User { credentials: vec![credential], ..plain("c") };
        assert_eq!(next(&[with(pending.clone())]), None, "nobody has come in with it");
        let collected = with(pending.collected(&policy, now));
        assert_eq!(next(&[day("2026-03-02"), collected]).unwrap(), "2026-03-02T00:00:30Z");
    }
}
