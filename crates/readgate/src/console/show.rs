//! SHOW and DESCRIBE, as queries on the snapshot.
use super::dialect::{Token, literal, to_sqlite};
use super::functions::Asker;
use super::tables::TABLES;
use super::variables;

/// The query that answers a SHOW; `words` is what stands after SHOW, without spaces. `None`:
/// there is no such SHOW here.
pub fn query(words: &[&Token], asker: &Asker) -> Option<String> {
    let mut words = words;
    let mut full = false;
    while let [first, rest @ ..] = words {
        full |= first.is("FULL");
        if !["FULL", "EXTENDED", "GLOBAL", "SESSION", "LOCAL"].iter().any(|word| first.is(word)) {
            break;
        }
        words = rest;
    }
    let (first, rest) = words.split_first()?;
    let starts = |word: &str| first.is(word);
    let second = |word: &str| rest.first().is_some_and(|token| token.is(word));
    let after_second = rest.get(1..).unwrap_or_default();
    if starts("COLUMNS") || starts("FIELDS") {
        let (table, rest) = named(rest)?;
        return Some(filtered(columns(&table, full), rest));
    }
    if starts("INDEX") || starts("INDEXES") || starts("KEYS") {
        let (_, rest) = named(rest)?;
        return Some(filtered(empty(INDEX_COLUMNS), rest));
    }
    if starts("CREATE") && second("TABLE") {
        return create_table(after_second);
    }
    if starts("CREATE") && (second("DATABASE") || second("SCHEMA")) {
        return create_schema(after_second);
    }
    if starts("TABLE") && second("STATUS") {
        return Some(filtered(TABLE_STATUS.to_owned(), skip_schema(after_second)));
    }
    if starts("TABLES") {
        return Some(filtered(tables(rest, asker, full), skip_schema(rest)));
    }
    if starts("VARIABLES") {
        return Some(filtered(all_variables(asker), rest));
    }
    if starts("CHARACTER") && second("SET") {
        return Some(filtered(CHARSETS.to_owned(), after_second));
    }
    let fixed = FIXED.iter().find(|(word, _)| starts(word)).map(|(_, sql)| (*sql).to_owned());
    let none = NONE.iter().find(|(word, _)| starts(word)).map(|(_, columns)| empty(columns));
    let rest = if second("STATUS") { after_second } else { rest };
    Some(filtered(fixed.or(none)?, skip_schema(rest)))
}

/// DESCRIBE, or EXPLAIN with a table's name.
pub fn describe(words: &[&Token]) -> Option<String> {
    let (table, rest) = table_name(words)?;
    let base = columns(&table, false);
    match rest.first().and_then(|token| token.text()) {
        Some(column) => {
            Some(format!("SELECT * FROM ({base}) WHERE \"Field\" LIKE {}", literal(column)))
        }
        None => Some(base),
    }
}

const INDEX_COLUMNS: &str = "Table, Non_unique, Key_name, Seq_in_index, Column_name, Collation, Cardinality, Sub_part, Packed, Null, Index_type, Comment, Index_comment";

const TABLE_STATUS: &str = "SELECT table_name AS Name, engine AS Engine, version AS Version, row_format AS Row_format, table_rows AS Rows, avg_row_length AS Avg_row_length, data_length AS Data_length, max_data_length AS Max_data_length, index_length AS Index_length, data_free AS Data_free, auto_increment AS Auto_increment, create_time AS Create_time, update_time AS Update_time, check_time AS Check_time, table_collation AS Collation, checksum AS Checksum, create_options AS Create_options, table_comment AS Comment FROM information_schema.tables";

const CHARSETS: &str = "SELECT character_set_name AS Charset, description AS Description, default_collate_name AS \"Default collation\", maxlen AS Maxlen FROM information_schema.character_sets";

