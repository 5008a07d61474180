//! What an outcome leaves to its intent, such as the text and the source, while a ledger is read from
//! its beginning: each intent comes before its outcome.

use std::collections::HashMap;

use memchr::memmem::Finder;

use crate::line::Frame;
use crate::lines::Member;

/// The intents whose outcomes are still to come, by node and number.
pub(crate) struct Intents {
    lines: HashMap<(String, u64), Vec<u8>>,
    is_intent: Finder<'static>,
    is_outcome: Finder<'static>,
    node: Member,
    intent: Member,
}

impl Default for Intents {
    fn default() -> Self {
        Self {
            lines: HashMap::new(),
            is_intent: Finder::new(b",\"event\":\"intent\","),
            is_outcome: Finder::new(b",\"event\":\"outcome\","),
            node: Member::new("node"),
            intent: Member::new("intent"),
        }
    }
}

impl Intents {
    /// Takes in a line on the way. Of an outcome: the line of its intent.
    pub(crate) fn pass(&mut self, line: &[u8]) -> Option<Vec<u8>> {
        let node = || self.node.text(line).map(str::to_owned);
        if self.is_intent.find(line).is_some() {
            let place = (node()?, Frame::read(line)?.sequence);
            self.lines.insert(place, line.to_owned());
            return None;
        }
        self.is_outcome.find(line)?;
        self.lines.remove(&(node()?, self.intent.number(line)?))
    }
}
