//! Checkpoints: records that sign where the chain stands.
//!
//! A checkpoint's line ends in `,"head":"<64 hex>","public_key":"<64 hex>"`, then
//! `,"signature":"<128 hex>"` and the chain suffix. The signature is Ed25519 over the
//! bytes of the line before `,"signature":"`; `head` repeats `prev`. So a checkpoint
//! stands for itself and for each byte before it.

use std::io;
use std::path::PathBuf;

use crate::files;
use crate::keys::{PublicKey, SigningKey};
use crate::line::{Frame, Hash, SUFFIX, from_hex, push_hex};

const SIGNATURE: &[u8] = b",\"signature\":\"";
const HEAD: &[u8] = b",\"head\":\"";
const PUBLIC_KEY: &[u8] = b"\",\"public_key\":\"";

/// Appends what a checkpoint's line has between its own members and the chain suffix.
/// `start` is where the line begins in `out`.
pub(crate) fn push_signature(out: &mut Vec<u8>, start: usize, head: &Hash, key: &SigningKey) {
    out.extend_from_slice(HEAD);
    push_hex(out, head);
    out.extend_from_slice(PUBLIC_KEY);
    out.extend_from_slice(key.public().to_hex().as_bytes());
    out.push(b'"');
    let signature = key.sign(out.get(start..).unwrap_or_default());
    out.extend_from_slice(SIGNATURE);
    push_hex(out, &signature);
    out.push(b'"');
}

/// A checkpoint's line taken apart; the signature is not checked yet.
#[derive(Debug, Clone)]
pub(crate) struct Checkpoint<'a> {
    pub(crate) frame: Frame,
    pub(crate) key: PublicKey,
    signed: &'a [u8],
    signature: [u8; 64],
}

impl<'a> Checkpoint<'a> {
    /// Reads a line (without its line feed). `None`: not the exact form of a checkpoint.
    pub(crate) fn read(line: &'a [u8]) -> Option<Self> {
        let frame = Frame::read(line)?;
        let body = line.get(..line.len().checked_sub(SUFFIX)?)?.strip_suffix(b"\"")?;
        let (rest, signature) = split_end(body, 128)?;
        let signed = rest.strip_suffix(SIGNATURE)?;
        let (rest, key) = split_end(signed.strip_suffix(b"\"")?, 64)?;
        let (rest, head) = split_end(rest.strip_suffix(PUBLIC_KEY)?, 64)?;
        rest.ends_with(HEAD).then_some(())?;
        (from_hex(head)? == frame.prev).then_some(())?;
        Some(Self {
            frame,
            key: PublicKey::from_hex(std::str::from_utf8(key).ok()?)?,
            signed,
            signature: from_hex(signature)?,
        })
    }

    /// Whether the key that it names has signed it.
    pub(crate) fn holds(&self) -> bool {
        self.key.verifies(self.signed, &self.signature)
    }
}

fn split_end(bytes: &[u8], len: usize) -> Option<(&[u8], &[u8])> {
    bytes.split_at_checked(bytes.len().checked_sub(len)?)
}

/// Files outside the ledger's own that hold a copy of each checkpoint, so that a cut
/// tail shows. Losing one never stops the ledger; it is tried again with the next.
pub(crate) struct Anchors {
    files: Vec<PathBuf>,
    /// Checkpoint lines that some file hasn't got, by file.
    waiting: Vec<Vec<u8>>,
}

/// Most bytes of checkpoints kept for an anchor file that can't be written.
const MOST_WAITING: usize = 1 << 20;

impl Anchors {
    pub(crate) fn new(files: Vec<PathBuf>) -> Self {
        let waiting = vec![Vec::new(); files.len()];
        Self { files, waiting }
    }

    /// Other files. One that stays still gets what it lacks; a new one begins with the next
    /// checkpoint.
    pub(crate) fn change(&mut self, files: Vec<PathBuf>) {
        let before = std::mem::replace(self, Self::new(files));
        for (path, lines) in before.files.iter().zip(before.waiting) {
            let at = self.files.iter().position(|file| file == path);
            if let Some(waiting) = at.and_then(|at| self.waiting.get_mut(at)) {
                *waiting = lines;
            }
        }
    }

    /// Adds a checkpoint's line. Returns the first file that couldn't take it, and why.
    pub(crate) fn add(&mut self, line: &[u8]) -> Option<(String, io::Error)> {
        let mut trouble = None;
        for (path, waiting) in self.files.iter().zip(&mut self.waiting) {
            if waiting.len() < MOST_WAITING {
                waiting.extend_from_slice(line);
            }
            match files::append_lines(path, waiting) {
                Ok(()) => waiting.clear(),
                Err(error) => trouble = trouble.or(Some((path.display().to_string(), error))),
            }
        }
        trouble
    }
}
