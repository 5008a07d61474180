//! The short way over rows and definitions: packets that are nothing else and lie in the buffer
//! to their last byte are passed by header and first byte alone.
use super::{Caps, ResponseWalker, State};
use crate::ok_packet::EOF_HEADER;
use crate::packet::{HEADER_LEN, MAX_PACKET_LEN};

/// Of fewer bytes than that the long way is the shorter one.
pub(super) const WORTH: usize = 128;

impl ResponseWalker {
    /// Passes such packets from `at` on, where no cap is to be heeded; gives the place of the
    /// first that isn't one. The last definition is left to the long way, as is whatever begins
    /// like an EOF or an ERR.
    #[inline(never)]
    pub(super) fn pass_plain(&mut self, buffer: &mut [u8], mut at: usize) -> usize {
        let most = if let State::Definitions { left } = self.state {
            left.saturating_sub(1)
        } else if self.state == State::Rows {
            u64::MAX
        } else {
            0
        };
        if !self.between_packets() || self.caps != Caps::default() {
            return at;
        }
        let (begin, mut passed) = (at, 0);
        while passed < most {
            let Some(packet) = buffer.get_mut(at..) else { break };
            let rest = packet.len();
            let Some([a, b, c, id, first]) = packet.first_chunk_mut() else { break };
            let len = usize::from(*a) | usize::from(*b) << 8 | usize::from(*c) << 16;
            let is_whole = len > 0 && len < MAX_PACKET_LEN && HEADER_LEN + len <= rest;
            if *id != self.sequence_id || *first >= EOF_HEADER || !is_whole {
                break;
            }
            *id = id.wrapping_add(self.sequence_delta);
            self.sequence_id = self.sequence_id.wrapping_add(1);
            passed += 1;
            at += HEADER_LEN + len;
        }
        self.bytes += (at - begin) as u64;
        if let State::Definitions { left } = &mut self.state {
            *left -= passed;
        } else {
            self.rows += passed;
        }
        at
    }
}
