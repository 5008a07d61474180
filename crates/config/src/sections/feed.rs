//! `[[feed]]`: deliveries that the replica's data comes with, for replicas that are filled by
//! files rather than by replication.
use std::time::Duration;

use crate::error::Wrong;
use crate::keys::{Counts, Form, Kind, Section, default, optional, required};
use crate::model::{Deadline, Feed, FeedFiles, FeedPlace, FileForm, Replica, Weekday};
use crate::sections::replica::policy;
use crate::sections::{Unique, suggestion};
use crate::table::Table;
use crate::values;

pub(crate) static FEED: Section = Section {
    name: "feed",
    form: Form::SeveralOrNone,
    meaning: "A delivery that the replica's data comes with: watched by the files it comes as (`folder`, `pattern`), or by a query (`freshness_query`). It must be there by a time of day (`due`), or never be older than `max_age`, or both.",
    counts: Counts::AtReload,
    keys: &[
        required("name", Kind::Name, "\"lab\"", "Name, shown in errors, ledger and metrics."),
        optional(
            "replica",
            Kind::Name,
            "\"clinical\"",
            "The replica it fills: `replica.name`, which it is without this key too.",
        ),
        optional(
            "folder",
            Kind::Path,
            "\"/srv/feeds/lab\"",
            "Folder that its files come into. Folders within it are not searched. Either this or `freshness_query`.",
        ),
        optional(
            "pattern",
            Kind::Text,
            "\"lab-*.zip\"",
            "Names of its files: `*` stands for any characters, `?` for one. The file that was changed last counts, and when it was changed is when it arrived.",
        ),
        optional(
            "freshness_query",
            Kind::Text,
            "\"SELECT MAX(loaded_at) FROM ops.loads\"",
            "Query of one row and one value, run by the shared account on a connection of its own: when the data arrived (`YYYY-MM-DD HH:MM:SS`, by the clock of `utc_offset`), or a number: how many seconds ago. NULL: never. One that lies more than a minute ahead is by another clock, and tells nothing (`unknown`).",
        ),
        default(
            "look_every",
            Kind::Duration("1s", "1h"),
            "\"30s\"",
            "\"5m\"",
            "How often folder or query are asked.",
        ),
        optional(
            "due",
            Kind::TimeOfDay,
            "\"06:30\"",
            "By when each day's delivery must be there, by the clock of `utc_offset`.",
        ),
        default(
            "days",
            Kind::List(&Kind::Choice(&DAYS)),
            "[\"mon\", \"tue\", \"wed\", \"thu\", \"fri\", \"sat\", \"sun\"]",
            "[\"mon\", \"tue\", \"wed\", \"thu\", \"fri\"]",
            "Days of the week with a delivery.",
        ),
        default(
            "holidays",
            Kind::List(&Kind::Date),
            "[]",
            "[2026-12-25, 2027-01-01]",
            "Days without one.",
        ),
        default(
            "utc_offset",
            Kind::Offset,
            "\"+00:00\"",
            "\"-05:00\"",
            "How far the clock of `due`, `days`, `holidays` and `freshness_query` is ahead of UTC. It is fixed: there is no summer time.",
        ),
        default(
            "window",
            Kind::Duration("1m", "7d"),
            "\"12h\"",
            "\"4h\"",
            "How long before `due` a delivery may come to count for it: what came earlier, such as yesterday's that was late, does not.",
        ),
        optional(
            "max_age",
            Kind::Duration("1m", "365d"),
            "\"26h\"",
            "How old the newest delivery may be at any time.",
        ),
        default(
            "min_size",
            Kind::Size("0B", "1024TiB"),
            "\"1B\"",
            "\"10MiB\"",
            "A smaller file is malformed.",
        ),
        default(
            "stable_for",
            Kind::Duration("0s", "1d"),
            "\"60s\"",
            "\"5m\"",
            "A file that has changed within this time is still being written: it doesn't count yet.",
        ),
        default(
            "verify",
            Kind::Choice(&["none", "zip", "gzip"]),
            "\"none\"",
            "\"zip\"",
            "What a file's content must be: anything, a zip archive (its directory, and the CRC of each entry that is stored or deflated and not encrypted), or gzip (length and CRC).",
        ),
        default(
            "checksum",
            Kind::Choice(&["none", "sha256"]),
            "\"none\"",
            "\"sha256\"",
            "\"sha256\": beside each file stands one of the same name and `.sha256` after it, as `sha256sum` writes it. The file counts when that is there, and is malformed if it says otherwise.",
        ),
        default(
            "longest_check",
            Kind::Duration("1s", "12h"),
            "\"10m\"",
            "\"1h\"",
            "Longest check of a file's content. One that takes longer is given up and tried again after this time.",
        ),
        default(
            "when_stale",
            Kind::Choice(&["serve", "warn", "refuse"]),
            "\"warn\"",
            "\"refuse\"",
            "What happens while the delivery is late, missing, malformed or can't be looked at: nothing but metric and record (`serve`), also a warning in log and `/readyz` (`warn`), or logins and statements are refused with an error that says so (`refuse`).",
        ),
    ],
    sections: &[],
};

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
/// Keys that say something of files, of deadlines.
const OF_FILES: [&str; 6] =
    ["pattern", "min_size", "stable_for", "verify", "checksum", "longest_check"];
