//! What the command line does with a ledger: verify, show, stats, and search. Writes to any
//! [`Write`]; parses no arguments. Reads files as they are, live ones too: a scan at the
//! disk's speed, no index. Whoever reads is to be recorded by the caller.
mod stats;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::PathBuf;

use memchr::memmem::Finder;

pub use crate::bounds::{are_in_order, time_bound};
use crate::intents::Intents;
use crate::line::Frame;
pub use crate::lines::sealed_files;
use crate::lines::{Member, Place, each_line, each_of, unescaped};
pub use crate::search::{Search, Verdict, search, search_csv, search_follow};
use crate::shown;
pub use crate::statement::holds_statements;
use crate::texts::Texts;
use crate::verify::{VerifyError, VerifyRequest, verify};
pub use stats::{UserStats, stats, write_stats};

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
    match write(out) {
        Err(source) if source.kind() != io::ErrorKind::BrokenPipe => {
            Err(VerifyError { path: PathBuf::from("output"), source })
        }
        // What was found stays so, however much of it is read.
        Ok(()) | Err(_) => Ok(report.is_intact()),
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

/// Writes one record, laid out for reading, with the text that it refers to, what it is the end of (an
/// outcome's intent), and what refers to it (its outcome, its executions); then the logins of their
/// sessions.
pub fn show(paths: &[PathBuf], sequence: u64, out: &mut dyn Write) -> io::Result<Shown> {
    let refers = Finder::new(format!("\"intent\":{sequence}").as_bytes()).into_owned();
    let (node, login) = (Member::new("node"), Member::new("login"));
    let place = |line: &[u8]| -> Option<Place> {
        Some((Frame::read(line)?.sequence, unescaped(node.text(line)?)))
    };
    let is_it = |line: &[u8]| Frame::read(line).is_some_and(|frame| frame.sequence == sequence);
    let (mut intents, mut begins) = (Intents::default(), BTreeSet::new());
    let texts = Texts::of(paths, |line| {
        let intent = intents.pass(line);
        begins.extend(intent.as_deref().filter(|_| is_it(line)).and_then(place));
        is_it(line).then(|| intent.map_or(Cow::Borrowed(line), Cow::Owned))
    })?;
    let mut shown = Shown::default();
    let mut logins = BTreeSet::new();
    each_line(paths, &mut |line| {
        let is_it = is_it(line);
        let refers_to_it = refers
            .find(line)
            .and_then(|at| line.get(at + refers.needle().len()))
            .is_some_and(|next| !next.is_ascii_digit());
        let begins_it = !begins.is_empty() && place(line).is_some_and(|it| begins.contains(&it));
        if is_it || begins_it || (shown.found && refers_to_it) {
            shown::write_pretty(&texts.whole(line), out)?;
            shown.found |= is_it;
            if let (Some(node), Some(login)) = (node.text(line), login.number(line)) {
                logins.insert((login, unescaped(node)));
            }
        }
        Ok(true)
    })?;
    let write = &mut |_, line: &[u8]| shown::write_pretty(&texts.whole(line), out);
    each_of(paths, &mut logins, write)?;
    shown.missing_logins = logins.into_iter().map(|(number, _)| number).collect();
    Ok(shown)
}
