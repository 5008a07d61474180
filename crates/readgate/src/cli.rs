//! The command line: `readgate serve | status | check | explain | user | credential | sources |
//! access | ledger | hash-password | version`. Exit codes: docs/cli.md.
mod activity;
pub mod check;
pub mod explain;
mod generate;
pub mod hash_password;
mod issue;
mod json;
pub mod ledger;
mod passphrase;
mod people;
mod review;
mod sources;
mod status;
mod table;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use tokio::runtime::Runtime;
use tracing_subscriber::filter::LevelFilter;

use crate::daemon::StartFault;
use crate::log::Log;
use crate::server::{Reloads, ServeFault};
use crate::{panics, usage, workers};

/// The answer is no. Other codes are those of sysexits(3).
const EXIT_NO: u8 = 1;
/// EX_DATAERR: the input is wrong.
const EXIT_DATA: u8 = 65;
/// EX_NOINPUT: something can't be read.
const EXIT_INPUT: u8 = 66;
/// EX_UNAVAILABLE: an address is taken, the ledger can't be opened.
pub const EXIT_UNAVAILABLE: u8 = 69;
/// EX_CANTCREAT: a file can't be written.
const EXIT_CANT_CREATE: u8 = 73;
/// EX_IOERR: what is asked for can't be printed.
const EXIT_IO: u8 = 74;
/// EX_NOPERM: no right to it, or a reading that can't be recorded.
const EXIT_NO_PERMISSION: u8 = 77;
/// EX_CONFIG: the configuration is wrong.
pub const EXIT_CONFIG: u8 = 78;
/// How long the end waits for work that is under way on other threads.
const LAST_WORK: Duration = Duration::from_secs(1);

/// A read-only door in front of a MySQL or MariaDB replica.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon in the foreground.
    Serve {
        /// Configuration file.
        #[arg(long, default_value = "/etc/readgate/proxy.toml")]
        config: PathBuf,
        /// Form of log lines on standard error.
        #[arg(long, value_enum, default_value_t = LogFormat::Text)]
        log_format: LogFormat,
        /// Least severity that is logged, such as `info` or `readgate=debug`.
        #[arg(long, default_value = "info", value_parser = log_levels)]
        log_level: String,
    },
    /// Ask a running daemon whether it is ready.
    Status(status::StatusArguments),
    /// Say whether a configuration is right, and what is wrong where.
    Check {
        /// Configuration file.
        #[arg(long, default_value = "/etc/readgate/proxy.toml")]
        config: PathBuf,
        /// Look at the text alone, not at certificates, keys and secrets.
        #[arg(long)]
        text_only: bool,
    },
    /// Say what the judge makes of statements, and why.
    Explain(explain::ExplainArguments),
    /// Read a password from standard input and print the lines for a [[user]].
    HashPassword,
    /// Look at stored users and change them.
    #[command(subcommand)]
    User(people::UserCommand),
    /// Issue credentials and end them.
    #[command(subcommand)]
    Credential(people::CredentialCommand),
    /// Look at the networks that may connect.
    #[command(subcommand)]
    Sources(sources::SourcesCommand),
    /// Look at what was changed, by whom and why.
    #[command(subcommand)]
    Access(people::AccessCommand),
    /// Verify, search and count the ledger's records.
    #[command(subcommand)]
    Ledger(ledger::LedgerCommand),
    /// Print the version.
    Version {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Write man pages and shell completions, for packages.
    #[command(hide = true)]
    Generate(generate::GenerateArguments),
}

