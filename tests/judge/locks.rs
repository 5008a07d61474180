//! What a statement that the judge lets through has locked when it has run in a transaction:
//! reads lock the names of their tables, so these are the tables that its record must name.

use std::collections::BTreeSet;

use sql_judge::{SessionFacts, structure};

use crate::session::Session;

/// Statements whose tables are in the text.
const COMPARED: &[&str] = &["select", "explain", "checksum", "show"];
/// Where servers look without being told to.
const OWN: &[&str] = &["information_schema", "performance_schema", "mysql", "sys"];

/// Runs a statement in a transaction of its own; whether it succeeded, and its locks.
pub(crate) fn run(session: &mut Session, statement: &[u8]) -> (bool, Vec<[String; 4]>) {
    // In MariaDB's ORACLE mode, `BEGIN` is the first word of a block.
    session.run(b"START TRANSACTION");
    let succeeded = session.run(statement);
    let locks = if session.is_gone() { Vec::new() } else { session.name_locks() };
    (succeeded, locks)
}

/// What is wrong with the locks of a statement of this kind, if anything is.
pub(crate) fn fault(
    session: &mut Session,
    facts: &SessionFacts,
    statement: &[u8],
    kind: &str,
    locks: &[[String; 4]],
) -> Option<String> {
    let harmless = |[sort, _, _, how]: &[String; 4]| match how.as_str() {
        "SHARED" | "SHARED_READ" | "SHARED_HIGH_PRIO" => true,
        // Of whoever opens tables at all.
        "INTENTION_EXCLUSIVE" => sort == "SCHEMA" || sort == "GLOBAL",
        _ => false,
    };
    if let Some(lock) = locks.iter().find(|lock| !harmless(lock)) {
        return Some(format!("locks more than a read: {lock:?}"));
    }
    let runs_routine = locks.iter().any(|[sort, ..]| sort == "FUNCTION" || sort == "PROCEDURE");
    // Other bytes than ASCII are the client's in the text, and the server's among its locks.
    if runs_routine || !COMPARED.contains(&kind) || !statement.is_ascii() {
        return None;
    }
    let read: BTreeSet<String> = locks
        .iter()
        .filter(|[sort, schema, ..]| sort == "TABLE" && !OWN.contains(&schema.as_str()))
        .map(|[_, schema, name, _]| format!("{schema}.{name}").to_lowercase())
        .collect();
    let named = structure(facts, statement).tables;
    let named: BTreeSet<String> = named.iter().map(|name| name.to_lowercase()).collect();
    let missing: Vec<&String> = read.difference(&named).collect();
    if !missing.is_empty() && !reads_view(session, &read) {
        return Some(format!("names {named:?} and reads {missing:?} as well"));
    }
    // What others only describe or count, servers look up in ways of their own. MySQL doesn't open
    // what stands in a common table expression that nobody reads.
    let may_skip = session.is_mysql() && statement.to_ascii_lowercase().windows(4).any(is_with);
    let unread = named.difference(&read).filter(|_| kind == "select" && !may_skip);
    let invented: Vec<&String> = unread.filter(|name| !is_unlocked(session, name)).collect();
    (!invented.is_empty()).then(|| format!("names {invented:?} and does not read it"))
}

fn is_with(word: &[u8]) -> bool {
    word == b"with"
}

/// Whether a table is one that knows no locks: of the server's own, or of the session alone.
fn is_unlocked(session: &mut Session, table: &str) -> bool {
    let Some((schema, name)) = table.split_once('.') else { return false };
    OWN.contains(&schema)
        || session.is_temporary(&format!("`{schema}`.`{}`", name.replace('`', "``")))
}

/// Whether one of the tables is a view, whose own tables no text names.
fn reads_view(session: &mut Session, tables: &BTreeSet<String>) -> bool {
    let names: Vec<String> =
        tables.iter().map(|name| format!("'{}'", name.replace('\'', "''"))).collect();
    let count = session.ask(&format!(
        "SELECT COUNT(*) FROM information_schema.tables WHERE table_type LIKE '%VIEW' \
         AND LOWER(CONCAT(table_schema, '.', table_name)) IN ({})",
        names.join(", ")
    ));
    count != "0"
}
