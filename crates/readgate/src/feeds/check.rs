//! The check of one file's content, within a time: checksum, zip, gzip. Runs on a thread that
//! may wait; a file that is wrong in any way gives a reason, never a panic.
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Instant;

use config::{FeedFiles, FileForm};
use flate2::read::MultiGzDecoder;
use ring::digest::{Context, SHA256};

use super::zip;

/// Most of a `.sha256` file that is read.
const SUMS: u64 = 64 * 1024;

/// What is wrong with a file.
#[derive(Debug)]
pub(super) enum Flaw {
    /// It is not as it should be.
    Malformed(String),
    /// It could not be read to the end.
    Unread(io::Error),
}

impl Flaw {
    pub(super) fn of(why: impl Into<String>) -> Self {
        Self::Malformed(why.into())
    }

    pub(super) fn of_entry(self, name: &str) -> Self {
        match self {
            Self::Malformed(why) => Self::Malformed(format!("entry {name:?} {why}")),
            Self::Unread(error) => Self::Unread(error),
        }
    }
}

impl From<io::Error> for Flaw {
    fn from(error: io::Error) -> Self {
        let kind = error.kind();
        // The latter two are what the readers of compressed data say of data that is none.
        if kind == io::ErrorKind::UnexpectedEof {
            return Self::of("is cut short");
        }
        if matches!(kind, io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput) {
            return Self::Malformed(format!("is damaged: {error}"));
        }
        Self::Unread(error)
    }
}

/// What came of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// As it should be.
    Whole,
    /// Not as it should be.
    Malformed(String),
    /// It could not be checked.
    Failed(String),
}

/// Reads the file as often as its configuration wants it checked.
pub(super) fn check(path: &Path, files: &FeedFiles) -> Verdict {
    let until = Instant::now().checked_add(files.longest_check);
    match check_until(path, files, until) {
        Ok(()) => Verdict::Whole,
        Err(Flaw::Malformed(why)) => Verdict::Malformed(why),
        Err(Flaw::Unread(error)) => Verdict::Failed(format!("could not be checked: {error}")),
    }
}

fn check_until(path: &Path, files: &FeedFiles, until: Option<Instant>) -> Result<(), Flaw> {
    let open = || Ok::<_, io::Error>(Bounded { file: File::open(path)?, until });
    if files.checksum {
        let stated = stated_sum(path)?;
        if sum(&mut open()?)? != stated {
            return Err(Flaw::of("differs from its .sha256 file"));
        }
    }
    match files.verify {
        FileForm::Any => Ok(()),
        FileForm::Zip => zip::verify(open),
        FileForm::Gzip => {
            let mut content = MultiGzDecoder::new(BufReader::new(open()?));
            io::copy(&mut content, &mut io::sink()).map(drop).map_err(Flaw::from)
        }
    }
}

/// The file with the checksum of a file.
pub(super) fn sum_file(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".sha256");
    name.into()
}

/// As `sha256sum` writes it: the sum, then perhaps the name. Of several lines the one with
/// the file's name counts.
fn stated_sum(path: &Path) -> Result<String, Flaw> {
    let mut bytes = Vec::new();
    File::open(sum_file(path))?.take(SUMS).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let lines: Vec<(&str, &str)> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| line.split_once(char::is_whitespace).unwrap_or((line, "")))
        .collect();
    let is_named = |(_, named): &&(&str, &str)| named.trim_start().trim_start_matches('*') == name;
    let line = match lines.as_slice() {
        [only] => Some(only),
        several => several.iter().find(is_named),
    };
    let sum = line.map(|(sum, _)| sum.to_ascii_lowercase());
    let is_sum = |sum: &String| sum.len() == 64 && sum.bytes().all(|byte| byte.is_ascii_hexdigit());
    sum.filter(is_sum).ok_or_else(|| Flaw::of("has a .sha256 file that holds no SHA-256 of it"))
}

fn sum(file: &mut impl Read) -> io::Result<String> {
    let (mut context, mut room) = (Context::new(&SHA256), [0; 64 * 1024]);
    loop {
        let read = file.read(&mut room)?;
        if read == 0 {
            let sum = context.finish();
            return Ok(sum.as_ref().iter().map(|byte| format!("{byte:02x}")).collect());
        }
        context.update(room.get(..read).unwrap_or_default());
    }
}

/// A file that can be read until a moment.
struct Bounded {
    file: File,
    until: Option<Instant>,
}

impl Read for Bounded {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        if self.until.is_some_and(|until| Instant::now() >= until) {
            let why = "it took longer than longest_check";
            return Err(io::Error::new(io::ErrorKind::TimedOut, why));
        }
        self.file.read(room)
    }
}

impl Seek for Bounded {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}
