//! Checkpoints: records that sign where the chain stands.
//!
//! A checkpoint's line ends in `,"head":"<64 hex>","public_key":"<64 hex>"`, then
//! `,"signature":"<128 hex>"` and the chain suffix. The signature is Ed25519 over the
//! bytes of the line before `,"signature":"`; `head` repeats `prev`. So a checkpoint
//! stands for itself and for each byte before it.

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
