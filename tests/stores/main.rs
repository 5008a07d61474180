//! Stores of users: one suite on SQLite, MariaDB and MySQL, and what can happen to a server.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test reports by panicking"
)]

mod shared;
mod suite;

use readgate::identity::SqliteStore;
use readgate_tests::place::scratch_of;

#[test]
fn sqlite_passes_the_suite() {
    let folder = scratch_of("stores").join("sqlite");
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("identities.sqlite");
    suite::every_store(&SqliteStore::open(&file, std::time::Duration::from_secs(5)).unwrap());
}
