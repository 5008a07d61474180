//! Secret values: wiped on drop, never printed.
use std::fmt;

use zeroize::Zeroizing;

/// A password in the clear. Its memory is wiped when it is dropped; its debug
/// form says nothing about it.
#[derive(Clone, Default)]
pub struct Password(Zeroizing<Vec<u8>>);

impl Password {
    /// Takes the bytes of a password over.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(bytes.into()))
    }

    /// The bytes, for the one step that needs them.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }

    /// Whether there is no password at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}
