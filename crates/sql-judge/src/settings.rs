//! Which session variables a user may set, and how.

use std::time::Duration;

/// What setting a variable needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Setting {
    /// Any value that reads nothing but data.
    Free,
    /// The same, and it may have the server keep statements that others would find: neither a
    /// reset nor another login on the connection makes it forget them.
    Tracing,
    /// `sql_mode`: the session is read back where the new value isn't written out.
    SqlMode,
    /// `character_set_client`: the same.
    ClientCharset,
    /// What decides the character set that literals are converted to.
    LiteralCharset,
    /// Isolation level: SERIALIZABLE would make reads lock.
    Isolation,
    /// `transaction_read_only`: can be set, not unset.
    ReadOnly,
    /// A time limit that the guard has set as well: may be lowered.
    Limit(Limited),
    /// Not to be set.
    Refused,
}

/// What a limit is for, and its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limited {
    /// `max_execution_time`: milliseconds of a statement, 0 for none.
    StatementMillis,
    /// `max_statement_time`: seconds of a statement, 0 for none.
    StatementSeconds,
    /// `lock_wait_timeout` and its kin: seconds of a wait.
    LockWaitSeconds,
}

/// The longest times that the session's guard allows. Users may set shorter ones; without
/// a limit here they may set any.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Longest statement.
    pub statement: Option<Duration>,
    /// Longest wait for a lock.
    pub lock_wait: Option<Duration>,
}

/// The shortest time that users may set, in seconds: a server rounds less than its own unit to 0,
/// which is no limit.
const SHORTEST: f64 = 0.001;

impl Limits {
    /// Whether a literal keeps within the limit.
    pub(crate) fn allow(&self, limited: Limited, literal: &[u8]) -> bool {
        let (limit, unit) = match limited {
            Limited::StatementMillis => (self.statement, 1000.0),
            Limited::StatementSeconds => (self.statement, 1.0),
            Limited::LockWaitSeconds => (self.lock_wait, 1.0),
        };
        let Some(limit) = limit else { return true };
        let value = std::str::from_utf8(literal).ok().and_then(|text| text.parse::<f64>().ok());
        let seconds = value.map(|value| value / unit);
        seconds.is_some_and(|seconds| seconds >= SHORTEST && seconds <= limit.as_secs_f64())
    }

    /// Whether a limit of this sort is set at all.
    pub(crate) fn limits(&self, limited: Limited) -> bool {
        match limited {
            Limited::StatementMillis | Limited::StatementSeconds => self.statement.is_some(),
            Limited::LockWaitSeconds => self.lock_wait.is_some(),
        }
    }
}

/// The rule for a session variable of this name.
pub(crate) fn setting(name: &[u8]) -> Setting {
    let mut lower = [0u8; 64];
    let Some(lower) = lower.get_mut(..name.len()) else {
        return Setting::Refused;
    };
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    match &*lower {
        b"sql_mode" => Setting::SqlMode,
        b"character_set_client" => Setting::ClientCharset,
        b"character_set_connection"
        | b"character_set_database"
        | b"collation_connection"
        | b"collation_database" => Setting::LiteralCharset,
        b"transaction_isolation" | b"tx_isolation" => Setting::Isolation,
        b"transaction_read_only" | b"tx_read_only" | b"session_transaction_read_only" => {
            Setting::ReadOnly
        }
        b"max_execution_time" => Setting::Limit(Limited::StatementMillis),
        b"max_statement_time" => Setting::Limit(Limited::StatementSeconds),
        b"lock_wait_timeout" | b"innodb_lock_wait_timeout" => {
            Setting::Limit(Limited::LockWaitSeconds)
        }
        lower if is_tracing(lower) => Setting::Tracing,
        lower if is_free(lower) => Setting::Free,
        _ => Setting::Refused,
    }
}

/// Whether a SET_VAR hint may set this variable for its statement.
pub(crate) fn may_be_hinted(name: &[u8]) -> bool {
    setting(name) == Setting::Free
}

