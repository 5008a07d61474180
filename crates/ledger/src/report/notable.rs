//! What is usual for a user, and what isn't.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Span;
use jiff::civil::{Date, Weekday};

/// A day with this many times the rows of the user's median day is unusual...
const TIMES: u64 = 10;
/// ...if it has at least this many rows,
const LEAST_ROWS: u64 = 1000;
/// and the user at least this many days to compare with.
const LEAST_DAYS: usize = 3;

#[derive(Default)]
pub(super) struct Usual {
    users: BTreeMap<String, User>,
    counts: BTreeMap<&'static str, usize>,
}

#[derive(Default)]
struct User {
    last_seen: String,
    rows_by_day: BTreeMap<String, u64>,
    /// When each was first read.
    tables: BTreeMap<String, String>,
    /// Whether they read anything before the report begins.
    has_past: bool,
    /// Days on which they were at work out of hours.
    off_hours: BTreeSet<String>,
}

impl Usual {
    fn user(&mut self, name: &str) -> &mut User {
        if !self.users.contains_key(name) {
            self.users.insert(name.to_owned(), User::default());
        }
        self.users.entry(name.to_owned()).or_default()
    }

    /// The user did something.
    pub(super) fn seen(&mut self, user: &str, time: &str) {
        let user = self.user(user);
        if *time > *user.last_seen {
            time.clone_into(&mut user.last_seen);
        }
    }

    /// The user read before the report's bounds, whatever it was.
    pub(super) fn read_before(&mut self, user: &str) {
        self.user(user).has_past = true;
    }

    /// The user read, within the report's bounds or before them.
    pub(super) fn read(&mut self, user: &str, time: &str, rows: u64, tables: &[String]) {
        let user = self.user(user);
        let day = time.get(..10).unwrap_or(time);
        match user.rows_by_day.get_mut(day) {
            Some(sum) => *sum += rows,
            None => drop(user.rows_by_day.insert(day.to_owned(), rows)),
        }
        for table in tables {
            match user.tables.get_mut(table) {
                Some(first) if *time < **first => time.clone_into(first),
                Some(_) => {}
                None => drop(user.tables.insert(table.clone(), time.to_owned())),
            }
        }
    }

    /// User, table and time, where somebody whose past is known first read it from `from` on.
    pub(super) fn first_reads(&self, from: Option<&str>) -> Vec<(String, String, String)> {
        let mut found = Vec::new();
        for (name, user) in self.users.iter().filter(|(_, user)| user.has_past) {
            let is_new = |first: &str| from.is_none_or(|from| *first >= *from);
            let new = user.tables.iter().filter(|(_, first)| is_new(first));
            found.extend(new.map(|(table, first)| (name.clone(), table.clone(), first.clone())));
        }
        found
    }

    /// Whether it is the user's first of that day.
    pub(super) fn first_off_hours(&mut self, user: &str, day: &str) -> bool {
        let days = &mut self.user(user).off_hours;
        !days.contains(day) && days.insert(day.to_owned())
    }

    /// How many notes of that kind there are, this one included.
    pub(super) fn count(&mut self, kind: &'static str) -> usize {
        let count = self.counts.entry(kind).or_default();
        *count += 1;
        *count
    }

    /// How many notes there are, of each kind.
    pub(super) fn counts(&self) -> BTreeMap<&'static str, usize> {
        self.counts.clone()
    }

    /// User, day and words, of days from `from` on.
    pub(super) fn unusual_days(&self, from: Option<&str>) -> Vec<(String, String, String)> {
        let mut found = Vec::new();
        for (name, user) in &self.users {
            let mut rows: Vec<u64> = user.rows_by_day.values().copied().collect();
            rows.sort_unstable();
            let median = rows.get(rows.len() / 2).copied().unwrap_or(0);
            if rows.len() <= LEAST_DAYS {
                continue;
            }
            for (day, rows) in &user.rows_by_day {
                let counts = from.is_none_or(|from| **day >= *from.get(..10).unwrap_or(from));
                if counts && *rows >= LEAST_ROWS.max(median.saturating_mul(TIMES)) {
                    let what =
                        format!("{rows} rows in a day; half of the days have at most {median}");
                    found.push((name.clone(), day.clone(), what));
                }
            }
        }
        found
    }

    /// Users who did nothing for that many days before `last`, and when they last did.
    pub(super) fn dormant(&self, last: Option<Date>, days: u64) -> Vec<(String, String)> {
        let days = i64::try_from(days).ok().and_then(|days| Span::new().try_days(days).ok());
        let begin = days.zip(last).and_then(|(days, last)| last.checked_sub(days).ok());
        let Some(begin) = begin else {
            return Vec::new();
        };
        let is_dormant = |user: &User| day_of(&user.last_seen).is_some_and(|seen| seen <= begin);
        let dormant = self.users.iter().filter(|(_, user)| is_dormant(user));
        dormant.map(|(name, user)| (name.clone(), user.last_seen.clone())).collect()
    }
}

