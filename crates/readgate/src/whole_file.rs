//! Small files that are written anew as a whole.
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Puts a file of these bytes in the place of the one of that name: whole or not at all, and on the
/// disk. It gets that mode, less what the process's mask takes away.
///
/// # Errors
/// If it can't be written: then the former one is still there.
pub fn write(directory: &Path, name: &str, mode: u32, bytes: &[u8]) -> io::Result<()> {
    let fresh = directory.join(format!("{name}.new"));
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(mode).open(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&fresh, directory.join(name))?;
    File::open(directory)?.sync_all()
}
