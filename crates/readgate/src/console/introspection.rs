//! Builds a snapshot: the console's tables in a schema `readgate`, and an `information_schema`
//! that describes them as tools expect it. Tables that a query doesn't name stay empty.
use rusqlite::{Connection, Result, params_from_iter};

use super::tables::{Definition, Row, TABLES};
use crate::daemon::Daemon;

/// Schemas that may be used.
pub const SCHEMAS: [&str; 2] = ["readgate", "information_schema"];

/// What tools ask for and the console has none of: names and columns.
const EMPTY: &[(&str, &str)] = &[
    (
        "views",
        "table_catalog, table_schema, table_name, view_definition, check_option, is_updatable, definer, security_type, character_set_client, collation_connection",
    ),
    (
        "statistics",
        "table_catalog, table_schema, table_name, non_unique, index_schema, index_name, seq_in_index, column_name, collation, cardinality, sub_part, packed, nullable, index_type, comment, index_comment, is_visible, expression",
    ),
    (
        "key_column_usage",
        "constraint_catalog, constraint_schema, constraint_name, table_catalog, table_schema, table_name, column_name, ordinal_position, position_in_unique_constraint, referenced_table_schema, referenced_table_name, referenced_column_name",
    ),
    (
        "table_constraints",
        "constraint_catalog, constraint_schema, constraint_name, table_schema, table_name, constraint_type, enforced",
    ),
    ("check_constraints", "constraint_catalog, constraint_schema, constraint_name, check_clause"),
    (
        "referential_constraints",
        "constraint_catalog, constraint_schema, constraint_name, unique_constraint_catalog, unique_constraint_schema, unique_constraint_name, match_option, update_rule, delete_rule, table_name, referenced_table_name",
    ),
    (
        "routines",
        "specific_name, routine_catalog, routine_schema, routine_name, routine_type, data_type, routine_definition, security_type, created, last_altered, sql_mode, routine_comment, definer",
    ),
    (
        "parameters",
        "specific_catalog, specific_schema, specific_name, ordinal_position, parameter_mode, parameter_name, data_type, dtd_identifier, routine_type",
    ),
    (
        "triggers",
        "trigger_catalog, trigger_schema, trigger_name, event_manipulation, event_object_schema, event_object_table, action_statement, action_timing, definer",
    ),
    ("events", "event_catalog, event_schema, event_name, definer, status, event_definition"),
    ("partitions", "table_catalog, table_schema, table_name, partition_name, table_rows"),
    ("keywords", "word, reserved"),
    ("plugins", "plugin_name, plugin_version, plugin_status, plugin_type"),
    ("user_privileges", "grantee, table_catalog, privilege_type, is_grantable"),
    ("schema_privileges", "grantee, table_catalog, table_schema, privilege_type, is_grantable"),
    (
        "table_privileges",
        "grantee, table_catalog, table_schema, table_name, privilege_type, is_grantable",
    ),
];

