//! One node's files, line by line: sequence, chain, checkpoints.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::hashed::{self, Event, Line};
use super::input::{Anchor, node_of};
use super::report::{Finding, NodeReport, What};
use super::trust::Trust;
use crate::archive;
use crate::checkpoint::Checkpoint;
use crate::keys::{PublicKey, Rotation};
use crate::line::{Frame, Hash, genesis};

const MOST_FINDINGS: usize = 1000;

/// The walk through one node's ledger.
pub(super) struct NodeCheck {
    pub(super) report: NodeReport,
    pub(super) expected: u64,
    pub(super) prev: Prev,
    /// A broken link between the line before and this one, not laid to either yet.
    broken: Option<(Place, Place)>,
    /// A record with too high a number, and the number due there: either that many are
    /// missing, or its number was changed.
    jump: Option<(Place, u64)>,
    /// The line at hand doesn't belong where it stands.
    strange: bool,
    /// The files that were looked at, up to the one at hand.
    paths: Vec<PathBuf>,
    pub(super) place: Place,
    pub(super) trust: Trust,
    given_key: bool,
    /// Nothing may be missing at the start.
    whole: bool,
    pub(super) anchors: BTreeMap<u64, Vec<Hash>>,
}

/// Whether it is the file's own content that can't be read, not the disk or the right to it.
pub(super) fn is_damage(error: &io::Error) -> bool {
    error.raw_os_error().is_none()
}

/// What the next line must name.
pub(super) enum Prev {
    Hash(Hash),
    /// The line before was reported already: nothing can be said about the link.
    Reported,
    /// Earlier files weren't given.
    Unknown,
}

/// A line of one of the files.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Place {
    /// Its place among the files that were looked at.
    file: usize,
    line: u64,
    pub(super) sequence: u64,
}

impl NodeCheck {
    pub(super) fn new(node: &str, key: Option<PublicKey>, whole: bool, anchors: &[Anchor]) -> Self {
        let mut by_sequence: BTreeMap<u64, Vec<Hash>> = BTreeMap::new();
        for anchor in anchors.iter().filter(|anchor| anchor.node == node) {
            by_sequence.entry(anchor.sequence).or_default().push(anchor.hash);
        }
        Self {
            report: NodeReport {
                node: node.to_owned(),
                key_trusted: key.is_some(),
                ..NodeReport::default()
            },
            expected: 1,
            prev: Prev::Hash(genesis(node)),
            broken: None,
            jump: None,
            strange: false,
            paths: Vec::new(),
            place: Place::default(),
            trust: Trust::new(key),
            whole,
            given_key: key.is_some(),
            anchors: by_sequence,
        }
    }

    /// Checks each line of a file.
    pub(super) fn file(&mut self, path: &Path) -> io::Result<()> {
        let reader = archive::open_to_verify(path)?;
        self.report.files += 1;
        let mut before = self.place;
        self.open(path);
        let read = hashed::each_line(reader, &mut |line| {
            self.next_line();
            self.line(line, before);
            before = self.place;
        });
        let end = match read {
            Err(error) if is_damage(&error) => {
                self.next_line();
                self.find(What::Damaged);
                return Ok(());
            }
            other => other?,
        };
        self.report.bytes += end.bytes;
        if end.is_torn {
            self.next_line();
            self.find(What::TornEnd);
        }
        Ok(())
    }

    /// Moves on to a file, ahead of its first line.
    pub(super) fn open(&mut self, path: &Path) {
        self.place = Place { file: self.paths.len(), line: 0, sequence: 0 };
        self.paths.push(path.to_owned());
    }

    fn next_line(&mut self) {
        self.place = Place { line: self.place.line + 1, sequence: 0, ..self.place };
    }

    fn line(&mut self, line: &Line<'_>, before: Place) {
        self.report.records += 1;
        let Some(frame) = line.frame else {
            self.settle(None);
            self.settle_jump(None);
            self.find(What::unread(line.bytes));
            self.expected += 1;
            self.prev = Prev::Reported;
            return;
        };
        self.place.sequence = frame.sequence;
        if self.report.first == 0 {
            self.report.first = frame.sequence;
            self.start(frame.sequence);
        }
        self.settle(Some(&frame));
        self.settle_jump(Some(frame.sequence));
        let in_place = self.sequence(line.bytes, frame.sequence);
        match &self.prev {
            Prev::Hash(expected) if in_place && *expected != frame.prev => {
                self.broken = Some((before, self.place));
            }
            Prev::Hash(_) | Prev::Reported | Prev::Unknown => {}
        }
        self.prev = if self.strange { Prev::Reported } else { Prev::Hash(line.hash) };
        self.event(line, &frame);
    }

    /// Lays a broken link to one of its two lines: if the line after them fits the second,
    /// the first was changed; otherwise the second was.
    pub(super) fn settle(&mut self, next: Option<&Frame>) {
        let Some((first, second)) = self.broken.take() else {
            return;
        };
        let second_is_whole = match (&self.prev, next) {
            (Prev::Hash(hash), Some(next)) => *hash == next.prev,
            _ => true,
        };
        if second_is_whole && first.line > 0 {
            self.find_at(first, What::Changed);
        } else {
            self.find_at(second, What::WrongPredecessor);
            self.prev = Prev::Reported;
        }
    }

