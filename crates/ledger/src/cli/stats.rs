//! What each user did, counted.
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::lines::{Member, unescaped};
use crate::report::widen;
use crate::search::{Looker, Search, Verdict};
use crate::shown;

/// What one user did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct UserStats {
    /// Statements forwarded.
    pub statements: u64,
    /// Statements refused.
    pub refused: u64,
    /// Statements answered OK that were not forwarded.
    pub absorbed: u64,
    /// Statements that ended other than `ok`.
    pub failed: u64,
    /// Rows read.
    pub rows: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Failed logins under the name.
    pub logins_failed: u64,
    /// First record's time.
    pub first: String,
    /// Last record's time.
    pub last: String,
}

/// Writes what [`stats`] has counted.
pub fn write_stats(stats: &BTreeMap<String, UserStats>, out: &mut dyn Write) -> io::Result<()> {
    shown::write_pretty(stats, out)
}

/// Counts per user within the search's bounds; records without a user count under "".
pub fn stats(paths: &[PathBuf], asked: &Search) -> io::Result<BTreeMap<String, UserStats>> {
    // The short form of an outcome names nobody: whose it is tells its intent. And what was let
    // through has its rows in its outcome.
    let forwarded = asked.verdict == Some(Verdict::Allowed);
    let verdict = asked.verdict.filter(|_| !forwarded);
    let search = &Search { user: None, verdict, ..asked.clone() };
    let mut looker = Looker::with_intents(search);
    let named = Member::new("user");
    let mut users = BTreeMap::new();
    search.each_line(paths, &mut |line| {
        let Some(intent) = looker.look(line) else { return Ok(true) };
        let Ok(mut record) = serde_json::from_slice::<Counted<'_>>(line) else {
            return Ok(true);
        };
        if !forwarded || matches!(record.event, "intent" | "outcome") {
            let intent = intent.as_deref();
            let is_counted = intent.is_some_and(|line| looker.matches(line, None));
            let of_intent = || intent.and_then(|line| named.text(line)).map(unescaped);
            let user = record.user.take().or_else(of_intent).unwrap_or_default();
            users.entry(user).or_insert_with(UserStats::default).add(&record, is_counted);
        }
        Ok(true)
    })?;
    users.retain(|user, _| asked.user.as_ref().is_none_or(|wanted| wanted == user));
    Ok(users)
}

/// What counts of a record.
#[derive(Deserialize)]
struct Counted<'a> {
    time: &'a str,
    event: &'a str,
    #[serde(default)]
    user: Option<String>,
    #[serde(default)]
    verdict: Option<&'a str>,
    #[serde(default)]
    end: Option<&'a str>,
    #[serde(default)]
    rows: u64,
    #[serde(default)]
    bytes: u64,
}

impl UserStats {
    /// Counts a record; `is_counted`: it is the outcome of a statement that its intent has counted.
    fn add(&mut self, record: &Counted<'_>, is_counted: bool) {
        match record.event {
            "intent" => self.statements += 1,
            "refusal" if record.verdict == Some("absorbed") => self.absorbed += 1,
            "refusal" => self.refused += 1,
            "login_failed" => self.logins_failed += 1,
            "outcome" => {
                // Who asks for tables asks for no intents: those don't name them.
                self.statements += u64::from(!is_counted);
                self.rows += record.rows;
                self.bytes += record.bytes;
                self.failed += u64::from(record.end != Some("ok"));
            }
            _ => {}
        }
        widen(&mut self.first, &mut self.last, record.time);
    }
}
