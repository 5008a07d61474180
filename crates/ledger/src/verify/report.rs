//! What the verifier found, as values and as text.

use std::fmt;
use std::io;
use std::path::PathBuf;

use serde::Serialize;

use crate::line::later_version;

/// The result over all nodes.
#[derive(Debug, Clone, Default, Serialize)]
pub struct VerifyReport {
    /// One for each node whose files were given, by name.
    pub nodes: Vec<NodeReport>,
    /// Findings that belong to no node's files.
    pub strays: Vec<Finding>,
}

impl VerifyReport {
    /// Whether nothing was found that shouldn't be.
    pub fn is_intact(&self) -> bool {
        self.strays.is_empty() && self.nodes.iter().all(|node| node.findings.is_empty())
    }

    /// All findings, in the order of the files.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.nodes.iter().flat_map(|node| &node.findings).chain(&self.strays)
    }
}

/// The result for one node's ledger.
#[derive(Debug, Clone, Default, Serialize)]
pub struct NodeReport {
    /// The node.
    pub node: String,
    /// Files read.
    pub files: u64,
    /// Lines read.
    pub records: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Sequence of the first record.
    pub first: u64,
    /// Sequence of the last record.
    pub last: u64,
    /// Checkpoints whose signature holds.
    pub checkpoints: u64,
    /// Records after the last of those: checked against their neighbours only.
    pub after_last_checkpoint: u64,
    /// The ledger ends with the checkpoint of an orderly stop.
    pub closed: bool,
    /// Records that were lost, as the ledger itself says (in a power cut).
    pub lost: u64,
    /// Checkpoints held elsewhere that were found in the ledger.
    pub anchors_met: u64,
    /// Records in encrypted files, whose lines weren't read: their bytes are as signed for.
    pub sealed: u64,
    /// Records that retention removed, as signed for.
    pub retired: u64,
    /// Key that signed the last checkpoint, 64 hex digits.
    pub key: Option<String>,
    /// That key is the trusted one, or follows from it by signed rotations.
    pub key_trusted: bool,
    /// What is wrong, in the order of the files. At most 1,000.
    pub findings: Vec<Finding>,
}

/// Something that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The file.
    pub file: PathBuf,
    /// Line in it, from 1; 0 is the file as a whole.
    pub line: u64,
    /// Sequence of the record there, if it can be told.
    pub sequence: Option<u64>,
    /// What it is.
    #[serde(flatten)]
    pub what: What,
}

/// The sorts of findings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "finding", rename_all = "snake_case")]
pub enum What {
    /// The line isn't a record's line.
    NotARecord,
    /// The line isn't one that this program knows.
    LaterVersion {
        /// What it says of itself.
        version: u32,
    },
    /// The bytes of the line are not those that were recorded.
    Changed,
    /// The line names another one before it than there is: its end was changed, or it
    /// does not belong here.
    WrongPredecessor,
    /// These records are missing before the line.
    Missing {
        /// First missing sequence.
        from: u64,
        /// Last missing sequence.
        to: u64,
    },
    /// The record stands where its number doesn't belong: moved, repeated or inserted.
    OutOfPlace,
    /// The record is another node's.
    OtherNode {
        /// That node.
        node: String,
    },
    /// The checkpoint's signature does not hold, or its form is wrong.
    BadSignature,
    /// The checkpoint was signed by a key that isn't trusted.
    UntrustedKey {
        /// That key, 64 hex digits.
        key: String,
    },
    /// The rotation of the key isn't signed as it must be.
    BadRotation,
    /// The file ends within a line.
    TornEnd,
    /// The compressed file can't be unpacked beyond this: it was changed, or cut.
    Damaged,
    /// A checkpoint held elsewhere names a record beyond the end: the tail was cut.
    CutTail {
        /// Sequence of that checkpoint.
        anchored: u64,
    },
    /// A checkpoint held elsewhere differs from the record of its number.
    AnchorDiffers,
    /// The copy of a checkpoint is itself not properly signed.
    BadAnchor,
    /// The file given for copies of checkpoints holds none.
    NoAnchor,
    /// The encrypted file isn't the one that was signed for.
    SealedChanged,
    /// No signed statement speaks for the encrypted file.
    NotVouched,
    /// A checkpoint held elsewhere is of a node of which no file was given.
    NoLedger {
        /// That node.
        node: String,
    },
}

