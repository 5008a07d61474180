//! The ledger files of one node: `ledger-<node>-<first sequence>.jsonl`, only ever
//! appended to. Finds them, writes the newest, notices when it is no longer there.
mod again;

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

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
pub fn safe_name(node: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    node.chars().map(|c| if safe(c) { c } else { '_' }).collect()
}

/// The name of a node's file that begins with this record.
pub(crate) fn name_of(safe_node: &str, first: u64) -> String {
    format!("ledger-{safe_node}-{first:012}{PLAIN}")
}

/// The name of the node's own copy of its checkpoints.
pub(crate) fn checkpoints_name(node: &str) -> String {
    format!("checkpoints-{}.jsonl", safe_name(node))
}

/// Most of a torn line that is looked through for its beginning, in bytes.
const LONGEST_TORN: u64 = 64 << 10;

/// Adds whole lines to a file other than a ledger's own; on the disk before this returns. What an
/// earlier try left torn, as on a full disk, goes first: those lines would be lost in it.
pub(crate) fn append_lines(path: &Path, lines: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options.append(true).read(true).create(true).mode(0o640).open(path)?;
    let (from, end) = end_of(&mut file, LONGEST_TORN)?;
    let whole = end.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    if whole < end.len() {
        let cut = from + u64::try_from(whole).unwrap_or(0);
        // Where nothing may be taken away, it ends as a line of its own.
        file.set_len(cut).or_else(|_| file.write_all(b"\n"))?;
    }
    file.write_all(lines)?;
    file.sync_data()
}

/// The last bytes of a file, `most` of them at most, and where they begin.
///
/// # Errors
/// If it can't be read.
pub fn end_of(file: &mut File, most: u64) -> io::Result<(u64, Vec<u8>)> {
    let from = file.metadata()?.len().saturating_sub(most);
    file.seek(SeekFrom::Start(from))?;
    let mut end = Vec::new();
    file.take(most).read_to_end(&mut end)?;
    Ok((from, end))
}

/// Endings of a ledger file's name: as written, compressed, compressed and encrypted.
pub(crate) const PLAIN: &str = ".jsonl";
pub(crate) const COMPRESSED: &str = ".jsonl.zst";
pub(crate) const SEALED: &str = ".jsonl.zst.age";

/// How often a folder is read at most until it stays as it is meanwhile.
const MOST_LOOKS: usize = 100;

/// All paths in a folder, in order. A file that gets another name while the folder is read may be
/// found under neither: so it is read until that has twice the same result.
pub(crate) fn list(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut before = None;
    for _ in 0..MOST_LOOKS {
        let entries = fs::read_dir(directory)?.map(|entry| Ok(entry?.path()));
        let mut found = entries.collect::<io::Result<Vec<_>>>()?;
        found.sort();
        if before.as_ref() == Some(&found) {
            break;
        }
        before = Some(found);
    }
    Ok(before.unwrap_or_default())
}

/// The node's files in any form, oldest first; of one in two forms, the readable first.
pub(crate) fn list_all(directory: &Path, node: &str) -> io::Result<Vec<(u64, PathBuf)>> {
    let start = format!("ledger-{}-", safe_name(node));
    let mut files = Vec::new();
    for path in list(directory)? {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let first = name.strip_prefix(&start).and_then(|rest| {
            let digits = [SEALED, COMPRESSED, PLAIN].iter().find_map(|end| rest.strip_suffix(end));
            digits?.parse().ok()
        });
        if let Some(first) = first {
            files.push((first, path));
        }
    }
    files.sort();
    Ok(files)
}

/// The node's newest file that is still as it was written, if there is one.
pub fn newest_file(directory: &Path, node: &str) -> io::Result<Option<PathBuf>> {
    let is_plain = |path: &PathBuf| path.to_string_lossy().ends_with(PLAIN);
    let files = list_all(directory, node)?.into_iter().rev();
    Ok(files.map(|(_, path)| path).find(is_plain))
}

/// The folder and, once something was written, the newest file in it.
pub(crate) struct Files {
    directory: PathBuf,
    node: String,
    current: Option<Current>,
    /// Former ones that aren't on the disk to their end.
    behind: Vec<Current>,
    /// One of these that never will be.
    lost: Option<Lost>,
}

struct Current {
    file: File,
    path: PathBuf,
    /// Bytes that it should have.
    len: u64,
    /// Of these, those that a sync has brought to the disk.
    on_disk: u64,
    since: Instant,
}

impl Current {
    fn name(&self) -> String {
        self.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }
}

impl Files {
    pub(crate) fn new(directory: &Path, node: &str) -> Self {
        Self {
            directory: directory.to_owned(),
            node: safe_name(node),
            current: None,
            behind: Vec::new(),
            lost: None,
        }
    }

