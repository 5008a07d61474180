//! The operator console: the "replica" of an operator's session. Its tables are a fresh
//! snapshot of what the daemon knows, in an in-memory SQLite, so any SELECT works; a few
//! commands steer the daemon. Nothing here can reach the replica's data, and each statement
//! is in the ledger before its answer goes out.
pub mod answer;
pub mod dialect;
pub mod engine;
pub mod functions;
pub mod introspection;
pub mod ledger_tail;
pub mod orders;
pub mod prepared;
pub mod recent;
pub mod session;
pub mod show;
pub mod statement;
pub mod statistics;
pub mod tables;
pub mod variables;

use std::path::PathBuf;
use std::sync::OnceLock;

use ledger::LedgerSettings;
use sql_judge::SessionFacts;
use tokio::sync::Semaphore;

pub use recent::{Denied, Recent, Refused};
pub use statistics::Statistics;

/// What the ledger names where others have a replica, and as the kind of an operator's statements.
pub const CONSOLE: &str = "console";

/// Queries of all operators that run at a time; more wait.
const QUERIES_AT_A_TIME: usize = 2;

/// Characters of a shape that are shown.
const SHOWN: usize = 1000;
/// Bytes of a text that its shape is made of.
const SHAPED: usize = 16 << 10;

/// The shape of a text as the console shows it: of a long one, its beginning's.
pub fn shape(facts: &SessionFacts, text: &[u8]) -> String {
    let head = ledger::without_passwords(text.get(..SHAPED).unwrap_or(text));
    sql_judge::digest_text(facts, &head).chars().take(SHOWN).collect()
}

/// What the console keeps between two queries.
#[derive(Debug)]
pub struct Console {
    /// Statements by their shape.
    pub statements: Statistics,
    /// The latest refusals.
    pub refusals: Recent<Refused>,
    /// The latest connections and logins that were turned away.
    pub denials: Recent<Denied>,
    /// Where things are, once the daemon serves.
    pub place: OnceLock<Place>,
    queries: Semaphore,
}

impl Default for Console {
    fn default() -> Self {
        Self {
            statements: Statistics::default(),
            refusals: Recent::default(),
            denials: Recent::default(),
            place: OnceLock::new(),
            queries: Semaphore::new(QUERIES_AT_A_TIME),
        }
    }
}

/// Where the daemon's files are.
#[derive(Debug)]
pub struct Place {
    /// The configuration, which RELOAD reads.
    pub config: PathBuf,
    /// The ledger's folder.
    pub ledger: PathBuf,
    /// The node's name, which its files there have in theirs.
    pub node: String,
    /// The node's own copy of its checkpoints.
    pub checkpoints: PathBuf,
}

impl Console {
    /// Says where the files are. Counts once, when the daemon starts to serve.
    pub fn found(&self, config: PathBuf, ledger: &LedgerSettings) {
        let checkpoints = ledger.anchors.first().cloned().unwrap_or_default();
        let (folder, node) = (ledger.directory.clone(), ledger.node.clone());
        let place = Place { config, ledger: folder, node, checkpoints };
        let _ = self.place.set(place);
    }
}
