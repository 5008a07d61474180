//! The life of a closed file: compressed, encrypted where configured, removed when it is
//! old enough. Nothing is removed before what replaces it is on the disk and checked.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ring::digest::{Context, SHA256};
use serde::Deserialize;

use crate::files::{COMPRESSED, PLAIN, SEALED};
use crate::keys::{Rotation, SigningKey};
use crate::line::{Frame, Hash, hex, sha256};
use crate::statement::Statement;
use age_file::{Encryptor, Recipient};

/// Lines repeat so much that the fastest level already leaves a tenth of them.
const LEVEL: i32 = 1;
const KEY_ROTATED: &[u8] = b",\"event\":\"key_rotated\"";

/// How long a line that has no end yet is waited for: it is being written.
const PATIENCE: Duration = Duration::from_millis(500);
/// Between two looks for its end.
const LOOK: Duration = Duration::from_millis(5);

/// A file as it lies in the folder, opened for its lines, compressed or not. One that was
/// compressed since the folder was read is found as that.
pub(crate) fn open(path: &Path) -> io::Result<Box<dyn Read + Send>> {
    open_as(path, |file| Box::new(file))
}

/// The same for whoever takes a line without an end for damage: the ledger may be written to
/// while it is read, and a write may be seen in part.
pub(crate) fn open_to_verify(path: &Path) -> io::Result<Box<dyn Read + Send>> {
    open_as(path, |file| Box::new(WholeLines { file, is_whole: true, ends_at: None }))
}

fn open_as(
    path: &Path,
    plain: impl FnOnce(File) -> Box<dyn Read + Send>,
) -> io::Result<Box<dyn Read + Send>> {
    if is_compressed(path) {
        return Ok(Box::new(zstd::stream::read::Decoder::new(File::open(path)?)?));
    }
    match File::open(path) {
        Ok(file) => Ok(plain(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let Ok(compressed) = File::open(with_suffix(path, ".zst")) else { return Err(error) };
            Ok(Box::new(zstd::stream::read::Decoder::new(compressed)?))
        }
        Err(error) => Err(error),
    }
}

/// Compresses a closed file. The new one has the old one's time; its name is returned. The
/// old one is still there. A compressed one that is there already, from a step cut short or
/// because somebody unpacked it in this folder, is taken if it holds the same, and never replaced.
pub(crate) fn compress(path: &Path) -> io::Result<PathBuf> {
    let target = with_suffix(path, ".zst");
    if target.exists() {
        return if hash(open(path)?)? == hash(open(&target)?)? {
            Ok(target)
        } else {
            let (plain, packed) = (name(path), name(&target));
            Err(io::Error::other(format!("{plain} isn't what {packed} holds: both are kept")))
        };
    }
    let temporary = with_suffix(path, ".zst.new");
    // Against a broken disk or memory, not against people: the cheap sum is enough.
    let (mut written, mut read) = (crc32fast::Hasher::new(), crc32fast::Hasher::new());
    let mut source = Watched(File::open(path)?, |bytes: &[u8]| written.update(bytes));
    let mut encoder = zstd::stream::write::Encoder::new(create(&temporary)?, LEVEL)?;
    encoder.include_checksum(true)?;
    let len = io::copy(&mut source, &mut encoder)?;
    let file = encoder.finish()?;
    file.set_modified(fs::metadata(path)?.modified()?)?;
    file.sync_all()?;
    let decoder = zstd::stream::read::Decoder::new(File::open(&temporary)?)?;
    let mut back = Watched(decoder, |bytes: &[u8]| read.update(bytes));
    let back_len = io::copy(&mut back, &mut io::sink())?;
    if back_len != len || read.finalize() != written.finalize() {
        return Err(io::Error::other("a compressed file does not read back as it was"));
    }
    put(&temporary, &target)?;
    Ok(target)
}

/// The name of a compressed file once it is encrypted.
pub(crate) fn sealed_name(path: &Path) -> PathBuf {
    with_suffix(path, ".age")
}

/// A file made from another one, whole and on the disk, that doesn't have its name yet.
#[must_use]
pub(crate) struct Made {
    temporary: PathBuf,
    target: PathBuf,
    /// SHA-256 of its bytes.
    pub(crate) sha256: Hash,
}

impl Made {
    /// Gives it its name, which is returned.
    pub(crate) fn put(self) -> io::Result<PathBuf> {
        put(&self.temporary, &self.target)?;
        Ok(self.target)
    }
}

/// Encrypts a compressed file, which is still there.
pub(crate) fn seal(path: &Path, recipient: &Recipient) -> io::Result<Made> {
    let temporary = with_suffix(path, ".age.new");
    let mut encryptor = Encryptor::new(recipient, BufWriter::new(create(&temporary)?))?;
    io::copy(&mut File::open(path)?, &mut encryptor)?;
    let file = encryptor.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.set_modified(fs::metadata(path)?.modified()?)?;
    file.sync_all()?;
    let sha256 = hash_of(&temporary)?;
    Ok(Made { temporary, target: sealed_name(path), sha256 })
}

/// SHA-256 of a file's bytes.
pub(crate) fn hash_of(path: &Path) -> io::Result<Hash> {
    hash(File::open(path)?)
}

fn hash(reader: impl Read) -> io::Result<Hash> {
    let mut context = Context::new(&SHA256);
    let mut watched = Watched(reader, |bytes: &[u8]| context.update(bytes));
    io::copy(&mut watched, &mut io::sink())?;
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    Ok(hash)
}

/// What a statement says about a file whose lines can be read.
pub(crate) fn statement(path: &Path, node: &str, key: &SigningKey) -> io::Result<Statement> {
    #[derive(Deserialize)]
    struct Stamped {
        time: String,
    }
    let bad = || io::Error::other(format!("{} is no whole ledger file", path.display()));
    let mut reader = BufReader::with_capacity(256 << 10, open(path)?);
    let (mut line, mut last_line) = (Vec::new(), Vec::new());
    let mut first = None;
    let mut rotations: Vec<Rotation> = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        let whole = line.strip_suffix(b"\n").ok_or_else(bad)?;
        if first.is_none() {
            first = Some(Frame::read(whole).ok_or_else(bad)?);
        }
        if memchr::memmem::find(whole, KEY_ROTATED).is_some() {
            rotations.extend(serde_json::from_slice::<Rotation>(whole).ok());
        }
        whole.clone_into(&mut last_line);
        line.clear();
    }
    let first = first.ok_or_else(bad)?;
    let last = Frame::read(&last_line).ok_or_else(bad)?;
    let to = serde_json::from_slice::<Stamped>(&last_line).map_err(|_| bad())?.time;
    Ok(Statement {
        v: 1,
        node: node.to_owned(),
        file: name(path),
        first: first.sequence,
        last: last.sequence,
        to,
        prev: hex(&first.prev),
        head: hex(&sha256(&last_line)),
        sha256: None,
        retired: false,
        rotations,
        public_key: key.public().to_hex(),
    })
}

