//! Which keys count. The trusted one leads to others by rotations that both keys have signed:
//! forward to its successors, and back to those before it once it has signed for the chain that
//! they are in.

use super::report::Finding;
use crate::keys::PublicKey;

/// The keys met on the way through one node's ledger.
pub(super) struct Trust {
    /// What must sign at this place. Without a given key the first one is followed.
    key: Option<PublicKey>,
    /// What was signed by keys not introduced yet: a rotation that follows clears it.
    unknown: Vec<(PublicKey, Finding)>,
    rotations: Vec<Rotated>,
}

/// A rotation that both its keys have signed.
struct Rotated {
    old: PublicKey,
    new: PublicKey,
    /// What is to be said of it, and of what the old key signed before, unless the new one is
    /// trusted.
    held: Vec<Finding>,
}

impl Trust {
    pub(super) fn new(key: Option<PublicKey>) -> Self {
        Self { key, unknown: Vec::new(), rotations: Vec::new() }
    }

    /// A checkpoint that `key` signed: with it the whole chain before. `finding` is what is to be
    /// said if nothing leads to that key.
    pub(super) fn checkpoint(&mut self, key: PublicKey, finding: Finding) {
        if self.key.is_none() {
            self.key = Some(key);
            self.unknown.retain(|(other, _)| *other != key);
        }
        if self.key != Some(key) {
            return self.unknown.push((key, finding));
        }
        let mut led_from = vec![key];
        for rotated in self.rotations.iter_mut().rev() {
            if led_from.contains(&rotated.new) {
                rotated.held.clear();
                led_from.push(rotated.old);
            }
        }
    }

    /// A statement that `key` signed. A later checkpoint or rotation may introduce the key.
    pub(super) fn statement(&mut self, key: PublicKey, finding: Finding) {
        if self.key != Some(key) {
            self.unknown.push((key, finding));
        }
    }

    /// A rotation from `old` to `new`, properly signed. `finding` is what is to be said if neither
    /// is ever trusted.
    pub(super) fn rotation(&mut self, old: PublicKey, new: PublicKey, finding: Finding) {
        let mut held = Vec::new();
        if self.key.is_none_or(|key| key == old) {
            self.key = Some(new);
            self.unknown.retain(|(key, _)| *key != new);
        } else {
            for (_, earlier) in self.unknown.extract_if(.., |(key, _)| *key == old) {
                held.push(earlier);
            }
            held.extend((self.key != Some(new)).then_some(finding));
        }
        self.rotations.push(Rotated { old, new, held });
    }

    /// What nothing leads to.
    pub(super) fn finish(mut self) -> Vec<Finding> {
        if let (None, Some((first, _))) = (self.key, self.unknown.first()) {
            // Nothing but statements, and no key given: theirs is followed.
            let first = *first;
            self.unknown.retain(|(key, _)| *key != first);
        }
        let held = self.rotations.into_iter().flat_map(|rotated| rotated.held);
        held.chain(self.unknown.into_iter().map(|(_, finding)| finding)).collect()
    }
}
