//! Users in one SQLite file, for one machine. Several processes may use it at once: the
//! daemon reads, the command line writes. Guarantees that a change and its history are
//! written together, on the disk before `apply` returns, and that the file is its owner's.
mod rows;

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use access::store::{Author, HistoryEntry, IdentityStore, Snapshot, differences};
use access::{
    Change, CredentialPolicy, Identity, SharedBlock, SignOff, StoreError, Timestamp, UserName,
};
use rusqlite::{Connection, ErrorCode, Row, TransactionBehavior};

use super::text::Unreadable;
use rows::{Note, find, history, load, note, revision, write};

/// "rgid" in the file's header: tells the file from any other SQLite file.
const APPLICATION_ID: i64 = 0x7267_6964;
const VERSION: i64 = 1;
const SCHEMA: &str = include_str!("sqlite/schema.sql");

/// An identity store in a file.
#[derive(Debug)]
pub struct SqliteStore {
    place: String,
    /// The file and SQLite's log beside it, with device and number of what was opened.
    opened: Vec<(PathBuf, (u64, u64))>,
    connection: Mutex<Connection>,
}

impl SqliteStore {
    /// Opens the file, or makes it, readable and writable by its owner alone.
    ///
    /// `patience` is how long to wait for another process that holds it.
    ///
    /// # Errors
    /// If it can't be opened, others have rights to it, it isn't whole, isn't an identity
    /// store, or was made by a later version.
    pub fn open(path: &Path, patience: Duration) -> Result<Self, StoreError> {
        let place = path.display().to_string();
        let unreachable = |detail: String| StoreError::Unreachable { place: place.clone(), detail };
        let file = opened_or_made(path).map_err(|error| unreachable(error.to_string()))?;
        let metadata = file.metadata().map_err(|error| unreachable(error.to_string()))?;
        let mode = metadata.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            let detail = format!("mode {mode:04o} lets others at verifiers; chmod 600 {place}");
            return Err(unreachable(detail));
        }
        // Whoever closes a file drops all locks that the process has on it, SQLite's too. Without
        // them the next program that closes the store takes itself for the last and removes its
        // log.
        drop(file);
        let connection = prepare(path, patience, &place)?;
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        let mut opened = vec![(path.to_owned(), (metadata.dev(), metadata.ino()))];
        let log = PathBuf::from(log);
        // None where a file system can't share its memory: SQLite does without then.
        opened.extend(place_of(&log).ok().map(|found| (log, found)));
        Ok(Self { place, opened, connection: Mutex::new(connection) })
    }

    /// What was opened can be read for ever, also when nobody can reach it any more: changes are
    /// made in the files of these names.
    fn is_in_its_place(&self) -> Result<(), StoreError> {
        for (path, opened) in &self.opened {
            let is_so = place_of(path).map(|found| found == *opened);
            let wrong = match is_so {
                Ok(true) => continue,
                Ok(false) => String::from("another file stands in its place"),
                Err(error) => error.to_string(),
            };
            let file = path.display();
            let detail = format!("{file}: {wrong}; put it back, or start readgate again");
            return Err(StoreError::Unreachable { place: self.place.clone(), detail });
        }
        Ok(())
    }

    /// A panic elsewhere can't leave a transaction open: it rolls back when dropped.
    pub(super) fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fault(&self, fault: impl Into<Fault>) -> StoreError {
        fault.into().at(&self.place)
    }
}

/// One that root makes, for a daemon that has yet to start, is the folder's owner's. Others can't
/// give it away, and needn't.
fn opened_or_made(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    match options.clone().create_new(true).open(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => options.open(path),
        Err(error) => Err(error),
        Ok(made) => {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            let folder = folder.unwrap_or_else(|| Path::new(".")).metadata()?;
            let _ = fchown(&made, Some(folder.uid()), Some(folder.gid()));
            Ok(made)
        }
    }
}

/// Device and number of the file of that name.
fn place_of(path: &Path) -> std::io::Result<(u64, u64)> {
    path.metadata().map(|found| (found.dev(), found.ino()))
}

fn prepare(path: &Path, patience: Duration, place: &str) -> Result<Connection, StoreError> {
    let fault = |error: rusqlite::Error| Fault::from(error).at(place);
    let mut connection = Connection::open(path).map_err(fault)?;
    connection.busy_timeout(patience).map_err(fault)?;
    let found: i64 = connection.query_row("PRAGMA application_id", [], first).map_err(fault)?;
    let version: i64 = connection.query_row("PRAGMA user_version", [], first).map_err(fault)?;
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;
             PRAGMA trusted_schema = OFF;",
        )
        .map_err(fault)?;
    let damaged = |detail: String| StoreError::Damaged { place: place.to_owned(), detail };
    match (found, version) {
        (APPLICATION_ID, VERSION) => {}
        (0, 0) => make_tables(&mut connection).map_err(fault)?,
        (APPLICATION_ID, version) if version > VERSION => {
            let place = place.to_owned();
            return Err(StoreError::TooNew { place, found: version, known: VERSION });
        }
        (_, _) => return Err(damaged(String::from("it is not an identity store"))),
    }
    let check: String = connection.query_row("PRAGMA quick_check(1)", [], first).map_err(fault)?;
    match check.as_str() {
        "ok" => Ok(connection),
        _ if is_unread(&check) => {
            Err(StoreError::Unreachable { place: place.to_owned(), detail: check })
        }
        _ => Err(damaged(check)),
    }
}

