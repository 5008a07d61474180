//! Where users are kept. What can happen to them is decided in the `access` crate; here it
//! is read, written and remembered. Every store passes the same tests.
pub mod directory;
pub mod handover;
pub mod mysql;
pub mod outbox;
pub mod sqlite;
mod text;

pub use directory::Directory;
pub use mysql::MySqlStore;
pub use sqlite::SqliteStore;

#[cfg(test)]
mod tests;
