//! The statements of the MariaDB test suite, as Debian packages it, and of MySQL's own, where it
//! is: each file is run in order by an account with every right, and each statement is judged
//! before it runs.

use std::path::PathBuf;
use std::process::Command;

use readgate_tests::place::target;
use readgate_tests::server::must;
use sql_judge::{Policy, ServerVersion, SessionFacts, Verdict};

use crate::session::Session;
use crate::values::Warm;
use crate::{columns, locks};

/// Files of the suite that hold many reads and need no second server.
const FILES: &[&str] = &[
    "select",
    "subselect",
    "join_outer",
    "union",
    "cte_nonrecursive",
    "cte_recursive",
    "having",
    "derived",
    "func_str",
    "func_time",
    "func_group",
    "func_json",
    "func_gconcat",
    "win",
    "cast",
    "comments",
    "parser",
    "precedence",
    "brackets",
    "user_var",
    "ctype_latin1",
    "ctype_gbk",
    "ctype_sjis",
    "explain_json",
    "fulltext",
    "sql_mode",
    "ps",
    "json_table",
];
/// Those of MySQL's suite, for what MariaDB lacks or writes otherwise.
const MYSQL_FILES: &[&str] = &[
    "t/window_functions",
    "t/lead_lag",
    "t/nth",
    "t/group_by",
    "t/group_by_hypergraph",
    "t/olap",
    "t/qualify_hypergraph",
    "t/having",
    "t/order_by_all",
    "t/query_expression",
    "t/table_value_constructor",
    "t/union",
    "t/derived",
    "t/with_non_recursive",
    "t/hash_join",
    "t/join_nested",
    "t/row",
    "t/parser",
    "t/opt_hints",
    "t/opt_hints_subquery",
    "t/explain_tree",
    "t/regular_expressions_func",
    "t/func_bitwise_ops",
    "t/temporal_literal",
    "t/user_var",
    "t/gis",
    "t/gis-precise",
    "suite/json/t/json_no_table",
    "suite/json/t/json_agg",
    "suite/json/t/array_index",
];
/// What a server may have done with a statement that the judge lets through.
const READS: &[&str] = &[
    "select",
    "set_option",
    "change_db",
    "begin",
    "commit",
    "rollback",
    "savepoint",
    "release_savepoint",
    "rollback_to_savepoint",
    "prepare_sql",
    "execute_sql",
    "dealloc_sql",
    "execute_immediate",
    "checksum",
    "help",
    "do",
    "empty_query",
    "get_diagnostics",
    "error",
    "unlock_tables",
    "stmt",
    "freturn",
    "",
];
/// Rules that refuse what is no plain read.
const NOT_PLAIN: &[&str] = &[
    "locking_read",
    "user_lock",
    "sleep",
    "benchmark",
    "server_file",
    "sequence",
    "replication_wait",
    "admin_function",
    "too_deep",
    "into_target",
    // MySQL's reading of `1.e(`, which no report needs.
    "ambiguous_number",
];
/// Kinds of statements that are run in transactions of their own, to see what they lock.
const LOCKING_NOTHING: &[&str] = &["select", "show", "explain", "do", "checksum", "help"];
/// What the test would rather not do to its server.
const LEFT_OUT: &[&str] = &[
    "shutdown",
    "kill",
    "restart",
    "debug",
    "global",
    "persist",
    "install",
    "outfile",
    "dumpfile",
    "read_only",
    "mysql.",
    "flush",
    "password",
    "master",
    "slave",
    "replica",
    "reset",
    "sleep",
    "benchmark",
    "get_lock",
    "lock table",
    "xa ",
    "handler",
    "create user",
    "drop user",
    "event",
    "create database",
    ";",
    "drop database",
    "set role",
    "prepare_protocol",
];

#[derive(Default)]
struct Count {
    statements: usize,
    reads: usize,
    refused: Vec<String>,
    escapes: Vec<String>,
    digests: usize,
    same_digest: usize,
    differing: Vec<String>,
    locks: Vec<String>,
    columns: Vec<String>,
}