    /// The first record given: whether anything must have been before.
    pub(super) fn start(&mut self, sequence: u64) {
        if !self.whole && sequence > 1 {
            self.expected = sequence;
            self.prev = Prev::Unknown;
        }
    }

    /// Decides what a too high number was, by the number after it.
    pub(super) fn settle_jump(&mut self, next: Option<u64>) {
        let Some((place, due)) = self.jump.take() else {
            return;
        };
        if next == Some(due + 1) {
            self.expected = due + 1;
            self.find_at(place, What::Changed);
        } else {
            self.find_at(place, What::Missing { from: due, to: place.sequence - 1 });
        }
    }

    /// Whether the record stands where its number belongs.
    fn sequence(&mut self, line: &[u8], sequence: u64) -> bool {
        self.strange = false;
        if sequence == self.expected {
            self.expected += 1;
            self.report.last = sequence;
            return true;
        }
        if let Some(node) = node_of(line).filter(|node| *node != self.report.node) {
            self.strange = true;
            self.find(What::OtherNode { node });
        } else if sequence > self.expected {
            self.jump = Some((self.place, self.expected));
            self.expected = sequence.saturating_add(1);
            self.report.last = sequence;
        } else {
            self.strange = true;
            self.find(What::OutOfPlace);
        }
        false
    }

    fn event(&mut self, line: &Line<'_>, frame: &Frame) {
        self.report.closed = false;
        self.report.after_last_checkpoint += 1;
        match line.event {
            Event::Checkpoint { closes } => self.checkpoint(line.bytes, closes),
            Event::Gap => self.gap(line.bytes),
            Event::KeyRotated => self.rotation(line.bytes),
            Event::Other => {}
        }
        self.meet_anchor(frame.sequence, &line.hash);
    }

    /// Holds the copies of a checkpoint against the record of its number.
    pub(super) fn meet_anchor(&mut self, sequence: u64, hash: &Hash) {
        match self.anchors.remove(&sequence) {
            Some(anchored) if anchored.iter().all(|anchored| anchored == hash) => {
                self.report.anchors_met += 1;
            }
            Some(_) => self.find(What::AnchorDiffers),
            None => {}
        }
    }

    fn checkpoint(&mut self, line: &[u8], closes: bool) {
        let Some(checkpoint) = Checkpoint::read(line).filter(Checkpoint::holds) else {
            return self.find(What::BadSignature);
        };
        self.report.checkpoints += 1;
        self.report.after_last_checkpoint = 0;
        self.report.closed = closes;
        self.report.key = Some(checkpoint.key.to_hex());
        let key = checkpoint.key.to_hex();
        let finding = self.finding(self.place, What::UntrustedKey { key });
        self.trust.checkpoint(checkpoint.key, finding);
    }

    fn gap(&mut self, line: &[u8]) {
        #[derive(Deserialize)]
        struct Gap {
            lost_to: u64,
        }
        let Ok(gap) = serde_json::from_slice::<Gap>(line) else {
            return;
        };
        let lost = self.place.sequence..=gap.lost_to;
        if lost.is_empty() {
            return;
        }
        self.report.lost += gap.lost_to - self.place.sequence + 1;
        self.expected = gap.lost_to.saturating_add(1);
        // A checkpoint was on the disk before it was copied: that was no power cut.
        if self.anchors.range(lost.clone()).next().is_some() {
            self.find(What::AnchorDiffers);
            self.anchors.retain(|at, _| !lost.contains(at));
        }
    }

    fn rotation(&mut self, line: &[u8]) {
        let rotation = serde_json::from_slice::<Rotation>(line).ok();
        self.follow(rotation.as_ref());
    }

    /// Takes a change of the key for what leads from one to the other.
    pub(super) fn follow(&mut self, rotation: Option<&Rotation>) {
        match rotation.and_then(Rotation::check) {
            Some((old, new)) => {
                let finding = self.finding(self.place, What::BadRotation);
                self.trust.rotation(old, new, finding);
            }
            None => self.find(What::BadRotation),
        }
    }

    pub(super) fn finish(mut self) -> NodeReport {
        self.settle(None);
        self.settle_jump(None);
        for finding in std::mem::replace(&mut self.trust, Trust::new(None)).finish() {
            self.report.key_trusted = false;
            self.add(finding);
        }
        self.report.key_trusted &= self.given_key;
        let last = self.report.last;
        if let Some((&anchored, _)) = self.anchors.last_key_value().filter(|(at, _)| **at > last) {
            self.place.sequence = last;
            self.find(What::CutTail { anchored });
        }
        self.report
    }

    pub(super) fn find(&mut self, what: What) {
        let finding = self.finding(self.place, what);
        self.add(finding);
    }

    fn find_at(&mut self, place: Place, what: What) {
        let finding = self.finding(place, what);
        self.add(finding);
    }

    pub(super) fn finding(&self, place: Place, what: What) -> Finding {
        let sequence = (place.sequence > 0).then_some(place.sequence);
        let file = self.paths.get(place.file).cloned().unwrap_or_default();
        Finding { file, line: place.line, sequence, what }
    }

    fn add(&mut self, finding: Finding) {
        if self.report.findings.len() < MOST_FINDINGS {
            self.report.findings.push(finding);
        }
    }
}
