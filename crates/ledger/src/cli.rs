//! What the command line does with a ledger: verify, search, show, stats. Writes to any
//! [`Write`]; parses no arguments. Reads files as they are, live ones too: a scan at the
//! disk's speed, no index. Whoever reads is to be recorded by the caller.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, Write};
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem::Finder;
use serde::{Deserialize, Serialize};

pub use crate::bounds::{are_in_order, time_bound};
use crate::follow::follow;
use crate::json;
use crate::line::Frame;
pub use crate::lines::sealed_files;
use crate::lines::{
    Member, each_line, each_line_since, each_of, names_column, names_table, record, time_of,
    unescaped,
};
use crate::logins::Logins;
use crate::report::{row, widen};
use crate::shown;
pub use crate::statement::holds_statements;
use crate::texts::Texts;
use crate::verify::{VerifyError, VerifyRequest, verify};

/// All events that a record can have.
pub const EVENTS: [&str; 26] = [
    "start",
    "stop",
    "source_denied",
    "login_failed",
    "login",
    "disconnect",
    "intent",
    "outcome",
    "refusal",
    "kill",
    "config_load",
    "access_change",
    "replica_check",
    "feed_state",
    "notice",
    "reading",
    "recovered",
    "checkpoint",
    "key_rotated",
    "gap",
    "ledger_trouble",
    "ledger_failed",
    "ledger_resumed",
    "clock_step",
    "archived",
    "retired",
];

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// For programs: one JSON value a line.
    Json,
}

/// Verifies and writes the result. True if nothing is wrong.
pub fn verify_to(
    request: &VerifyRequest,
    format: Format,
    out: &mut dyn Write,
) -> Result<bool, VerifyError> {
    let report = verify(request)?;
    let write = |out: &mut dyn Write| match format {
        Format::Json => {
            serde_json::to_writer(&mut *out, &report)?;
            writeln!(out)
        }
        Format::Text => {
            report.nodes.iter().try_for_each(|node| node.describe(out)).and_then(|()| {
                report.strays.iter().try_for_each(|finding| writeln!(out, "{finding}"))?;
                writeln!(out, "{}", if report.is_intact() { "intact" } else { "NOT INTACT" })
            })
        }
    };
    write(out).map_err(|source| VerifyError { path: PathBuf::from("output"), source })?;
    Ok(report.is_intact())
}

/// Which records to find. Fields that are `None` match all.
#[derive(Debug, Clone, Default)]
pub struct Search {
    /// Kind of record, such as `intent`, `refusal`, `login_failed`.
    pub event: Option<String>,
    /// Named user.
    pub user: Option<String>,
    /// Source address.
    pub source: Option<String>,
    /// Table, as `schema.table`.
    pub table: Option<String>,
    /// Column, as `schema.table.column`: also where it may have been read, among all columns of its
    /// table or without its table's name.
    pub column: Option<String>,
    /// Fingerprint of the statement.
    pub fingerprint: Option<String>,
    /// Rule that refused.
    pub rule: Option<String>,
    /// What the judge said.
    pub verdict: Option<Verdict>,
    /// From this time on (UTC), as written in records; may be cut short: `2026-01-31T08`.
    pub from: Option<String>,
    /// Up to this time, what it begins with included.
    pub to: Option<String>,
    /// Whether each record is written with what its login record tells, as `at_login`. Such
    /// a line can't be verified; a table has it in its columns in any case.
    pub with_login: bool,
    /// Whether each record that names another one's text is written with that, as its last members.
    /// Such a line can't be verified; a table has texts in any case. Not while following.
    pub with_text: bool,
    /// Whether files are passed over whose records are all from before `from`, unless the clock was set
    /// back: for whoever can't wait for a ledger of years, and needs no more certainty than that.
    pub passes_over_older: bool,
}

/// What the judge says of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It was forwarded.
    Allowed,
    /// It was not.
    Refused,
    /// It was answered OK here and not forwarded.
    Absorbed,
}

impl Verdict {
    /// The member that tells it. Of what was forwarded, the record that has what is asked for.
    fn member(self, by_names: bool) -> (&'static str, &'static str) {
        match self {
            Self::Allowed if by_names => ("event", "outcome"),
            Self::Allowed => ("event", "intent"),
            Self::Refused => ("verdict", "refused"),
            Self::Absorbed => ("verdict", "absorbed"),
        }
    }
}

/// What is looked for in a line.
struct Needles {
    members: Vec<Finder<'static>>,
    tables: Member,
    columns: Member,
}

impl Search {
    /// Whether it asks for what a text names, which outcomes alone tell.
    fn is_by_names(&self) -> bool {
        self.table.is_some() || self.column.is_some() || self.fingerprint.is_some()
    }

