//! Small files that are written as a whole: no half of one is ever found under its name.
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Puts a file of these bytes in the place of the one of that name, or where there is none: whole
/// or not at all, and on the disk. It gets that mode, whatever the process's mask is.
///
/// # Errors
/// If it can't be written: then the former one is still there.
pub fn write(directory: &Path, name: &str, mode: u32, bytes: &[u8]) -> io::Result<()> {
    prepare(directory, name, mode, bytes)?;
    put(directory, name)
}

/// The first half of [`write`]: the bytes are on the disk, under [`fresh`], and the former file is
/// as it was.
///
/// # Errors
/// If they can't be written: then there is no fresh one.
pub fn prepare(directory: &Path, name: &str, mode: u32, bytes: &[u8]) -> io::Result<()> {
    let fresh = fresh(directory, name);
    // What a process left that ended in the midst of this, or another hand: no link is followed.
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    write_new(&fresh, mode, bytes)
}

/// The second half of [`write`]: the fresh file takes the place of the former one.
///
/// # Errors
/// If it can't: then both are there.
pub fn put(directory: &Path, name: &str) -> io::Result<()> {
    fs::rename(fresh(directory, name), directory.join(name))?;
    File::open(directory)?.sync_all()
}

/// Where a file is that hasn't its name yet.
pub fn fresh(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("{name}.new"))
}

/// Makes a file of these bytes with that mode, on the disk. What is there already stays as it is.
///
/// # Errors
/// If there is one of that name, or it can't be written: then there is none.
pub fn write_new(path: &Path, mode: u32, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    let fill = |file: &mut File| {
        if file.metadata()?.permissions().mode() & mode != mode {
            file.set_permissions(Permissions::from_mode(mode))?;
        }
        file.write_all(bytes)?;
        file.sync_all()
    };
    // Half a file would stand in the way of the next try.
    fill(&mut file).inspect_err(|_| drop(fs::remove_file(path)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_file_takes_the_place_of_another_and_what_a_torn_try_left_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let there = |name: &str| fs::read(folder.path().join(name)).unwrap();
        let elsewhere = folder.path().join("elsewhere");
        fs::write(&elsewhere, "untouched").unwrap();
        symlink(&elsewhere, folder.path().join("state.new")).unwrap();
        for bytes in ["first", "second"] {
            write(folder.path(), "state", 0o660, bytes.as_bytes()).unwrap();
            assert_eq!(there("state"), bytes.as_bytes());
        }
        let found = fs::metadata(folder.path().join("state")).unwrap();
        assert_eq!(found.permissions().mode() & 0o777, 0o660, "the mask takes nothing away");
        assert_eq!(there("elsewhere"), b"untouched");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_new_file_replaces_none_and_one_that_fails_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        write_new(&path, 0o600, b"mine").unwrap();
        let again = write_new(&path, 0o600, b"other").unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"mine");
    }
}
