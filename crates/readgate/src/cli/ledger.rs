//! `readgate ledger`: verify, search, show and count records; keys that sign checkpoints.
//! Works on any machine that has the files; the daemon need not run.
mod which;

use std::io::{BufWriter, ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use ledger::cli::{Format, Search};
use ledger::report::report;
use ledger::verify::VerifyRequest;
use ledger::{PublicKey, Reader, keygen, note_reading, rotate_key};

use super::{
    EXIT_CANT_CREATE, EXIT_DATA, EXIT_INPUT, EXIT_NO, EXIT_NO_PERMISSION, fail, note, say,
};
pub use which::{ReportArguments, ReportForm, SearchArguments};

/// Whoever reads the output has seen enough, as `head` does: no failure.
const SEEN_ENOUGH: u8 = 0;

/// What to do with a ledger.
#[derive(Debug, Subcommand)]
pub enum LedgerCommand {
    /// Tell edits, deletions, insertions, reordering, cut tails and missing files, and where.
    /// Exit 0 if intact, 1 if not, 66 if something can't be read or there is no ledger.
    Verify {
        /// Ledger files, or folders of them.
        #[arg(required = true)]
        paths: Vec<PathBuf>,
        /// The node's public key: 64 hexadecimal digits, or a file that holds them.
        #[arg(long)]
        public_key: Option<String>,
        /// A copy of the checkpoints kept elsewhere; several are allowed.
        #[arg(long = "anchor")]
        anchors: Vec<PathBuf>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print the records that match, oldest first. Exit 1 if there are none.
    Search {
        /// Ledger files, or folders of them.
        #[arg(required = true)]
        paths: Vec<PathBuf>,
        /// Which records.
        #[command(flatten)]
        search: SearchArguments,
        /// Go on with the records that come.
        #[arg(short, long)]
        follow: bool,
        /// Print CSV with the main members.
        #[arg(long, conflicts_with = "follow")]
        csv: bool,
        /// Add to each record what its login record tells, as at_login. Such lines can't be
        /// verified.
        #[arg(long)]
        with_login: bool,
        /// Add to each record that names another one's text that text. Such lines can't be
        /// verified.
        #[arg(long, conflicts_with = "follow")]
        with_text: bool,
    },
    /// What users did, who could have read a table, what was denied, what is worth a look.
    Report {
        /// Ledger files, or folders of them.
        #[arg(required = true)]
        paths: Vec<PathBuf>,
        /// What about.
        #[command(flatten)]
        about: ReportArguments,
        /// Form of the report.
        #[arg(long, value_enum, default_value_t = ReportForm::Text)]
        format: ReportForm,
    },
    /// Print one record, those that refer to it, and the login of its session.
    Show {
        /// Its sequence number.
        sequence: u64,
        /// Ledger files, or folders of them.
        #[arg(required = true)]
        paths: Vec<PathBuf>,
    },
    /// Count statements, refusals, rows and bytes of each user.
    Stats {
        /// Ledger files, or folders of them.
        #[arg(required = true)]
        paths: Vec<PathBuf>,
        /// Which records.
        #[command(flatten)]
        search: SearchArguments,
    },
    /// Make a key that signs checkpoints; prints its public half.
    Keygen {
        /// File of the private half (PEM, 0600); the public half goes beside it as .pub.
        file: PathBuf,
    },
    /// Replace the key; the old one signs the new one. Prints both public halves.
    RotateKey {
        /// File of the private half.
        file: PathBuf,
    },
}

/// Runs a command; 0 if all is well, 1 if the answer is no.
pub fn run(command: &LedgerCommand) -> ExitCode {
    match carry_out(command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(EXIT_NO),
        Err((SEEN_ENOUGH, _)) => ExitCode::SUCCESS,
        Err((code, why)) => fail(code, &why),
    }
}

/// Whoever reads a live ledger is recorded in it first.
fn note_reader(command: &LedgerCommand) -> Result<(), (u8, String)> {
    let paths = match command {
        LedgerCommand::Search { paths, .. }
        | LedgerCommand::Show { paths, .. }
        | LedgerCommand::Report { paths, .. }
        | LedgerCommand::Stats { paths, .. } => paths,
        LedgerCommand::Verify { .. }
        | LedgerCommand::Keygen { .. }
        | LedgerCommand::RotateKey { .. } => return Ok(()),
    };
    note_this_reading(paths).map_err(|error| (EXIT_NO_PERMISSION, error.to_string()))?;
    let sealed = ledger::cli::sealed_files(paths).map_err(|e| (EXIT_INPUT, e.to_string()))?;
    if !sealed.is_empty() {
        note(&format!(
            "{} files are encrypted and not looked into; `age --decrypt` makes them readable",
            sealed.len()
        ));
    }
    Ok(())
}

/// Notes that this command, as it was typed, is about to read these ledgers.
///
/// # Errors
/// If the note can't be left: then nothing may be shown.
pub(super) fn note_this_reading(paths: &[PathBuf]) -> std::io::Result<()> {
    let what: Vec<String> = std::env::args().skip(1).collect();
    // sudo tells who is behind root; the number can't be set by the caller.
    let by = ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok());
    let uid = rustix::process::getuid().as_raw();
    let login_uid = login_uid().filter(|login| *login != uid);
    let reader = Reader { name: by.as_deref().unwrap_or(""), uid, login_uid };
    note_reading(paths, reader, &what.join(" "))
}

/// Who has logged in on the machine, as the kernel keeps it: whoever `sudo -u readgate` makes of them.
fn login_uid() -> Option<u32> {
    let text = std::fs::read_to_string("/proc/self/loginuid").ok()?;
    // Nobody has: a service.
    text.trim().parse().ok().filter(|uid| *uid != u32::MAX)
}

/// What can't match any record would make an empty answer, which looks like one.
fn check_sense(command: &LedgerCommand) -> Result<(), (u8, String)> {
    let search = match command {
        LedgerCommand::Search { search, .. } | LedgerCommand::Stats { search, .. } => {
            search.search()
        }
        LedgerCommand::Report { about, .. } => about.within(),
        LedgerCommand::Show { .. }
        | LedgerCommand::Verify { .. }
        | LedgerCommand::Keygen { .. }
        | LedgerCommand::RotateKey { .. } => return Ok(()),
    };
    if !ledger::cli::are_in_order(search.from.as_deref(), search.to.as_deref()) {
        return Err((EXIT_DATA, "--from is later than --to".into()));
    }
    if !search.can_match() {
        let why = "no record has all of that: refusals alone have a rule, outcomes alone tables, columns \
                   and a fingerprint, and what was allowed has an intent and an outcome";
        return Err((EXIT_DATA, why.into()));
    }
    Ok(())
}

/// Does it. True if the answer is yes.
fn carry_out(command: &LedgerCommand) -> Result<bool, (u8, String)> {
    check_sense(command)?;
    note_reader(command)?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    let unreadable = |error: std::io::Error| {
        let code = if error.kind() == ErrorKind::BrokenPipe { SEEN_ENOUGH } else { EXIT_INPUT };
        (code, error.to_string())
    };
    let answer = match command {
        LedgerCommand::Verify { paths, public_key, anchors, json } => {
            let public_key = public_key.as_deref().map(read_key).transpose()?;
            let (paths, anchors) = (paths.clone(), anchors.clone());
            let format = if *json { Format::Json } else { Format::Text };
            let request = VerifyRequest { paths, public_key, anchors };
            let verified = ledger::cli::verify_to(&request, format, &mut out);
            verified.map_err(|error| (EXIT_INPUT, error.to_string()))?
        }
        LedgerCommand::Search { paths, search, follow, csv, with_login, with_text } => {
            let search =
                Search { with_login: *with_login, with_text: *with_text, ..search.search() };
            let found = match (follow, csv) {
                (true, _) => ledger::cli::search_follow(paths, &search, &mut out).map(|()| 1),
                (_, true) => ledger::cli::search_csv(paths, &search, &mut out),
                _ => ledger::cli::search(paths, &search, &mut out),
            };
            found.map_err(unreadable)? > 0
        }
        LedgerCommand::Report { paths, about, format } => {
            let report = report(&about.request(paths)).map_err(unreadable)?;
            report.write(format.of_ledger(), &mut out).map_err(unreadable)?;
            true
        }
        LedgerCommand::Show { sequence, paths } => {
            let shown = ledger::cli::show(paths, *sequence, &mut out).map_err(unreadable)?;
            for login in shown.missing_logins {
                note(&format!("the login, record {login}, is in none of these files"));
            }
            shown.found
        }
        LedgerCommand::Stats { paths, search } => {
            let stats = ledger::cli::stats(paths, &search.search()).map_err(unreadable)?;
            ledger::cli::write_stats(&stats, &mut out).map_err(unreadable)?;
            true
        }
        LedgerCommand::Keygen { file } => {
            let public = keygen(file).map_err(|error| (EXIT_CANT_CREATE, error.to_string()))?;
            say(&public.to_hex());
            true
        }
        LedgerCommand::RotateKey { file } => {
            let (old, new) = rotate_key(file).map_err(|error| (EXIT_DATA, error.to_string()))?;
            say(&format!("old {}\nnew {}", old.to_hex(), new.to_hex()));
            true
        }
    };
    match out.flush().map_err(unreadable) {
        Ok(()) | Err((SEEN_ENOUGH, _)) => Ok(answer),
        Err(why) => Err(why),
    }
}

/// A key as digits, or the file that holds them.
fn read_key(text: &str) -> Result<PublicKey, (u8, String)> {
    if let Some(key) = PublicKey::from_hex(text) {
        return Ok(key);
    }
    let found = std::fs::read_to_string(text).map_err(|e| (EXIT_INPUT, format!("{text}: {e}")))?;
    PublicKey::from_hex(found.trim())
        .ok_or_else(|| (EXIT_DATA, format!("{text}: holds no public key of 64 hexadecimal digits")))
}
