//! Bounds of time as people give them: the beginning of a record's time, so that they can be
//! compared with it as text. What can't be compared is refused, never taken for a time.

use jiff::civil::Date;

/// How a record's time is written; a digit stands for any.
const FORM: &str = "2026-01-31T08:00:00.000000";
/// Where a bound may end: after the year, month, day, hour, minute, second, or behind its point.
const ENDS: [usize; 6] = [4, 7, 10, 13, 16, 19];
/// Behind the point of a second's parts.
const PARTS: std::ops::RangeInclusive<usize> = 21..=26;

/// Reads a bound in UTC, such as `2026-01`, `2026-01-31`, `2026-01-31T08:00` or
/// `2026-01-31 08:00:00Z`, and gives it as records have it.
///
/// # Errors
/// Words for whoever gave it, if it is none.
pub fn time_bound(text: &str) -> Result<String, String> {
    let bound = text.strip_suffix('Z').unwrap_or(text).replacen(' ', "T", 1);
    let fits = |(c, form): (char, char)| {
        if form.is_ascii_digit() { c.is_ascii_digit() } else { c == form }
    };
    let is_whole = ENDS.contains(&bound.len()) || PARTS.contains(&bound.len());
    let part = |at: std::ops::Range<usize>| bound.get(at).and_then(|part| part.parse::<u8>().ok());
    let within = |at, least, most| part(at).is_none_or(|part| (least..=most).contains(&part));
    let exists = within(5..7, 1, 12)
        && within(8..10, 1, 31)
        && within(11..13, 0, 23)
        && within(14..16, 0, 59)
        && within(17..19, 0, 59);
    if is_whole && bound.chars().zip(FORM.chars()).all(fits) && exists {
        return Ok(bound);
    }
    Err("a time is in UTC and as records have it, or its beginning: 2026-01-31T08:00:00, 2026-01"
        .into())
}

/// Whether there can be a time between two bounds, both included.
pub fn are_in_order(from: Option<&str>, to: Option<&str>) -> bool {
    let (Some(from), Some(to)) = (from, to) else {
        return true;
    };
    let common = from.len().min(to.len());
    from.get(..common) <= to.get(..common)
}

/// The last day that a bound begins with or holds. For one that its month doesn't have, as bounds
/// may name it, the month's last.
pub(crate) fn last_day(bound: &str) -> Option<Date> {
    let part = |at: std::ops::Range<usize>| bound.get(at)?.parse::<i8>().ok();
    let month = Date::new(bound.get(..4)?.parse().ok()?, part(5..7).unwrap_or(12), 1).ok()?;
    let named = part(8..10).and_then(|day| Date::new(month.year(), month.month(), day).ok());
    Some(named.unwrap_or(month.last_of_month()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_the_beginning_of_a_time_in_utc() {
        for (given, read) in [
            ("2026", "2026"),
            ("2026-01", "2026-01"),
            ("2026-01-31", "2026-01-31"),
            ("2026-01-31 08:15", "2026-01-31T08:15"),
            ("2026-01-31T08:15:00Z", "2026-01-31T08:15:00"),
            ("2026-01-31T08:15:00.25", "2026-01-31T08:15:00.25"),
            ("2026-01-31T08:15:00.000001Z", "2026-01-31T08:15:00.000001"),
        ] {
            assert_eq!(time_bound(given).as_deref(), Ok(read));
        }
    }

    #[test]
    fn the_last_day_of_a_bound_is_one_that_the_calendar_has() {
        for (bound, last) in [
            ("2026", "2026-12-31"),
            ("2026-11", "2026-11-30"),
            ("2024-02", "2024-02-29"),
            ("2026-02-31", "2026-02-28"),
            ("2026-01-05T08:15", "2026-01-05"),
        ] {
            assert_eq!(last_day(bound).unwrap().to_string(), last, "{bound}");
        }
    }

    #[test]
    fn what_can_not_be_compared_is_refused() {
        for given in [
            "",
            "Z",
            "yesterday",
            "31.01.2026",
            "01/02/2026",
            "2026/01/31",
            "2026-1",
            "2026-01-3",
            "2026-13",
            "2026-01-32",
            "2026-01-31T24",
            "2026-01-31T08:15:00+02:00",
            "2026-01-31T08:15:00.",
            "2026-01-31T08:15:00.0000001",
            "2026-01-31 08:15:00 ",
            "２０２６",
        ] {
            assert!(time_bound(given).is_err(), "{given}");
        }
    }

    #[test]
    fn bounds_are_in_order_as_far_as_they_say() {
        assert!(are_in_order(Some("2026-01"), Some("2026-01-05")));
        assert!(are_in_order(Some("2026-01-05"), Some("2026-01")));
        assert!(!are_in_order(Some("2026-02"), Some("2026-01-05")));
        assert!(are_in_order(None, Some("2026")));
    }
}
