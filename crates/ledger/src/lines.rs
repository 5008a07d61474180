//! The lines of ledger files as they lie in folders, compressed ones too; and what can be
//! had from a line without parsing it.

use std::collections::BTreeSet;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use memchr::memmem::Finder;
use serde_json::{Value, json};

use crate::archive::{self, plain_form};
use crate::files::{self, COMPRESSED, PLAIN};
use crate::follow::series;
use crate::line::Frame;

/// Hands over each whole line of the ledgers, node by node, oldest first, until told to
/// stop with `false`.
pub(crate) fn each_line(
    paths: &[PathBuf],
    take: &mut dyn FnMut(&[u8]) -> io::Result<bool>,
) -> io::Result<()> {
    each_line_of(ledger_files(paths)?, paths, take)
}

/// The same without the files that are followed by one of their node that begins before that time:
/// all of their records are older still, unless the clock was set back.
pub(crate) fn each_line_since(
    paths: &[PathBuf],
    from: &str,
    take: &mut dyn FnMut(&[u8]) -> io::Result<bool>,
) -> io::Result<()> {
    let mut newest_first: Vec<PathBuf> = Vec::new();
    for path in ledger_files(paths)?.into_iter().rev() {
        let next = newest_first.last().filter(|next| series(next) == series(&path));
        if !next.is_some_and(|next| begins_before(next, from)) {
            newest_first.push(path);
        }
    }
    newest_first.reverse();
    each_line_of(newest_first, paths, take)
}

/// Whether the first record of a file is known to be older.
fn begins_before(path: &Path, from: &str) -> bool {
    let mut line = Vec::new();
    let read =
        archive::open(path).and_then(|file| BufReader::new(file).read_until(b'\n', &mut line));
    let begin = time_of(&line);
    read.is_ok() && !begin.is_empty() && begin < from.as_bytes()
}

fn each_line_of(
    files: Vec<PathBuf>,
    paths: &[PathBuf],
    take: &mut dyn FnMut(&[u8]) -> io::Result<bool>,
) -> io::Result<()> {
    for path in files {
        let named = match Named::open(&path) {
            // Encrypted or removed since the folder was read: as if it were read now.
            Err(error) if is_gone(&error, &path, paths) => continue,
            opened => opened?,
        };
        let mut reader = BufReader::with_capacity(256 << 10, named);
        if !whole_lines(&mut reader, &mut Vec::new(), take)? {
            return Ok(());
        }
    }
    Ok(())
}

/// Whether it is not there any more, and was found in a folder and not asked for by its name.
fn is_gone(error: &io::Error, path: &Path, asked: &[PathBuf]) -> bool {
    error.kind() == io::ErrorKind::NotFound && !asked.iter().any(|one| one == path)
}

/// A ledger file whose errors name it.
struct Named<'p> {
    path: &'p Path,
    reader: Box<dyn Read + Send>,
}

impl<'p> Named<'p> {
    fn open(path: &'p Path) -> io::Result<Self> {
        let reader = archive::open(path).map_err(|error| named(path, &error))?;
        Ok(Self { path, reader })
    }
}

impl Read for Named<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        self.reader.read(room).map_err(|error| named(self.path, &error))
    }
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// A record: its sequence and its node.
pub(crate) type Place = (u64, String);

/// Hands over the records at these places, in the order in which they stand, and reads no
/// further than to the last of them. Those that aren't there are left in `wanted`.
pub(crate) fn each_of(
    paths: &[PathBuf],
    wanted: &mut BTreeSet<Place>,
    take: &mut dyn FnMut(Place, &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    if wanted.is_empty() {
        return Ok(());
    }
    let node = Member::new("node");
    each_line(paths, &mut |line| {
        let sequence = Frame::read(line).map_or(0, |frame| frame.sequence);
        let is_near = |place: &Place| place.0 == sequence;
        if wanted.range((sequence, String::new())..).next().is_some_and(is_near) {
            let node = node.text(line).map(unescaped).unwrap_or_default();
            if let Some(place) = wanted.take(&(sequence, node)) {
                take(place, line)?;
            }
        }
        Ok(!wanted.is_empty())
    })
}

/// The lines up to the end; what follows the last line feed is being written and stays in
/// `begun`. False if told to stop.
pub(crate) fn whole_lines(
    reader: &mut dyn BufRead,
    begun: &mut Vec<u8>,
    take: &mut dyn FnMut(&[u8]) -> io::Result<bool>,
) -> io::Result<bool> {
    while reader.read_until(b'\n', begun)? > 0 {
        let Some(whole) = begun.strip_suffix(b"\n") else {
            return Ok(true);
        };
        if !take(whole)? {
            return Ok(false);
        }
        begun.clear();
    }
    Ok(true)
}

/// Files as given, folders as the readable ledger files in them; in order of their names,
/// which is that of node and sequence.
pub(crate) fn ledger_files(paths: &[PathBuf]) -> io::Result<Vec<PathBuf>> {
    let is_ledger = |path: &Path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with("ledger-") && (name.ends_with(PLAIN) || name.ends_with(COMPRESSED))
    };
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        files.extend(files::list(path).map_err(|error| named(path, &error))?);
        files.retain(|file| paths.contains(file) || is_ledger(file));
    }
    files.sort();
    // A crash may leave a file in both forms.
    let is_same = |path: &mut PathBuf, before: &mut PathBuf| {
        let is_compressed = path.extension() == Some("zst".as_ref());
        *path == *before || (is_compressed && path.with_extension("") == *before)
    };
    files.dedup_by(is_same);
    files.retain(|path| !archive::is_sealed(path));
    Ok(files)
}