    /// Whether a record can match at all. An empty answer to one that can't be found looks like one.
    pub fn can_match(&self) -> bool {
        let is_of_outcomes = self.event.as_deref().is_none_or(|event| event == "outcome")
            && self.rule.is_none()
            && matches!(self.verdict, None | Some(Verdict::Allowed));
        is_of_outcomes || !self.is_by_names()
    }

    /// What a matching line contains. Quotes in a record's texts are escaped, so that no
    /// statement can pose as a member.
    fn needles(&self) -> Needles {
        let members = [
            ("event", self.event.as_deref()),
            ("user", self.user.as_deref()),
            ("source", self.source.as_deref()),
            ("fingerprint", self.fingerprint.as_deref()),
            ("rule", self.rule.as_deref()),
        ];
        let given = members.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let verdict = self.verdict.map(|verdict| verdict.member(self.is_by_names()));
        let members = given.chain(verdict).map(|(name, value)| {
            let mut needle = Vec::new();
            json::push_bytes(&mut needle, name, value.as_bytes());
            Finder::new(&needle).into_owned()
        });
        let [tables, columns] = ["tables", "columns"].map(Member::new);
        Needles { members: members.collect(), tables, columns }
    }

    fn matches(&self, needles: &Needles, line: &[u8]) -> bool {
        let tables = || needles.tables.texts(line);
        let reads = |column: &String| {
            names_column(&needles.columns.texts(line), column, |table| {
                names_table(&tables(), table)
            })
        };
        self.in_time(time_of(line))
            && needles.members.iter().all(|needle| needle.find(line).is_some())
            && self.table.as_ref().is_none_or(|wanted| names_table(&tables(), wanted))
            && self.column.as_ref().is_none_or(reads)
    }

    /// The lines among which it looks.
    fn each_line(
        &self,
        paths: &[PathBuf],
        take: &mut dyn FnMut(&[u8]) -> io::Result<bool>,
    ) -> io::Result<()> {
        match self.from.as_deref().filter(|_| self.passes_over_older) {
            Some(from) => each_line_since(paths, from, take),
            None => each_line(paths, take),
        }
    }

    fn in_time(&self, time: &[u8]) -> bool {
        let start = |limit: &str| time.get(..limit.len()).unwrap_or(time);
        let after = self.from.as_deref().is_none_or(|from| start(from) >= from.as_bytes());
        after && self.to.as_deref().is_none_or(|to| start(to) <= to.as_bytes())
    }
}

/// Writes the matching records, oldest first. Returns how many.
pub fn search(paths: &[PathBuf], search: &Search, out: &mut dyn Write) -> io::Result<u64> {
    let mut found = 0;
    let needles = search.needles();
    let wants = |line: &[u8]| search.matches(&needles, line);
    let texts = search.with_text.then(|| Texts::of(paths, wants)).transpose()?;
    let mut writes = writer(search, texts);
    search.each_line(paths, &mut |line| {
        found += u64::from(writes(line, out)?);
        Ok(true)
    })?;
    Ok(found)
}

/// Writes the matching records, then those that come, until writing fails.
pub fn search_follow(paths: &[PathBuf], search: &Search, out: &mut dyn Write) -> io::Result<()> {
    let mut writes = writer(search, None);
    follow(paths, &mut |line| {
        if writes(line, out)? {
            out.flush()?;
        }
        Ok(true)
    })
}

/// What writes a line if it matches, and says so.
fn writer(
    search: &Search,
    texts: Option<Texts>,
) -> impl FnMut(&[u8], &mut dyn Write) -> io::Result<bool> {
    let needles = search.needles();
    let mut logins = search.with_login.then(Logins::default);
    move |line, out| {
        if let Some(logins) = &mut logins {
            logins.pass(line);
        }
        let matches = search.matches(&needles, line);
        if matches {
            let mut filled_in = Vec::new();
            let mut line = line;
            if let Some(texts) = &texts {
                texts.write_filled_in(line, &mut filled_in)?;
                line = &filled_in;
            }
            match &logins {
                Some(logins) => logins.write_joined(line, out)?,
                None => out.write_all(line)?,
            }
            out.write_all(b"\n")?;
        }
        Ok(matches)
    }
}

/// What [`show`] has found.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Whether there is a record of that number.
    pub found: bool,
    /// Logins that its records refer to and that aren't in these files.
    pub missing_logins: Vec<u64>,
}

