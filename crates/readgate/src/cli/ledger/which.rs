//! Which records a command is about, and in what form a report is.
use std::net::IpAddr;
use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, ValueEnum};
use ledger::cli::{EVENTS, Search, Verdict};
use ledger::report::{ReportFormat, ReportRequest};

/// Which records.
#[derive(Debug, Args)]
pub struct SearchArguments {
    /// Kind of record, such as intent, refusal, login_failed.
    #[arg(long, value_parser = PossibleValuesParser::new(EVENTS), hide_possible_values = true)]
    event: Option<String>,
    /// Named user.
    #[arg(long)]
    user: Option<String>,
    /// Source address, in any form.
    #[arg(long)]
    source: Option<IpAddr>,
    /// Table, as schema.table, in any case.
    #[arg(long, value_parser = table)]
    table: Option<String>,
    /// Column, as schema.table.column, in any case; also where it may have been read.
    #[arg(long, value_parser = column)]
    column: Option<String>,
    /// Fingerprint of the statement.
    #[arg(long)]
    fingerprint: Option<String>,
    /// Rule that refused.
    #[arg(long)]
    rule: Option<String>,
    /// What the judge said.
    #[arg(long)]
    verdict: Option<VerdictArgument>,
    /// From this time on (UTC), such as 2026-01-31T08.
    #[arg(long, value_parser = ledger::cli::time_bound)]
    from: Option<String>,
    /// Up to this time.
    #[arg(long, value_parser = ledger::cli::time_bound)]
    to: Option<String>,
}

impl SearchArguments {
    pub(super) fn search(&self) -> Search {
        Search {
            event: self.event.clone(),
            user: self.user.clone(),
            source: self.source.map(|ip| ip.to_canonical().to_string()),
            table: self.table.clone(),
            column: self.column.clone(),
            fingerprint: self.fingerprint.clone(),
            rule: self.rule.clone(),
            verdict: self.verdict.map(|verdict| match verdict {
                VerdictArgument::Allowed => Verdict::Allowed,
                VerdictArgument::Refused => Verdict::Refused,
                VerdictArgument::Absorbed => Verdict::Absorbed,
            }),
            from: self.from.clone(),
            to: self.to.clone(),
            ..Search::default()
        }
    }
}

/// What the judge says of a statement.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum VerdictArgument {
    /// It was forwarded.
    Allowed,
    /// It was not.
    Refused,
    /// It was answered OK by readgate and not forwarded.
    Absorbed,
}

/// What a report is about.
#[derive(Debug, Args)]
pub struct ReportArguments {
    /// From this time on (UTC), such as 2026-01-31T08. What is before tells what is usual.
    #[arg(long, value_parser = ledger::cli::time_bound)]
    from: Option<String>,
    /// Up to this time.
    #[arg(long, value_parser = ledger::cli::time_bound)]
    to: Option<String>,
    /// This user alone.
    #[arg(long)]
    user: Option<String>,
    /// This table alone, as schema.table, in any case.
    #[arg(long, value_parser = table)]
    table: Option<String>,
    /// First usual hour (UTC).
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u8).range(..24))]
    day_begins: u8,
    /// First hour after the usual ones (UTC); where it is the smaller one, on the next day.
    #[arg(long, default_value_t = 19, value_parser = clap::value_parser!(u8).range(..=24))]
    day_ends: u8,
    /// Days without a login or statement after which a user is dormant.
    #[arg(long, default_value_t = 90)]
    dormant_days: u64,
}

impl ReportArguments {
    pub(super) fn request(&self, paths: &[PathBuf]) -> ReportRequest {
        ReportRequest {
            paths: paths.to_vec(),
            from: self.from.clone(),
            to: self.to.clone(),
            user: self.user.clone(),
            table: self.table.clone(),
            hours: (self.day_begins, self.day_ends),
            dormant_days: self.dormant_days,
        }
    }

    /// A search within the same time.
    pub(super) fn within(&self) -> Search {
        Search { from: self.from.clone(), to: self.to.clone(), ..Search::default() }
    }
}

/// Form of a report.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum ReportForm {
    /// For a terminal.
    Text,
    /// For spreadsheets.
    Csv,
    /// For programs.
    Json,
    /// One page with a chart.
    Html,
}

impl ReportForm {
    pub(super) fn of_ledger(self) -> ReportFormat {
        match self {
            Self::Text => ReportFormat::Text,
            Self::Csv => ReportFormat::Csv,
            Self::Json => ReportFormat::Json,
            Self::Html => ReportFormat::Html,
        }
    }
}

/// A column with its table and schema.
fn column(given: &str) -> Result<String, String> {
    named(given, "schema.table.column")
}

/// A table with its schema.
fn table(given: &str) -> Result<String, String> {
    named(given, "schema.table")
}

/// A name of as many parts as its form: less would find nothing, which looks like an answer.
fn named(given: &str, form: &str) -> Result<String, String> {
    let parts = |name: &str| name.split('.').filter(|part| !part.is_empty()).count();
    (parts(given) >= parts(form)).then(|| given.to_owned()).ok_or_else(|| format!("not {form}"))
}