/// A test suite: where it is, and what of it is run.
pub(crate) struct Suite {
    folder: PathBuf,
    files: &'static [&'static str],
}

impl Suite {
    pub(crate) fn of_mariadb() -> Self {
        Self { folder: suite_folder(), files: FILES }
    }

    /// MySQL's, whose package is ten times as large: if READGATE_TEST_MYSQL_SUITE names its folder
    /// `mysql-test`.
    pub(crate) fn of_mysql() -> Option<Self> {
        let folder = PathBuf::from(std::env::var_os("READGATE_TEST_MYSQL_SUITE")?);
        assert!(folder.join("t").is_dir(), "{} is no test suite", folder.display());
        Some(Self { folder, files: MYSQL_FILES })
    }
}

/// Runs the files; at least `agreement` of the digests must be the judge's digest texts. A
/// server older than the suite may die of what the suite has learnt since: it is started
/// anew, and the rest of that file left out.
pub(crate) fn run(suite: &Suite, start: impl Fn() -> Session, agreement: f64) {
    let Suite { folder, files } = suite;
    let mut count = Count::default();
    let mut session = start();
    let mut deadly = Vec::new();
    for file in *files {
        let path = folder.join(format!("{file}.test"));
        let Ok(text) = std::fs::read(&path) else { continue };
        session.fresh();
        for statement in statements(&text) {
            one(&mut session, &statement, &mut count);
            if session.is_gone() {
                deadly.push(format!("{file}: {}", statement.escape_ascii()));
                session = start();
                break;
            }
        }
    }
    assert!(deadly.len() <= 3, "{deadly:#?}");
    let Count {
        statements,
        reads,
        refused,
        escapes,
        digests,
        same_digest,
        differing,
        locks,
        columns,
    } = count;
    println!(
        "{statements} statements, {reads} plain reads of which {} refused, {} escapes, \
         {same_digest} of {digests} digests agree, the server died of {deadly:?}",
        refused.len(),
        escapes.len()
    );
    assert!(reads > 2000, "only {reads} reads were found");
    assert!(escapes.is_empty(), "{escapes:#?}");
    assert!(locks.is_empty(), "{locks:#?}");
    assert!(columns.is_empty(), "{columns:#?}");
    assert!(refused.len() * 1000 <= reads, "{refused:#?}");
    let needed = (f64::from(u32::try_from(digests).unwrap()) * agreement).floor();
    let same = f64::from(u32::try_from(same_digest).unwrap());
    assert!(same >= needed, "{same} < {needed}: {differing:#?}");
}