    /// Goes on in an existing file.
    pub(crate) fn resume(&mut self, path: &Path) -> io::Result<()> {
        let file = OpenOptions::new().append(true).read(true).open(path)?;
        let found = file.metadata()?;
        let (len, since) = (found.len(), made_at(&found));
        let path = path.to_owned();
        self.current = Some(Current { file, path, len, on_disk: len, since });
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

    /// Forces all that was written to the disk. A file that the disk refuses takes nothing more:
    /// the next record opens a new one.
    ///
    /// # Errors
    /// As long as there is something that the disk doesn't take.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        while let Some(behind) = self.behind.first() {
            self.lost = behind.bring_again()?.or(self.lost.take());
            self.behind.remove(0);
        }
        let Some(current) = &mut self.current else {
            return Ok(());
        };
        let synced = current.file.sync_data();
        match synced {
            Ok(()) => current.on_disk = current.len,
            Err(_) => self.leave(),
        }
        synced
    }

    /// Whether the next record opens a new file.
    pub(crate) fn is_left(&self) -> bool {
        self.current.is_none()
    }

    /// Whether the newest file is still the one in the folder, at its full length. A
    /// deleted one is put back from the file we still hold open. Of one that is lost to us it
    /// is still the end that is appended to, until [`Files::leave`].
    pub(crate) fn check(&mut self) -> io::Result<Option<Lost>> {
        if let Some(lost) = self.lost.take() {
            return Ok(Some(lost));
        }
        let Some(current) = &self.current else {
            return Ok(None);
        };
        let Some(mut what) = misplaced(&current.path, &current.file, current.len)? else {
            return Ok(None);
        };
        let name = current.name();
        let ours = current.file.metadata()?;
        // Behind half a line that another hand left, the next one would be no line either.
        let is_whole = ours.len() == current.len;
        let mut then = if is_whole { Then::LeaveSoon } else { Then::LeaveNow };
        if ours.nlink() == 0 {
            // What was put back is held open too: whoever deletes it again loses nothing either.
            let (copy, has_its_name) = restore(current)?;
            self.current = Some(copy);
            what = "deleted; put back from the open file";
            if is_whole && has_its_name {
                then = Then::GoOn;
            }
        }
        Ok(Some(Lost { what, name, then }))
    }

    /// Whether the newest file was opened this long ago.
    pub(crate) fn is_older_than(&self, age: Duration) -> bool {
        self.current.as_ref().is_some_and(|current| current.since.elapsed() >= age)
    }

    /// Bytes of the newest file.
    pub(crate) fn len(&self) -> u64 {
        self.current.as_ref().map_or(0, |current| current.len)
    }

    /// Leaves the newest file as it is; the next record opens a new one.
    pub(crate) fn leave(&mut self) {
        let left = self.current.take();
        self.behind.extend(left.filter(|left| left.on_disk < left.len));
    }
}

/// When a file was made, as far as its file system tells: its age doesn't begin anew with each
/// start. Now, if that can't be told.
fn made_at(found: &Metadata) -> Instant {
    let now = Instant::now();
    let made = found.created().ok();
    let age = made.and_then(|made| SystemTime::now().duration_since(made).ok());
    age.and_then(|age| now.checked_sub(age)).unwrap_or(now)
}

/// Which file a name led to.
#[derive(Clone, Copy)]
pub(crate) struct Identity(Option<(u64, u64)>);

impl Identity {
    pub(crate) fn of(path: &Path) -> Self {
        Self(fs::metadata(path).ok().as_ref().map(inode))
    }

    /// Whether the name leads to another file now, as to one that was put back. What is gone is
    /// none: it may still be written to, or have become another form.
    pub(crate) fn is_another_now(self, path: &Path) -> bool {
        let now = Self::of(path).0;
        self.0.is_some() && now.is_some() && self.0 != now
    }
}

/// What tells one file from another, whatever its name.
fn inode(found: &Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

/// Says what is wrong if `path` doesn't lead to `file`, or its length isn't `len`.
pub(crate) fn misplaced(path: &Path, file: &File, len: u64) -> io::Result<Option<&'static str>> {
    let ours = file.metadata()?;
    Ok(match fs::metadata(path) {
        Ok(there) if inode(&there) != inode(&ours) => Some("replaced"),
        Ok(_) if ours.len() != len => Some("changed in length by another hand"),
        Ok(_) => None,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some("deleted or renamed"),
        Err(error) => return Err(error),
    })
}

/// Writes a deleted file's content to a new one of its name, to go on in; if something else
/// has that name by now, to one that says so. True if it has its name.
fn restore(current: &Current) -> io::Result<(Current, bool)> {
    let mut options = OpenOptions::new();
    options.append(true).read(true).create_new(true).mode(0o640);
    let mut path = current.path.clone();
    let (mut copy, has_its_name) = match options.open(&path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            path.set_extension("restored.jsonl");
            (options.open(&path)?, false)
        }
        other => (other?, true),
    };
    let mut source = &current.file;
    source.seek(SeekFrom::Start(0))?;
    io::copy(&mut source, &mut copy)?;
    copy.sync_all()?;
    if let Some(directory) = current.path.parent() {
        File::open(directory)?.sync_all()?;
    }
    let (len, since) = (current.len, current.since);
    Ok((Current { file: copy, path, len, on_disk: len, since }, has_its_name))
}

/// A ledger file that isn't as we left it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Lost {
    pub(crate) what: &'static str,
    pub(crate) name: String,
    pub(crate) then: Then,
}

/// What becomes of a file that wasn't as we left it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// It is in its place again.
    GoOn,
    /// It takes no more than what refers to it.
    LeaveSoon,
    /// It takes nothing more.
    LeaveNow,
}

fn create(directory: &Path, node: &str, sequence: u64) -> io::Result<Current> {
    let path = directory.join(name_of(node, sequence));
    let file = OpenOptions::new().append(true).read(true).create(true).mode(0o640).open(&path)?;
    // A process killed before its first write leaves an empty one.
    if file.metadata()?.len() > 0 {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    // The name must be on the disk before its content can count as being there.
    File::open(directory)?.sync_all()?;
    Ok(Current { file, path, len: 0, on_disk: 0, since: Instant::now() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_file_is_the_nodes_own_and_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let newest = || newest_file(folder.path(), "east").unwrap();
        assert_eq!(newest(), None);
        for name in [
            "ledger-east-000000000001.jsonl.zst",
            "ledger-east-000000000100.jsonl",
            "ledger-east-000000000100.restored.jsonl",
            "ledger-east-000000000200.jsonl.zst",
            "ledger-east-1-000000000300.jsonl",
            "ledger-west-000000000900.jsonl",
        ] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        assert!(newest().unwrap().ends_with("ledger-east-000000000100.jsonl"));
    }
}
