//! What each user did, counted.
use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

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
    let mut looker = Looker::new(search);
    let mut counts = Counts::default();
    search.each_line(paths, &mut |line| {
        if looker.look(line).is_none() {
            return Ok(true);
        }
        let Ok(record) = serde_json::from_slice::<Counted<'_>>(line) else {
            return Ok(true);
        };
        if !forwarded || matches!(record.event, "intent" | "outcome") {
            counts.add(record);
        }
        Ok(true)
    })?;
    let mut users = counts.users;
    users.retain(|user, _| asked.user.as_ref().is_none_or(|wanted| wanted == user));
    Ok(users)
}

/// What counts of a record.
#[derive(Deserialize)]
struct Counted<'a> {
    seq: u64,
    time: &'a str,
    node: String,
    event: &'a str,
    #[serde(default)]
    intent: u64,
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

#[derive(Default)]
struct Counts {
    users: BTreeMap<String, UserStats>,
    /// Whose statements run.
    open: HashMap<(String, u64), String>,
}

impl Counts {
    fn add(&mut self, record: Counted<'_>) {
        let mut of_intent = None;
        match (record.event, &record.user) {
            ("intent", Some(user)) => {
                self.open.insert((record.node, record.seq), user.clone());
            }
            ("outcome", _) => of_intent = self.open.remove(&(record.node, record.intent)),
            _ => {}
        }
        let is_counted = of_intent.is_some();
        let user = self.users.entry(record.user.or(of_intent).unwrap_or_default()).or_default();
        match record.event {
            "intent" => user.statements += 1,
            "refusal" if record.verdict == Some("absorbed") => user.absorbed += 1,
            "refusal" => user.refused += 1,
            "login_failed" => user.logins_failed += 1,
            "outcome" => {
                // Who asks for tables asks for no intents: those don't name them.
                user.statements += u64::from(!is_counted);
                user.rows += record.rows;
                user.bytes += record.bytes;
                user.failed += u64::from(record.end != Some("ok"));
            }
            _ => {}
        }
        widen(&mut user.first, &mut user.last, record.time);
    }
}