const STANDARD: &str = "
CREATE TABLE information_schema.schemata (catalog_name TEXT, schema_name TEXT, default_character_set_name TEXT, default_collation_name TEXT, sql_path TEXT);
INSERT INTO information_schema.schemata VALUES ('def', 'information_schema', 'utf8mb4', 'utf8mb4_general_ci', NULL), ('def', 'readgate', 'utf8mb4', 'utf8mb4_general_ci', NULL);
CREATE TABLE information_schema.tables (table_catalog TEXT, table_schema TEXT, table_name TEXT, table_type TEXT, engine TEXT, version INT, row_format TEXT, table_rows INT, avg_row_length INT, data_length INT, max_data_length INT, index_length INT, data_free INT, auto_increment INT, create_time DATETIME, update_time DATETIME, check_time DATETIME, table_collation TEXT, checksum INT, create_options TEXT, table_comment TEXT);
CREATE TABLE information_schema.columns (table_catalog TEXT, table_schema TEXT, table_name TEXT, column_name TEXT, ordinal_position INT, column_default TEXT, is_nullable TEXT, data_type TEXT, character_maximum_length INT, character_octet_length INT, numeric_precision INT, numeric_scale INT, datetime_precision INT, character_set_name TEXT, collation_name TEXT, column_type TEXT, column_key TEXT, extra TEXT, privileges TEXT, column_comment TEXT, generation_expression TEXT, srs_id INT);
CREATE TABLE information_schema.engines (engine TEXT, support TEXT, comment TEXT, transactions TEXT, xa TEXT, savepoints TEXT);
INSERT INTO information_schema.engines VALUES ('console', 'DEFAULT', 'a snapshot of readgate''s state', 'NO', 'NO', 'NO');
CREATE TABLE information_schema.character_sets (character_set_name TEXT, default_collate_name TEXT, description TEXT, maxlen INT);
INSERT INTO information_schema.character_sets VALUES ('utf8mb4', 'utf8mb4_general_ci', 'UTF-8 Unicode', 4);
CREATE TABLE information_schema.collations (collation_name TEXT, character_set_name TEXT, id INT, is_default TEXT, is_compiled TEXT, sortlen INT, pad_attribute TEXT);
INSERT INTO information_schema.collations VALUES ('utf8mb4_general_ci', 'utf8mb4', 45, 'Yes', 'Yes', 1, 'PAD SPACE');
CREATE TABLE dual (dummy TEXT);
INSERT INTO dual VALUES ('X');
";

/// A snapshot for a query of this text.
///
/// # Errors
/// If SQLite has no memory left.
pub fn snapshot(daemon: &Daemon, sql: &str) -> Result<Connection> {
    let connection = Connection::open_in_memory()?;
    connection.execute_batch(
        "PRAGMA journal_mode = OFF; ATTACH ':memory:' AS readgate; ATTACH ':memory:' AS information_schema;",
    )?;
    connection.execute_batch(STANDARD)?;
    for (name, columns) in EMPTY {
        connection.execute_batch(&format!("CREATE TABLE information_schema.{name} ({columns})"))?;
    }
    let lower = sql.to_ascii_lowercase();
    for table in TABLES {
        create(&connection, table)?;
        if lower.contains(table.name) {
            fill(&connection, table, (table.fill)(daemon))?;
        }
    }
    Ok(connection)
}

fn create(connection: &Connection, table: &Definition) -> Result<()> {
    let columns: Vec<String> =
        table.columns.iter().map(|(name, kind)| format!("\"{name}\" {kind}")).collect();
    connection.execute_batch(&format!(
        "CREATE TABLE readgate.{} ({})",
        table.name,
        columns.join(", ")
    ))?;
    connection.execute(
        "INSERT INTO information_schema.tables (table_catalog, table_schema, table_name, table_type, engine, table_collation, create_options, table_comment)
         VALUES ('def', 'readgate', ?1, 'BASE TABLE', 'console', 'utf8mb4_general_ci', '', '')",
        [table.name],
    )?;
    let mut describe = connection.prepare_cached(
        "INSERT INTO information_schema.columns (table_catalog, table_schema, table_name, column_name, ordinal_position, is_nullable, data_type, column_type, column_key, extra, privileges, column_comment, generation_expression)
         VALUES ('def', 'readgate', ?1, ?2, ?3, 'YES', lower(?4), lower(?4), '', '', 'select', '', '')",
    )?;
    for (place, (name, kind)) in table.columns.iter().enumerate() {
        describe.execute((table.name, name, i64::try_from(place + 1).unwrap_or(0), kind))?;
    }
    Ok(())
}

fn fill(connection: &Connection, table: &Definition, rows: Vec<Row>) -> Result<()> {
    let marks = vec!["?"; table.columns.len()].join(", ");
    let sql = format!("INSERT INTO readgate.{} VALUES ({marks})", table.name);
    let mut insert = connection.prepare(&sql)?;
    for row in rows {
        insert.execute(params_from_iter(row))?;
    }
    Ok(())
}
