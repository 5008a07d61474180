//! Which files belong to which node, in which order; and the copies of checkpoints.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::VerifyRequest;
use super::report::{Finding, What};
use crate::checkpoint::Checkpoint;
use crate::line::{Frame, Hash, sha256};

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
    /// Only folders were given: then nothing may be missing at the start.
    pub(super) whole: bool,
}

/// A ledger file by its first record.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LedgerFile {
    pub(super) node: String,
    first: u64,
    pub(super) path: PathBuf,
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
        let mut inputs = Self { files: vec![], anchors: vec![], strays: vec![], whole: true };
        let mut anchors = request.anchors.clone();
        for path in &request.paths {
            if !path.is_dir() {
                inputs.whole = false;
                inputs.ledger_file(path)?;
                continue;
            }
            for entry in fs::read_dir(path).map_err(failed(path))? {
                let path = entry.map_err(failed(path))?.path();
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                if !name.ends_with(".jsonl") {
                    continue;
                }
                if name.starts_with("checkpoints-") {
                    anchors.push(path);
                } else if name.starts_with("ledger-") {
                    inputs.ledger_file(&path)?;
                }
            }
        }
        inputs.files.sort();
        for path in anchors {
            inputs.anchor_file(&path)?;
        }
        Ok(inputs)
    }

    fn ledger_file(&mut self, path: &Path) -> Result<(), VerifyError> {
        // The first line may be the one that was tampered with: any line tells the node.
        let reader = BufReader::new(File::open(path).map_err(failed(path))?);
        let mut found = None;
        for (line, number) in reader.split(b'\n').zip(0_u64..) {
            let line = line.map_err(failed(path))?;
            if let (Some(node), Some(frame)) = (node_of(&line), Frame::read(&line)) {
                found = Some((node, frame.sequence.saturating_sub(number)));
                break;
            }
        }
        if let Some((node, first)) = found {
            self.files.push(LedgerFile { node, first, path: path.to_owned() });
        } else if fs::metadata(path).map_err(failed(path))?.len() > 0 {
            let what = What::NotARecord;
            self.strays.push(Finding { file: path.to_owned(), line: 0, sequence: None, what });
        }
        Ok(())
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