/// Whole answers by the first word.
const FIXED: &[(&str, &str)] = &[
    ("DATABASES", "SELECT schema_name AS Database FROM information_schema.schemata"),
    ("SCHEMAS", "SELECT schema_name AS Database FROM information_schema.schemata"),
    ("CHARSET", CHARSETS),
    (
        "COLLATION",
        "SELECT collation_name AS Collation, character_set_name AS Charset, id AS Id, is_default AS \"Default\", is_compiled AS Compiled, sortlen AS Sortlen FROM information_schema.collations",
    ),
    (
        "ENGINES",
        "SELECT engine AS Engine, support AS Support, comment AS Comment, transactions AS Transactions, xa AS XA, savepoints AS Savepoints FROM information_schema.engines",
    ),
    ("GRANTS", "SELECT 'GRANT SELECT ON `readgate`.* TO ' || user() AS Grants"),
    (
        "STATUS",
        "SELECT name AS Variable_name, CAST(value AS TEXT) AS Value FROM readgate.metrics WHERE labels = ''",
    ),
    (
        "PROCESSLIST",
        "SELECT id AS Id, user AS User, source AS Host, NULL AS db, 'Query' AS Command, seconds AS Time, '' AS State, NULL AS Info FROM readgate.sessions",
    ),
];

/// Empty answers by the first word.
const NONE: &[(&str, &str)] = &[
    ("WARNINGS", "Level, Code, Message"),
    ("ERRORS", "Level, Code, Message"),
    ("PLUGINS", "Name, Status, Type, Library, License"),
    ("PROCEDURE", "Db, Name, Type, Definer, Modified, Created, Security_type, Comment"),
    ("FUNCTION", "Db, Name, Type, Definer, Modified, Created, Security_type, Comment"),
    ("TRIGGERS", "Trigger, Event, Table, Statement, Timing, Created, sql_mode, Definer"),
    ("EVENTS", "Db, Name, Definer, Status"),
    ("PRIVILEGES", "Privilege, Context, Comment"),
    ("PROFILES", "Query_ID, Duration, Query"),
    ("OPEN", "Database, Table, In_use, Name_locked"),
];

fn empty(columns: &str) -> String {
    let columns: Vec<String> =
        columns.split(", ").map(|name| format!("'' AS \"{name}\"")).collect();
    format!("SELECT {} WHERE 0", columns.join(", "))
}

fn columns(table: &str, full: bool) -> String {
    let more = if full { "collation_name AS \"Collation\", " } else { "" };
    let last =
        if full { ", privileges AS \"Privileges\", column_comment AS \"Comment\"" } else { "" };
    format!(
        "SELECT column_name AS \"Field\", column_type AS \"Type\", {more}is_nullable AS \"Null\", column_key AS \"Key\", column_default AS \"Default\", extra AS \"Extra\"{last} FROM information_schema.columns WHERE table_name = lower({})",
        literal(table)
    )
}

fn tables(rest: &[&Token], asker: &Asker, full: bool) -> String {
    let given = schema_of(rest);
    let schema = given.or(asker.schema.map(str::to_owned)).unwrap_or_else(|| "readgate".to_owned());
    let kind = if full { ", table_type AS \"Table_type\"" } else { "" };
    format!(
        "SELECT table_name AS \"Tables_in_{}\"{kind} FROM information_schema.tables WHERE table_schema = lower({}) ORDER BY table_name",
        schema.replace('"', ""),
        literal(&schema)
    )
}

fn all_variables(asker: &Asker) -> String {
    let row = |(name, value): (&str, String)| format!("({}, {})", literal(name), literal(&value));
    let rows: Vec<String> = variables::all(asker).map(row).collect();
    let rows = rows.join(", ");
    format!("SELECT column1 AS Variable_name, column2 AS Value FROM (VALUES {rows})")
}

/// The text of a CREATE TABLE that would make such a table on a server.
fn create_table(words: &[&Token]) -> Option<String> {
    let (name, _) = table_name(words)?;
    let table = TABLES.iter().find(|table| table.name.eq_ignore_ascii_case(&name))?;
    let columns: Vec<String> =
        table.columns.iter().map(|(name, kind)| format!("  `{name}` {kind}")).collect();
    let text = format!("CREATE TABLE `{}` (\n{}\n)", table.name, columns.join(",\n"));
    Some(format!(
        "SELECT {} AS \"Table\", {} AS \"Create Table\"",
        literal(table.name),
        literal(&text)
    ))
}

