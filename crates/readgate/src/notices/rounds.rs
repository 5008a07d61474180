//! What is told when: once when something has been wrong for a while, again from time to time,
//! once when it has been over for a while. Pure: the moments are given.
use std::collections::BTreeMap;
use std::time::Instant;

use access::Timestamp;
use config::{Notice, NoticeEvent};

use super::conditions::Condition;

/// Things that one receiver is told of at a time.
const MOST: usize = 1000;

/// Where something that is told of stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// It is told for the first time.
    Begins,
    /// A reminder.
    GoesOn,
    /// It is over.
    Ends,
}

impl Phase {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Begins => "begins",
            Self::GoesOn => "goes on",
            Self::Ends => "ends",
        }
    }
}

/// What one receiver is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Letter {
    pub(super) event: NoticeEvent,
    pub(super) subject: String,
    pub(super) phase: Phase,
    pub(super) text: String,
    pub(super) since: Timestamp,
    pub(super) time: Timestamp,
}

/// What is wrong, as far as one receiver knows.
#[derive(Default)]
pub(super) struct Open(BTreeMap<(NoticeEvent, String), Known>);

struct Known {
    since: Timestamp,
    /// When it was first seen.
    seen: Instant,
    /// When the receiver was told last, if it was.
    told: Option<Instant>,
    /// Since when it is over.
    over: Option<Instant>,
    text: String,
}

impl Open {
    /// What the receiver isn't told of any more is not over.
    pub(super) fn forget_all_but(&mut self, events: &[NoticeEvent]) {
        self.0.retain(|(event, _), _| events.contains(event));
    }

    /// What is to be told now that these conditions hold.
    pub(super) fn round<'c>(
        &mut self,
        conditions: impl Iterator<Item = &'c Condition>,
        notice: &Notice,
        now: Instant,
        moment: Timestamp,
    ) -> Vec<Letter> {
        for known in self.0.values_mut() {
            known.over.get_or_insert(now);
        }
        for condition in conditions {
            let key = (condition.event, condition.subject.clone());
            if self.0.len() >= MOST && !self.0.contains_key(&key) {
                continue;
            }
            let fresh =
                || Known { since: moment, seen: now, told: None, over: None, text: String::new() };
            let known = self.0.entry(key).or_insert_with(fresh);
            known.over = None;
            known.text.clone_from(&condition.text);
        }
        let mut letters = Vec::new();
        self.0.retain(|(event, subject), known| {
            if let Some(phase) = known.phase(notice, now) {
                letters.push(Letter {
                    event: *event,
                    subject: subject.clone(),
                    phase,
                    text: known.text.clone(),
                    since: known.since,
                    time: moment,
                });
            }
            known.stays(notice, now)
        });
        letters
    }
}

impl Known {
    fn phase(&mut self, notice: &Notice, now: Instant) -> Option<Phase> {
        let passed = |since: Instant| now.saturating_duration_since(since);
        match (self.told, self.over) {
            (None, None) if passed(self.seen) >= notice.settle => {
                self.told = Some(now);
                Some(Phase::Begins)
            }
            (Some(told), None) if notice.repeat.is_some_and(|repeat| passed(told) >= repeat) => {
                self.told = Some(now);
                Some(Phase::GoesOn)
            }
            (Some(_), Some(over)) if passed(over) >= notice.settle => Some(Phase::Ends),
            (Some(_) | None, Some(_) | None) => None,
        }
    }

    /// What was never told is forgotten as soon as it is over.
    fn stays(&self, notice: &Notice, now: Instant) -> bool {
        self.over.is_none_or(|over| {
            self.told.is_some() && now.saturating_duration_since(over) < notice.settle
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use config::{Mail, MailTls, NoticeWay};

    use super::*;

    fn notice(settle: u64, repeat: Option<u64>) -> Notice {
        Notice {
            name: "pager".into(),
            way: NoticeWay::Mail(Mail {
                server: config::HostPort { host: "h".into(), port: 25 },
                tls: MailTls::None,
                account: None,
                from: String::new(),
                to: Vec::new(),
                subject: String::new(),
            }),
            ca_file: None,
            events: Vec::new(),
            settle: Duration::from_secs(settle),
            repeat: repeat.map(Duration::from_secs),
            body: None,
        }
    }

    /// What is told in each second, `x` being wrong where there is an `x`.
    fn told(notice: &Notice, course: &str) -> String {
        let (start, mut open) = (Instant::now(), Open::default());
        let late = Condition::new(NoticeEvent::FeedLate, "lab", "it is late");
        let second = |(number, letter): (usize, char)| {
            let now = start + Duration::from_secs(number as u64);
            let moment = Timestamp::from_second(i64::try_from(number).unwrap()).unwrap();
            let holds = (letter == 'x').then_some(&late);
            let letters = open.round(holds.into_iter(), notice, now, moment);
            assert!(letters.len() < 2, "{letters:?}");
            match letters.first().map(|letter| letter.phase) {
                None => '.',
                Some(Phase::Begins) => 'B',
                Some(Phase::GoesOn) => 'R',
                Some(Phase::Ends) => 'E',
            }
        };
        course.chars().enumerate().map(second).collect()
    }

    #[test]
    fn one_at_the_start_and_one_at_the_end() {
        assert_eq!(told(&notice(0, None), "..xxxx..."), "..B...E..");
    }

    #[test]
    fn reminders_come_while_it_goes_on() {
        assert_eq!(told(&notice(0, Some(3)), "xxxxxxxx.."), "B..R..R.E.");
    }

    #[test]
    fn what_lasts_less_than_settle_is_not_told_and_a_short_pause_is_no_end() {
        assert_eq!(told(&notice(2, None), "xx..xx...."), "..........");
        assert_eq!(told(&notice(2, None), "xxxx.xxx...."), "..B.......E.");
        assert_eq!(told(&notice(2, None), "xxxx...xxx"), "..B...E..B");
    }

    #[test]
    fn each_subject_is_told_of_by_itself_with_its_own_beginning() {
        let mut open = Open::default();
        let one = Condition::new(NoticeEvent::FeedLate, "lab", "a");
        let two = Condition::new(NoticeEvent::FeedLate, "ward", "b");
        let (now, moment) = (Instant::now(), Timestamp::from_second(7).unwrap());
        let notice = notice(0, None);
        assert_eq!(open.round([&one].into_iter(), &notice, now, moment).len(), 1);
        let later = Timestamp::from_second(9).unwrap();
        let letters = open.round([&one, &two].into_iter(), &notice, now, later);
        assert_eq!(letters.len(), 1);
        assert_eq!((letters[0].subject.as_str(), letters[0].since), ("ward", later));
        let ended = open.round(std::iter::empty(), &notice, now, later);
        let since: Vec<_> = ended.iter().map(|letter| (letter.phase, letter.since)).collect();
        assert_eq!(since, [(Phase::Ends, moment), (Phase::Ends, later)]);
    }
}