fn is_tracing(lower: &[u8]) -> bool {
    lower.starts_with(b"optimizer_trace")
        || lower.starts_with(b"optimizer_record")
        || lower.starts_with(b"profiling")
}

fn is_free(lower: &[u8]) -> bool {
    lower.starts_with(b"optimizer_")
        || lower.starts_with(b"session_track_")
        || std::str::from_utf8(lower).is_ok_and(|name| FREE.binary_search(&name).is_ok())
}

/// Session variables that shape answers, plans, memory and waits of this session only; Aurora's for
/// long reads on a reader among them.
/// Sorted.
#[rustfmt::skip]
const FREE: &[&str] = &[
    "aurora_parallel_query", "aurora_pq_force", "aurora_read_replica_read_committed",
    "autocommit", "big_tables", "block_encryption_mode", "character_set_results",
    "character_set_server", "collation_server", "cte_max_recursion_depth", "default_regex_flags",
    "default_storage_engine", "default_tmp_storage_engine", "default_week_format",
    "div_precision_increment", "end_markers_in_json", "eq_range_index_dive_limit",
    "expensive_subquery_limit", "explain_format", "explain_json_format_version",
    "foreign_key_checks", "group_concat_max_len", "histogram_size", "histogram_type", "identity",
    "in_predicate_conversion_threshold", "information_schema_stats_expiry", "innodb_strict_mode",
    "innodb_table_locks", "interactive_timeout", "internal_tmp_mem_storage_engine",
    "join_buffer_size", "join_buffer_space_limit", "join_cache_level", "last_insert_id",
    "lc_messages", "lc_time_names", "low_priority_updates", "max_error_count",
    "max_heap_table_size", "max_join_size", "max_length_for_sort_data", "max_points_in_geometry",
    "max_recursive_iterations", "max_rowid_filter_size", "max_seeks_for_key",
    "max_session_mem_used", "max_sort_length", "mhnsw_ef_search", "mrr_buffer_size",
    "net_read_timeout", "net_retry_count", "net_write_timeout", "new", "note_verbosity", "old",
    "old_mode", "old_passwords", "print_identified_with_as_hex", "progress_report_time",
    "query_cache_strip_comments", "query_cache_type", "query_cache_wlock_invalidate",
    "rand_seed1", "rand_seed2", "range_optimizer_max_mem_size", "read_buffer_size",
    "read_rnd_buffer_size", "resultset_metadata", "rowid_merge_buff_size",
    "secondary_engine_cost_threshold", "set_operations_buffer_size",
    "show_create_table_skip_secondary_engine", "show_create_table_verbosity",
    "show_gipk_in_create_table_and_information_schema", "show_old_temporals",
    "sort_buffer_size", "sql_auto_is_null", "sql_big_selects",
    "sql_buffer_result", "sql_notes", "sql_quote_show_create", "sql_safe_updates",
    "sql_select_limit", "sql_warnings", "standard_compliant_cte", "storage_engine",
    "system_versioning_asof", "time_zone", "timestamp", "tmp_disk_table_size",
    "tmp_memory_table_size", "tmp_table_size", "unique_checks", "updatable_views_with_limit",
    "use_secondary_engine", "use_stat_tables", "wait_timeout", "windowing_use_high_precision",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted() {
        assert!(FREE.is_sorted());
    }

    #[test]
    fn what_is_not_listed_is_refused() {
        for name in ["sql_log_bin", "sql_log_off", "gtid_next", "binlog_format", "pseudo_thread_id"]
        {
            assert_eq!(setting(name.as_bytes()), Setting::Refused, "{name}");
        }
        assert_eq!(setting(&[b'a'; 300]), Setting::Refused);
        assert_eq!(setting(b"SQL_Select_Limit"), Setting::Free);
        assert_eq!(setting(b"mhnsw_ef_search"), Setting::Free);
        assert_eq!(setting(b"Profiling"), Setting::Tracing);
        assert_eq!(setting(b"optimizer_trace_limit"), Setting::Tracing);
        assert_eq!(setting(b"optimizer_record_context"), Setting::Tracing);
    }
}
