//! Which files belong to which node, in which order; and the copies of checkpoints.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::VerifyRequest;
use super::node::is_damage;
use super::report::{Finding, What};
use crate::archive::{self, is_sealed};
use crate::checkpoint::Checkpoint;
use crate::files::{COMPRESSED, PLAIN};
use crate::keys::PublicKey;
use crate::line::{Frame, Hash, sha256};
use crate::statement::Statement;

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
    /// Only folders were given: then nothing may be missing at the start.
    pub(super) whole: bool,
}

/// A ledger file by its first record.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LedgerFile {
    pub(super) node: String,
    first: u64,
    pub(super) content: Content,
    pub(super) path: PathBuf,
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
            whole: true,
        };
        let mut sealed = Vec::new();
        let mut anchors = request.anchors.clone();
        for path in &request.paths {
            if !path.is_dir() {
                inputs.whole = false;
                match is_sealed(path) {
                    true => sealed.push(path.clone()),
                    false => inputs.ledger_file(path)?,
                }
                continue;
            }
            for entry in fs::read_dir(path).map_err(failed(path))? {
                let path = entry.map_err(failed(path))?.path();
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                if name.starts_with("checkpoints-") && name.ends_with(PLAIN) {
                    anchors.push(path);
                } else if name.starts_with("archives-") && name.ends_with(PLAIN) {
                    inputs.statements_file(&path)?;
                } else if name.starts_with("ledger-") && is_sealed(&path) {
                    sealed.push(path);
                } else if name.starts_with("ledger-")
                    && (name.ends_with(PLAIN) || name.ends_with(COMPRESSED))
                {
                    inputs.ledger_file(&path)?;
                }
            }
        }
        inputs.add_vouched(sealed);
        inputs.files.sort();
        // A crash may leave a file in two forms: the one that tells most is read.
        inputs.files.dedup_by(|later, kept| later.node == kept.node && later.first == kept.first);
        for path in anchors {
            inputs.anchor_file(&path)?;
        }
        Ok(inputs)
    }

    fn ledger_file(&mut self, path: &Path) -> Result<(), VerifyError> {
        // The first line may be the one that was tampered with: any line tells the node.
        let reader = BufReader::new(archive::open(path).map_err(failed(path))?);
        let (mut found, mut what) = (None, What::NotARecord);
        for (line, number) in reader.split(b'\n').zip(0_u64..) {
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
        }
        if let Some((node, first)) = found {
            let (path, content) = (path.to_owned(), Content::Lines);
            self.files.push(LedgerFile { node, first, path, content });
        } else if fs::metadata(path).map_err(failed(path))?.len() > 0 {
            self.strays.push(Finding { file: path.to_owned(), line: 0, sequence: None, what });
        }
        Ok(())
    }

    fn statements_file(&mut self, path: &Path) -> Result<(), VerifyError> {
        let bytes = fs::read(path).map_err(failed(path))?;
        for line in bytes.split(|byte| *byte == b'\n') {
            if let Some((statement, key)) = Statement::read(line) {
                let of_file = self.statements.entry(statement.file.clone()).or_default();
                of_file.push((statement, key));
            }
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

    fn anchor_file(&mut self, path: &Path) -> Result<(), VerifyError> {
        let bytes = fs::read(path).map_err(failed(path))?;
        // What follows the last line feed is a copy that was being written.
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').unwrap_or(0);
        let lines = bytes.get(..whole).unwrap_or_default().split(|byte| *byte == b'\n');
        for (bytes, line) in lines.zip(1_u64..).filter(|(bytes, _)| !bytes.is_empty()) {
            let file = path.to_owned();
            let checkpoint = Checkpoint::read(bytes).filter(Checkpoint::holds);
            match (checkpoint, node_of(bytes)) {
                (Some(checkpoint), Some(node)) => self.anchors.push(Anchor {
                    node,
                    sequence: checkpoint.frame.sequence,
                    hash: sha256(bytes),
                    file,
                    line,
                }),
                _ => {
                    self.strays.push(Finding { file, line, sequence: None, what: What::BadAnchor })
                }
            }
        }
        Ok(())
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
