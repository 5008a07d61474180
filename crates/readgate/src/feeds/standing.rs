//! How a feed stands: from what a look has found, its configuration and a moment. Pure.
use std::fmt;
use std::time::Duration;

use access::Timestamp;
use config::Feed;

use super::calendar::{self, Around};

/// An age that is told in whole seconds moves by so much from one look to the next.
const JITTER: i64 = 5;

/// What a look at folder or query has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen {
    /// It can't be told, and why.
    Unknown(String),
    /// No delivery; perhaps one that doesn't count yet.
    Nothing { pending: Option<String> },
    /// The newest whole delivery; perhaps a newer one that doesn't count yet.
    Arrived { at: Timestamp, pending: Option<String> },
    /// The newest delivery is not as it should be.
    Malformed { at: Timestamp, why: String },
}

/// In what state a feed is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeedState {
    /// The last delivery came; the time for the next has begun, and it isn't there.
    Waiting,
    /// The newest delivery is the one that should be there.
    Fresh,
    /// There is one, and it is too old.
    Late,
    /// There is none.
    Missing,
    /// The newest one is not as it should be.
    Malformed,
    /// It can't be told.
    Unknown,
}

impl FeedState {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Waiting, Self::Fresh, Self::Late, Self::Missing, Self::Malformed, Self::Unknown];

    /// Its name in ledger, metrics and console.
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Fresh => "fresh",
            Self::Late => "late",
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::Unknown => "unknown",
        }
    }

    /// Whether the data is not what it should be, or that can't be told.
    pub fn is_stale(self) -> bool {
        match self {
            Self::Waiting | Self::Fresh => false,
            Self::Late | Self::Missing | Self::Malformed | Self::Unknown => true,
        }
    }
}

/// How a feed stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// In what state.
    pub state: FeedState,
    /// Since when.
    pub since: Timestamp,
    /// Why it is stale, or what it waits for; empty if there is nothing to say.
    pub why: String,
    /// When the newest delivery arrived, a malformed one included.
    pub arrived: Option<Timestamp>,
    /// By when a delivery must be there: one that is missed, or the next.
    pub due: Option<Timestamp>,
}

impl Standing {
    /// A sentence that names the feed, and since when what is wrong.
    pub fn sentence(&self, feed: &str) -> String {
        let (state, since) = (self.state.name(), Moment(self.since));
        let colon = if self.why.is_empty() { "" } else { ": " };
        format!("feed {feed:?} is {state} since {since}{colon}{}", self.why)
    }
}

/// How it stands at `now`, after what was seen, and before.
pub(super) fn judge(
    feed: &Feed,
    seen: &Seen,
    now: Timestamp,
    before: Option<&Standing>,
) -> Standing {
    let (state, why, since, arrived) = match seen {
        Seen::Unknown(why) => {
            (FeedState::Unknown, why.clone(), None, before.and_then(|before| before.arrived))
        }
        Seen::Malformed { at, why } => (FeedState::Malformed, why.clone(), None, Some(*at)),
        Seen::Nothing { pending } => {
            let (state, why, since) = nothing(feed, pending.as_deref(), now);
            (state, why, since, None)
        }
        Seen::Arrived { at, pending } => {
            let at = steady(*at, before);
            let (state, why, since) = arrived(feed, at, pending.as_deref(), now);
            (state, why, since, Some(at))
        }
    };
    let went_on = before.filter(|before| before.state == state).map(|before| before.since);
    let since = since.or(went_on).unwrap_or(now);
    Standing { state, since, why, arrived, due: due(feed, arrived, now) }
}

type Found = (FeedState, String, Option<Timestamp>);

fn nothing(feed: &Feed, pending: Option<&str>, now: Timestamp) -> Found {
    let around = feed.deadline.as_ref().map(|due| calendar::around(due, feed.utc_offset, now));
    match around {
        // Its first deadline lies ahead.
        Some(Around { last: None, .. }) => {
            (FeedState::Waiting, with(pending, "no delivery yet"), None)
        }
        Some(Around { last: Some(last), .. }) => {
            let why = format!("no delivery at all, due {}", Moment(last));
            (FeedState::Missing, with(pending, &why), Some(last))
        }
        None => (FeedState::Missing, with(pending, "no delivery at all"), None),
    }
}