/// Whether a stamp lies outside of these hours, or on a weekend. Hours that end by midnight or
/// behind it, as an office far from Greenwich has them, belong to the day on which they begin.
pub(super) fn off_hours(time: &str, (from, to): (u8, u8)) -> bool {
    let hour = time.get(11..13).and_then(|hour| hour.parse::<u8>().ok());
    let (Some(hour), Some(day)) = (hour, day_of(time)) else {
        return false;
    };
    let spans_midnight = from > to;
    let began = if spans_midnight && hour < to { day.yesterday().unwrap_or(day) } else { day };
    let is_weekend = matches!(began.weekday(), Weekday::Saturday | Weekday::Sunday);
    let is_usual =
        if spans_midnight { hour >= from || hour < to } else { (from..to).contains(&hour) };
    is_weekend || !is_usual
}

/// The day (UTC) of a stamp.
fn day_of(time: &str) -> Option<Date> {
    time.get(..10)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nights_and_weekends_are_off_hours() {
        let office = (7, 19);
        assert!(!off_hours("2026-11-20T12:00:00", office), "a Friday");
        assert!(off_hours("2026-11-20T19:00:00", office));
        assert!(off_hours("2026-11-20T06:59:59", office));
        assert!(off_hours("2026-11-21T12:00:00", office), "a Saturday");
        assert!(!off_hours("2026-11-23T12:00:00", office), "a Monday");
    }

    #[test]
    fn an_office_beyond_midnight_in_utc_works_from_monday_to_friday_too() {
        // From 8 to 18 o'clock in California.
        let office = (16, 2);
        assert!(!off_hours("2026-11-20T23:59:59", office), "Friday afternoon");
        assert!(!off_hours("2026-11-21T01:59:59", office), "Saturday here, still Friday there");
        assert!(off_hours("2026-11-21T02:00:00", office));
        assert!(off_hours("2026-11-20T02:00:00", office), "Thursday evening");
        assert!(off_hours("2026-11-20T15:59:59", office));
        assert!(off_hours("2026-11-23T01:00:00", office), "Sunday there");
        assert!(!off_hours("2026-11-23T16:00:00", office));
    }

    /// The days on which somebody read so many rows, from the first of November on.
    fn days(rows: &[u64]) -> Usual {
        let mut usual = Usual::default();
        for (at, rows) in rows.iter().enumerate() {
            usual.read("alice", &format!("2026-11-{:02}T10:00:00", at + 1), *rows, &[]);
        }
        usual
    }

    #[test]
    fn a_day_is_unusual_by_ten_times_the_median_and_by_a_thousand_rows() {
        let unusual = |rows: &[u64]| days(rows).unusual_days(None).len();
        assert_eq!([unusual(&[1, 1, 1, 999]), unusual(&[1, 1, 1, 1000])], [0, 1]);
        assert_eq!([unusual(&[200, 200, 200, 1999]), unusual(&[200, 200, 200, 2000])], [0, 1]);
        assert_eq!(unusual(&[1, 1, 1000]), 0, "too few days to compare with");
        assert_eq!(unusual(&[0, 9000, 9000, 9000]), 0, "much is usual for them");
    }

    #[test]
    fn days_before_the_report_tell_what_is_usual_and_are_not_told() {
        let days = days(&[5000, 1, 1, 1, 1, 6000]);
        let told = |from: Option<&str>| {
            days.unusual_days(from).into_iter().map(|(_, day, _)| day).collect::<Vec<_>>()
        };
        assert_eq!(told(None), ["2026-11-01", "2026-11-06"]);
        for from in ["2026-11-06", "2026-11-06T12:00", "2026-11-02"] {
            assert_eq!(told(Some(from)), ["2026-11-06"], "{from}");
        }
        assert_eq!(told(Some("2026-11-07")), Vec::<String>::new());
    }

    #[test]
    fn a_table_is_new_to_a_user_with_a_past_from_the_reports_first_moment_on() {
        let mut usual = Usual::default();
        usual.read_before("alice");
        for user in ["alice", "bob"] {
            usual.read(user, "2026-11-20T10:00:00", 1, &["clin.visit".to_owned()]);
        }
        let told = |from| usual.first_reads(Some(from)).into_iter().map(|(user, ..)| user);
        assert!(told("2026-11-20T10:00:00").eq(["alice"]), "of bob nothing is known from before");
        assert_eq!(told("2026-11-20T10:00:01").count(), 0);
    }

    #[test]
    fn who_was_not_seen_for_so_many_days_is_dormant() {
        let mut usual = Usual::default();
        usual.seen("alice", "2026-11-10T23:59:59");
        let last = "2026-11-20".parse().ok();
        let dormant = |days| usual.dormant(last, days).len();
        assert_eq!([dormant(9), dormant(10), dormant(11)], [1, 1, 0]);
        assert_eq!(dormant(u64::MAX), 0);
    }

    #[test]
    fn what_has_no_time_is_not_out_of_hours_and_office_hours_may_be_all_or_none() {
        assert!(!off_hours("soon", (7, 19)));
        assert!(!off_hours("2026-11-20T00:00:00", (0, 24)));
        assert!(off_hours("2026-11-20T08:00:00", (8, 8)));
    }
}
