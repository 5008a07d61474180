//! Harness for the end-to-end suites: real MariaDB and MySQL servers, the real daemon with
//! the shipped configuration, and a client so plain that each packet can be compared.
//! Everything it starts ends with the test process, however that one ends.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a harness reports by panicking: that is how a test fails"
)]

pub mod config;
pub mod conversation;
pub mod dice;
pub mod failing_disk;
pub mod failing_net;
pub mod json_schema;
pub mod keeper;
pub mod meddler;
pub mod place;
pub mod preloaded;
pub mod protocol;
pub mod raw;
pub mod readgate;
pub mod server;
pub mod squeezed;
pub mod stage;
