//! The tables of `proxy.toml`, one file each: first the description of the keys, then
//! how they become a value.
mod functions;
mod ledger;
mod limits;
mod listener;
mod ops;
mod replica;
mod source;
mod user;

use std::collections::HashMap;

use crate::error::Wrong;
use crate::keys::{Form, Section};
use crate::model::Config;
use crate::table::{Placed, Table};

/// The file itself.
pub(crate) static ROOT: Section = Section {
    name: "",
    form: Form::One,
    meaning: "The configuration of one readgate.",
    keys: &[],
    sections: &[
        &listener::LISTENER,
        &source::SOURCE,
        &user::USER,
        &replica::REPLICA,
        &functions::FUNCTIONS,
        &limits::LIMITS,
        &ledger::LEDGER,
        &ops::OPS,
    ],
};

/// Reads every table; `None` if a problem was noted anywhere.
pub(crate) fn read(root: &Table<'_, '_>) -> Option<Config> {
    let (sources, known) = source::read(root);
    let listeners = listener::read(root, &known);
    let users = user::read(root, &known);
    let replica = replica::read(root);
    let policy = functions::read(root);
    let limits = limits::read(root);
    let ledger = ledger::read(root);
    let ops = ops::read(root);
    Some(Config {
        listeners: listeners?,
        sources: sources?,
        users: users?,
        replica: replica?,
        policy: policy?,
        limits: limits?,
        ledger: ledger?,
        ops: ops?,
        warnings: Vec::new(),
    })
}

/// Notices when a value that must be unique comes a second time.
#[derive(Default)]
struct Unique {
    first_lines: HashMap<String, usize>,
}

impl Unique {
    fn note(&mut self, table: &Table<'_, '_>, key: &str, value: Option<String>) {
        let Some(value) = value else { return };
        if let Some(first) = self.first_lines.get(&value) {
            let wrong = format!("{value:?} is taken by line {first}");
            table.problem(key, Wrong::new(wrong, format!("give each its own {key}")));
            return;
        }
        self.first_lines.insert(value, table.line_of(key));
    }
}

/// Notes names of a list that no `[[source]]` has, and names listed twice.
fn check_source_names(
    table: &Table<'_, '_>,
    key: &str,
    names: &[Placed<String>],
    known: &[String],
) {
    for (index, name) in names.iter().enumerate() {
        let shown = &name.value;
        if !known.contains(shown) {
            let right = match crate::nearest::nearest(shown, known.iter().map(String::as_str)) {
                Some(near) => format!("did you mean {near:?}?"),
                None => String::from("name a [[source]] of this file"),
            };
            table.problem_at(
                name.line,
                key,
                Wrong::new(format!("no source is named {shown:?}"), right),
            );
        }
        if names
            .iter()
            .take(index)
            .any(|earlier| earlier.value == *shown)
        {
            let wrong = Wrong::new(format!("{shown:?} is listed twice"), "list it once");
            table.problem_at(name.line, key, wrong);
        }
    }
}
