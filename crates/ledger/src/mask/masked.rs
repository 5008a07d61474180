//! A text on its way into a record, and what has been learned of its parameters.

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
