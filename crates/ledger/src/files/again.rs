//! What a disk refused: brought to it once more, before anything counts as being there.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::FileExt;

use super::{Current, Lost, Then, inode, misplaced};

/// Bytes that are read back and written again at a time.
const PIECE: u16 = u16::MAX;

impl Current {
    /// Brings to the disk what isn't there yet. Where a sync failed, the kernel counts what it
    /// couldn't write as written and doesn't try again (fsync(2)): so it is written anew, from what
    /// the kernel still holds of it. Says so if that isn't all.
    ///
    /// # Errors
    /// As long as the disk refuses it.
    pub(super) fn bring_again(&self) -> io::Result<Option<Lost>> {
        // What another hand has changed stays as that left it.
        let is_ours = misplaced(&self.path, &self.file, self.len)?.is_none();
        let is_whole = !is_ours || self.write_again()?;
        self.file.sync_all()?;
        let what = "refused by the disk, and couldn't be written again";
        Ok((!is_whole).then(|| Lost { what, name: self.name(), then: Then::GoOn }))
    }

    fn write_again(&self) -> io::Result<bool> {
        // Not our own handle, which appends. A file that may only be appended to can't be opened so.
        let Ok(file) = OpenOptions::new().write(true).open(&self.path) else {
            return Ok(false);
        };
        if inode(&file.metadata()?) != inode(&self.file.metadata()?) {
            return Ok(false);
        }
        let mut piece = vec![0; usize::from(PIECE)];
        let mut at = self.on_disk;
        while at < self.len {
            let length = u16::try_from(self.len - at).unwrap_or(PIECE);
            piece.truncate(usize::from(length));
            let read = self.file.read_exact_at(&mut piece, at);
            // Lines hold no such byte: what the kernel has given up reads as a hole, or not at all.
            if read.is_err() || piece.contains(&0) {
                return Ok(false);
            }
            file.write_all_at(&piece, at)?;
            at += u64::from(length);
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::files::Files;

    /// A file that was left with a line that no sync has forced.
    fn left(folder: &Path) -> (Files, std::path::PathBuf) {
        let mut files = Files::new(folder, "east");
        files.append(1, b"on the disk\n").unwrap();
        files.sync().unwrap();
        files.append(2, b"refused\n").unwrap();
        files.leave();
        (files, folder.join("ledger-east-000000000001.jsonl"))
    }

    #[test]
    fn what_is_still_there_is_written_again_and_no_more_said_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let (mut files, path) = left(folder.path());
        files.sync().unwrap();
        assert_eq!(files.check().unwrap(), None);
        assert_eq!(std::fs::read(path).unwrap(), b"on the disk\nrefused\n");
    }

    #[test]
    fn what_the_kernel_has_given_up_is_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let (mut files, path) = left(folder.path());
        let file = OpenOptions::new().write(true).open(path).unwrap();
        file.write_all_at(&[0; 8], 12).unwrap();
        files.sync().unwrap();
        let lost = files.check().unwrap().expect("it is lost");
        assert_eq!(lost.what, "refused by the disk, and couldn't be written again");
        assert_eq!((lost.name.as_str(), lost.then), ("ledger-east-000000000001.jsonl", Then::GoOn));
        files.sync().unwrap();
        assert_eq!(files.check().unwrap(), None);
    }

    #[test]
    fn what_another_hand_has_changed_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let (mut files, path) = left(folder.path());
        std::fs::write(&path, b"cut").unwrap();
        files.sync().unwrap();
        assert_eq!(std::fs::read(path).unwrap(), b"cut");
    }
}