/// The encrypted files among these, whose records can't be read here. One that somebody has decrypted
/// beside it can.
pub fn sealed_files(paths: &[PathBuf]) -> io::Result<Vec<PathBuf>> {
    let mut sealed = Vec::new();
    for path in paths {
        if path.is_dir() {
            sealed.extend(files::list(path).map_err(|error| named(path, &error))?);
        } else {
            sealed.push(path.clone());
        }
    }
    let is_readable = |path: &Path| path.with_extension("").exists() || plain_form(path).exists();
    sealed.retain(|path| archive::is_sealed(path) && !is_readable(path));
    Ok(sealed)
}

/// The stamp of a line of our form; empty otherwise.
pub(crate) fn time_of(line: &[u8]) -> &[u8] {
    const NAME: &[u8] = b",\"time\":\"";
    let at = line.iter().position(|byte| *byte == b't').and_then(|at| at.checked_sub(2));
    let rest = at.and_then(|at| line.get(at..)?.strip_prefix(NAME));
    rest.and_then(|rest| rest.get(..27)).unwrap_or_default()
}

/// Finds a member of the outer object by its name. Quotes within texts are escaped, so that
/// no text can pose as one.
pub(crate) struct Member(Finder<'static>);

impl Member {
    pub(crate) fn new(name: &str) -> Self {
        Self(Finder::new(format!(",\"{name}\":").as_bytes()).into_owned())
    }

    /// What follows the member's colon.
    fn rest<'l>(&self, line: &'l [u8]) -> Option<&'l [u8]> {
        line.get(self.0.find(line)? + self.0.needle().len()..)
    }

    /// Whether the line has it.
    pub(crate) fn is_in(&self, line: &[u8]) -> bool {
        self.0.find(line).is_some()
    }

    /// A number.
    pub(crate) fn number(&self, line: &[u8]) -> Option<u64> {
        let rest = self.rest(line)?;
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        std::str::from_utf8(rest.get(..digits)?).ok()?.parse().ok()
    }

    /// A text, still escaped, without its quotes.
    pub(crate) fn text<'l>(&self, line: &'l [u8]) -> Option<&'l str> {
        let rest = self.rest(line)?.strip_prefix(b"\"")?;
        let mut end = 0;
        loop {
            match *rest.get(end)? {
                b'"' => return std::str::from_utf8(rest.get(..end)?).ok(),
                b'\\' => end += 2,
                _ => end += 1,
            }
        }
    }

    /// A list of texts.
    pub(crate) fn texts(&self, line: &[u8]) -> Vec<String> {
        let Some(rest) = self.rest(line) else {
            return Vec::new();
        };
        let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<Vec<String>>();
        values.next().and_then(Result::ok).unwrap_or_default()
    }
}

/// Stands in a record for names that found no room there.
const FURTHER: &str = "...";

/// Whether the table is among these, or may be one of those that found no room. Records have names as
/// they were written, and to some servers `Visit` is `visit`: so whoever looks for one finds either.
pub(crate) fn names_table(tables: &[String], wanted: &str) -> bool {
    let wanted = wanted.to_lowercase();
    tables.iter().any(|table| table.to_lowercase() == wanted || table == FURTHER)
}

/// Whether the column, `schema.table.column`, is among these, or may be: as one of all of its
/// table's, as one whose table isn't told, or as one that found no room. `is_read` tells of a table
/// whether the statement reads it. Older records leave the session's schema out.
pub(crate) fn names_column(
    columns: &[String],
    wanted: &str,
    is_read: impl Fn(&str) -> bool,
) -> bool {
    let wanted = wanted.to_lowercase();
    let (table, name) = wanted.rsplit_once('.').unwrap_or_default();
    let (_, bare) = table.split_once('.').unwrap_or_default();
    let told = [wanted.clone(), format!("{table}.*")];
    let perhaps =
        [format!("{bare}.{name}"), format!("{bare}.*"), format!("?.{name}"), FURTHER.to_owned()];
    let columns: Vec<String> = columns.iter().map(|column| column.to_lowercase()).collect();
    let has = |names: &[String]| names.iter().any(|name| columns.contains(name));
    has(&told) || (has(&perhaps) && is_read(table))
}

/// A record. A line that is damaged stands as a text: whoever reads the others sees that it is there.
pub(crate) fn record(line: &[u8]) -> Value {
    serde_json::from_slice(line)
        .unwrap_or_else(|_| json!({ "text": String::from_utf8_lossy(line) }))
}

/// An escaped text as it was.
pub(crate) fn unescaped(text: &str) -> String {
    if !text.contains('\\') {
        return text.to_owned();
    }
    serde_json::from_str(&format!("\"{text}\"")).unwrap_or_else(|_| text.to_owned())
}
