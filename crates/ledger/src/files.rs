//! The ledger files of one node: `ledger-<node>-<first sequence>.jsonl`, only ever
//! appended to. Finds them, writes the newest, notices when it is no longer there.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::fault::LedgerError;

/// Makes a folder with its parents, closed to others.
pub(crate) fn make_folder(path: &Path) -> Result<(), LedgerError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o750)
        .create(path)
        .map_err(LedgerError::io("make folder", path))
}

/// The node's name as part of a file's name.
pub(crate) fn safe_name(node: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    node.chars().map(|c| if safe(c) { c } else { '_' }).collect()
}

/// The node's ledger files, oldest first, with the first sequence that each name tells.
pub(crate) fn list(directory: &Path, node: &str) -> io::Result<Vec<(u64, PathBuf)>> {
    let start = format!("ledger-{}-", safe_name(node));
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let first = path
            .file_name()
            .and_then(|name| name.to_str()?.strip_prefix(&start)?.strip_suffix(".jsonl"))
            .and_then(|digits| digits.parse().ok());
        if let Some(first) = first {
            files.push((first, path));
        }
    }
    files.sort();
    Ok(files)
}

/// The folder and, once something was written, the newest file in it.
pub(crate) struct Files {
    directory: PathBuf,
    node: String,
    current: Option<Current>,
}

struct Current {
    file: File,
    path: PathBuf,
    /// Bytes that it should have.
    len: u64,
}

impl Files {
    pub(crate) fn new(directory: &Path, node: &str) -> Self {
        Self { directory: directory.to_owned(), node: safe_name(node), current: None }
    }

    /// Goes on in an existing file.
    pub(crate) fn resume(&mut self, path: &Path) -> io::Result<()> {
        let file = OpenOptions::new().append(true).read(true).open(path)?;
        let len = file.metadata()?.len();
        self.current = Some(Current { file, path: path.to_owned(), len });
        Ok(())
    }

    /// Appends as much of `bytes`, which begin with record `sequence`, as the system takes.
    pub(crate) fn append(&mut self, sequence: u64, bytes: &[u8]) -> io::Result<usize> {
        let current = match &mut self.current {
            Some(current) => current,
            none => none.insert(create(&self.directory, &self.node, sequence)?),
        };
        let written = current.file.write(bytes)?;
        current.len += u64::try_from(written).unwrap_or(0);
        Ok(written)
    }

    /// Forces what was written to the disk.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        self.current.as_ref().map_or(Ok(()), |current| current.file.sync_data())
    }

    /// Whether the newest file is still the one in the folder, at its full length. If
    /// not: what happened to it, and the next record opens a new file.
    pub(crate) fn check(&mut self) -> Option<Lost> {
        let current = self.current.as_ref()?;
        let what = match (fs::metadata(&current.path), current.file.metadata()) {
            (Ok(there), Ok(ours)) if (there.dev(), there.ino()) != (ours.dev(), ours.ino()) => {
                "replaced"
            }
            (_, Ok(ours)) if ours.len() != current.len => "changed in length",
            (Ok(_), _) => return None,
            (Err(error), _) if error.kind() == io::ErrorKind::NotFound => "deleted or renamed",
            (Err(_), _) => "out of reach",
        };
        let name = current.path.file_name().map(|name| name.to_string_lossy().into_owned());
        self.current = None;
        Some(Lost { what, name: name.unwrap_or_default() })
    }

    /// Leaves the newest file as it is; the next record opens a new one.
    pub(crate) fn leave(&mut self) {
        self.current = None;
    }
}

/// A ledger file that isn't as we left it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Lost {
    pub(crate) what: &'static str,
    pub(crate) name: String,
}

fn create(directory: &Path, node: &str, sequence: u64) -> io::Result<Current> {
    let path = directory.join(format!("ledger-{node}-{sequence:012}.jsonl"));
    let file = OpenOptions::new().append(true).read(true).create(true).mode(0o640).open(&path)?;
    // A process killed before its first write leaves an empty one.
    if file.metadata()?.len() > 0 {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    // The name must be on the disk before its content can count as being there.
    File::open(directory)?.sync_all()?;
    Ok(Current { file, path, len: 0 })
}
