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

/// Salt and capacity, of a file that is a whole journal.
pub(super) fn read_preamble(file: &mut File) -> Option<(u32, usize)> {
    let mut bytes = [0; 28];
    file.seek(SeekFrom::Start(0)).ok()?;
    file.read_exact(&mut bytes).ok()?;
    bytes.starts_with(FILE_MAGIC).then_some(())?;
    let salt = u32::from_le_bytes(array_at(&bytes, 16)?);
    let capacity = usize::try_from(u64::from_le_bytes(array_at(&bytes, 20)?)).ok()?;
    let whole = u64::try_from(PREAMBLE.checked_add(capacity)?).ok()?;
    (capacity >= HEADER && file.metadata().ok()?.len() == whole).then_some((salt, capacity))
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

/// A salt that nobody knows.
pub(super) fn new_salt() -> Result<u32, LedgerError> {
    let mut salt = [0; 4];
    SystemRandom::new()
        .fill(&mut salt)
        .map_err(|_| LedgerError::Setting("the system gives no random numbers".into()))?;
    Ok(u32::from_le_bytes(salt))
}