/// A word that is no level would be taken for a module's name, and nothing logged but that module.
fn log_levels(text: &str) -> Result<String, String> {
    let is_none = |part: &&str| {
        let level = part.rsplit_once('=').map_or(*part, |(_, level)| level);
        level.trim().parse::<LevelFilter>().is_err()
    };
    match text.split(',').find(is_none) {
        None => Ok(text.to_owned()),
        Some(part) => Err(format!(
            "{part:?} names no level; write error, warn, info, debug or trace, or MODULE=LEVEL"
        )),
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

/// Runs what the arguments say.
pub fn run(arguments: Arguments) -> ExitCode {
    match arguments.command {
        Command::Serve { config, log_format, log_level } => serve(config, log_format, &log_level),
        Command::Check { config, text_only } => check::run(&config, text_only),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::HashPassword => hash_password::run(),
        Command::User(command) => command.run(),
        Command::Credential(command) => command.run(),
        Command::Sources(command) => command.run(),
        Command::Access(command) => command.run(),
        Command::Ledger(command) => ledger::run(&command),
        Command::Status(arguments) => status::run(&arguments),
        Command::Version { json } => {
            version(json);
            ExitCode::SUCCESS
        }
        Command::Generate(arguments) => generate::run(&arguments),
    }
}

fn version(json: bool) {
    let target = format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS);
    let version = env!("CARGO_PKG_VERSION");
    match json {
        true => say(&serde_json::json!({"name": "readgate", "version": version, "target": target})
            .to_string()),
        false => say(crate::daemon::BUILD),
    }
}

fn serve(path: PathBuf, log_format: LogFormat, log_level: &str) -> ExitCode {
    forbid_core_files();
    let mut log = match log(log_format, log_level) {
        Ok(log) => log,
        Err(error) => return fail(EXIT_UNAVAILABLE, &error.to_string()),
    };
    let ended = run_daemon(path);
    if let Err(fault) = &ended {
        // Standard error may take nothing: the end doesn't wait for it either.
        let _ = log.write_all(format!("readgate: {fault}\n").as_bytes());
    }
    log.finish(LAST_WORK);
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) if fault.is_of_configuration() => ExitCode::from(EXIT_CONFIG),
        Err(_) => ExitCode::from(EXIT_UNAVAILABLE),
    }
}

fn run_daemon(path: PathBuf) -> Result<(), ServeFault> {
    let runtime = runtime().map_err(StartFault::Workers)?;
    let served = runtime.block_on(async {
        let reloads = Reloads::expect()?;
        let (config, hash) = config::Config::load(&path)?;
        for warning in &config.warnings {
            tracing::warn!("{warning}");
        }
        crate::server::serve(path, config, hash, reloads).await
    });
    // All is recorded. What still waits, for a store that hangs, say, is not waited for.
    runtime.shutdown_timeout(LAST_WORK);
    served
}

/// From here on log lines go to standard error.
fn log(format: LogFormat, level: &str) -> std::io::Result<Log> {
    workers::room_for(1)?;
    let log = Log::start(std::io::stderr())?;
    panics::watch(log.clone());
    let lines = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(level))
        .with_ansi(std::io::stderr().is_terminal())
        // It would go to standard error by another way, which ends the thread where that fails.
        .log_internal_errors(false)
        .with_writer(move || lines.clone());
    match format {
        LogFormat::Text => subscriber.init(),
        LogFormat::Json => subscriber.json().init(),
    }
    Ok(log)
}

/// Once there is a thread that may wait, there is one for as long as the daemon runs: something
/// asks for it each [`usage::EACH`], and a runtime that has none and can't make one panics.
fn runtime() -> std::io::Result<Runtime> {
    workers::room_for(2)?;
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(1).thread_keep_alive(usage::EACH * 4).enable_all().build()
}

/// Passwords pass through this process's memory; none may end in a core file.
fn forbid_core_files() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let _ = setrlimit(Resource::Core, none);
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
}

/// Says why on standard error.
pub fn fail(code: u8, why: &str) -> ExitCode {
    note(why);
    ExitCode::from(code)
}

/// Says something on standard error that isn't part of the output. If that takes nothing, the exit
/// status still tells.
pub fn note(line: &str) {
    let _ = writeln!(std::io::stderr(), "readgate: {line}");
}

/// Prints a line of output. Whoever reads it may have seen enough, as `head` does.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
