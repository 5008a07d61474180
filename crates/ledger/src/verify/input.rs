//! Which files belong to which node, in which order; and the copies of checkpoints.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::VerifyRequest;
use super::node::is_damage;
use super::report::{Finding, What};
use crate::archive::{self, is_sealed};
use crate::checkpoint::Checkpoint;
use crate::files::{self, COMPRESSED, PLAIN, SEALED};
use crate::keys::PublicKey;
use crate::line::{Frame, Hash, sha256};
use crate::statement::{self, Statement};

/// A file that can't be read.
#[derive(Debug, thiserror::Error)]
#[error("can't read {}: {source}", path.display())]
pub struct VerifyError {
    /// The file or folder.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

/// All that is read.
pub(super) struct Inputs {
    pub(super) files: Vec<LedgerFile>,
    pub(super) anchors: Vec<Anchor>,
    /// Copies of checkpoints that are none, and files that are no ledger's.
    pub(super) strays: Vec<Finding>,
    /// Signed statements, by the name of the file that they speak for, the newest last.
    pub(super) statements: BTreeMap<String, Vec<(Statement, PublicKey)>>,
    /// How far each file of them was read, in bytes.
    statements_read: BTreeMap<PathBuf, u64>,
    /// Those that were given.
    folders: Vec<PathBuf>,
    /// Only folders were given: then nothing may be missing at the start.
    pub(super) whole: bool,
}

/// A ledger file by its first record.
pub(super) struct LedgerFile {
    pub(super) node: String,
    pub(super) first: u64,
    pub(super) content: Content,
    pub(super) path: PathBuf,
}

impl LedgerFile {
    /// In which order files are looked at: one whose name isn't that of its first record, as a copy
    /// has, behind the one that it would be a copy of.
    fn order(&self) -> (&str, u64, bool, &Content, &Path) {
        let own_name = files::name_of(&files::safe_name(&self.node), self.first);
        let is_other = self.plain_name() != own_name;
        (&self.node, self.first, is_other, &self.content, &self.path)
    }

    /// Whether both are one file, as it was written or as it was put away.
    fn is_form_of(&self, other: &Self) -> bool {
        self.node == other.node
            && self.first == other.first
            && self.plain_name() == other.plain_name()
    }

    /// Its name, as before it was put away.
    fn plain_name(&self) -> String {
        archive::name(&archive::plain_form(&self.path))
    }
}

/// What of a file can be looked at.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Content {
    /// Its lines.
    Lines,
    /// Its bytes, against what was signed about them.
    Sealed,
    /// Nothing: retention removed it.
    Retired,
}

/// A checkpoint as held elsewhere.
pub(super) struct Anchor {
    pub(super) node: String,
    pub(super) sequence: u64,
    /// Hash of its whole line.
    pub(super) hash: Hash,
    pub(super) file: PathBuf,
    pub(super) line: u64,
}

impl Inputs {
    pub(super) fn find(request: &VerifyRequest) -> Result<Self, VerifyError> {
        let mut inputs = Self {
            files: vec![],
            anchors: vec![],
            strays: vec![],
            statements: BTreeMap::new(),
            statements_read: BTreeMap::new(),
            folders: vec![],
            whole: true,
        };
        let files = request.paths.iter().filter(|path| !path.is_dir());
        inputs.folders = request.paths.iter().filter(|path| path.is_dir()).cloned().collect();
        inputs.whole = inputs.folders.len() == request.paths.len();
        // The ledger may be written to and its files put away meanwhile. So each is read before
        // what it speaks of: a checkpoint is in a file before its copy is made.
        let copies = inputs.in_folders("checkpoints-", &[PLAIN])?;
        for path in &copies {
            inputs.anchor_file(path)?;
        }
        for path in &request.anchors {
            // One that was cut, or never filled, must not pass for one that agrees.
            if inputs.anchor_file(path)? == 0 {
                let (file, what) = (path.clone(), What::NoAnchor);
                inputs.strays.push(Finding { file, line: 0, sequence: None, what });
            }
        }
        let found = inputs.in_folders("ledger-", &[PLAIN, COMPRESSED, SEALED])?;
        let (mut sealed, readable): (Vec<_>, Vec<_>) =
            files.cloned().chain(found).partition(|path| is_sealed(path));
        for path in readable {
            match inputs.ledger_file(&path) {
                // Encrypted or removed since: what is signed about it is there by now.
                Err(error) if inputs.was_put_away(&path, &error.source) => {
                    sealed.extend(Some(archive::sealed_form(&path)).filter(|path| path.exists()));
                }
                other => other?,
            }
        }
        inputs.read_statements()?;
        inputs.add_vouched(sealed);
        inputs.files.sort_by(|one, other| one.order().cmp(&other.order()));
        // A crash may leave a file in two forms: the one that tells most is read. One of another
        // name is no form of it: whoever reads the ledger reads it too.
        inputs.files.dedup_by(|later, kept| later.is_form_of(kept));
        Ok(inputs)
    }

    /// Whether a file that was found in a folder isn't there any more, at least not as it was.
    pub(super) fn was_put_away(&self, path: &Path, error: &io::Error) -> bool {
        let folder = path.parent();
        error.kind() == io::ErrorKind::NotFound
            && self.folders.iter().any(|one| Some(one.as_path()) == folder)
    }

