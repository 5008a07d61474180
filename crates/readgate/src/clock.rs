//! Today's date, for entries that are valid for a time.
use access::Date;

/// The day in UTC.
pub fn today() -> Date {
    access::day_of(access::Timestamp::now())
}
