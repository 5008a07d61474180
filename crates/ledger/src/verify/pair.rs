//! SHA-256 of two messages in three quarters of the time that one after the other takes. Each
//! round of a hash waits for the one before; where blocks of two messages take turns, the
//! processor works on one while the other waits.

use sha2::block_api::compress256;

use crate::line::Hash;

type Block = [u8; 64];

/// What a hash starts from (FIPS 180-4, 5.3.3).
const INITIAL: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];
/// Bytes of a message's length at its end.
const LENGTH: usize = 8;

/// The hash of each of two messages.
pub(super) fn sha256_of_two(first: &[u8], second: &[u8]) -> (Hash, Hash) {
    let (mut first, mut second) = (Message::new(first), Message::new(second));
    let shared = first.whole.len().min(second.whole.len());
    let (of_first, of_second) = (first.take(shared), second.take(shared));
    for (one, other) in of_first.iter().zip(of_second) {
        compress256(&mut first.state, std::slice::from_ref(one));
        compress256(&mut second.state, std::slice::from_ref(other));
    }
    (first.end(), second.end())
}

/// A message on its way into its hash.
struct Message<'a> {
    state: [u32; 8],
    /// Blocks that are still to come.
    whole: &'a [Block],
    /// What follows the last whole block.
    rest: &'a [u8],
    len: usize,
}

impl<'a> Message<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        let (whole, rest) = bytes.as_chunks();
        Self { state: INITIAL, whole, rest, len: bytes.len() }
    }

    fn take(&mut self, blocks: usize) -> &'a [Block] {
        let (taken, left) = self.whole.split_at(blocks);
        self.whole = left;
        taken
    }

    /// With what ends a message: a one, zeros and its length in bits (FIPS 180-4, 5.1.1).
    fn end(mut self) -> Hash {
        compress256(&mut self.state, self.whole);
        let mut blocks: [Block; 2] = [[0; 64]; 2];
        let used = if self.rest.len() < size_of::<Block>() - LENGTH { 1 } else { 2 };
        let padding = blocks.as_flattened_mut();
        let (message, padding) = padding.split_at_mut(self.rest.len());
        message.copy_from_slice(self.rest);
        if let Some(one) = padding.first_mut() {
            *one = 0x80;
        }
        let used = blocks.get_mut(..used).unwrap_or_default();
        if let Some(length) = used.as_flattened_mut().last_chunk_mut() {
            *length = (8 * self.len as u64).to_be_bytes();
        }
        compress256(&mut self.state, used);
        let mut hash = Hash::default();
        for (bytes, word) in hash.as_chunks_mut().0.iter_mut().zip(self.state) {
            *bytes = word.to_be_bytes();
        }
        hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::sha256;

    #[test]
    fn messages_of_any_length_have_their_hashes() {
        let bytes: Vec<u8> = (0..300_u32).map(|n| n.to_be_bytes()[3] ^ 0x5a).collect();
        for first in 0..=200 {
            for second in (0..=300).step_by(7) {
                let (first, second) = (&bytes[..first], &bytes[300 - second..]);
                assert_eq!(sha256_of_two(first, second), (sha256(first), sha256(second)));
            }
        }
    }
}
