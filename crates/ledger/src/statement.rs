//! Signed statements about files whose lines can't be read any more: encrypted ones and
//! those that retention removed. They stand in `archives-<node>.jsonl` and tell the verifier
//! where the chain enters and leaves such a file.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::files::{self, safe_name};
use crate::keys::{PublicKey, Rotation, SigningKey};
use crate::line::{from_hex, hex};

const SIGNATURE: &[u8] = b",\"signature\":\"";

/// One statement.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Statement {
    pub(crate) v: u8,
    pub(crate) node: String,
    /// Name of the file that it speaks for.
    pub(crate) file: String,
    /// First and last record in it.
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// When the last one was made.
    pub(crate) to: String,
    /// What the first line names as the one before, and the hash of the last line.
    pub(crate) prev: String,
    pub(crate) head: String,
    /// SHA-256 of an encrypted file's bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sha256: Option<String>,
    /// Removed by retention.
    #[serde(default)]
    pub(crate) retired: bool,
    /// Changes of the key that are recorded in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) rotations: Vec<Rotation>,
    pub(crate) public_key: String,
}

impl Statement {
    /// The line, signed.
    fn line(&self, key: &SigningKey) -> io::Result<Vec<u8>> {
        let mut line = serde_json::to_vec(self)?;
        line.pop();
        let signature = key.sign(&line);
        line.extend_from_slice(SIGNATURE);
        line.extend_from_slice(hex(&signature).as_bytes());
        line.extend_from_slice(b"\"}\n");
        Ok(line)
    }

    /// Reads a line without its line feed, if its signature holds.
    pub(crate) fn read(line: &[u8]) -> Option<(Self, PublicKey)> {
        let statement: Self = serde_json::from_slice(line).ok()?;
        let key = PublicKey::from_hex(&statement.public_key)?;
        let at = memchr::memmem::rfind(line, SIGNATURE)?;
        let (signed, rest) = line.split_at_checked(at)?;
        let signature = rest.get(SIGNATURE.len()..)?.strip_suffix(b"\"}")?;
        key.verifies(signed, &from_hex(signature)?).then_some((statement, key))
    }

    /// Adds it to the node's statements, on the disk before this returns.
    pub(crate) fn append(&self, directory: &Path, key: &SigningKey) -> io::Result<()> {
        files::append_lines(&path(directory, &self.node), &self.line(key)?)?;
        File::open(directory)?.sync_all()
    }
}

/// What the names of the files of statements begin with.
pub(crate) const NAME: &str = "archives-";

/// Where a node's statements stand.
pub(crate) fn path(directory: &Path, node: &str) -> PathBuf {
    directory.join(format!("{NAME}{}.jsonl", safe_name(node)))
}

/// Whether a folder holds statements: there are files whose records aren't there any more, or only
/// encrypted.
pub fn holds_statements(folder: &Path) -> bool {
    let is_one = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(NAME))
    };
    files::list(folder).is_ok_and(|paths| paths.iter().any(is_one))
}

/// The node's statements whose signatures hold.
pub(crate) fn read_all(directory: &Path, node: &str) -> io::Result<Vec<Statement>> {
    let bytes = match fs::read(path(directory, node)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let lines = bytes.split(|byte| *byte == b'\n');
    Ok(lines.filter_map(Statement::read).map(|(statement, _)| statement).collect())
}
