//! What login records tell for the records of their sessions, while a ledger is read from its
//! beginning: each login comes before the records that refer to it.

use std::collections::HashMap;
use std::io::{self, Write};

use memchr::memmem::Finder;
use serde_json::{Map, Value};

use crate::line::Frame;
use crate::lines::Member;
use crate::shown::shown;
use crate::tag::TOLD_AT_LOGIN;

/// What else of a login is worth seeing beside each of its records.
const MORE: [&str; 2] = ["method", "attributes"];

/// The logins of the sessions that may go on, by node and session.
pub(crate) struct Logins {
    lines: HashMap<(String, u64), Vec<u8>>,
    login: Finder<'static>,
    disconnect: Finder<'static>,
    node: Member,
    session: Member,
    refers: Member,
}

impl Default for Logins {
    fn default() -> Self {
        Self {
            lines: HashMap::new(),
            login: Finder::new(b",\"event\":\"login\","),
            disconnect: Finder::new(b",\"event\":\"disconnect\","),
            node: Member::new("node"),
            session: Member::new("session"),
            refers: Member::new("login"),
        }
    }
}

impl Logins {
    /// Takes in a line on the way.
    pub(crate) fn pass(&mut self, line: &[u8]) {
        let is_login = self.login.find(line).is_some();
        if !is_login && self.disconnect.find(line).is_none() {
            return;
        }
        let Some(place) = self.place(line) else { return };
        if is_login {
            self.lines.insert(place, line.to_owned());
        } else {
            self.lines.remove(&place);
        }
    }

    /// What the login of a record's session tells; nothing of a record that refers to none.
    pub(crate) fn of(&self, line: &[u8]) -> Map<String, Value> {
        let login = self.place(line).and_then(|place| self.lines.get(&place));
        let is_its = |login: &&Vec<u8>| {
            let named = self.refers.number(line);
            named.is_some() && Frame::read(login).map(|frame| frame.sequence) == named
        };
        let login = login.filter(is_its).and_then(|login| serde_json::from_slice(login).ok());
        let Some(Value::Object(mut login)) = login else { return Map::new() };
        login.retain(|name, _| {
            TOLD_AT_LOGIN.contains(&name.as_str()) || MORE.contains(&name.as_str())
        });
        login
    }

    /// Writes a line, with what the login tells that it, or another line of its session, refers to as
    /// its last member.
    pub(crate) fn write_joined(
        &self,
        line: &[u8],
        refers: &[u8],
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let told = self.of(refers);
        match line.strip_suffix(b"}").filter(|_| !told.is_empty()) {
            None => out.write_all(line),
            Some(open) => {
                out.write_all(open)?;
                out.write_all(b",\"at_login\":")?;
                out.write_all(shown(&serde_json::to_string(&told)?).as_bytes())?;
                out.write_all(b"}")
            }
        }
    }

    fn place(&self, line: &[u8]) -> Option<(String, u64)> {
        Some((self.node.text(line)?.to_owned(), self.session.number(line)?))
    }
}