fn one(session: &mut Session, statement: &[u8], count: &mut Count) {
    let lower = String::from_utf8_lossy(statement).to_lowercase();
    if LEFT_OUT.iter().any(|word| lower.contains(word)) {
        return;
    }
    let Some(facts) = session.facts() else {
        // A mode or character set that readgate does not take: the daemon ends such a
        // session. `SET` leads out of it.
        session.run(statement);
        return;
    };
    let verdict = session.verdict(&facts, statement);
    if matches!(&verdict, Verdict::Deny(denial) if denial.rule == "growing_value") {
        // What the rule is for: some of these take all memory that the machine has.
        return;
    }
    let kind = match &verdict {
        Verdict::Allow(permit) => permit.kind().as_str(),
        Verdict::Deny(_) | Verdict::Absorb(_) | Verdict::Own(_) => "",
    };
    let is_alone = LOCKING_NOTHING.contains(&kind);
    let (succeeded, locked) = match is_alone {
        true => locks::run(session, statement),
        false => (session.run(statement), Vec::new()),
    };
    if session.is_gone() {
        return;
    }
    let event = session.last_event();
    if is_alone && !session.is_gone() {
        if succeeded && let Some(fault) = locks::fault(session, &facts, statement, kind, &locked) {
            count.locks.push(format!("{fault}: {}", statement.escape_ascii()));
        }
        session.run(b"COMMIT");
        if succeeded
            && kind == "select"
            && let Some(fault) = columns::fault(session, &facts, statement)
        {
            count.columns.push(format!("{fault}: {}", statement.escape_ascii()));
        }
    }
    let Some(event) = event else { return };
    let is_read = READS.contains(&event.name.as_str()) || event.name.starts_with("show_");
    count.statements += 1;
    let shown = || statement.escape_ascii().to_string();
    match &verdict {
        Verdict::Allow(_) if !is_read => {
            count.escapes.push(format!("{}: {}", event.name, shown()));
        }
        Verdict::Allow(_) => {
            if let Some(digest) = event.digest.filter(|_| succeeded && plain_digest(&lower)) {
                let ours = sql_judge::digest_text(&facts, statement);
                count.digests += 1;
                if ours == digest {
                    count.same_digest += 1;
                } else if count.differing.len() < 20 {
                    count.differing.push(format!("{digest}\n  {ours}"));
                }
            }
        }
        Verdict::Deny(denial) => {
            let is_plain = event.name == "select" || event.name.starts_with("show_");
            let is_explained = NOT_PLAIN.contains(&denial.rule)
                || (denial.rule == "unknown_function" && calls_stored(session, &lower));
            if succeeded && is_plain && !is_explained {
                count.refused.push(format!("{}: {}", denial.rule, shown()));
            }
        }
        Verdict::Absorb(_) | Verdict::Own(_) => {}
    }
    count.reads += usize::from(succeeded && event.name == "select");
}

/// Whether the text names a stored function of the scratch schemas.
fn calls_stored(session: &mut Session, lower: &str) -> bool {
    let names = session.ask(
        "SELECT COALESCE(GROUP_CONCAT(LOWER(routine_name)), '') FROM information_schema.routines \
         WHERE routine_schema NOT IN ('sys', 'mysql')",
    );
    names.split(',').any(|name| !name.is_empty() && lower.contains(name))
}

/// Whether the server's digest is that of this text alone, and whole. The judge's has no hints.
fn plain_digest(lower: &str) -> bool {
    let other = ["prepare", "execute", "deallocate", "/*+"];
    let of_another = other.iter().any(|word| lower.contains(word));
    lower.len() < 1000 && !of_another && lower.is_ascii()
}

/// The reads of the suites, for those who want to make others of them. None of one that isn't
/// there.
pub(crate) fn reads() -> Vec<Vec<u8>> {
    const VERBS: [&[u8]; 8] =
        [b"select", b"with", b"(", b"values", b"explain", b"show", b"set", b"analyze"];
    let suites = [Some(Suite { folder: suite_path(), files: FILES }), Suite::of_mysql()];
    let files = suites.iter().flatten().flat_map(|Suite { folder, files }| {
        files.iter().map(|file| folder.join(format!("{file}.test")))
    });
    let texts: Vec<Vec<u8>> = files.filter_map(|path| std::fs::read(path).ok()).collect();
    let found = texts.iter().flat_map(|text| statements(text));
    let is_read = |text: &Vec<u8>| {
        let begins = |verb: &&[u8]| {
            text.get(..verb.len()).is_some_and(|start| start.eq_ignore_ascii_case(verb))
        };
        text.len() < 600 && VERBS.iter().any(begins)
    };
    found.filter(is_read).collect()
}

fn suite_path() -> PathBuf {
    target().join("judge-suite/usr/share/mysql/mysql-test/main")
}

/// Fetches and unpacks the package, once.
fn suite_folder() -> PathBuf {
    let cache = target().join("judge-suite");
    let folder = suite_path();
    if !folder.is_dir() {
        std::fs::create_dir_all(&cache).expect("the cache folder can be made");
        let packages = ["mariadb-test", "mariadb-test-data"];
        must(Command::new("apt-get").arg("download").args(packages).current_dir(&cache));
        for entry in std::fs::read_dir(&cache).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "deb") {
                must(Command::new("dpkg-deb").arg("-x").arg(&path).arg(&cache));
            }
        }
    }
    assert!(folder.is_dir(), "{} is missing", folder.display());
    folder
}