    /// A file that was put away, as it is now: encrypted, or removed with a signed statement.
    pub(super) fn put_away(
        &mut self,
        file: &LedgerFile,
    ) -> Result<Option<LedgerFile>, VerifyError> {
        let LedgerFile { ref node, first, ref path, .. } = *file;
        let as_it_is = |path, content| LedgerFile { node: node.clone(), first, content, path };
        let sealed = archive::sealed_form(path);
        let is_sealed = sealed != *path && sealed.exists();
        // After that look: what speaks for the file, however it went on meanwhile, is there.
        self.read_statements()?;
        if is_sealed {
            return Ok(Some(as_it_is(sealed, Content::Sealed)));
        }
        let is_it = |one: &Statement| one.retired && one.node == *node && one.first == first;
        let mut all = self.statements.iter();
        let found = all.find(|(_, of_file)| of_file.iter().any(|(one, _)| is_it(one)));
        Ok(found.map(|(name, _)| as_it_is(PathBuf::from(name), Content::Retired)))
    }

    /// Takes in the statements that have come since the last time.
    fn read_statements(&mut self) -> Result<(), VerifyError> {
        for path in self.in_folders(statement::NAME, &[PLAIN])? {
            let read = self.statements_read.entry(path.clone()).or_default();
            let mut bytes = Vec::new();
            File::open(&path)
                .and_then(|mut file| {
                    file.seek(SeekFrom::Start(*read))?;
                    file.read_to_end(&mut bytes)
                })
                .map_err(failed(&path))?;
            let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            *read += u64::try_from(whole).unwrap_or(0);
            let lines = bytes.get(..whole).unwrap_or_default().split(|byte| *byte == b'\n');
            for signed in lines.filter_map(Statement::read) {
                self.statements.entry(signed.0.file.clone()).or_default().push(signed);
            }
        }
        Ok(())
    }

    /// The files of the folders whose names begin and end so.
    fn in_folders(&self, start: &str, ends: &[&str]) -> Result<Vec<PathBuf>, VerifyError> {
        let mut found = Vec::new();
        for folder in &self.folders {
            found.extend(files::list(folder).map_err(failed(folder))?);
        }
        found.retain(|path| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.starts_with(start) && ends.iter().any(|end| name.ends_with(end))
        });
        Ok(found)
    }

    fn ledger_file(&mut self, path: &Path) -> Result<(), VerifyError> {
        // The first line may be the one that was tampered with: any line tells the node.
        let reader = BufReader::new(archive::open_to_verify(path).map_err(failed(path))?);
        let (mut found, mut what, mut is_empty) = (None, What::NotARecord, true);
        for (line, number) in reader.split(b'\n').zip(0_u64..) {
            is_empty = false;
            let line = match line {
                Err(error) if is_damage(&error) => {
                    what = What::Damaged;
                    break;
                }
                other => other.map_err(failed(path))?,
            };
            if let (Some(node), Some(frame)) = (node_of(&line), Frame::read(&line)) {
                found = Some((node, frame.sequence.saturating_sub(number)));
                break;
            }
            what = What::unread(&line);
        }
        if let Some((node, first)) = found {
            let (path, content) = (path.to_owned(), Content::Lines);
            self.files.push(LedgerFile { node, first, path, content });
        } else if !is_empty {
            self.strays.push(Finding { file: path.to_owned(), line: 0, sequence: None, what });
        }
        Ok(())
    }

    /// Files whose lines can't be read, and those that aren't there any more.
    fn add_vouched(&mut self, sealed: Vec<PathBuf>) {
        for path in sealed {
            let of_file = self.statements.get(&archive::name(&path));
            match of_file.and_then(|all| all.last()) {
                Some((statement, _)) => self.files.push(LedgerFile {
                    node: statement.node.clone(),
                    first: statement.first,
                    path,
                    content: Content::Sealed,
                }),
                None => {
                    let what = What::NotVouched;
                    self.strays.push(Finding { file: path, line: 0, sequence: None, what });
                }
            }
        }
        for (name, of_file) in self.statements.iter().filter(|_| self.whole) {
            if let Some((statement, _)) = of_file.iter().rev().find(|one| one.0.retired) {
                self.files.push(LedgerFile {
                    node: statement.node.clone(),
                    first: statement.first,
                    path: PathBuf::from(name),
                    content: Content::Retired,
                });
            }
        }
    }

    /// Takes the copies of checkpoints in a file, and gives how many lines it holds. What other
    /// programs do to a text on its way, a mark at its begin and carriage returns, is no part of
    /// them.
    fn anchor_file(&mut self, path: &Path) -> Result<usize, VerifyError> {
        let bytes = fs::read(path).map_err(failed(path))?;
        let text = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&bytes);
        let mut held = 0;
        for (line, number) in text.split_inclusive(|byte| *byte == b'\n').zip(1_u64..) {
            let bytes = line.strip_suffix(b"\n").unwrap_or(line);
            let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
            if bytes.is_empty() {
                continue;
            }
            let checkpoint = Checkpoint::read(bytes).filter(Checkpoint::holds);
            let file = path.to_owned();
            match (checkpoint, node_of(bytes)) {
                (Some(checkpoint), Some(node)) => self.anchors.push(Anchor {
                    node,
                    sequence: checkpoint.frame.sequence,
                    hash: sha256(bytes),
                    file,
                    line: number,
                }),
                // A copy that is being written.
                _ if !line.ends_with(b"\n") => continue,
                _ => {
                    let what = What::BadAnchor;
                    self.strays.push(Finding { file, line: number, sequence: None, what });
                }
            }
            held += 1;
        }
        Ok(held)
    }
}

/// The node that a line names, if it is JSON at all.
pub(super) fn node_of(line: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Named {
        node: String,
    }
    serde_json::from_slice::<Named>(line).ok().map(|named| named.node)
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> VerifyError {
    let path = path.to_owned();
    move |source| VerifyError { path, source }
}
