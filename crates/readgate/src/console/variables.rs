//! The system variables that clients ask at connect. Fixed: SET is answered OK and changes
//! nothing, because there is nothing here that it could change.
use super::functions::Asker;

/// Names and values; the version is the greeting's.
const VARIABLES: &[(&str, &str)] = &[
    ("auto_increment_increment", "1"),
    ("autocommit", "1"),
    ("basedir", ""),
    ("character_set_client", "utf8mb4"),
    ("character_set_connection", "utf8mb4"),
    ("character_set_database", "utf8mb4"),
    ("character_set_results", "utf8mb4"),
    ("character_set_server", "utf8mb4"),
    ("collation_connection", "utf8mb4_general_ci"),
    ("collation_database", "utf8mb4_general_ci"),
    ("collation_server", "utf8mb4_general_ci"),
    ("default_storage_engine", "console"),
    ("event_scheduler", "OFF"),
    ("have_query_cache", "NO"),
    ("have_ssl", "YES"),
    ("hostname", "readgate"),
    ("identity", "0"),
    ("init_connect", ""),
    ("innodb_version", ""),
    ("interactive_timeout", "28800"),
    ("last_insert_id", "0"),
    ("license", "Apache-2.0"),
    ("lower_case_file_system", "OFF"),
    ("lower_case_table_names", "2"),
    ("max_allowed_packet", "16777216"),
    ("max_execution_time", "5000"),
    ("net_buffer_length", "16384"),
    ("net_write_timeout", "60"),
    ("offline_mode", "0"),
    ("performance_schema", "0"),
    ("port", "3306"),
    ("protocol_version", "10"),
    ("query_cache_size", "0"),
    ("query_cache_type", "OFF"),
    ("read_only", "1"),
    ("sql_auto_is_null", "0"),
    ("sql_mode", ""),
    ("sql_safe_updates", "0"),
    ("sql_select_limit", "18446744073709551615"),
    ("ssl_cipher", ""),
    ("super_read_only", "1"),
    ("system_time_zone", "UTC"),
    ("time_zone", "UTC"),
    ("transaction_isolation", "REPEATABLE-READ"),
    ("transaction_read_only", "1"),
    ("tx_isolation", "REPEATABLE-READ"),
    ("tx_read_only", "1"),
    ("version_comment", "readgate operator console"),
    ("version_compile_machine", ""),
    ("version_compile_os", "Linux"),
    ("wait_timeout", "28800"),
    ("warning_count", "0"),
];

/// A variable's value; numbers are text, as clients of the text protocol read them.
pub fn value(name: &str, asker: &Asker) -> Option<String> {
    match name {
        "version" => Some(asker.version.clone()),
        _ => {
            let found = VARIABLES.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        }
    }
}

/// All of them.
pub fn all(asker: &Asker) -> impl Iterator<Item = (&'static str, String)> {
    let names = VARIABLES.iter().map(|(name, _)| *name).chain(["version"]);
    names.map(|name| (name, value(name, asker).unwrap_or_default()))
}
