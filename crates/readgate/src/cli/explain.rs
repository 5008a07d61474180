//! `readgate explain`: what the judge makes of statements, without a server.
use std::io::{BufReader, BufWriter, ErrorKind};
use std::path::PathBuf;
use std::process::ExitCode;

use bytes::Bytes;
use clap::{Args, ValueEnum};
use config::Config;
use sql_judge::{Explanation, Judge, Policy, ServerVersion, SessionFacts};

use crate::role_policy;

use super::{EXIT_CONFIG, EXIT_DATA, EXIT_INPUT, EXIT_IO, EXIT_NO, fail, say};

/// What to explain, and for which server and session.
#[derive(Debug, Args)]
pub struct ExplainArguments {
    /// The statement.
    #[arg(required_unless_present_any = ["file", "batch"], conflicts_with_all = ["file", "batch"])]
    sql: Option<String>,
    /// Explain a file of statements, separated by `;`, and sum up.
    #[arg(long, conflicts_with = "batch")]
    file: Option<PathBuf>,
    /// JSON lines in on standard input (`id`, `sql` or `b`, optional `cs`, `mode`, `flavour`,
    /// `version`), JSON lines out in the same order.
    #[arg(long)]
    batch: bool,
    /// Take allowed functions and calls from this configuration.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Judge as for the users of this role of the configuration.
    #[arg(long, requires = "config")]
    role: Option<String>,
    /// Make of the replica.
    #[arg(long, value_enum, default_value_t = Flavour::Mysql)]
    flavour: Flavour,
    /// Version of the replica, such as 8.0.43 or 10.11.19.
    #[arg(long)]
    server_version: Option<String>,
    /// The session's sql_mode.
    #[arg(long, default_value = "")]
    sql_mode: String,
    /// The session's character_set_client.
    #[arg(long, default_value = "utf8mb4")]
    charset: String,
    /// The session's default schema.
    #[arg(long)]
    schema: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Flavour {
    Mysql,
    Mariadb,
}

/// Exit 0 if everything explained is let through, 1 if something is refused.
pub fn run(arguments: &ExplainArguments) -> ExitCode {
    match explain(arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(EXIT_NO),
        Err((code, why)) => fail(code, &why),
    }
}

fn explain(arguments: &ExplainArguments) -> Result<bool, (u8, String)> {
    let policy = policy(arguments)?;
    let server = server(arguments)?;
    if arguments.batch {
        let (input, output) = (std::io::stdin().lock(), std::io::stdout().lock());
        let (input, output) = (BufReader::new(input), BufWriter::new(output));
        return match sql_judge::explain_batch(input, output, server, &policy) {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => {
                Err((EXIT_IO, error.to_string()))
            }
            // Whoever reads the answers has seen enough, as `head` does.
            Ok(()) | Err(_) => Ok(true),
        };
    }
    let schema = arguments.schema.as_ref().map(String::as_bytes);
    let (mode, charset) = (arguments.sql_mode.as_bytes(), arguments.charset.as_bytes());
    let facts = SessionFacts::from_session_variables(server, mode, charset, schema)
        .ok_or_else(|| (EXIT_DATA, "this character set or sql_mode is not known".to_owned()))?;
    let judge = Judge::new(server, policy);
    if let Some(path) = &arguments.file {
        let text =
            std::fs::read(path).map_err(|e| (EXIT_INPUT, format!("{}: {e}", path.display())))?;
        return Ok(explain_file(&judge, &facts, Bytes::from(text), arguments.json));
    }
    let text = Bytes::from(arguments.sql.clone().unwrap_or_default());
    let explanation = sql_judge::explain(&judge, &facts, text.clone());
    print(&explanation, &text, arguments.json);
    Ok(explanation.verdict != "reject")
}

/// Without a role: what holds for all of them.
fn policy(arguments: &ExplainArguments) -> Result<Policy, (u8, String)> {
    let Some(path) = &arguments.config else { return Ok(Policy::default()) };
    let (config, _) = Config::load(path).map_err(|e| (EXIT_CONFIG, e.to_string()))?;
    let Some(name) = &arguments.role else { return Ok(config.policy) };
    let role = config.roles.iter().find(|role| role.name == *name);
    let role = role.ok_or_else(|| (EXIT_DATA, format!("no role is named {name:?}")))?;
    Ok(role_policy::of(&config.policy, role))
}

fn server(arguments: &ExplainArguments) -> Result<ServerVersion, (u8, String)> {
    let version = arguments.server_version.as_deref();
    let text = match arguments.flavour {
        Flavour::Mysql => version.unwrap_or("9.7.4").to_owned(),
        Flavour::Mariadb => format!("{}-MariaDB", version.unwrap_or("10.11.19")),
    };
    ServerVersion::from_greeting(text.as_bytes())
        .ok_or_else(|| (EXIT_DATA, format!("{text:?} is no version that is judged for: MySQL's from 8.0, MariaDB's from 10.3 on, such as 8.0.43")))
}

/// Explains each statement of a file; session settings in it count for those after them.
fn explain_file(judge: &Judge, facts: &SessionFacts, text: Bytes, json: bool) -> bool {
    let (mut passed, mut refused) = (0_u64, 0_u64);
    for statement in sql_judge::split(facts, &text) {
        let explanation = sql_judge::explain(judge, facts, statement.clone());
        match explanation.verdict {
            "reject" => {
                refused += 1;
                print(&explanation, &statement, json);
            }
            _ => passed += 1,
        }
    }
    if !json {
        say(&format!("{passed} pass, {refused} refused"));
    }
    refused == 0
}

fn print(explanation: &Explanation, text: &[u8], json: bool) {
    match json {
        true => say(&explanation.to_json().to_string()),
        false => say(explanation.to_text(text).trim_end()),
    }
}
