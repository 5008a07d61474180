//! Today's date, for entries that are valid for a time.
use access::Date;

/// The day in UTC.
pub fn today() -> Date {
    jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date()
}