/// The text of a CREATE DATABASE, after an IF NOT EXISTS if there is one.
fn create_schema(words: &[&Token]) -> Option<String> {
    let name = super::statement::schema(words.last()?.text()?.as_bytes())?;
    let text = format!("CREATE DATABASE `{name}` /*!40100 DEFAULT CHARACTER SET utf8mb4 */");
    Some(format!(
        "SELECT {} AS \"Database\", {} AS \"Create Database\"",
        literal(name),
        literal(&text)
    ))
}

/// `FROM table [FROM schema]`, or `FROM schema.table`.
fn named<'t, 'a>(words: &'a [&'t Token]) -> Option<(String, &'a [&'t Token])> {
    let (from, rest) = words.split_first()?;
    if !from.is("FROM") && !from.is("IN") {
        return None;
    }
    let (name, rest) = table_name(rest)?;
    Some((name, skip_schema(rest)))
}

fn table_name<'t, 'a>(words: &'a [&'t Token]) -> Option<(String, &'a [&'t Token])> {
    match words {
        [_, Token::Mark('.'), name, rest @ ..] => Some((name.text()?.to_owned(), rest)),
        [name, rest @ ..] => Some((name.text()?.to_owned(), rest)),
        [] => None,
    }
}

fn schema_of(words: &[&Token]) -> Option<String> {
    match words {
        [from, schema, ..] if from.is("FROM") || from.is("IN") => schema.text().map(str::to_owned),
        _ => None,
    }
}

fn skip_schema<'t, 'a>(words: &'a [&'t Token]) -> &'a [&'t Token] {
    match words {
        [from, _, rest @ ..] if from.is("FROM") || from.is("IN") => rest,
        _ => words,
    }
}

/// LIKE compares with the first column; WHERE may name any.
fn filtered(base: String, rest: &[&Token]) -> String {
    match rest {
        [like, Token::Text(pattern), ..] if like.is("LIKE") => {
            let column = first_column(&base);
            format!(
                "SELECT * FROM ({base}) WHERE \"{column}\" LIKE {} ESCAPE '\\'",
                literal(pattern)
            )
        }
        [word, condition @ ..] if word.is("WHERE") => {
            let mut spaced: Vec<Token> = Vec::new();
            for token in condition {
                // Marks may belong together, as in <>.
                if !matches!((spaced.last(), token), (Some(Token::Mark(_)), Token::Mark(_))) {
                    spaced.push(Token::Space);
                }
                spaced.push((*token).clone());
            }
            format!("SELECT * FROM ({base}) WHERE {}", to_sqlite(&spaced))
        }
        _ => base,
    }
}

fn first_column(base: &str) -> String {
    let name = base.split(" AS ").nth(1).unwrap_or_default();
    let end = name.find([',', ' ']).unwrap_or(name.len());
    name.get(..end).unwrap_or_default().trim_matches('"').to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::dialect::{significant, tokens};
    use super::*;

    fn shown(text: &str) -> Option<String> {
        let asker = Asker {
            user: String::from("op@127.0.0.1"),
            connection_id: 1,
            schema: Some("readgate"),
            version: String::from("9.7.4"),
        };
        let tokens = tokens(text);
        query(&significant(&tokens)[1..], &asker)
    }

    #[test]
    fn like_compares_with_the_first_column() {
        let sql = shown("SHOW TABLES LIKE 'sess%'").unwrap();
        assert!(sql.ends_with("WHERE \"Tables_in_readgate\" LIKE 'sess%' ESCAPE '\\'"), "{sql}");
        let sql = shown("SHOW VARIABLES LIKE 'lower_case_%'").unwrap();
        assert!(sql.contains("WHERE \"Variable_name\" LIKE 'lower_case_%'"), "{sql}");
        let sql = shown("SHOW FULL COLUMNS FROM `sessions` FROM `readgate` LIKE '%'").unwrap();
        assert!(sql.contains("lower('sessions')") && sql.contains("\"Field\" LIKE '%'"), "{sql}");
    }

    #[test]
    fn what_is_not_there_is_not_made_up() {
        for text in ["SHOW", "SHOW BINARY LOGS", "SHOW CREATE TABLE nowhere", "SHOW COLUMNS"] {
            assert_eq!(shown(text), None, "{text}");
        }
    }
}
