//! Notes of who has read the ledger. The command line leaves one before it shows anything;
//! the daemon takes it into the chain. A folder without a journal is a copy: reading a copy
//! is its holder's affair.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::entry::now_micros;
use crate::line::Stamp;
use crate::whole_file;

/// A larger note is none of ours, in bytes.
const LARGEST: u64 = 64 << 10;

/// Who reads.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    /// A name, as the environment has it.
    pub name: &'a str,
    /// Of the process.
    pub uid: u32,
    /// Of who has logged in on the machine, if that is another: `su` and `sudo` leave it as it is.
    pub login_uid: Option<u32>,
}

/// One note.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Reading {
    pub(crate) by: String,
    pub(crate) uid: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) login_uid: Option<u32>,
    pub(crate) what: String,
    pub(crate) read_at: String,
}

/// Where notes wait for the daemon.
pub(crate) fn folder(directory: &Path) -> PathBuf {
    directory.join("readings")
}

/// Notes that somebody is about to read these paths. Must come before anything is shown.
///
/// # Errors
/// If a live ledger is among them and the note can't be left: then nothing may be shown.
pub fn note_reading(paths: &[PathBuf], reader: Reader<'_>, what: &str) -> io::Result<()> {
    let mut folders: Vec<&Path> = paths.iter().map(|path| folder_of(path)).collect();
    folders.sort();
    folders.dedup();
    for directory in folders.into_iter().filter(|directory| is_live(directory)) {
        leave(directory, reader, what).map_err(|error| {
            let why = format!(
                "this reading can't be recorded, so it is refused: {}: {error}",
                folder(directory).display()
            );
            io::Error::new(error.kind(), why)
        })?;
    }
    Ok(())
}

/// The notes that wait, in order.
pub(crate) fn waiting(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder(directory)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    let is_note = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "json");
    let mut found: Vec<PathBuf> = paths.into_iter().filter(is_note).collect();
    found.sort();
    Ok(found)
}

/// One of these notes; `None` for what is none, or may not be read.
///
/// # Errors
/// If the disk doesn't give it now.
pub(crate) fn read(path: &Path) -> io::Result<Option<Reading>> {
    let read = || match fs::symlink_metadata(path)? {
        found if found.is_file() && found.len() <= LARGEST => fs::read(path).map(Some),
        found if found.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        _ => Ok(None),
    };
    match read() {
        Ok(bytes) => Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok())),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(None),
        Err(error) => Err(error),
    }
}

fn leave(directory: &Path, reader: Reader<'_>, what: &str) -> io::Result<()> {
    let now = now_micros();
    let mut read_at = Vec::new();
    Stamp::default().push(&mut read_at, now);
    let reading = Reading {
        by: reader.name.to_owned(),
        uid: reader.uid,
        login_uid: reader.login_uid,
        what: what.chars().take(2000).collect(),
        read_at: String::from_utf8_lossy(&read_at).into_owned(),
    };
    let name = format!("{now}-{}.json", std::process::id());
    // The daemon reads it by the folder's group.
    whole_file::write(&folder(directory), &name, 0o640, &serde_json::to_vec(&reading)?)
}

fn folder_of(path: &Path) -> &Path {
    if path.is_dir() {
        return path;
    }
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    }
}

fn is_live(directory: &Path) -> bool {
    let is_journal = |entry: io::Result<fs::DirEntry>| {
        entry.is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with("journal-"))
    };
    fs::read_dir(directory).is_ok_and(|mut entries| entries.any(is_journal))
}
