//! The judge against real servers. A full-rights account runs what the judge lets
//! through, and the server says what it did: any statement that wrote is an escape.
//!
//! Two sources of statements: a generator of lexing tricks (quotes, comments, versions,
//! character sets, modes), and the statements of the MariaDB test suite as Debian
//! packages it, read at test time and not copied.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test reports by panicking, and says what it counted"
)]

mod aliases;
mod columns;
mod fuzz;
mod generator;
mod locks;
mod mutate;
mod session;
mod settings;
mod suite;
mod tricks;
#[path = "../../crates/sql-judge/tests/common/mod.rs"]
mod values;
mod words;

use std::time::Duration;

use readgate_tests::place::wanted;
use readgate_tests::server::Flavour;

#[test]
fn mariadb_runs_no_hidden_call_that_the_judge_lets_through() {
    tricks::run(&mut session::Session::start(Flavour::MariaDb, "mariadb-tricks"));
}

#[test]
fn mysql_runs_no_hidden_call_that_the_judge_lets_through() {
    tricks::run(&mut session::Session::start(Flavour::MySql, "mysql-tricks"));
}

#[test]
fn mariadb_looks_for_no_stored_function_behind_a_word_that_passes() {
    words::run(&mut session::Session::start(Flavour::MariaDb, "mariadb-words"));
}

#[test]
fn mysql_looks_for_no_stored_function_behind_a_word_that_passes() {
    words::run(&mut session::Session::start(Flavour::MySql, "mysql-words"));
}

#[test]
fn mariadb_reads_no_column_beside_an_alias_of_its_name_that_the_record_lacks() {
    aliases::run(&mut session::Session::start(Flavour::MariaDb, "mariadb-aliases"));
}

#[test]
fn mysql_reads_no_column_beside_an_alias_of_its_name_that_the_record_lacks() {
    aliases::run(&mut session::Session::start(Flavour::MySql, "mysql-aliases"));
}

/// How long each fuzzing test lasts: a moment, or what READGATE_FUZZ_MINUTES says; the seed is
/// READGATE_FUZZ_SEED, or 1.
fn fuzzing() -> (Duration, u64) {
    let lasts = wanted("READGATE_FUZZ_MINUTES").map_or(5, |minutes| minutes * 60);
    (Duration::from_secs(lasts), wanted("READGATE_FUZZ_SEED").unwrap_or(1))
}

#[test]
fn mariadb_shows_no_trace_of_mutated_statements() {
    let (lasts, seed) = fuzzing();
    fuzz::run(&mut session::Session::start(Flavour::MariaDb, "mariadb-fuzz"), lasts, seed);
}

#[test]
fn mysql_shows_no_trace_of_mutated_statements() {
    let (lasts, seed) = fuzzing();
    fuzz::run(&mut session::Session::start(Flavour::MySql, "mysql-fuzz"), lasts, seed);
}

#[test]
fn mariadb_agrees_on_the_statements_of_its_test_suite() {
    let suite = suite::Suite::of_mariadb();
    suite::run(&suite, || session::Session::start(Flavour::MariaDb, "mariadb-suite"), 0.99);
}

#[test]
fn mysql_agrees_on_the_statements_of_the_test_suite() {
    let suite = suite::Suite::of_mariadb();
    suite::run(&suite, || session::Session::start(Flavour::MySql, "mysql-suite"), 0.99);
}

#[test]
fn mysql_agrees_on_the_statements_of_its_own_test_suite() {
    let Some(suite) = suite::Suite::of_mysql() else {
        println!("left out: READGATE_TEST_MYSQL_SUITE names no folder");
        return;
    };
    suite::run(&suite, || session::Session::start(Flavour::MySql, "mysql-own-suite"), 0.998);
}
