//! Words that can't name a column without quotes, which each server has its own of. Asked from
//! MySQL 9.7 and MariaDB 10.11; since when, from their manuals.

use super::LexMode;

/// Words and the version from which they are reserved; 0 for all that are served.
type Since = (u32, &'static [&'static str]);

/// No reserved word is longer, in bytes.
const LONGEST: usize = 32;

/// Whether the word is reserved here, whatever its case.
pub(crate) fn is_reserved(mode: LexMode, word: &[u8]) -> bool {
    let own = if mode.is_mysql() { OF_MYSQL } else { OF_MARIADB };
    with_lower_case(word, |word| {
        let is_in = |list: &[&str]| list.binary_search(&word).is_ok();
        is_in(OF_BOTH)
            || own.iter().any(|(since, list)| mode.server.number >= *since && is_in(list))
            || (mode.oracle && is_in(OF_ORACLE_MODE))
    })
}

/// Whether the word, which is reserved, is a value by itself.
pub(crate) fn is_value(word: &[u8]) -> bool {
    with_lower_case(word, |word| VALUES.binary_search(&word).is_ok())
}

fn with_lower_case(word: &[u8], check: impl FnOnce(&str) -> bool) -> bool {
    let mut lower = [0; LONGEST];
    let Some(lower) = lower.get_mut(..word.len()) else { return false };
    lower.copy_from_slice(word);
    lower.make_ascii_lowercase();
    std::str::from_utf8(lower).is_ok_and(check)
}

/// Sorted, as all of these.
#[rustfmt::skip]
const OF_BOTH: &[&str] = &[
    "accessible", "add", "all", "alter", "analyze", "and", "as", "asc", "asensitive", "before",
    "between", "bigint", "binary", "blob", "both", "by", "call", "cascade", "case", "change",
    "char", "character", "check", "collate", "column", "condition", "constraint", "continue",
    "convert", "create", "cross", "current_date", "current_time", "current_timestamp",
    "current_user", "cursor", "databases", "day_hour", "day_microsecond", "day_minute",
    "day_second", "dec", "decimal", "declare", "default", "delayed", "delete", "desc",
    "describe", "deterministic", "distinct", "distinctrow", "div", "double", "drop", "dual",
    "each", "else", "elseif", "enclosed", "escaped", "except", "exists", "exit", "explain",
    "false", "fetch", "float", "float4", "float8", "for", "force", "foreign", "from",
    "fulltext", "grant", "group", "having", "high_priority", "hour_microsecond", "hour_minute",
    "hour_second", "if", "ignore", "in", "index", "infile", "inner", "inout", "insensitive",
    "insert", "int", "int1", "int2", "int3", "int4", "int8", "integer", "interval", "into",
    "is", "iterate", "join", "key", "keys", "kill", "leading", "leave", "left", "like", "limit",
    "linear", "lines", "load", "localtime", "localtimestamp", "lock", "long", "longblob",
    "longtext", "loop", "low_priority", "match", "maxvalue", "mediumblob", "mediumint",
    "mediumtext", "middleint", "minute_microsecond", "minute_second", "mod", "modifies",
    "natural", "no_write_to_binlog", "not", "null", "numeric", "on", "optimize", "optionally",
    "or", "order", "out", "outer", "outfile", "over", "partition", "precision", "primary",
    "procedure", "purge", "range", "read", "read_write", "reads", "real", "recursive",
    "references", "regexp", "release", "rename", "repeat", "replace", "require", "resignal",
    "restrict", "return", "revoke", "right", "rlike", "rows", "schemas", "second_microsecond",
    "select", "sensitive", "separator", "set", "show", "signal", "smallint", "spatial",
    "specific", "sql", "sql_big_result", "sql_buffer_result", "sql_calc_found_rows",
    "sql_no_cache", "sql_small_result", "sqlexception", "sqlstate", "sqlwarning", "ssl",
    "starting", "straight_join", "table", "terminated", "then", "tinyblob", "tinyint",
    "tinytext", "to", "trailing", "trigger", "true", "undo", "union", "unique", "unlock",
    "unsigned", "update", "usage", "use", "using", "utc_date", "utc_time", "utc_timestamp",
    "values", "varbinary", "varchar", "varcharacter", "varying", "when", "where", "while",
    "with", "write", "xor", "year_month", "zerofill",
];

#[rustfmt::skip]
const OF_MYSQL: &[Since] = &[
    (0, &[
        "cube", "cume_dist", "database", "dense_rank", "empty", "first_value", "function",
        "generated", "get", "grouping", "groups", "io_after_gtids", "io_before_gtids",
        "json_table", "lag", "last_value", "lead", "nth_value", "ntile", "of",
        "optimizer_costs", "option", "percent_rank", "rank", "row", "row_number", "schema",
        "stored", "system", "virtual", "window",
    ]),
    (80_014, &[
        "lateral",
    ]),
    (80_031, &[
        "intersect",
    ]),
    (80_400, &[
        "qualify", "tablesample",
    ]),
    (90_200, &[
        "library",
    ]),
    (90_400, &[
        "external",
    ]),
];

#[rustfmt::skip]
const OF_MARIADB: &[Since] = &[
    (0, &[
        "current_role", "delete_domain_id", "do_domain_ids", "ignore_domain_ids",
        "intersect", "master_demote_to_replica", "master_demote_to_slave",
        "master_ssl_verify_server_cert", "page_checksum", "parse_vcol_expr",
        "ref_system_id", "returning", "sql_cache", "stats_auto_recalc", "stats_persistent",
        "stats_sample_pages",
    ]),
    (100_403, &[
        "portion",
    ]),
    (100_600, &[
        "offset",
    ]),
    (100_700, &[
        "row_number",
    ]),
];

#[rustfmt::skip]
const OF_ORACLE_MODE: &[&str] = &[
    "body", "elsif", "goto", "minus", "others", "package", "raise", "rownum", "rowtype",
    "sysdate",
];

#[rustfmt::skip]
const VALUES: &[&str] = &[
    "current_date", "current_role", "current_time", "current_timestamp", "current_user", "false",
    "localtime", "localtimestamp", "maxvalue", "null", "rownum", "sysdate", "true", "utc_date",
    "utc_time", "utc_timestamp",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_are_sorted() {
        let since = OF_MYSQL.iter().chain(OF_MARIADB).map(|(_, list)| *list);
        for list in since.chain([OF_BOTH, OF_ORACLE_MODE, VALUES]) {
            assert!(list.is_sorted(), "{list:?}");
            assert!(list.iter().all(|word| word.len() <= LONGEST), "{list:?}");
        }
    }
}
