//! The journal's file: its name, its lock, and the bytes before the ring.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use ring::rand::{SecureRandom, SystemRandom};

use super::as_u64;
use crate::entry::{HEADER, array_at};
use crate::fault::LedgerError;
use crate::files::safe_name;

/// Bytes before the ring: what the file is, and its salt.
pub(super) const PREAMBLE: usize = 4096;
/// How a journal's name begins.
const NAME: &str = "journal-";
const FILE_MAGIC: &[u8; 16] = b"readgate-jrnl-1\n";

/// The name of a node's journal.
pub(crate) fn journal_name(node: &str) -> String {
    format!("{NAME}{}", safe_name(node))
}

/// Whose journal a file is, by its name.
pub(crate) fn node_of_journal(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()?.strip_prefix(NAME).filter(|node| !node.is_empty())
}

/// Opens or makes the file, 0600, and takes its lock.
pub(super) fn locked(path: &Path) -> Result<File, LedgerError> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(LedgerError::io("open", path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LedgerError::InUse(path.to_owned())),
        Err(TryLockError::Error(error)) => Err(LedgerError::io("lock", path)(error)),
    }
}

/// Salt and capacity of a journal's file. `None`: it has just been made, or its making was cut off,
/// and nothing has ever been stored in it.
///
/// # Errors
/// If it can't be read, or is no journal: what a killed daemon may have left in it isn't given up.
pub(super) fn read_preamble(
    file: &mut File,
    path: &Path,
) -> Result<Option<(u32, usize)>, LedgerError> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0))
        .and_then(|_| file.take(28).read_to_end(&mut bytes))
        .map_err(LedgerError::io("read", path))?;
    if bytes.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    let salt = array_at(&bytes, 16).map(u32::from_le_bytes);
    let capacity =
        array_at(&bytes, 20).and_then(|field| usize::try_from(u64::from_le_bytes(field)).ok());
    let has_room =
        |capacity: &usize| *capacity >= HEADER && capacity.checked_add(PREAMBLE).is_some();
    match (salt, capacity.filter(has_room)) {
        (Some(salt), Some(capacity)) if bytes.starts_with(FILE_MAGIC) => Ok(Some((salt, capacity))),
        _ => Err(LedgerError::Setting(format!(
            "{} is no journal; put back the one that was there, or move this one away: \
             what a killed daemon had on its way into the files is lost then",
            path.display()
        ))),
    }
}

/// Makes a file that has the room already a journal without entries, on the disk.
pub(super) fn write_preamble(file: &mut File, salt: u32, capacity: usize) -> io::Result<()> {
    let mut preamble = FILE_MAGIC.to_vec();
    preamble.extend_from_slice(&salt.to_le_bytes());
    preamble.extend_from_slice(&as_u64(capacity).to_le_bytes());
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&preamble)?;
    file.sync_all()
}

/// In bytes.
pub(super) fn file_len(file: &File, path: &Path) -> Result<usize, LedgerError> {
    let found = file.metadata().map_err(LedgerError::io("read", path))?;
    Ok(usize::try_from(found.len()).unwrap_or(usize::MAX))
}

/// A salt that nobody knows.
pub(super) fn new_salt() -> Result<u32, LedgerError> {
    let mut salt = [0; 4];
    SystemRandom::new()
        .fill(&mut salt)
        .map_err(|_| LedgerError::Setting("the system gives no random numbers".into()))?;
    Ok(u32::from_le_bytes(salt))
}
