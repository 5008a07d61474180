//! A delivery that the replica's data comes with, as types.
use std::path::PathBuf;
use std::time::Duration;

use access::Date;

use super::WhenBehind;

/// A delivery: files that come into a folder, or what a query says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feed {
    /// Unique name, in ledger, metrics and error messages.
    pub name: String,
    /// Where its state is found out.
    pub place: FeedPlace,
    /// Between two looks.
    pub look_every: Duration,
    /// By when deliveries must be there. There if `max_age` isn't.
    pub deadline: Option<Deadline>,
    /// How old the newest delivery may be at any time.
    pub max_age: Option<Duration>,
    /// Seconds by which its clock (deadline, days, times of a query) is ahead of UTC.
    pub utc_offset: i32,
    /// What happens while a delivery is late, missing, malformed or can't be looked at.
    pub when_stale: WhenBehind,
}

/// Where a delivery is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeedPlace {
    /// Files in a folder; the newest counts.
    Files(FeedFiles),
    /// A query at the replica, for one moment or an age in seconds.
    Query(String),
}

/// Which files, and what they must be like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedFiles {
    /// Not searched below.
    pub folder: PathBuf,
    /// Of names; `*` stands for any characters, `?` for one.
    pub pattern: String,
    /// Bytes.
    pub min_size: u64,
    /// A file that has changed within this time isn't judged yet.
    pub stable_for: Duration,
    /// What its content must be.
    pub verify: FileForm,
    /// Whether a neighbouring `.sha256` file must agree.
    pub checksum: bool,
    /// Longest check of a file's content.
    pub longest_check: Duration,
}

/// What a file's content must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileForm {
    /// Anything.
    Any,
    /// A zip archive whose entries are whole.
    Zip,
    /// A whole gzip file.
    Gzip,
}

/// By when, on which days.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deadline {
    /// By the feed's own clock.
    pub due: TimeOfDay,
    /// Days of the week. At least one.
    pub days: Vec<Weekday>,
    /// Days without delivery.
    pub holidays: Vec<Date>,
    /// How long before the deadline its delivery may be there.
    pub window: Duration,
}

/// A minute of the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeOfDay {
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "their names say it")]
pub enum Weekday {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}
