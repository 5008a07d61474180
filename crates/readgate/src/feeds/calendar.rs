//! Which deadlines lie around a moment: days of the week, holidays, a fixed offset from UTC.
//! Pure: the moment is given.
use access::{Date, Timestamp};
use config::{Deadline, Weekday};
use jiff::SignedDuration;
use jiff::civil::Weekday as CivilWeekday;
use jiff::tz::{Offset, TimeZone};

/// As many days are searched: more than a year, so that yearly holidays can't hide a day.
const SEARCHED: u32 = 400;

/// The deadlines before and after a moment; none where the calendar has no such day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Around {
    /// The latest that is not in the future.
    pub(super) last: Option<Timestamp>,
    /// The first in the future.
    pub(super) next: Option<Timestamp>,
}

/// The deadlines around `now`, by a clock that is `utc_offset` seconds ahead of UTC.
pub(super) fn around(deadline: &Deadline, utc_offset: i32, now: Timestamp) -> Around {
    let zone = Offset::from_seconds(utc_offset).map_or(TimeZone::UTC, TimeZone::fixed);
    let today = zone.to_datetime(now).date();
    let due_on = |day: Date| {
        let (hour, minute) = (deadline.due.hour.cast_signed(), deadline.due.minute.cast_signed());
        let at = day.at(hour, minute, 0, 0);
        is_due(deadline, day).then(|| zone.to_timestamp(at).ok()).flatten()
    };
    let search =
        |start: Date, step: fn(Date) -> Option<Date>, fits: fn(Timestamp, Timestamp) -> bool| {
            let mut day = Some(start);
            for _ in 0..SEARCHED {
                let at = due_on(day?).filter(|at| fits(*at, now));
                if at.is_some() {
                    return at;
                }
                day = day.and_then(step);
            }
            None
        };
    Around {
        last: search(today, |day| day.yesterday().ok(), |at, now| at <= now),
        next: search(today, |day| day.tomorrow().ok(), |at, now| at > now),
    }
}

fn is_due(deadline: &Deadline, day: Date) -> bool {
    let weekday = match day.weekday() {
        CivilWeekday::Monday => Weekday::Monday,
        CivilWeekday::Tuesday => Weekday::Tuesday,
        CivilWeekday::Wednesday => Weekday::Wednesday,
        CivilWeekday::Thursday => Weekday::Thursday,
        CivilWeekday::Friday => Weekday::Friday,
        CivilWeekday::Saturday => Weekday::Saturday,
        CivilWeekday::Sunday => Weekday::Sunday,
    };
    deadline.days.contains(&weekday) && !deadline.holidays.contains(&day)
}

/// `moment` less `time`; the beginning of time if there is nothing before it.
pub(super) fn before(moment: Timestamp, time: std::time::Duration) -> Timestamp {
    let time = SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX);
    moment.checked_sub(time).unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use config::TimeOfDay;

    use super::*;

    const WORKDAYS: [Weekday; 5] =
        [Weekday::Monday, Weekday::Tuesday, Weekday::Wednesday, Weekday::Thursday, Weekday::Friday];

    fn deadline(days: &[Weekday], holidays: &[&str]) -> Deadline {
        Deadline {
            due: TimeOfDay { hour: 6, minute: 30 },
            days: days.to_vec(),
            holidays: holidays.iter().map(|day| day.parse().unwrap()).collect(),
            window: Duration::from_secs(3600),
        }
    }

    fn shown(deadline: &Deadline, offset: i32, now: &str) -> (String, String) {
        let Around { last, next } = around(deadline, offset, now.parse().unwrap());
        (last.unwrap().to_string(), next.unwrap().to_string())
    }

    fn pair(last: &str, next: &str) -> (String, String) {
        (last.to_owned(), next.to_owned())
    }

    #[test]
    fn a_deadline_counts_from_its_very_moment_on() {
        let daily = deadline(&[&WORKDAYS[..], &[Weekday::Saturday, Weekday::Sunday]].concat(), &[]);
        assert_eq!(
            shown(&daily, 0, "2026-03-10T06:29:59Z"),
            pair("2026-03-09T06:30:00Z", "2026-03-10T06:30:00Z")
        );
        assert_eq!(
            shown(&daily, 0, "2026-03-10T06:30:00Z"),
            pair("2026-03-10T06:30:00Z", "2026-03-11T06:30:00Z")
        );
    }

    #[test]
    fn weekends_and_holidays_have_none() {
        let workdays = deadline(&WORKDAYS, &["2026-12-25"]);
        // Friday the 25th is a holiday, so Thursday's counts until Monday.
        assert_eq!(
            shown(&workdays, 0, "2026-12-26T12:00:00Z"),
            pair("2026-12-24T06:30:00Z", "2026-12-28T06:30:00Z")
        );
    }

    #[test]
    fn days_begin_and_end_by_the_feeds_own_clock() {
        // Monday 2026-03-09 in Auckland (+13:00) is still Sunday in UTC.
        let mondays = deadline(&[Weekday::Monday], &[]);
        assert_eq!(
            shown(&mondays, 13 * 3600, "2026-03-08T18:00:00Z"),
            pair("2026-03-08T17:30:00Z", "2026-03-15T17:30:00Z")
        );
        // 06:30 at -05:00 is 11:30 UTC.
        assert_eq!(
            shown(&mondays, -5 * 3600, "2026-03-09T11:29:00Z"),
            pair("2026-03-02T11:30:00Z", "2026-03-09T11:30:00Z")
        );
    }

    #[test]
    fn a_leap_day_is_a_day_and_a_calendar_without_days_has_no_deadline() {
        let one_day = deadline(&[Weekday::Tuesday], &[]);
        assert_eq!(
            shown(&one_day, 0, "2028-02-29T07:00:00Z"),
            pair("2028-02-29T06:30:00Z", "2028-03-07T06:30:00Z")
        );
        let none = around(&deadline(&[], &[]), 0, "2026-03-10T00:00:00Z".parse().unwrap());
        assert_eq!(none, Around { last: None, next: None });
    }
}