/// A file's own name.
pub(crate) fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Removes a file, for good.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    fs::remove_file(path)?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

/// Whether the name is a compressed file's that isn't encrypted.
pub(crate) fn is_compressed(path: &Path) -> bool {
    path.to_str().is_some_and(|name| name.ends_with(COMPRESSED))
}

/// Whether the name is an encrypted file's.
pub(crate) fn is_sealed(path: &Path) -> bool {
    path.to_str().is_some_and(|name| name.ends_with(SEALED))
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(path)
}

fn put(temporary: &Path, target: &Path) -> io::Result<()> {
    fs::rename(temporary, target)?;
    File::open(target.parent().unwrap_or(Path::new(".")))?.sync_all()
}

/// The name of a ledger file in any form before it was put away.
pub(crate) fn plain_form(path: &Path) -> PathBuf {
    let name = path.to_str().unwrap_or_default();
    let packed = [SEALED, COMPRESSED].iter().find_map(|end| name.strip_suffix(end));
    packed.map_or_else(|| path.to_owned(), |start| PathBuf::from(format!("{start}{PLAIN}")))
}

/// The name of a ledger file in any form once it is encrypted.
pub(crate) fn sealed_form(path: &Path) -> PathBuf {
    if is_sealed(path) {
        path.to_owned()
    } else if is_compressed(path) {
        sealed_name(path)
    } else {
        sealed_name(&with_suffix(path, ".zst"))
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// A plain file that ends with a whole line, if that line's end comes in time.
struct WholeLines {
    file: File,
    /// What was read last ends a line.
    is_whole: bool,
    /// When the end of the file counts as such, once it was found within a line.
    ends_at: Option<Instant>,
}

impl Read for WholeLines {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.file.read(room)?;
            if let Some(last) = room.get(..read).and_then(<[u8]>::last) {
                self.is_whole = *last == b'\n';
            }
            if read > 0 || self.is_whole || room.is_empty() {
                return Ok(read);
            }
            // Once for the whole file: what is torn for good is looked at no longer than this.
            if Instant::now() >= *self.ends_at.get_or_insert_with(|| Instant::now() + PATIENCE) {
                return Ok(0);
            }
            std::thread::sleep(LOOK);
        }
    }
}

/// Passes bytes on and shows them to somebody on the way.
struct Watched<R, F>(R, F);

impl<R: Read, F: FnMut(&[u8])> Read for Watched<R, F> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(room)?;
        (self.1)(room.get(..read).unwrap_or_default());
        Ok(read)
    }
}
