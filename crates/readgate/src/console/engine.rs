//! One query on a snapshot. Guarantees: it only reads the snapshot (an authorizer names what
//! is allowed, all else is denied), and it ends within bounds of time, rows and bytes.
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Statement};

use super::answer::{Cell, Column, Table};
use super::dialect;

/// Longest query.
const TIME: Duration = Duration::from_secs(5);
/// Most rows of an answer.
const ROWS: usize = 100_000;
/// Most bytes of an answer.
const BYTES: usize = 16 << 20;
/// Longest value, and longest text.
const LENGTH: i32 = 4 << 20;
/// The clock is looked at after so many steps.
const STEPS: i32 = 10_000;
/// Steps of SQLite's that one statement may be compiled to; deep nesting ends here.
const DEPTH: i32 = 200;

/// Why a query has no answer, fit for the operator to read.
#[derive(Debug, thiserror::Error)]
pub enum QueryFault {
    /// SQLite says so.
    #[error("{0}")]
    Sqlite(#[from] rusqlite::Error),
    /// Over a bound.
    #[error("the answer has more than {0}; narrow the query or use LIMIT")]
    TooMuch(&'static str),
    /// Over the time.
    #[error("the query took longer than {} s and was ended", TIME.as_secs())]
    TooLong,
}

/// Puts the bounds in force. What the snapshot needs must be there before.
///
/// # Errors
/// If SQLite has no memory left.
pub fn lock_down(snapshot: &mut Connection) -> Result<(), QueryFault> {
    snapshot.set_limit(Limit::SQLITE_LIMIT_LENGTH, LENGTH)?;
    snapshot.set_limit(Limit::SQLITE_LIMIT_SQL_LENGTH, LENGTH)?;
    snapshot.set_limit(Limit::SQLITE_LIMIT_EXPR_DEPTH, DEPTH)?;
    snapshot.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 2)?;
    // A name in backticks that is no column's would be a text, and its comparison false.
    snapshot.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
    let deadline = Instant::now() + TIME;
    snapshot.progress_handler(STEPS, Some(move || Instant::now() >= deadline))?;
    snapshot.authorizer(Some(may))?;
    Ok(())
}

/// Reads are allowed. Functions are: the ones that could reach a file aren't compiled in,
/// and `load_extension` is refused by name beside being off.
fn may(context: AuthContext<'_>) -> Authorization {
    let action = &context.action;
    let is_read = matches!(
        action,
        AuthAction::Select | AuthAction::Read { .. } | AuthAction::Recursive
    ) || matches!(action, AuthAction::Function { function_name } if !is_dangerous(function_name));
    if is_read { Authorization::Allow } else { Authorization::Deny }
}

fn is_dangerous(function: &str) -> bool {
    ["load_extension", "readfile", "writefile", "edit", "fts3_tokenizer"]
        .iter()
        .any(|name| function.eq_ignore_ascii_case(name))
}

/// What columns one query in SQLite's SQL has, without running it.
///
/// # Errors
/// If it isn't one or isn't a read.
pub fn describe(snapshot: &Connection, sql: &str) -> Result<Table, QueryFault> {
    let statement = snapshot.prepare(sql)?;
    let names = statement.column_names().map(dialect::column_name);
    let columns = names.zip(declared(&statement)).map(|(name, kind)| Column { name, kind });
    Ok(Table { columns: columns.collect(), rows: Vec::new() })
}

/// Runs one query in SQLite's SQL.
///
/// # Errors
/// If it isn't one, isn't a read, or goes over a bound.
pub fn run(snapshot: &Connection, sql: &str) -> Result<Table, QueryFault> {
    let mut statement = snapshot.prepare(sql)?;
    let names: Vec<String> = statement.column_names().map(dialect::column_name).collect();
    let mut kinds = declared(&statement);
    let (mut rows, mut bytes) = (Vec::new(), 0_usize);
    let mut found = statement.query([])?;
    while let Some(row) = found.next().map_err(interrupted)? {
        let mut cells = Vec::with_capacity(names.len());
        for (index, kind) in kinds.iter_mut().enumerate() {
            let value = row.get_ref(index)?;
            kind.see(&value);
            let cell = cell(value);
            bytes += cell.as_ref().map_or(1, |cell| cell.len() + 9);
            cells.push(cell);
        }
        rows.push(cells);
        if rows.len() > ROWS {
            return Err(QueryFault::TooMuch("100000 rows"));
        }
        if bytes > BYTES {
            return Err(QueryFault::TooMuch("16 MiB"));
        }
    }
    let columns = names.into_iter().zip(kinds).map(|(name, kind)| Column { name, kind }).collect();
    Ok(Table { columns, rows })
}

fn interrupted(error: rusqlite::Error) -> QueryFault {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::OperationInterrupted) => QueryFault::TooLong,
        Some(_) | None => error.into(),
    }
}

