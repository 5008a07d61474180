//! A node's records as they come, for whoever ships them elsewhere: read from the files, so
//! that a slow receiver never holds up the ledger, and none is left out as long as its file
//! is there.

use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use crate::archive;
use crate::files::{Identity, list_all};
use crate::line::Frame;
use crate::lines::whole_lines;

/// Where reading stands.
pub struct Tail {
    directory: PathBuf,
    node: String,
    last: u64,
    current: Option<Current>,
}

struct Current {
    first: u64,
    path: PathBuf,
    identity: Identity,
    reader: Box<dyn BufRead + Send>,
    begun: Vec<u8>,
}

impl Tail {
    /// Begins after the record of this sequence.
    pub fn after(sequence: u64, directory: impl Into<PathBuf>, node: impl Into<String>) -> Self {
        Self { directory: directory.into(), node: node.into(), last: sequence, current: None }
    }

    /// Sequence of the last record that was taken.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// Hands over each record that is there by now, with its sequence. A record whose taking
    /// fails is handed over again by the next pass. A jump in the sequence means that a file
    /// was encrypted or removed before it was read.
    pub fn pass(&mut self, take: &mut dyn FnMut(u64, &[u8]) -> io::Result<()>) -> io::Result<()> {
        loop {
            let mut files = list_all(&self.directory, &self.node)?;
            files.retain(|(_, path)| !archive::is_sealed(path));
            // First what is open: it has its records still, also renamed or removed.
            if self.read_on(take)? {
                continue;
            }
            if self.current.as_ref().is_some_and(Current::is_another_now) {
                self.open_again()?;
                continue;
            }
            let later = next(&files, self.last);
            let is_later = |first| self.current.as_ref().is_none_or(|now| first > now.first);
            if let Some((first, path)) = later.filter(|(first, _)| is_later(*first)) {
                self.current = Some(open(*first, path)?);
                continue;
            }
            // A later file was there before this one was read to its end: what lies
            // between can't be read any more.
            match files.iter().find(|(first, _)| *first > self.last.saturating_add(1)) {
                Some((first, _)) => self.last = first - 1,
                None => return Ok(()),
            }
        }
    }

    /// Hands over what is new in the open file. True if there was any.
    fn read_on(&mut self, take: &mut dyn FnMut(u64, &[u8]) -> io::Result<()>) -> io::Result<bool> {
        let Some(current) = &mut self.current else {
            return Ok(false);
        };
        let (before, last) = (self.last, &mut self.last);
        let read = whole_lines(&mut *current.reader, &mut current.begun, &mut |line| {
            let sequence = Frame::read(line).map_or(0, |frame| frame.sequence);
            if sequence > *last {
                take(sequence, line)?;
                *last = sequence;
            }
            Ok(true)
        });
        if read.is_err() {
            // The record at hand is read again.
            self.current = None;
        }
        read?;
        Ok(self.last > before)
    }

    /// Reads the file of the open one's name from its start; what is known of it is passed over.
    fn open_again(&mut self) -> io::Result<()> {
        if let Some(Current { first, path, .. }) = self.current.take() {
            self.current = Some(open(first, &path)?);
        }
        Ok(())
    }
}

impl Current {
    /// Whether the daemon has put the file back meanwhile, and goes on in the copy.
    fn is_another_now(&self) -> bool {
        self.identity.is_another_now(&self.path)
    }
}

/// The file that holds the record after `last`; if there is none, the first one beyond.
fn next(files: &[(u64, PathBuf)], last: u64) -> Option<&(u64, PathBuf)> {
    let at_or_before = files.iter().rev().find(|(first, _)| *first <= last.saturating_add(1));
    // A file in two forms: the readable one comes first.
    let at = at_or_before.and_then(|found| files.iter().find(|(first, _)| *first == found.0));
    at.or(files.first())
}

fn open(first: u64, path: &Path) -> io::Result<Current> {
    // Before it is opened: one that takes its place in between is found later.
    let (path, identity) = (path.to_owned(), Identity::of(path));
    let reader = BufReader::with_capacity(64 << 10, archive::open(&path)?);
    Ok(Current { first, path, identity, reader: Box::new(reader), begun: Vec::new() })
}
