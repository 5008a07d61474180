//! Tables of the servers' own schemas, by what they show: only the server and its schemas,
//! or also what other sessions do. The lists name the former; what isn't listed counts as
//! the latter. Made from what both servers have, read one by one, and Aurora's tables of its nodes.

/// A schema that every server has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Special {
    InformationSchema,
    PerformanceSchema,
    Sys,
    Mysql,
}

/// Which of them a name might mean. Servers compare these without regard to case; a name
/// that isn't ASCII counts as one that it could be with other letters in those places.
pub(crate) fn special(schema: &[u8]) -> Option<Special> {
    let all = [
        ("information_schema", Special::InformationSchema),
        ("performance_schema", Special::PerformanceSchema),
        ("sys", Special::Sys),
        ("mysql", Special::Mysql),
    ];
    let found = all.into_iter().find(|(name, _)| might_be(schema, name.as_bytes()));
    found.map(|(_, special)| special)
}

fn might_be(name: &[u8], known: &[u8]) -> bool {
    if name.is_ascii() {
        return name.eq_ignore_ascii_case(known);
    }
    let is_ascii = |byte: &&u8| byte.is_ascii();
    let head = name.iter().take_while(is_ascii).count();
    let tail = name.iter().rev().take_while(is_ascii).count();
    let head_fits = known.get(..head).zip(name.get(..head));
    let tail_fits = known
        .len()
        .checked_sub(tail)
        .zip(name.len().checked_sub(tail))
        .and_then(|(known_at, at)| known.get(known_at..).zip(name.get(at..)));
    head + tail < known.len()
        && [head_fits, tail_fits]
            .iter()
            .all(|pair| pair.is_some_and(|(known, part)| known.eq_ignore_ascii_case(part)))
}

impl Special {
    /// Whether a table of it shows other sessions or their statements, as far as is known.
    pub(crate) fn shows_others(self, table: &[u8]) -> bool {
        let lower = table.to_ascii_lowercase();
        let Ok(lower) = std::str::from_utf8(&lower) else { return true };
        let listed = |list: &[&str]| list.binary_search(&lower).is_ok();
        match self {
            Self::InformationSchema => !listed(INFORMATION_SCHEMA),
            Self::PerformanceSchema => !listed(PERFORMANCE_SCHEMA),
            Self::Sys => SYS.binary_search(&lower.strip_prefix("x$").unwrap_or(lower)).is_err(),
            Self::Mysql => {
                lower.starts_with("general_log")
                    || lower.starts_with("slow_log")
                    || !lower.is_ascii()
            }
        }
    }

    /// Whether a table of it holds passwords, in clear or as verifiers, and is of no other use
    /// to people who read. What isn't ASCII might be folded to one.
    pub(crate) fn holds_secrets(self, table: &[u8]) -> bool {
        let is = |name: &&str| table.eq_ignore_ascii_case(name.as_bytes());
        self == Self::Mysql && (SECRETS.iter().any(is) || !table.is_ascii())
    }

    /// Whether a table of it shows nothing of the data in other schemas but what the
    /// server's own grants let the shared account see of their structure.
    pub(crate) fn holds_no_data(self, table: &[u8]) -> bool {
        let is =
            |names: &[&str]| names.iter().any(|name| table.eq_ignore_ascii_case(name.as_bytes()));
        match self {
            // Histograms hold values of columns, and full-text indexes words.
            Self::InformationSchema => {
                table.is_ascii()
                    && !is(&["COLUMN_STATISTICS", "INNODB_FT_INDEX_TABLE", "INNODB_FT_INDEX_CACHE"])
            }
            Self::PerformanceSchema | Self::Sys => true,
            Self::Mysql => is(MYSQL),
        }
    }
}