fn declared(statement: &Statement<'_>) -> Vec<Kind> {
    let is_moment = |column: &rusqlite::Column<'_>| {
        column.decl_type().is_some_and(|declared| declared.eq_ignore_ascii_case("datetime"))
    };
    let kind = |column: &rusqlite::Column<'_>| match is_moment(column) {
        true => Kind::Moment,
        false => Kind::Empty,
    };
    statement.columns().map(|column| kind(&column)).collect()
}

/// What a column holds, as far as its rows tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nothing but NULL yet.
    Empty,
    /// Whole numbers.
    Integer,
    /// Numbers.
    Real,
    /// Moments, declared as such.
    Moment,
    /// Anything.
    Text,
}

impl Kind {
    fn see(&mut self, value: &ValueRef<'_>) {
        *self = match (*self, value) {
            (kind, ValueRef::Null) => kind,
            (Self::Empty | Self::Integer, ValueRef::Integer(_)) => Self::Integer,
            (Self::Empty | Self::Integer | Self::Real, ValueRef::Real(_))
            | (Self::Real, ValueRef::Integer(_)) => Self::Real,
            (Self::Moment, ValueRef::Text(_)) => Self::Moment,
            _ => Self::Text,
        };
    }
}

fn cell(value: ValueRef<'_>) -> Cell {
    match value {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string().into_bytes()),
        ValueRef::Real(number) => Some(number.to_string().into_bytes()),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(bytes.to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot() -> Connection {
        let mut connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch("CREATE TABLE t (id INTEGER, at DATETIME); INSERT INTO t VALUES (1, '2026-01-01 00:00:00')")
            .unwrap();
        lock_down(&mut connection).unwrap();
        connection
    }

    #[test]
    fn only_reads_are_let_through() {
        let snapshot = snapshot();
        for sql in [
            "DELETE FROM t",
            "INSERT INTO t VALUES (2, NULL)",
            "UPDATE t SET id = 3",
            "CREATE TABLE u (a)",
            "CREATE TEMP TABLE u (a)",
            "DROP TABLE t",
            "ATTACH DATABASE '/tmp/readgate-attached' AS x",
            "DETACH DATABASE main",
            "PRAGMA temp_store_directory = '/tmp'",
            "SELECT * FROM pragma_database_list",
            "SELECT load_extension('/tmp/x.so')",
            "VACUUM INTO '/tmp/readgate-vacuum'",
            "BEGIN",
            "ANALYZE",
            "SELECT 1; SELECT 2",
        ] {
            assert!(run(&snapshot, sql).is_err(), "{sql}");
        }
        let table = run(&snapshot, "SELECT count(*) AS n, max(at) AS at FROM t").unwrap();
        assert_eq!(table.rows, [[Some(b"1".to_vec()), Some(b"2026-01-01 00:00:00".to_vec())]]);
    }

    #[test]
    fn a_query_ends_within_its_bounds() {
        let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) ";
        let begun = Instant::now();
        let fault = run(&snapshot(), &format!("{endless} SELECT max(i) FROM n")).unwrap_err();
        assert!(matches!(fault, QueryFault::TooLong), "{fault}");
        assert!(begun.elapsed() < TIME * 4);
        let fault = run(&snapshot(), &format!("{endless} SELECT i FROM n")).unwrap_err();
        assert!(matches!(fault, QueryFault::TooMuch("100000 rows")), "{fault}");
        let fault =
            run(&snapshot(), &format!("{endless} SELECT zeroblob(1000000) FROM n")).unwrap_err();
        assert!(matches!(fault, QueryFault::TooMuch("16 MiB")), "{fault}");
        assert!(run(&snapshot(), "SELECT zeroblob(1000000000)").is_err());
    }

    #[test]
    fn a_name_that_is_no_column_is_never_a_text() {
        for sql in ["SELECT \"nosuch\" FROM t", "SELECT id FROM t WHERE \"nosuch\" = 'x'"] {
            let fault = run(&snapshot(), sql).unwrap_err().to_string();
            assert!(fault.contains("no such column"), "{fault}");
        }
        let table = run(&snapshot(), "SELECT \"id\" AS \"n\" FROM t ORDER BY \"n\"").unwrap();
        assert_eq!(table.rows, [[Some(b"1".to_vec())]]);
    }

    #[test]
    fn columns_get_the_type_of_what_they_hold() {
        let table = run(&snapshot(), "SELECT id, at, 1.5, 'x', NULL FROM t").unwrap();
        let kinds: Vec<Kind> = table.columns.iter().map(|column| column.kind).collect();
        assert_eq!(kinds, [Kind::Integer, Kind::Moment, Kind::Real, Kind::Text, Kind::Empty]);
    }
}
