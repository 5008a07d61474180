//! Tables of what tools say: tests/conversations, whose README tells what the lines mean.

use std::fs;
use std::path::PathBuf;

use crate::place::repository;
use crate::protocol::{Login, capability as c};
use crate::server::Flavour;
use crate::stage::USER_PASSWORD;

/// A line of a table: how, on which flavours, and what.
#[derive(Debug)]
pub struct Line {
    /// Its number in the file.
    pub number: usize,
    /// The word it starts with.
    pub how: String,
    /// The flavour that the tool says it to, and its first version, such as 8.2.
    pub only: Option<(Flavour, (u32, u32))>,
    /// The statement.
    pub text: String,
}

/// A table: how its tool logs in, and what it says then.
#[derive(Debug)]
pub struct Conversation {
    /// How the tool's driver logs in, as `alice`.
    pub login: Login,
    /// What it says then.
    pub lines: Vec<Line>,
}

fn table(tool: &str) -> PathBuf {
    repository().join("tests/conversations").join(tool).with_extension("txt")
}

/// Reads the table of a tool.
pub fn conversation(tool: &str) -> Conversation {
    let text = fs::read_to_string(table(tool)).expect("the table is there");
    let mut login = None;
    let mut lines: Vec<Line> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim().is_empty() || line.starts_with('#') || line.starts_with("from ") {
            continue;
        }
        if line.starts_with(' ') {
            let last = lines.last_mut().expect("a line to continue");
            last.text.push('\n');
            last.text.push_str(line.trim());
            continue;
        }
        let (how, text) = line.split_once(' ').unwrap_or((line, ""));
        if how == "login" {
            login = Some(login_form(text));
            continue;
        }
        let (how, only) = how.split_once('@').unwrap_or((how, ""));
        let (flavour, since) = only.split_once('-').unwrap_or((only, "0.0"));
        let since = version(since);
        let only = match flavour {
            "" => None,
            "mysql" => Some((Flavour::MySql, since)),
            "mariadb" => Some((Flavour::MariaDb, since)),
            other => panic!("{tool}:{number}: no flavour {other}"),
        };
        lines.push(Line { number, how: how.to_owned(), only, text: text.trim().to_owned() });
    }
    Conversation { login: login.expect("a login line"), lines }
}

/// The first two numbers of a version.
pub fn version(text: &str) -> (u32, u32) {
    let mut numbers = text.split(['.', '-']).map(|part| part.parse().expect("a number"));
    (numbers.next().expect("a version"), numbers.next().expect("two numbers"))
}

/// `plugin=NAME schema=NAME flags=A,B attributes=NAME:VALUE,...`, in any order.
fn login_form(text: &str) -> Login {
    let mut login = Login::user("alice", USER_PASSWORD).with(c::LONG_FLAG | c::LENENC_AUTH);
    for (key, value) in text.split_whitespace().map(|part| part.split_once('=').expect("key=value"))
    {
        login = match key {
            "plugin" => login.proposing(value),
            "schema" => login.in_schema(value),
            "flags" => value.split(',').fold(login, |login, name| login.with(flag(name))),
            "attributes" => {
                let pairs = value.split(',').map(|pair| pair.split_once(':').expect("name:value"));
                login.attributes = pairs.map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
                login.with(c::CONNECT_ATTRS)
            }
            other => panic!("a login has no {other}"),
        };
    }
    login
}

fn flag(name: &str) -> u32 {
    match name {
        "FOUND_ROWS" => c::FOUND_ROWS,
        "ODBC" => c::ODBC,
        "LOCAL_FILES" => c::LOCAL_FILES,
        "IGNORE_SPACE" => c::IGNORE_SPACE,
        "INTERACTIVE" => c::INTERACTIVE,
        "MULTI_STATEMENTS" => c::MULTI_STATEMENTS,
        "EXPIRED_PW" => c::EXPIRED_PW,
        "SESSION_TRACK" => c::SESSION_TRACK,
        "DEPRECATE_EOF" => c::DEPRECATE_EOF,
        "QUERY_ATTRIBUTES" => c::QUERY_ATTRIBUTES,
        other => panic!("no flag {other}"),
    }
}
