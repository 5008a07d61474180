//! `readgate ledger search`: which records match, and how they are written.

use std::borrow::Cow;
use std::io::{self, Write};
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem::Finder;
use serde_json::Value;

use crate::follow::follow;
use crate::intents::Intents;
use crate::json;
use crate::lines::{
    Member, each_line, each_line_since, names_column, names_table, record, time_of,
};
use crate::logins::Logins;
use crate::report::row;
use crate::texts::Texts;

/// Which records to find. Fields that are `None` match all.
#[derive(Debug, Clone, Default)]
pub struct Search {
    /// Kind of record, such as `intent`, `refusal`, `login_failed`.
    pub event: Option<String>,
    /// Named user; outcomes that name none have that of their intents.
    pub user: Option<String>,
    /// Source address; outcomes have that of their intents.
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
    /// Whether each record whose text, or whose intent's, stands in another one is written with that, as
    /// its last members, an outcome with the bound values too. Such a line can't be verified; a table
    /// has them in any case. Not while following.
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

/// What is looked for in a line.
struct Needles {
    members: Vec<Finder<'static>>,
    /// Who: an outcome may leave that to its intent.
    who: Vec<Finder<'static>>,
    tables: Member,
    columns: Member,
}

impl Search {
    /// Whether it asks for what a text names.
    fn is_by_names(&self) -> bool {
        self.table.is_some() || self.column.is_some() || self.fingerprint.is_some()
    }

    /// What is told of a statement that was forwarded, of its two records by the one that is asked for.
    fn forwarded(&self) -> &'static str {
        let is_ended = self.is_by_names() || self.event.as_deref() == Some("outcome");
        if is_ended { "outcome" } else { "intent" }
    }

    /// Whether a record can match at all. An empty answer to one that can't be found looks like one.
    pub fn can_match(&self) -> bool {
        let refusal = self.rule.as_ref().map(|_| "refusal");
        let names = self.is_by_names().then_some("outcome");
        let verdict = self.verdict.map(|verdict| match verdict {
            Verdict::Allowed => self.forwarded(),
            Verdict::Refused | Verdict::Absorbed => "refusal",
        });
        let mut events = [self.event.as_deref(), refusal, names, verdict].into_iter().flatten();
        let first = events.next();
        events.all(|event| Some(event) == first)
    }

    /// What a matching line contains. Quotes in a record's texts are escaped, so that no
    /// statement can pose as a member.
    fn needles(&self) -> Needles {
        let needle = |(name, value): (&str, &str)| {
            let mut needle = Vec::new();
            json::push_bytes(&mut needle, name, value.as_bytes());
            Finder::new(&needle).into_owned()
        };
        let members = [
            ("event", self.event.as_deref()),
            ("fingerprint", self.fingerprint.as_deref()),
            ("rule", self.rule.as_deref()),
        ];
        let given = members.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let verdict = self.verdict.map(|verdict| match verdict {
            Verdict::Allowed => ("event", self.forwarded()),
            Verdict::Refused => ("verdict", "refused"),
            Verdict::Absorbed => ("verdict", "absorbed"),
        });
        let members = given.chain(verdict).map(needle).collect();
        let who = [("user", self.user.as_deref()), ("source", self.source.as_deref())];
        let who = who.into_iter().filter_map(|(name, value)| Some(needle((name, value?))));
        let [tables, columns] = ["tables", "columns"].map(Member::new);
        Needles { members, who: who.collect(), tables, columns }
    }

    /// The lines among which it looks.
    pub(crate) fn each_line(
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

/// Looks through the lines of ledgers from their beginning.
pub(crate) struct Looker<'s> {
    search: &'s Search,
    needles: Needles,
    /// Kept where it is asked for what outcomes leave to them.
    intents: Option<Intents>,
}

/// Of a line that matches: the line of its intent, if it is an outcome and intents are kept.
pub(crate) type Hit = Option<Vec<u8>>;

impl<'s> Looker<'s> {
    pub(crate) fn new(search: &'s Search) -> Self {
        let needles = search.needles();
        let intents = (!needles.who.is_empty()).then(Intents::default);
        Self { search, needles, intents }
    }

    /// One that also finds the intents of outcomes for whoever writes more than the line.
    pub(crate) fn with_intents(search: &'s Search) -> Self {
        Self { intents: Some(Intents::default()), ..Self::new(search) }
    }

    /// Looks at the next line. Something if it matches.
    pub(crate) fn look(&mut self, line: &[u8]) -> Option<Hit> {
        let intent = self.intents.as_mut().and_then(|intents| intents.pass(line));
        self.matches(line, intent.as_deref()).then_some(intent)
    }