/// In `information_schema`. Sorted.
#[rustfmt::skip]
const INFORMATION_SCHEMA: &[&str] = &[
    "administrable_role_authorizations", "all_plugins", "applicable_roles",
    "aurora_global_db_instance_status", "aurora_global_db_status", "character_sets",
    "check_constraints", "collation_character_set_applicability", "collations",
    "column_privileges", "column_statistics", "columns", "columns_extensions", "enabled_roles",
    "engines", "events", "files", "geometry_columns", "global_status", "global_variables",
    "index_statistics", "innodb_buffer_page", "innodb_buffer_page_lru",
    "innodb_buffer_pool_stats", "innodb_cached_indexes", "innodb_cmp", "innodb_cmp_per_index",
    "innodb_cmp_per_index_reset", "innodb_cmp_reset", "innodb_cmpmem", "innodb_cmpmem_reset",
    "innodb_columns", "innodb_datafiles", "innodb_fields", "innodb_foreign",
    "innodb_foreign_cols", "innodb_ft_being_deleted", "innodb_ft_config",
    "innodb_ft_default_stopword", "innodb_ft_deleted", "innodb_ft_index_cache",
    "innodb_ft_index_table", "innodb_indexes", "innodb_metrics", "innodb_mutexes",
    "innodb_session_temp_tablespaces", "innodb_sys_columns", "innodb_sys_datafiles",
    "innodb_sys_fields", "innodb_sys_foreign", "innodb_sys_foreign_cols", "innodb_sys_indexes",
    "innodb_sys_semaphore_waits", "innodb_sys_tables", "innodb_sys_tablespaces",
    "innodb_sys_tablestats", "innodb_sys_virtual", "innodb_tables", "innodb_tablespaces",
    "innodb_tablespaces_brief", "innodb_tablespaces_encryption", "innodb_tablespaces_scrubbing",
    "innodb_tablestats", "innodb_temp_table_info", "innodb_virtual",
    "json_duality_view_columns", "json_duality_view_links", "json_duality_view_tables",
    "json_duality_views", "key_caches", "key_column_usage", "key_period_usage", "keywords",
    "libraries", "locales", "optimizer_costs", "optimizer_trace", "parameters", "partitions",
    "periods", "plugins", "profiling", "query_response_time", "query_response_time_read",
    "query_response_time_write", "referential_constraints", "replica_host_status",
    "resource_groups",
    "role_column_grants", "role_routine_grants", "role_table_grants", "routine_libraries",
    "routines", "schema_privileges", "schemata", "schemata_extensions", "sequences",
    "session_status", "session_variables", "slave_status", "spatial_ref_sys", "sql_functions",
    "st_geometry_columns", "st_spatial_reference_systems", "st_units_of_measure", "statistics",
    "system_variables", "table_constraints", "table_constraints_extensions", "table_privileges",
    "table_statistics", "tables", "tables_extensions", "tablespaces", "tablespaces_extensions",
    "triggers", "user_attributes", "user_privileges", "user_variables", "view_routine_usage",
    "view_table_usage", "views", "wsrep_membership", "wsrep_status",
];

/// In `performance_schema`. Sorted.
#[rustfmt::skip]
const PERFORMANCE_SCHEMA: &[&str] = &[
    "binary_log_transaction_compression_stats", "clone_progress", "clone_status",
    "cond_instances", "events_errors_summary_global_by_error",
    "events_stages_summary_global_by_event_name", "events_statements_histogram_global",
    "events_statements_summary_global_by_event_name",
    "events_transactions_summary_global_by_event_name", "events_waits_summary_by_instance",
    "events_waits_summary_global_by_event_name", "file_instances", "file_summary_by_event_name",
    "file_summary_by_instance", "global_status", "global_variable_attributes",
    "global_variables", "innodb_redo_log_files", "keyring_component_status", "log_status",
    "memory_summary_global_by_event_name", "mutex_instances", "objects_summary_global_by_type",
    "performance_timers", "persisted_variables", "replication_applier_configuration",
    "replication_applier_filters", "replication_applier_global_filters",
    "replication_applier_status", "replication_applier_status_by_coordinator",
    "replication_applier_status_by_worker", "replication_asynchronous_connection_failover",
    "replication_asynchronous_connection_failover_managed",
    "replication_connection_configuration", "replication_connection_status",
    "replication_group_member_stats", "replication_group_members", "rwlock_instances",
    "session_status", "session_variables", "setup_actors", "setup_consumers",
    "setup_instruments", "setup_loggers", "setup_meters", "setup_metrics", "setup_objects",
    "setup_threads", "setup_timers", "socket_summary_by_event_name",
    "table_io_waits_summary_by_index_usage", "table_io_waits_summary_by_table",
    "table_lock_waits_summary_by_table", "tls_channel_status", "user_defined_functions",
    "variables_info", "variables_metadata",
];