/// Writes one record, laid out for reading, with the text that it refers to, and what refers
/// to it (its outcome, its executions); then the logins of their sessions.
pub fn show(paths: &[PathBuf], sequence: u64, out: &mut dyn Write) -> io::Result<Shown> {
    let refers = Finder::new(format!("\"intent\":{sequence}").as_bytes()).into_owned();
    let (node, login) = (Member::new("node"), Member::new("login"));
    let is_it = |line: &[u8]| Frame::read(line).is_some_and(|frame| frame.sequence == sequence);
    let texts = Texts::of(paths, is_it)?;
    let mut shown = Shown::default();
    let mut logins = BTreeSet::new();
    each_line(paths, &mut |line| {
        let is_it = is_it(line);
        let refers_to_it = refers
            .find(line)
            .and_then(|at| line.get(at + refers.needle().len()))
            .is_some_and(|next| !next.is_ascii_digit());
        if is_it || (shown.found && refers_to_it) {
            write_pretty(line, &texts, out)?;
            shown.found |= is_it;
            if let (Some(node), Some(login)) = (node.text(line), login.number(line)) {
                logins.insert((login, unescaped(node)));
            }
        }
        Ok(true)
    })?;
    each_of(paths, &mut logins, &mut |_, line| write_pretty(line, &texts, out))?;
    shown.missing_logins = logins.into_iter().map(|(number, _)| number).collect();
    Ok(shown)
}

fn write_pretty(line: &[u8], texts: &Texts, out: &mut dyn Write) -> io::Result<()> {
    let mut value = record(line);
    texts.fill_in(&mut value);
    shown::write_pretty(&value, out)
}

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
    // The short form of an outcome names nobody: whose it is tells its intent.
    let search = &Search { user: None, ..asked.clone() };
    let needles = search.needles();
    let mut users: BTreeMap<String, UserStats> = BTreeMap::new();
    // Whose statements run.
    let mut open: HashMap<(String, u64), String> = HashMap::new();
    search.each_line(paths, &mut |line| {
        if !search.matches(&needles, line) {
            return Ok(true);
        }
        let Ok(record) = serde_json::from_slice::<Counted<'_>>(line) else {
            return Ok(true);
        };
        let mut of_intent = None;
        match (record.event, &record.user) {
            ("intent", Some(user)) => drop(open.insert((record.node, record.seq), user.clone())),
            ("outcome", _) => of_intent = open.remove(&(record.node, record.intent)),
            _ => {}
        }
        let is_counted = of_intent.is_some();
        let user = users.entry(record.user.or(of_intent).unwrap_or_default()).or_default();
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
        Ok(true)
    })?;
    users.retain(|user, _| asked.user.as_ref().is_none_or(|wanted| wanted == user));
    Ok(users)
}

/// The columns of a search's result as CSV.
const COLUMNS: [&str; 18] = [
    "seq",
    "time",
    "event",
    "user",
    "role",
    "source",
    "program",
    "end_user",
    "kind",
    "verdict",
    "rule",
    "end",
    "rows",
    "bytes",
    "duration_us",
    "schema",
    "tables",
    "text",
];

/// Writes the matching records as CSV, with a line of names first and texts in full. Returns
/// how many.
pub fn search_csv(paths: &[PathBuf], search: &Search, out: &mut dyn Write) -> io::Result<u64> {
    let needles = search.needles();
    let mut logins = Logins::default();
    let mut found = 0;
    row(out, &COLUMNS)?;
    let texts = Texts::of(paths, |line| search.matches(&needles, line))?;
    each_line(paths, &mut |line| {
        logins.pass(line);
        if search.matches(&needles, line) {
            found += 1;
            csv_row(line, &logins, &texts, out)?;
        }
        Ok(true)
    })?;
    Ok(found)
}

fn csv_row(line: &[u8], logins: &Logins, texts: &Texts, out: &mut dyn Write) -> io::Result<()> {
    let mut record = record(line);
    texts.fill_in(&mut record);
    let told = logins.of(line);
    let cells = COLUMNS.map(|column| match record.get(column).or_else(|| told.get(column)) {
        None => record.get(format!("{column}_b64")).map(readable).unwrap_or_default(),
        Some(serde_json::Value::Null) => String::new(),
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(serde_json::Value::Array(items)) => {
            items.iter().filter_map(|item| item.as_str()).collect::<Vec<_>>().join(" ")
        }
        Some(other) => other.to_string(),
    });
    row(out, &cells.each_ref().map(String::as_str))
}

/// Bytes that are no UTF-8, as a client in another character set sends them: those stand as `\xe4`.
fn readable(base64: &serde_json::Value) -> String {
    let bytes = base64.as_str().and_then(|text| STANDARD.decode(text).ok()).unwrap_or_default();
    let mut shown = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        shown.push_str(chunk.valid());
        shown.extend(chunk.invalid().escape_ascii().map(char::from));
    }
    shown
}
