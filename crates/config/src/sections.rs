//! The tables of `proxy.toml`, one file each: first the description of the keys, then
//! how they become a value.
mod credentials;
mod feed;
mod functions;
mod identities;
mod ledger;
mod limits;
mod listener;
mod login;
mod notice;
mod ops;
mod reload;
mod replica;
mod role;
mod source;
mod user;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;

use access::{Date, SourceSet};

use crate::error::Wrong;
use crate::keys::{Counts, Form, Section};
use crate::model::{Config, Replica};
use crate::nearest::nearest;
use crate::secret::{PasswordSource, SecretFile};
use crate::table::{Placed, Table};
use crate::values;

/// The file itself.
pub(crate) static ROOT: Section = Section {
    name: "",
    form: Form::One,
    meaning: "The configuration of one readgate.",
    counts: Counts::AtReload,
    keys: &[],
    sections: &[
        &listener::LISTENER,
        &source::RULES,
        &source::SOURCE,
        &role::ROLE,
        &user::USER,
        &identities::IDENTITIES,
        &credentials::CREDENTIALS,
        &login::LOGIN,
        &replica::REPLICA,
        &feed::FEED,
        &functions::FUNCTIONS,
        &limits::LIMITS,
        &ledger::LEDGER,
        &ops::OPS,
        &notice::NOTICE,
        &reload::RELOAD,
    ],
};

/// Reads every table; `None` if a problem was noted anywhere.
pub(crate) fn read(root: &Table<'_, '_>) -> Option<Config> {
    let (sources, source_names) = source::read(root);
    let mut addresses = Addresses::default();
    let listeners = listener::read(root, &source_names, &mut addresses);
    let replica = replica::read(root);
    let accounts: Option<Vec<String>> = replica.as_ref().map(Replica::role_account_names);
    let known = role::Known { sources: &source_names, accounts: accounts.as_deref() };
    let roles = role::read(root, &known);
    let users = user::read(root, &user::Known { sources: &source_names, roles: &roles });
    let identities = identities::read(root);
    let credentials = credentials::read(root);
    let feeds = feed::read(root, replica.as_ref());
    let policy = functions::read(root);
    let limits = limits::read(root);
    let throttle = login::read(root, limits.as_ref());
    let ledger = ledger::read(root, &roles);
    let ops = ops::read(root, &mut addresses);
    let notices = notice::read(root);
    let reload = reload::read(root);
    let (credentials, passwords) = credentials?;
    Some(Config {
        listeners: listeners?,
        sources: Arc::new(sources?),
        users: users?,
        roles: roles.into_values().collect::<Option<_>>()?,
        identities: identities?,
        credentials,
        passwords,
        replica: replica?,
        feeds: feeds?,
        notices: notices?,
        policy: policy?,
        limits: limits?,
        throttle: throttle?,
        ledger: ledger?,
        ops: ops?,
        reload: reload?,
        settings: Arc::default(),
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

/// Notices an address that a socket before it listens on, by itself or with all others of its
/// family.
#[derive(Default)]
struct Addresses {
    taken: Vec<(SocketAddr, usize)>,
}

impl Addresses {
    fn note(&mut self, table: &Table<'_, '_>, address: SocketAddr) {
        // The system chooses a free one.
        if address.port() == 0 {
            return;
        }
        let ip = address.ip();
        let has_all = |one: &SocketAddr| one.ip().is_unspecified() || ip.is_unspecified();
        let clashes = |(one, _): &&(SocketAddr, usize)| {
            let is_alike = one.is_ipv4() == address.is_ipv4() && one.port() == address.port();
            is_alike && (one.ip() == ip || has_all(one))
        };
        if let Some((_, line)) = self.taken.iter().find(clashes) {
            let wrong = format!("\"{address}\" is taken by line {line}");
            table.problem("address", Wrong::new(wrong, "give each its own address"));
        }
        self.taken.push((address, table.line_of("address")));
    }
}

/// Notes names of a list that no `[[source]]` has, and names listed twice.
fn check_source_names(
    table: &Table<'_, '_>,
    key: &str,
    names: &[Placed<String>],
    known: &BTreeSet<String>,
) {
    let mut seen = HashSet::new();
    for name in names {
        let shown = &name.value;
        if !known.contains(shown) {
            let all = known.iter().map(String::as_str);
            let right = suggestion(shown, all, "name a [[source]] of this file");
            table.problem_at(
                name.line,
                key,
                Wrong::new(format!("no source is named {shown:?}"), right),
            );
        }
        if !seen.insert(shown) {
            let wrong = Wrong::new(format!("{shown:?} is listed twice"), "list it once");
            table.problem_at(name.line, key, wrong);
        }
    }
}

/// What to write in place of a name that nothing has.
fn suggestion<'k>(name: &str, known: impl IntoIterator<Item = &'k str>, otherwise: &str) -> String {
    match nearest(name, known) {
        Some(near) => format!("did you mean {near:?}?"),
        None => otherwise.to_owned(),
    }
}

/// The file, variable or credential that a password is in; `Some(None)`: none is named.
fn password_source(table: &Table<'_, '_>) -> Option<Option<PasswordSource>> {
    let file = table.optional("password_file", values::text);
    let variable = table.optional("password_env", values::text);
    let credential = table.optional("password_credential", values::name);
    let file = file?.map(|path| SecretFile::new(table.document().resolve(&path)));
    let in_file = file.map(PasswordSource::File);
    let in_variable = variable?.map(PasswordSource::Environment);
    let in_credential = credential?.map(PasswordSource::Credential);
    Some(in_file.or(in_variable).or(in_credential))
}

/// Notes if not exactly one of the keys that say where a password is was given.
fn check_password_keys(table: &Table<'_, '_>, keys: &[&str]) {
    let given: Vec<&str> = keys.iter().copied().filter(|key| table.has(key)).collect();
    let Some((first, others)) = given.split_first() else {
        let right = "add one of password_file, password_env, password_credential";
        table.problem("password_file", Wrong::new("is missing", right));
        return;
    };
    for key in others {
        let wrong = format!("is given beside {first}");
        table.problem(key, Wrong::new(wrong, "keep exactly one of them"));
    }
}

/// The `sources` of a role or a user: `Some(None)` if it names none.
fn optional_sources(table: &Table<'_, '_>, known: &BTreeSet<String>) -> Option<Option<SourceSet>> {
    let sources = table.list("sources", values::name);
    check_source_names(table, "sources", sources.items(), known);
    let names = sources.values()?;
    Some(table.has("sources").then(|| names.into_iter().collect()))
}

/// Two days, the second not before the first.
fn date_range(
    table: &Table<'_, '_>,
    first: &str,
    last: &str,
) -> (Option<Option<Date>>, Option<Option<Date>>) {
    let first_day = table.optional(first, values::date);
    let last_day = table.optional(last, values::date);
    if let (Some(Some(from)), Some(Some(until))) = (first_day, last_day)
        && until < from
    {
        let wrong = format!("{until} is before {first}, {from}");
        table.problem(last, Wrong::new(wrong, "write a later day"));
    }
    (first_day, last_day)
}
