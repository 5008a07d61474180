//! Users in a MySQL or MariaDB that the nodes of a fleet share. Guarantees that a change and
//! its history are committed together, that changes of all nodes come one after the other
//! in the order of their numbers, and that nothing is spoken outside verified TLS.
mod line;
mod rows;

use access::store::{Author, HistoryEntry, IdentityStore, Snapshot, differences};
use access::{
    Change, CredentialPolicy, Identity, SharedBlock, SignOff, StoreError, Timestamp, UserName,
};
use config::SharedStore;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, FromRowError};
use mysql_wire::error_code::ER_NO_SUCH_TABLE;

use super::text::Unreadable;
use line::Line;
use rows::Note;

const VERSION: i64 = 1;
const SCHEMA: &str = include_str!("mysql/schema.sql");

/// An identity store in a MySQL.
#[derive(Debug)]
pub struct MySqlStore {
    line: Line,
}

impl MySqlStore {
    /// Connects, and makes the tables if they are missing and the account may.
    ///
    /// # Errors
    /// If it can't be reached, isn't an identity store, or was made by a later version.
    pub fn open(place: &SharedStore) -> Result<Self, StoreError> {
        let line = Line::new(place)?;
        let found = line.run(async |connection: &mut Conn| {
            match version(connection).await {
                Err(Fault::Client(mysql_async::Error::Server(error)))
                    if error.code == ER_NO_SUCH_TABLE => {}
                other => return other,
            }
            for statement in SCHEMA.split(";\n").filter(|text| !text.trim().is_empty()) {
                connection.query_drop(statement).await?;
            }
            version(connection).await
        })?;
        if found > VERSION {
            let place = line.place().to_owned();
            return Err(StoreError::TooNew { place, found, known: VERSION });
        }
        Ok(Self { line })
    }
}

async fn version(connection: &mut Conn) -> Result<i64, Fault> {
    rows::of_store(connection, "version").await
}

impl IdentityStore for MySqlStore {
    fn revision(&self) -> Result<u64, StoreError> {
        self.line.run(async |connection: &mut Conn| rows::revision(connection).await)
    }

    fn load(&self) -> Result<Snapshot, StoreError> {
        self.line.run(async |connection: &mut Conn| {
            let consistent = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY";
            connection.query_drop(consistent).await?;
            let snapshot = rows::load(connection).await?;
            connection.query_drop("COMMIT").await?;
            Ok(snapshot)
        })
    }

    fn apply(
        &self,
        change: &Change,
        author: &Author,
        policy: &CredentialPolicy,
        now: Timestamp,
    ) -> Result<Identity, StoreError> {
        self.line.change(async |connection: &mut Conn| {
            let number = begin(connection).await?;
            let before = rows::find(connection, change.user()).await?;
            let after = change.apply(before.clone(), policy, now).map_err(StoreError::from)?;
            let differences = differences(before.as_ref(), &after);
            if change.is_repeated(&differences) {
                // Nothing is left to be committed.
                connection.query_drop("ROLLBACK").await?;
                return Ok(after);
            }
            rows::write(connection, before.as_ref(), &after).await?;
            let (user, label) = (Some(change.user()), change.label());
            let note = Note { number, user, label, differences: &differences };
            rows::note(connection, &note, author, now).await?;
            Ok(after)
        })
    }

    fn history(&self, user: Option<&UserName>) -> Result<Vec<HistoryEntry>, StoreError> {
        self.line.run(async |connection: &mut Conn| rows::history(connection, user, 0).await)
    }

    fn changes_since(&self, revision: u64) -> Result<Vec<HistoryEntry>, StoreError> {
        self.line.run(async |connection: &mut Conn| rows::history(connection, None, revision).await)
    }

    fn sign_off(
        &self,
        author: &Author,
        sign_off: &SignOff,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let differences = sign_off.differences();
        self.line.change(async |connection: &mut Conn| {
            let number = begin(connection).await?;
            let note =
                Note { number, user: None, label: SignOff::LABEL, differences: &differences };
            rows::note(connection, &note, author, now).await
        })
    }

    fn block(&self, block: &SharedBlock, now: Timestamp) -> Result<(), StoreError> {
        self.line.run(async |connection: &mut Conn| rows::block(connection, block, now).await)
    }

    fn blocks(&self, now: Timestamp) -> Result<Vec<SharedBlock>, StoreError> {
        let blocks = self.line.run(async |connection: &mut Conn| rows::blocks(connection).await)?;
        Ok(blocks.into_iter().filter(|block| block.until > now).collect())
    }
}

/// Takes the next number, and with it the right to change anything: who else wants to
/// change waits here, so numbers are committed in their order.
async fn begin(connection: &mut Conn) -> Result<u64, Fault> {
    connection.query_drop("START TRANSACTION").await?;
    connection.query_drop("UPDATE rg_store SET revision = revision + 1").await?;
    rows::revision(connection).await
}

/// What went wrong, before it is known where.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Client(#[from] mysql_async::Error),
    /// The answer to COMMIT didn't come.
    #[error(transparent)]
    Unsure(mysql_async::Error),
    /// Nor has it failed: it may be made as soon as what holds it up, such as a backup, is over.
    #[error("no answer to COMMIT in time")]
    Late,
    #[error("a column has another type")]
    Row(#[from] FromRowError),
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    #[error("no answer in time")]
    Timeout,
}

impl Fault {
    fn at(self, place: &str) -> StoreError {
        let (place, detail) = (place.to_owned(), self.to_string());
        match self {
            Self::Store(error) => error,
            Self::Row(_) | Self::Unreadable(_) => StoreError::Damaged { place, detail },
            Self::Late => StoreError::Unsure { place, detail },
            Self::Unsure(error) if error.is_fatal() => StoreError::Unsure { place, detail },
            Self::Client(mysql_async::Error::Server(error))
            | Self::Unsure(mysql_async::Error::Server(error)) => match error.code {
                // Lock wait timeout, deadlock.
                1205 | 1213 => StoreError::Busy { place },
                // Disk full, no space for a file, table full.
                1021 | 1026 | 1114 => StoreError::Full { place },
                // Not a table file, crashed tables and indexes, missing tables or columns.
                1033..=1035 | 1054 | 1146 | 1194 | 1195 | 1712 => {
                    StoreError::Damaged { place, detail }
                }
                _ => StoreError::Unreachable { place, detail },
            },
            Self::Client(_) | Self::Unsure(_) | Self::Timeout => {
                StoreError::Unreachable { place, detail }
            }
        }
    }
}