impl What {
    /// What a line is that can't be read as a record.
    pub(super) fn unread(line: &[u8]) -> Self {
        match later_version(line) {
            Some(version) => Self::LaterVersion { version },
            None => Self::NotARecord,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.file.display(), self.line)?;
        if let Some(sequence) = self.sequence {
            write!(f, "record {sequence}: ")?;
        }
        match &self.what {
            What::NotARecord => f.write_str("this is not a record of a ledger"),
            What::LaterVersion { version } => write!(
                f,
                "the line says that it is of version {version}: verify it with the readgate that made it"
            ),
            What::Changed => f.write_str("the record was changed after it was written"),
            What::WrongPredecessor => {
                f.write_str("the record does not follow from the one before: changed, or put here")
            }
            What::Missing { from, to } if from == to => {
                write!(f, "record {from} is missing before")
            }
            What::Missing { from, to } => write!(f, "records {from} to {to} are missing before"),
            What::OutOfPlace => {
                f.write_str("the record is out of place: moved, repeated or inserted")
            }
            What::OtherNode { node } => write!(f, "the record is of another node, {node:?}"),
            What::BadSignature => f.write_str("the checkpoint's signature does not hold"),
            What::UntrustedKey { key } => {
                write!(f, "the checkpoint is signed by an unknown key, {key}")
            }
            What::BadRotation => f.write_str("the change of the key is not signed as it must be"),
            What::TornEnd => f.write_str("the file ends within a line"),
            What::Damaged => {
                f.write_str("the file can't be unpacked from here on: it was changed or cut")
            }
            What::CutTail { anchored } => {
                write!(f, "the tail is cut: a checkpoint names record {anchored}")
            }
            What::AnchorDiffers => f.write_str("a checkpoint held elsewhere says otherwise"),
            What::BadAnchor => f.write_str("this copy of a checkpoint is not properly signed"),
            What::NoAnchor => {
                f.write_str("no copy of a checkpoint is in this file: nothing was compared with it")
            }
            What::SealedChanged => f.write_str("the encrypted file is not the one signed for"),
            What::NotVouched => f.write_str("nothing signed speaks for this encrypted file"),
            What::NoLedger { node } => write!(f, "no ledger file of node {node:?} was given"),
        }
    }
}

impl NodeReport {
    /// Writes the result as text, findings first.
    pub fn describe(&self, out: &mut dyn io::Write) -> io::Result<()> {
        for finding in &self.findings {
            writeln!(out, "{finding}")?;
        }
        writeln!(
            out,
            "node {}: {} records ({} to {}) in {} files, {} bytes, {} checkpoints, {} met elsewhere",
            self.node,
            self.records,
            self.first,
            self.last,
            self.files,
            self.bytes,
            self.checkpoints,
            self.anchors_met,
        )?;
        if self.lost > 0 {
            writeln!(out, "  {} records were lost, as the ledger itself says", self.lost)?;
        }
        if self.sealed > 0 {
            let sealed = self.sealed;
            writeln!(out, "  {sealed} records are in encrypted files: whole, but not read")?;
        }
        if self.retired > 0 {
            writeln!(out, "  {} records were removed by retention, as signed for", self.retired)?;
        }
        match &self.key {
            Some(key) if self.key_trusted => writeln!(out, "  signed by {key}, trusted")?,
            Some(key) => writeln!(out, "  signed by {key}; compare it with the key you trust")?,
            None => writeln!(out, "  no signed checkpoint")?,
        }
        match (self.after_last_checkpoint, self.closed) {
            (0, true) => writeln!(out, "  ends with an orderly stop"),
            (0, false) => writeln!(out, "  ends with a checkpoint"),
            (open, _) => {
                writeln!(out, "  {open} records after the last checkpoint are not signed yet")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_says_what_was_not_read_and_what_the_key_is_worth() {
        let key = Some(String::from("00ff"));
        let whole = NodeReport { key: key.clone(), closed: true, ..NodeReport::default() };
        let untold = ["were lost", "encrypted", "retention", "not signed"];
        for (report, told) in [
            (NodeReport::default(), "no signed checkpoint\n  ends with a checkpoint\n"),
            (
                whole.clone(),
                "signed by 00ff; compare it with the key you trust\n  ends with an orderly stop\n",
            ),
            (NodeReport { key_trusted: true, ..whole.clone() }, "signed by 00ff, trusted\n"),
            (
                NodeReport { lost: 1, ..whole.clone() },
                "1 records were lost, as the ledger itself says\n",
            ),
            (
                NodeReport { sealed: 2, ..whole.clone() },
                "2 records are in encrypted files: whole, but not read\n",
            ),
            (
                NodeReport { retired: 3, ..whole.clone() },
                "3 records were removed by retention, as signed for\n",
            ),
            (
                NodeReport { after_last_checkpoint: 4, ..whole.clone() },
                "4 records after the last checkpoint are not signed yet\n",
            ),
        ] {
            let mut text = Vec::new();
            report.describe(&mut text).unwrap();
            let text = String::from_utf8(text).unwrap();
            assert!(text.contains(told), "{text}");
            let others = untold.iter().filter(|other| !told.contains(**other));
            assert!(others.clone().all(|other| !text.contains(other)), "{text}");
        }
    }
}
