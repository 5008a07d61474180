//! Reports over a ledger: what each user did, who could have read a table, what was denied,
//! and what is worth a look. One pass over the files; memory grows with users, tables and
//! days, not with records.

mod collect;
mod html;
mod notable;
mod table;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;

use serde::Serialize;

use collect::Collector;
pub(crate) use table::row;

use crate::lines::{each_line, sealed_files};
use crate::shown::write_pretty;

/// What to report on.
#[derive(Debug, Clone)]
pub struct ReportRequest {
    /// Ledger files, or folders of them.
    pub paths: Vec<PathBuf>,
    /// From this time on (UTC), may be cut short: `2026-01-31T08`. What lies before tells
    /// what is usual.
    pub from: Option<String>,
    /// Up to this time, what it begins with included.
    pub to: Option<String>,
    /// This user alone.
    pub user: Option<String>,
    /// This table alone, `schema.table`.
    pub table: Option<String>,
    /// Usual hours (UTC): the first, and the first after them, which may be of the next day. Of days
    /// from Monday to Friday.
    pub hours: (u8, u8),
    /// Days without a login or statement after which a user is dormant.
    pub dormant_days: u64,
}

impl ReportRequest {
    /// In words.
    fn about(&self) -> String {
        let user = self.user.as_ref().map_or("all users".into(), |user| format!("user {user}"));
        let table =
            self.table.as_ref().map_or("all tables".into(), |table| format!("table {table}"));
        let bound = |word: &str, bound: &Option<String>| {
            bound.as_ref().map_or(String::new(), |bound| format!(", {word} {bound}"))
        };
        let (from, to) = (bound("from", &self.from), bound("to", &self.to));
        let ((begins, ends), days) = (self.hours, self.dormant_days);
        format!(
            "{user}, {table}{from}{to} (UTC); usual hours {begins} to {ends}, dormant after {days} days"
        )
    }
}

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportFormat {
    /// For people, in a terminal.
    Text,
    /// For spreadsheets: one table.
    Csv,
    /// For programs.
    Json,
    /// For people, in a browser: one file, with a chart.
    Html,
}

/// A report.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// What was asked for, in words: nobody sees from the rest what was left out.
    pub about: String,
    /// Time of the first and the last record within its bounds.
    pub first: String,
    /// See `first`.
    pub last: String,
    /// Records within its bounds.
    pub records: u64,
    /// By user.
    pub users: BTreeMap<String, Activity>,
    /// By table, then user: who could have read it.
    pub tables: BTreeMap<String, BTreeMap<String, Activity>>,
    /// Statements by day.
    pub days: BTreeMap<String, Activity>,
    /// By user, then rule: what was refused.
    pub denied: BTreeMap<String, BTreeMap<String, Denied>>,
    /// What is worth a look.
    pub notable: Vec<Notable>,
}

/// What somebody did, or was done to something.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Activity {
    /// Statements forwarded whose end is known.
    pub statements: u64,
    /// Rows read.
    pub rows: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Statements that ended other than well.
    pub failed: u64,
    /// Time of the first.
    pub first: String,
    /// Time of the last.
    pub last: String,
}

/// Refusals by one rule.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Denied {
    /// How many.
    pub count: u64,
    /// Time of the last.
    pub last: String,
}

/// Something that is worth a look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Notable {
    /// `unusual_volume`, `off_hours`, `first_time_table`, `dormant`, `end_unknown`,
    /// `tables_unknown`, `login_failed`, `config_changed`, `not_read`.
    pub kind: &'static str,
    /// Who.
    pub user: String,
    /// In words.
    pub what: String,
    /// When.
    pub time: String,
}

impl Activity {
    fn add(&mut self, time: &str, rows: u64, bytes: u64, ok: bool) {
        self.statements += 1;
        self.rows += rows;
        self.bytes += bytes;
        self.failed += u64::from(!ok);
        widen(&mut self.first, &mut self.last, time);
    }
}

/// Takes a time into the span from `first` to `last`, which is empty before the first one. Records
/// of several nodes, and those behind a step of the clock, don't come in the order of their times; a
/// damaged one has none.
pub(crate) fn widen(first: &mut String, last: &mut String, time: &str) {
    if time.is_empty() {
        return;
    }
    if first.is_empty() || *time < **first {
        time.clone_into(first);
    }
    if *time > **last {
        time.clone_into(last);
    }
}

/// Reads the files and reports.
pub fn report(request: &ReportRequest) -> io::Result<Report> {
    let mut collector = Collector::new(request);
    each_line(&request.paths, &mut |line| {
        collector.line(line);
        Ok(true)
    })?;
    let mut report = Report { about: request.about(), ..collector.finish() };
    let sealed = sealed_files(&request.paths)?.len();
    if sealed > 0 {
        // Whoever is given the report, and sees no terminal, must not take it for the whole.
        let what = format!("{sealed} files are encrypted: nothing in them is counted here");
        let note = Notable { kind: "not_read", user: String::new(), what, time: String::new() };
        report.notable.insert(0, note);
    }
    Ok(report)
}

impl Report {
    /// Writes it.
    pub fn write(&self, format: ReportFormat, out: &mut dyn Write) -> io::Result<()> {
        match format {
            ReportFormat::Text => table::text(self, out),
            ReportFormat::Csv => table::csv(self, out),
            ReportFormat::Html => html::write(self, out),
            ReportFormat::Json => write_pretty(self, out),
        }
    }

    /// How much there is, in words.
    fn extent(&self) -> String {
        let Self { records, first, last, .. } = self;
        match records {
            0 => String::from("no records in that time"),
            _ => format!("{records} records in that time, {first} to {last}"),
        }
    }
}
