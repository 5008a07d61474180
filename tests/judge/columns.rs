//! What columns a statement reads: an account that may read those alone which its record names
//! must be able to run it.

use std::collections::BTreeSet;

use sql_judge::{SessionFacts, structure};

use crate::session::Session;

/// Denied: a column, and a table of which no column may be read.
const DENIED: [u16; 2] = [1143, 1142];

/// What is wrong with the columns that the record of a query names, if anything is. Looked at are
/// those of tables in the schema `test`; no views, whose columns are not those that they read.
pub(crate) fn fault(
    session: &mut Session,
    facts: &SessionFacts,
    statement: &[u8],
) -> Option<String> {
    let named = structure(facts, statement);
    if named.tables.is_empty() || !statement.is_ascii() {
        return None;
    }
    let mut rights = Vec::new();
    for table in &named.tables {
        let name = table.strip_prefix("test.").filter(|name| !name.contains(['\'', '`', '\\']))?;
        let columns = session.columns_of(name).filter(|columns| !columns.is_empty())?;
        let of_table = [format!("{table}."), "?.".to_owned()];
        let known: BTreeSet<String> = named
            .columns
            .iter()
            .filter_map(|known| of_table.iter().find_map(|table| known.strip_prefix(table)))
            .map(str::to_lowercase)
            .collect();
        // The columns of an index on an expression are no account's to be granted.
        if known.contains("*") {
            rights.push(format!("SELECT ON test.`{name}`"));
            continue;
        }
        let is_named = |column: &&String| known.contains(&column.to_lowercase());
        let mut granted: Vec<String> =
            columns.iter().filter(is_named).map(|column| format!("`{column}`")).collect();
        // Without any, not even rows may be counted.
        if granted.is_empty() {
            granted.push(format!("`{}`", columns.last()?));
        }
        rights.push(format!("SELECT ({}) ON test.`{name}`", granted.join(", ")));
    }
    let error = session.error_with_rights(&rights, statement)?;
    DENIED.contains(&error.code).then(|| format!("{}: names {:?}", error.message, named.columns))
}