fn arrived(feed: &Feed, at: Timestamp, pending: Option<&str>, now: Timestamp) -> Found {
    let newest = Moment(at);
    let mut late: Option<(Timestamp, String)> = None;
    let mut waits_for = None;
    if let Some(deadline) = &feed.deadline {
        let Around { last, next } = calendar::around(deadline, feed.utc_offset, now);
        let opens = |due: Timestamp| calendar::before(due, deadline.window);
        if let Some(due) = last.filter(|due| at < opens(*due)) {
            late = Some((due, format!("due {}, the newest delivery came {newest}", Moment(due))));
        }
        waits_for = next.filter(|due| now >= opens(*due) && at < opens(*due));
    }
    if let Some(end) = feed.max_age.and_then(|most| end_of(at, most)).filter(|end| *end < now)
        && late.as_ref().is_none_or(|(since, _)| end < *since)
    {
        late = Some((end, format!("older than max_age, the newest delivery came {newest}")));
    }
    match (late, waits_for) {
        (Some((since, why)), _) => (FeedState::Late, with(pending, &why), Some(since)),
        (None, Some(due)) => {
            (FeedState::Waiting, with(pending, &format!("due {}", Moment(due))), None)
        }
        (None, None) => (FeedState::Fresh, pending.unwrap_or_default().to_owned(), None),
    }
}

fn with(pending: Option<&str>, why: &str) -> String {
    match pending {
        Some(pending) => format!("{why}; {pending}"),
        None => why.to_owned(),
    }
}

fn end_of(at: Timestamp, age: Duration) -> Option<Timestamp> {
    at.checked_add(jiff::SignedDuration::try_from(age).ok()?).ok()
}

/// By when a delivery must be there: the deadline that was missed, or the next.
fn due(feed: &Feed, arrived: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
    let by_day = feed.deadline.as_ref().and_then(|deadline| {
        let Around { last, next } = calendar::around(deadline, feed.utc_offset, now);
        let came =
            |due: Timestamp| arrived.is_some_and(|at| at >= calendar::before(due, deadline.window));
        last.filter(|due| !came(*due)).or(next)
    });
    let by_age = feed.max_age.and_then(|most| end_of(arrived?, most));
    [by_day, by_age].into_iter().flatten().min()
}

/// The moment of before, if an age that was told says almost the same.
fn steady(at: Timestamp, before: Option<&Standing>) -> Timestamp {
    let known = before.and_then(|before| before.arrived);
    let is_near = |known: &Timestamp| (known.as_second() - at.as_second()).abs() <= JITTER;
    known.filter(is_near).unwrap_or(at)
}

/// To the minute, in UTC.
struct Moment(Timestamp);

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.strftime("%Y-%m-%d %H:%M UTC"))
    }
}

#[cfg(test)]
mod tests {
    use config::{Deadline, FeedPlace, TimeOfDay, Weekday, WhenBehind};

    use super::*;