/// Whether a check has found pages that the disk doesn't give, and not what is wrong in them.
fn is_unread(check: &str) -> bool {
    // SQLITE_IOERR and what it has in its higher bytes, https://sqlite.org/rescode.html
    const IO_ERROR: u32 = 10;
    let codes = check.split("error code=").skip(1);
    let digits = codes.filter_map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next());
    digits.filter_map(|digits| digits.parse::<u32>().ok()).any(|code| code & 0xff == IO_ERROR)
}

/// In one transaction, and only if no other process was faster.
fn make_tables(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let tables: i64 = transaction.query_row("SELECT count(*) FROM sqlite_schema", [], first)?;
    if tables == 0 {
        transaction.execute_batch(SCHEMA)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
    }
    transaction.commit()
}

impl IdentityStore for SqliteStore {
    fn revision(&self) -> Result<u64, StoreError> {
        self.is_in_its_place()?;
        revision(&self.connection()).map_err(|fault| self.fault(fault))
    }

    fn load(&self) -> Result<Snapshot, StoreError> {
        load(&mut self.connection()).map_err(|fault| self.fault(fault))
    }

    fn apply(
        &self,
        change: &Change,
        author: &Author,
        policy: &CredentialPolicy,
        now: Timestamp,
    ) -> Result<Identity, StoreError> {
        self.is_in_its_place()?;
        let mut connection = self.connection();
        let immediate = TransactionBehavior::Immediate;
        let transaction = connection.transaction_with_behavior(immediate);
        let transaction = transaction.map_err(|error| self.fault(error))?;
        let before = find(&transaction, change.user()).map_err(|fault| self.fault(fault))?;
        let after = change.apply(before.clone(), policy, now)?;
        let differences = differences(before.as_ref(), &after);
        if change.is_repeated(&differences) {
            return Ok(after);
        }
        write(&transaction, &after).map_err(|fault| self.fault(fault))?;
        let (user, label) = (Some(change.user()), change.label());
        let what = Note { user, label, differences: &differences };
        note(&transaction, &what, author, now).map_err(|fault| self.fault(fault))?;
        transaction.commit().map_err(|error| self.fault(error))?;
        Ok(after)
    }

    fn history(&self, user: Option<&UserName>) -> Result<Vec<HistoryEntry>, StoreError> {
        history(&self.connection(), user, 0).map_err(|fault| self.fault(fault))
    }

    fn changes_since(&self, revision: u64) -> Result<Vec<HistoryEntry>, StoreError> {
        history(&self.connection(), None, revision).map_err(|fault| self.fault(fault))
    }

    fn sign_off(
        &self,
        author: &Author,
        sign_off: &SignOff,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.is_in_its_place()?;
        let differences = sign_off.differences();
        let what = Note { user: None, label: SignOff::LABEL, differences: &differences };
        note(&self.connection(), &what, author, now).map_err(|fault| self.fault(fault))
    }

    fn block(&self, block: &SharedBlock, now: Timestamp) -> Result<(), StoreError> {
        rows::block(&self.connection(), block, now).map_err(|fault| self.fault(fault))
    }

    fn blocks(&self, now: Timestamp) -> Result<Vec<SharedBlock>, StoreError> {
        let blocks = rows::blocks(&self.connection()).map_err(|fault| self.fault(fault))?;
        Ok(blocks.into_iter().filter(|block| block.until > now).collect())
    }
}

fn first<T: rusqlite::types::FromSql>(row: &Row<'_>) -> rusqlite::Result<T> {
    row.get(0)
}

/// What went wrong, before it is known where.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
}

impl Fault {
    fn at(self, place: &str) -> StoreError {
        let (place, detail) = (place.to_owned(), self.to_string());
        match &self {
            Self::Unreadable(_) => StoreError::Damaged { place, detail },
            Self::Sqlite(error) => match error.sqlite_error_code() {
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                    StoreError::Busy { place }
                }
                Some(ErrorCode::DiskFull) => StoreError::Full { place },
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) | None => {
                    StoreError::Damaged { place, detail }
                }
                Some(_) => StoreError::Unreachable { place, detail },
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_the_disk_does_not_give_is_no_damage() {
        let unread = "*** in database main ***\nTree 8 page 8: unable to get the page. error code=";
        for code in [10, 266, 8458] {
            assert!(is_unread(&format!("{unread}{code}")), "{code}");
        }
        let damaged =
            ["Tree 8 page 8: btreeInitPage() returns error code 11", "", "error code=ten"];
        assert!(!is_unread(&format!("{unread}11")) && !damaged.iter().any(|text| is_unread(text)));
    }
}
