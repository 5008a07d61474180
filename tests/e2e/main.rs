//! The real daemon between real clients and real servers. Each claim is checked on MariaDB
//! and on MySQL: run one flavour with `cargo test --test e2e mariadb::` or `mysql::`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test reports by panicking"
)]

/// Makes a test for each flavour of every function: `mariadb::name` and `mysql::name`.
macro_rules! on_both {
    ($($(#[$meta:meta])* fn $name:ident($stage:ident) $body:block)*) => {
        $($(#[$meta])* fn $name($stage: &'static readgate_tests::stage::Stage) $body)*
        mod mariadb {
            $(#[test] fn $name() {
                super::$name(readgate_tests::stage::stage(readgate_tests::server::Flavour::MariaDb));
            })*
        }
        mod mysql {
            $(#[test] fn $name() {
                super::$name(readgate_tests::stage::stage(readgate_tests::server::Flavour::MySql));
            })*
        }
    };
}

mod accounts;
mod balancer;
mod certificates;
mod check;
mod cli;
mod clients;
mod commands;
mod connections;
mod console;
mod console_tools;
mod conversations;
mod door;
mod drivers;
mod evidence;
mod failing_balancer;
mod failing_console;
mod failing_disk;
mod failing_fleet;
mod failing_names;
mod failing_net;
mod failing_ops;
mod failing_receivers;
mod failing_stale;
mod failing_store;
mod failover;
mod failures;
mod feeds;
mod fleet;
mod guesses;
mod ledger;
mod lifecycle;
mod limits;
mod log;
mod meddled;
mod metrics;
mod moves;
mod neighbours;
mod notices;
mod ops;
mod orders;
mod panics;
mod people;
mod pool;
mod reads;
mod ready;
mod recorded_anew;
mod references;
mod refusals;
mod reloads;
mod roles;
mod routines;
mod settings;
mod sharing;
mod shipping;
mod siblings;
mod staleness;
mod starts;
mod statement_times;
mod timing;
mod wrong_bytes;