    fn nightly() -> Feed {
        Feed {
            name: "lab".into(),
            place: FeedPlace::Query(String::new()),
            look_every: Duration::from_secs(30),
            deadline: Some(Deadline {
                due: TimeOfDay { hour: 6, minute: 30 },
                days: vec![Weekday::Monday, Weekday::Tuesday, Weekday::Wednesday],
                holidays: Vec::new(),
                window: Duration::from_secs(6 * 3600),
            }),
            max_age: None,
            utc_offset: 0,
            when_stale: WhenBehind::Refuse,
        }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn came(moment: &str) -> Seen {
        Seen::Arrived { at: at(moment), pending: None }
    }

    fn state(feed: &Feed, seen: &Seen, now: &str) -> FeedState {
        judge(feed, seen, at(now), None).state
    }

    #[test]
    fn a_night_from_the_last_delivery_to_the_next() {
        // 2026-03-09 is a Monday.
        let (feed, monday) = (nightly(), came("2026-03-09T04:00:00Z"));
        assert_eq!(state(&feed, &monday, "2026-03-09T06:31:00Z"), FeedState::Fresh);
        assert_eq!(state(&feed, &monday, "2026-03-10T00:29:59Z"), FeedState::Fresh);
        assert_eq!(state(&feed, &monday, "2026-03-10T00:30:00Z"), FeedState::Waiting);
        assert_eq!(state(&feed, &monday, "2026-03-10T06:29:59Z"), FeedState::Waiting);
        assert_eq!(state(&feed, &monday, "2026-03-10T06:30:00Z"), FeedState::Late);
        // It comes two hours late, which ends the lateness.
        let tuesday = came("2026-03-10T08:30:00Z");
        assert_eq!(state(&feed, &tuesday, "2026-03-10T08:31:00Z"), FeedState::Fresh);
        // What came late yesterday isn't today's.
        assert_eq!(state(&feed, &tuesday, "2026-03-11T06:30:00Z"), FeedState::Late);
        // Nothing is due before Monday.
        let wednesday = came("2026-03-11T05:00:00Z");
        assert_eq!(state(&feed, &wednesday, "2026-03-15T12:00:00Z"), FeedState::Fresh);
        assert_eq!(state(&feed, &wednesday, "2026-03-16T06:30:00Z"), FeedState::Late);
    }

    #[test]
    fn a_late_feed_says_since_when_and_what_is_missing() {
        let seen = Seen::Arrived {
            at: at("2026-03-09T04:11:07Z"),
            pending: Some("\"b.zip\" is still being written".into()),
        };
        let standing = judge(&nightly(), &seen, at("2026-03-10T07:00:00Z"), None);
        assert_eq!(
            standing.sentence("lab"),
            "feed \"lab\" is late since 2026-03-10 06:30 UTC: due 2026-03-10 06:30 UTC, the \
             newest delivery came 2026-03-09 04:11 UTC; \"b.zip\" is still being written"
        );
        assert_eq!(standing.due, Some(at("2026-03-10T06:30:00Z")));
    }

    #[test]
    fn none_at_all_is_missing_since_its_deadline_and_none_due_yet_is_waited_for() {
        let nothing = Seen::Nothing { pending: None };
        let missing = judge(&nightly(), &nothing, at("2026-03-10T07:00:00Z"), None);
        assert_eq!(missing.state, FeedState::Missing);
        assert_eq!(missing.since, at("2026-03-10T06:30:00Z"));
        let mut holidays = nightly();
        if let Some(deadline) = &mut holidays.deadline {
            deadline.days.clear();
        }
        assert_eq!(state(&holidays, &nothing, "2026-03-10T07:00:00Z"), FeedState::Waiting);
        let by_age = Feed { deadline: None, max_age: Some(Duration::from_secs(60)), ..nightly() };
        assert_eq!(state(&by_age, &nothing, "2026-03-10T07:00:00Z"), FeedState::Missing);
    }

    #[test]
    fn an_age_counts_on_every_day_and_to_the_second() {
        let day = Duration::from_secs(26 * 3600);
        let feed = Feed { deadline: None, max_age: Some(day), ..nightly() };
        let seen = came("2026-03-13T04:00:00Z");
        assert_eq!(state(&feed, &seen, "2026-03-14T06:00:00Z"), FeedState::Fresh);
        let late = judge(&feed, &seen, at("2026-03-14T06:00:01Z"), None);
        assert_eq!((late.state, late.since), (FeedState::Late, at("2026-03-14T06:00:00Z")));
    }

    #[test]
    fn what_cannot_be_told_or_is_malformed_is_stale_and_keeps_its_beginning() {
        let unknown = Seen::Unknown("no answer".into());
        let malformed = Seen::Malformed { at: at("2026-03-10T04:00:00Z"), why: "cut".into() };
        for seen in [unknown, malformed] {
            let first = judge(&nightly(), &seen, at("2026-03-10T05:00:00Z"), None);
            assert!(first.state.is_stale());
            let second = judge(&nightly(), &seen, at("2026-03-10T05:10:00Z"), Some(&first));
            assert_eq!(second.since, at("2026-03-10T05:00:00Z"));
        }
    }

    #[test]
    fn an_age_in_whole_seconds_does_not_move_the_arrival() {
        let first =
            judge(&nightly(), &came("2026-03-09T04:00:00Z"), at("2026-03-09T05:00:00Z"), None);
        let second = judge(
            &nightly(),
            &came("2026-03-09T04:00:01Z"),
            at("2026-03-09T05:01:00Z"),
            Some(&first),
        );
        assert_eq!(first.arrived, second.arrived);
    }
}