/// In `sys`, also with `x$` before. Sorted.
#[rustfmt::skip]
const SYS: &[&str] = &[
    "innodb_buffer_stats_by_schema", "innodb_buffer_stats_by_table",
    "io_global_by_file_by_bytes", "io_global_by_file_by_latency", "io_global_by_wait_by_bytes",
    "io_global_by_wait_by_latency", "memory_global_by_current_bytes", "memory_global_total",
    "ps_check_lost_instrumentation", "schema_auto_increment_columns", "schema_index_statistics",
    "schema_object_overview", "schema_redundant_indexes", "schema_table_statistics",
    "schema_table_statistics_with_buffer", "schema_unused_indexes", "sys_config", "version",
    "wait_classes_global_by_avg_latency", "wait_classes_global_by_latency",
    "waits_global_by_latency",
];

/// In `mysql`: how the replica logs in to its source and to federated servers (in clear), and
/// how accounts do. MariaDB's Spider engine keeps in several what `servers` holds.
const SECRETS: &[&str] = &[
    "global_priv",
    "password_history",
    "servers",
    "slave_master_info",
    "spider_link_mon_servers",
    "spider_tables",
    "spider_xa_failed_log",
    "spider_xa_member",
];

/// In `mysql`, what HELP and time zones need, and where Amazon's drivers look for the cluster's nodes.
const MYSQL: &[&str] = &[
    "help_category",
    "help_keyword",
    "help_relation",
    "help_topic",
    "rds_topology",
    "time_zone",
    "time_zone_leap_second",
    "time_zone_name",
    "time_zone_transition",
    "time_zone_transition_type",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_are_sorted() {
        for list in [INFORMATION_SCHEMA, PERFORMANCE_SCHEMA, SYS] {
            assert!(list.is_sorted());
        }
    }

    #[test]
    fn names_that_a_server_might_fold_count_as_the_schema() {
        for name in ["SYS", "mySQL", "Information_Schema", "\u{130}nformation_schema", "\u{17f}ys"]
        {
            assert!(special(name.as_bytes()).is_some(), "{name}");
        }
        for name in ["clin", "sy", "syst", "caf\u{e9}", "my_sql", "m\u{e9}mysql", "s\u{e9}ys", ""] {
            assert_eq!(special(name.as_bytes()), None, "{name}");
        }
    }

    #[test]
    fn what_is_not_listed_shows_others() {
        assert!(Special::PerformanceSchema.shows_others(b"threads"));
        assert!(Special::PerformanceSchema.shows_others(b"a_table_of_tomorrow"));
        assert!(Special::InformationSchema.shows_others(b"PROCESSLIST"));
        assert!(Special::Sys.shows_others(b"x$session"));
        assert!(Special::Mysql.shows_others(b"general_log_backup"));
        // Names that the server might fold to those of the lists.
        let folded = "g\u{e9}neral_log".as_bytes();
        assert!(Special::Mysql.shows_others(folded) && Special::Mysql.holds_secrets(folded));
        assert!(!Special::InformationSchema.holds_no_data(folded));
        assert!(
            !Special::Sys.holds_secrets(b"servers") && Special::Mysql.holds_secrets(b"Servers")
        );
        assert!(!Special::InformationSchema.shows_others(b"COLUMNS"));
        assert!(!Special::Sys.shows_others(b"x$schema_index_statistics"));
    }
}
