//! A text on its way into a record, and what has been learned of its parameters.

use super::lex::is_name_byte;

/// What has been taken over of a text.
#[derive(Debug, Default)]
pub(super) struct Masked {
    pub(super) text: Vec<u8>,
    /// Parameters (`?`) so far.
    pub(super) parameters: usize,
    /// Those of them that stand where a password would.
    pub(super) secret: Vec<u16>,
}

impl Masked {
    pub(super) fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.text.extend_from_slice(bytes);
    }

    /// Whether the last word so far is this one.
    pub(super) fn ends_with_word(&self, word: &[u8]) -> bool {
        let text = self.text.trim_ascii_end();
        let last = text.rsplit(|byte| !is_name_byte(*byte)).next();
        text.len() < self.text.len() && last.is_some_and(|last| last.eq_ignore_ascii_case(word))
    }

    /// The mark stays: it tells nothing.
    pub(super) fn push_parameter(&mut self, is_secret: bool) {
        // No statement has more than its numbers can count.
        if let (true, Ok(number)) = (is_secret, u16::try_from(self.parameters)) {
            self.secret.push(number);
        }
        self.parameters += 1;
        self.text.push(b'?');
    }
}
