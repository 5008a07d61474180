//! Runs the table files beside it: each line is a statement and the verdict it must get.
//!
//! `@ mysql 9.7.4`, `@ mariadb 10.11.19` or `@ both` choose the server; `@ mode X` the sql_mode, `@
//! collation N` the client's character set, `@ schema X` the default schema; `@ functions A B`, `@
//! schemas A B` (or `all`) and `@ others hidden` (or `shown`) what a role may do; each until the
//! next `@` of that sort. A line is `allow`, `absorb`, `own`, `several` (all allowed), `several
//! deny rule` or `deny rule`, then `|`, then the statement, in which `\xNN`, `\n`, `\t`, `\0` and
//! `\\` stand for bytes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

#[path = "common/table.rs"]
mod table;

use std::path::Path;

use sql_judge::{Judge, Policy, ServerVersion, SessionFacts, Verdict};
use table::unescape;

struct Setup {
    servers: Vec<ServerVersion>,
    mode: String,
    collation: u16,
    schema: Option<String>,
    policy: Policy,
}

#[test]
fn every_statement_of_the_tables_gets_its_verdict() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rules");
    let mut failures = Vec::new();
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let table = std::fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let mut setup = Setup::default();
        for (number, line) in table.lines().enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(directive) = line.strip_prefix("@ ") {
                setup.change(directive);
                continue;
            }
            let (expected, statement) = line.split_once('|').expect("a `|` after the verdict");
            let statement = unescape(statement.trim_start());
            for server in &setup.servers {
                count += 1;
                let found = verdict_of(*server, &setup, &statement, expected.trim());
                if found != expected.trim() {
                    let (number, expected) = (number + 1, expected.trim());
                    failures.push(format!("{name}:{number}: {server:?}: {expected} != {found}"));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(count > 200, "only {count} lines were found");
}

impl Default for Setup {
    fn default() -> Self {
        let policy = Policy {
            allowed_functions: vec!["clin.age_at".to_owned()],
            allowed_calls: vec!["clin.report".to_owned()],
            sleep_max_seconds: 2,
            ..Policy::default()
        };
        let schema = Some("clin".to_owned());
        Self { servers: both(), mode: String::new(), collation: 255, schema, policy }
    }
}

impl Setup {
    fn change(&mut self, directive: &str) {
        let (word, value) = directive.split_once(' ').unwrap_or((directive, ""));
        match word {
            "mysql" | "mariadb" => {
                let suffix = if word == "mariadb" { "-MariaDB" } else { "" };
                let greeting = format!("{value}{suffix}");
                self.servers = vec![ServerVersion::from_greeting(greeting.as_bytes()).unwrap()];
            }
            "both" => self.servers = both(),
            "mode" => self.mode = value.to_owned(),
            "collation" => self.collation = value.parse().unwrap(),
            "schema" => self.schema = Some(value.to_owned()).filter(|name| name != "none"),
            "functions" => self.policy.allowed_functions = words(value),
            "schemas" => self.policy.schemas = Some(words(value)).filter(|_| value != "all"),
            "others" => self.policy.own_sessions_only = value == "hidden",
            _ => panic!("unknown directive {directive}"),
        }
    }
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

fn both() -> Vec<ServerVersion> {
    [&b"9.7.4"[..], b"10.11.19-MariaDB"].map(|v| ServerVersion::from_greeting(v).unwrap()).to_vec()
}

fn verdict_of(server: ServerVersion, setup: &Setup, statement: &[u8], expected: &str) -> String {
    let judge = Judge::new(server, setup.policy.clone());
    // Collation 255 is MySQL's default; MariaDB's is 45.
    let mariadb = server.flavour == sql_judge::Flavour::MariaDb;
    let collation = if mariadb && setup.collation == 255 { 45 } else { setup.collation };
    let schema = setup.schema.as_ref().map(String::as_bytes);
    let facts = SessionFacts::new(server, setup.mode.as_bytes(), collation, schema).unwrap();
    let text = bytes::Bytes::copy_from_slice(statement);
    if expected.starts_with("several") {
        let verdicts = judge.judge_several(&facts, text);
        let refused = verdicts.iter().find(|verdict| !matches!(verdict, Verdict::Allow(_)));
        let refused = refused.map(|verdict| format!(" {}", label(verdict)));
        return format!("several{}", refused.unwrap_or_default());
    }
    label(&judge.judge(&facts, text))
}

fn label(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Allow(_) => "allow".to_owned(),
        Verdict::Absorb(_) => "absorb".to_owned(),
        Verdict::Own(_) => "own".to_owned(),
        Verdict::Deny(denial) => format!("deny {}", denial.rule),
    }
}