/// The SQL statements of a test file; commands of the test language are left out.
fn statements(text: &[u8]) -> Vec<Vec<u8>> {
    const COMMANDS: &[&str] = &[
        "let",
        "inc",
        "dec",
        "if",
        "while",
        "end",
        "source",
        "echo",
        "connect",
        "connection",
        "disconnect",
        "error",
        "exec",
        "sleep",
        "real_sleep",
        "reap",
        "send",
        "exit",
        "die",
        "perl",
        "eval",
        "query",
        "require",
        "skip",
        "write_file",
        "remove_file",
        "copy_file",
        "replace_result",
        "replace_regex",
        "replace_column",
        "sorted_result",
        "vertical_results",
        "horizontal_results",
        "character_set",
        "delimiter",
        "result_format",
        "list_files",
        "mkdir",
        "rmdir",
        "chmod",
    ];
    let mut found = Vec::new();
    let mut delimiter = b";".to_vec();
    let mut current: Vec<u8> = Vec::new();
    for line in text.split(|&byte| byte == b'\n') {
        let trimmed = line.trim_ascii();
        if current.is_empty() {
            if trimmed.is_empty() || trimmed.starts_with(b"#") || trimmed.starts_with(b"--") {
                continue;
            }
            let lower = trimmed.to_ascii_lowercase();
            if let Some(rest) = lower.strip_prefix(b"delimiter ") {
                let rest = rest.trim_ascii();
                delimiter = rest.strip_suffix(delimiter.as_slice()).unwrap_or(rest).to_vec();
                continue;
            }
        }
        current.extend(line);
        current.push(b'\n');
        let Some(statement) = current.trim_ascii_end().strip_suffix(delimiter.as_slice()) else {
            continue;
        };
        let statement = statement.trim_ascii().to_vec();
        current.clear();
        let word = statement.split(|byte| !byte.is_ascii_alphabetic() && *byte != b'_').next();
        let word = String::from_utf8_lossy(word.unwrap_or_default()).to_lowercase();
        let is_command = COMMANDS.contains(&word.as_str())
            || word.starts_with("enable_")
            || word.starts_with("disable_");
        let has_variable = statement.contains(&b'$');
        if !is_command && !has_variable && !matches!(statement.first(), None | Some(b'}')) {
            found.push(statement);
        }
    }
    found
}

/// A judge that remembers says of every statement with other values in it what one without a
/// memory says. No server is asked.
#[test]
fn statements_of_the_suite_with_other_values_are_judged_as_without_a_memory() {
    let folder = suite_folder();
    for (greeting, collation) in [("9.7.4", 255), ("10.11.19-MariaDB", 45)] {
        let server = ServerVersion::from_greeting(greeting.as_bytes()).unwrap();
        let facts = SessionFacts::new(server, b"", collation, Some(b"test")).unwrap();
        let policy = Policy { own_sessions_only: true, ..Policy::default() };
        let mut warm = Warm::new(server, policy, 5);
        for file in FILES {
            let Ok(text) = std::fs::read(folder.join(format!("{file}.test"))) else { continue };
            statements(&text).iter().for_each(|text| warm.compare(&facts, text, 1));
        }
        println!("{} texts compared, {} of them known at once", warm.compared, warm.known);
        assert!(warm.compared > 20_000 && warm.known > 4000, "{} {}", warm.compared, warm.known);
    }
}

#[test]
fn commands_of_the_test_language_are_no_statements() {
    let text = b"--source x.inc\nSELECT 1;\nlet $a= 1;\nselect\n 2 ;\ndelimiter |;\nSELECT 3; |\n";
    let found: Vec<String> =
        statements(text).iter().map(|s| String::from_utf8_lossy(s).into_owned()).collect();
    assert_eq!(found, ["SELECT 1", "select\n 2", "SELECT 3;"]);
}
