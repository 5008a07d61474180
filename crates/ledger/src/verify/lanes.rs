//! SHA-256 of many messages in less time than one after the other takes. Each round of a hash
//! waits for the one before; where blocks of two messages take turns, the processor works on
//! one while the other waits.

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

/// Puts the hash of each message into `hashes`, in the order of the messages.
pub(super) fn sha256_of_each<'a>(
    mut messages: impl Iterator<Item = &'a [u8]>,
    hashes: &mut Vec<Hash>,
) {
    hashes.clear();
    let mut next = |hashes: &mut Vec<Hash>| {
        let message = Message::new(hashes.len(), messages.next()?);
        hashes.push(Hash::default());
        Some(message)
    };
    // A lane whose message has ended takes the next one, so that both go on to the end.
    let mut lanes = [next(hashes), next(hashes)];
    while lanes.iter().any(Option::is_some) {
        for lane in &mut lanes {
            let Some(message) = lane else { continue };
            message.compress_next();
            if message.is_over() {
                if let Some(hash) = hashes.get_mut(message.place) {
                    *hash = message.hash();
                }
                *lane = next(hashes);
            }
        }
    }
}

/// A message on its way into its hash.
struct Message<'a> {
    /// Its place among all.
    place: usize,
    state: [u32; 8],
    /// Whole blocks that are still to come.
    whole: &'a [Block],
    /// What follows them: the rest of the message and what ends it, in one block or two.
    last: [Block; 2],
    /// How many of those are still to come.
    left: usize,
}

impl<'a> Message<'a> {
    /// The end is a one, zeros and the length in bits (FIPS 180-4, 5.1.1).
    fn new(place: usize, bytes: &'a [u8]) -> Self {
        let (whole, rest) = bytes.as_chunks();
        let left = if rest.len() < size_of::<Block>() - LENGTH { 1 } else { 2 };
        let mut last: [Block; 2] = [[0; 64]; 2];
        let used = last.get_mut(2 - left..).unwrap_or_default().as_flattened_mut();
        let (message, padding) = used.split_at_mut(rest.len());
        message.copy_from_slice(rest);
        if let Some(one) = padding.first_mut() {
            *one = 0x80;
        }
        if let Some(length) = padding.last_chunk_mut() {
            *length = (8 * bytes.len() as u64).to_be_bytes();
        }
        Self { place, state: INITIAL, whole, last, left }
    }

    fn compress_next(&mut self) {
        let block = match self.whole.split_first() {
            Some((block, rest)) => {
                self.whole = rest;
                block
            }
            None => {
                let [first, last] = &self.last;
                self.left = self.left.saturating_sub(1);
                if self.left == 1 { first } else { last }
            }
        };
        compress256(&mut self.state, std::slice::from_ref(block));
    }

    fn is_over(&self) -> bool {
        self.left == 0
    }

    fn hash(&self) -> Hash {
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
        let mut hashes = vec![Hash::default(); 3];
        // Of each length; each beside each that is shorter or longer; an even and an odd number.
        for step in [1, 7, 64, 101, 299] {
            for many in [0, 1, 2, 299, 300] {
                let messages: Vec<&[u8]> =
                    (0..many).map(|n| &bytes[..n * step % bytes.len()]).collect();
                sha256_of_each(messages.iter().copied(), &mut hashes);
                let expected: Vec<Hash> = messages.iter().map(|bytes| sha256(bytes)).collect();
                assert_eq!(hashes, expected, "{many} in steps of {step}");
            }
        }
    }
}