    /// Whether a line matches; beside that of its intent, if it is an outcome.
    pub(crate) fn matches(&self, line: &[u8], intent: Option<&[u8]>) -> bool {
        let (search, needles) = (self.search, &self.needles);
        let tables = || needles.tables.texts(line);
        let reads = |column: &String| {
            names_column(&needles.columns.texts(line), column, |table| {
                names_table(&tables(), table)
            })
        };
        let told = [Some(line), intent];
        let is_of = |who: &Finder<'_>| told.iter().flatten().any(|line| who.find(line).is_some());
        search.in_time(time_of(line))
            && needles.members.iter().all(|needle| needle.find(line).is_some())
            && needles.who.iter().all(is_of)
            && search.table.as_ref().is_none_or(|wanted| names_table(&tables(), wanted))
            && search.column.as_ref().is_none_or(reads)
    }
}

/// The texts that the matching records refer to.
fn texts(paths: &[PathBuf], search: &Search) -> io::Result<Texts> {
    let mut looker = Looker::with_intents(search);
    Texts::of(paths, |line| {
        looker.look(line).map(|intent| intent.map_or(Cow::Borrowed(line), Cow::Owned))
    })
}

/// Writes the matching records, oldest first. Returns how many.
pub fn search(paths: &[PathBuf], search: &Search, out: &mut dyn Write) -> io::Result<u64> {
    let mut found = 0;
    let texts = search.with_text.then(|| texts(paths, search)).transpose()?;
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
    let mut logins = search.with_login.then(Logins::default);
    let says_more = search.with_login || search.with_text;
    let mut looker = if says_more { Looker::with_intents(search) } else { Looker::new(search) };
    move |line, out| {
        if let Some(logins) = &mut logins {
            logins.pass(line);
        }
        let Some(intent) = looker.look(line) else { return Ok(false) };
        let intent = intent.as_deref();
        let mut filled_in = Vec::new();
        let mut written = line;
        if let Some(texts) = &texts {
            texts.write_filled_in(line, intent, &mut filled_in)?;
            written = &filled_in;
        }
        match &logins {
            Some(logins) => logins.write_joined(written, intent.unwrap_or(line), out)?,
            None => out.write_all(written)?,
        }
        out.write_all(b"\n")?;
        Ok(true)
    }
}

/// The columns of a search's result as CSV.
const COLUMNS: [&str; 20] = [
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
    "binds",
    "reason",
];

/// Writes the matching records as CSV, with a line of names first, texts in full, and in outcomes what
/// their intents tell. Returns how many.
pub fn search_csv(paths: &[PathBuf], search: &Search, out: &mut dyn Write) -> io::Result<u64> {
    let mut looker = Looker::with_intents(search);
    let mut logins = Logins::default();
    let mut found = 0;
    row(out, &COLUMNS)?;
    let texts = texts(paths, search)?;
    each_line(paths, &mut |line| {
        logins.pass(line);
        if let Some(intent) = looker.look(line) {
            found += 1;
            csv_row(line, intent.as_deref(), &logins, &texts, out)?;
        }
        Ok(true)
    })?;
    Ok(found)
}

fn csv_row(
    line: &[u8],
    intent: Option<&[u8]>,
    logins: &Logins,
    texts: &Texts,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut whole = record(line);
    texts.fill_in(&mut whole);
    let told = logins.of(intent.unwrap_or(line));
    let intent = intent.map(|intent| texts.whole(intent)).unwrap_or_default();
    let among = |column: &str| whole.get(column).or_else(|| intent.get(column));
    let cells = COLUMNS.map(|column| match among(column).or_else(|| told.get(column)) {
        None => among(&format!("{column}_b64")).map(readable).unwrap_or_default(),
        Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) => in_a_cell(items),
        Some(other) => other.to_string(),
    });
    row(out, &cells.each_ref().map(String::as_str))
}

/// Names beside one another; anything else as JSON.
fn in_a_cell(items: &[Value]) -> String {
    let names: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
    names.map_or_else(|| Value::from(items).to_string(), |names| names.join(" "))
}

/// Bytes that are no UTF-8, as a client in another character set sends them: those stand as `\xe4`.
fn readable(base64: &Value) -> String {
    let bytes = base64.as_str().and_then(|text| STANDARD.decode(text).ok()).unwrap_or_default();
    let mut shown = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        shown.push_str(chunk.valid());
        shown.extend(chunk.invalid().escape_ascii().map(char::from));
    }
    shown
}
