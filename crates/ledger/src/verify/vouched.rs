//! Files whose lines can't be read: what was signed about them takes their place in the
//! chain. Encrypted ones must have the bytes that were signed for.

use std::io;
use std::path::Path;

use super::node::{NodeCheck, Prev};
use super::report::What;
use crate::archive;
use crate::keys::PublicKey;
use crate::line::{from_hex, hex};
use crate::statement::Statement;

/// A statement and the key that signed it.
type Signed = (Statement, PublicKey);

impl NodeCheck {
    /// An encrypted file.
    pub(super) fn sealed(&mut self, path: &Path, statements: &[Signed]) -> io::Result<()> {
        let (bytes, hash) = (std::fs::metadata(path)?.len(), archive::hash_of(path)?);
        self.report.files += 1;
        self.report.bytes += bytes;
        let hash = hex(&hash);
        let is_it = |one: &&Signed| one.0.sha256.as_deref() == Some(&hash);
        let found = statements.iter().rev().find(is_it);
        self.open(path);
        if found.is_none() {
            self.find(What::SealedChanged);
        }
        // What it should hold is known all the same.
        if let Some(signed) = found.or(statements.last()) {
            self.report.sealed += self.pass(signed);
        }
        Ok(())
    }

    /// A file that retention removed.
    pub(super) fn retired(&mut self, path: &Path, statements: &[Signed]) {
        self.open(path);
        if let Some(signed) = statements.iter().rev().find(|one| one.0.retired) {
            self.report.retired += self.pass(signed);
        }
    }

    /// Goes on behind the file; gives how many records are in it.
    fn pass(&mut self, (statement, key): &Signed) -> u64 {
        self.settle(None);
        self.settle_jump(None);
        self.place.sequence = statement.first;
        if self.report.first == 0 {
            self.report.first = statement.first;
            self.start(statement.first);
        }
        let finding = self.finding(self.place, What::UntrustedKey { key: key.to_hex() });
        self.trust.statement(*key, finding);
        if statement.first > self.expected {
            self.find(What::Missing { from: self.expected, to: statement.first - 1 });
        } else if statement.first < self.expected {
            self.find(What::OutOfPlace);
        } else if let Prev::Hash(prev) = &self.prev
            && hex(prev) != statement.prev
        {
            self.find(What::WrongPredecessor);
        }
        for rotation in &statement.rotations {
            self.follow(Some(rotation));
        }
        self.expected = statement.last.saturating_add(1);
        self.prev = match from_hex(statement.head.as_bytes()) {
            Some(head) => {
                self.meet_anchor(statement.last, &head);
                Prev::Hash(head)
            }
            None => Prev::Unknown,
        };
        self.report.last = statement.last;
        self.report.key = Some(key.to_hex());
        // A file is closed by a checkpoint.
        self.report.after_last_checkpoint = 0;
        self.anchors.retain(|at, _| *at < statement.first || *at > statement.last);
        let records = statement.last.saturating_sub(statement.first).saturating_add(1);
        self.report.records += records;
        records
    }
}