const OF_DEADLINES: [&str; 3] = ["days", "holidays", "window"];

pub(super) fn read(root: &Table<'_, '_>, replica: Option<&Replica>) -> Option<Vec<Feed>> {
    let mut names = Unique::default();
    let feeds = root.children("feed").into_iter().map(|table| {
        let name = table.get("name", values::name);
        names.note(&table, "name", name.clone());
        check_replica(&table, replica);
        let feed = read_one(&table);
        Some(Feed { name: name?, ..feed? })
    });
    // All of them, so that every problem is found.
    feeds.collect::<Vec<_>>().into_iter().collect()
}

fn check_replica(table: &Table<'_, '_>, replica: Option<&Replica>) {
    if let (Some(Some(named)), Some(replica)) = (table.optional("replica", values::name), replica)
        && named != replica.name
    {
        let right = suggestion(&named, [replica.name.as_str()], "write replica.name");
        table.problem("replica", Wrong::new(format!("no replica is named {named:?}"), right));
    }
}

/// All but its name.
fn read_one(table: &Table<'_, '_>) -> Option<Feed> {
    let place = read_place(table);
    let look_every = table.get("look_every", values::duration);
    let utc_offset = table.get("utc_offset", values::offset);
    let max_age = table.optional("max_age", values::duration);
    let when_stale = table.get("when_stale", values::choice);
    let deadline = read_deadline(table);
    if !table.has("due") && !table.has("max_age") {
        let right = "add due = \"06:30\", or max_age = \"26h\"";
        table.problem("due", Wrong::new("is missing", right));
    }
    Some(Feed {
        name: String::new(),
        place: place?,
        look_every: look_every?,
        deadline: deadline?,
        max_age: max_age?,
        utc_offset: utc_offset?,
        when_stale: policy(when_stale?),
    })
}

fn read_place(table: &Table<'_, '_>) -> Option<FeedPlace> {
    let folder = table.optional("folder", values::text);
    let query = table.optional("freshness_query", values::text);
    let files = read_files(table);
    match (folder?, query?) {
        (Some(_), Some(_)) => {
            let wrong = Wrong::new("is given beside folder", "keep one of them");
            table.problem("freshness_query", wrong);
            None
        }
        (Some(folder), None) => {
            if !table.has("pattern") {
                let right = "add pattern = \"*.zip\"";
                table.problem("pattern", Wrong::new("is missing", right));
            }
            let folder = table.document().resolve(&folder);
            Some(FeedPlace::Files(FeedFiles { folder, ..files? }))
        }
        (None, Some(query)) => {
            for key in OF_FILES.into_iter().filter(|key| table.has(key)) {
                table.problem(key, Wrong::new("has no use without folder", "remove it"));
            }
            Some(FeedPlace::Query(query))
        }
        (None, None) => {
            let right = "add folder and pattern, or freshness_query";
            table.problem("folder", Wrong::new("is missing", right));
            None
        }
    }
}

/// All but the folder.
fn read_files(table: &Table<'_, '_>) -> Option<FeedFiles> {
    let pattern = table.optional("pattern", values::text);
    if let Some(Some(pattern)) = &pattern
        && pattern.contains('/')
    {
        let right = "write names alone; folders below are not searched";
        table.problem("pattern", Wrong::new(format!("{pattern:?} holds a slash"), right));
        return None;
    }
    let min_size = table.get("min_size", values::size);
    let stable_for = table.get("stable_for", values::duration);
    let verify = table.get("verify", values::choice);
    let checksum = table.get("checksum", values::choice);
    let longest_check = table.get("longest_check", values::duration);
    Some(FeedFiles {
        folder: Default::default(),
        pattern: pattern?.unwrap_or_default(),
        min_size: min_size?,
        stable_for: stable_for?,
        verify: match verify? {
            "zip" => FileForm::Zip,
            "gzip" => FileForm::Gzip,
            _ => FileForm::Any,
        },
        checksum: checksum? == "sha256",
        longest_check: longest_check?,
    })
}

/// `Some(None)`: there is none.
fn read_deadline(table: &Table<'_, '_>) -> Option<Option<Deadline>> {
    let due = table.optional("due", values::time_of_day);
    let days = table.list("days", values::choice).values();
    let holidays = table.list("holidays", values::date).values();
    let window: Option<Duration> = table.get("window", values::duration);
    if days.as_ref().is_some_and(Vec::is_empty) {
        let right = "name at least one day, or remove it";
        table.problem("days", Wrong::new("is empty", right));
    }
    let Some(due) = due? else {
        for key in OF_DEADLINES.into_iter().filter(|key| table.has(key)) {
            table.problem(key, Wrong::new("has no use without due", "add due, or remove it"));
        }
        return Some(None);
    };
    let days = days?.into_iter().map(weekday).collect();
    Some(Some(Deadline { due, days, holidays: holidays?, window: window? }))
}

fn weekday(word: &str) -> Weekday {
    match word {
        "mon" => Weekday::Monday,
        "tue" => Weekday::Tuesday,
        "wed" => Weekday::Wednesday,
        "thu" => Weekday::Thursday,
        "fri" => Weekday::Friday,
        "sat" => Weekday::Saturday,
        _ => Weekday::Sunday,
    }
}
