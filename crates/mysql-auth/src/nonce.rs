//! The 20 random bytes a server sends with its greeting (auth plugin data).
use ring::rand::{SecureRandom, SystemRandom};

/// Length of a nonce in bytes, without its closing NUL.
pub const NONCE_LEN: usize = 20;

/// Random bytes that a scramble answers; fresh for each connection.
#[derive(Clone, PartialEq, Eq)]
pub struct Nonce([u8; NONCE_LEN]);

/// The system's random generator gave nothing.
#[derive(Debug, thiserror::Error)]
#[error("the system's random generator failed")]
pub struct NoRandomness;

impl Nonce {
    /// Draws a nonce. Bytes are 7-bit and never NUL or `$`, as the server's own
    /// (`generate_user_salt`), because clients treat it as a C string.
    pub fn generate() -> Result<Self, NoRandomness> {
        let mut bytes = [0_u8; NONCE_LEN];
        SystemRandom::new().fill(&mut bytes).map_err(|_| NoRandomness)?;
        for byte in &mut bytes {
            *byte &= 0x7f;
            if *byte == 0 || *byte == b'$' {
                *byte += 1;
            }
        }
        Ok(Self(bytes))
    }

    /// Reads a nonce out of a peer's greeting; `None` unless it has 20 bytes
    /// (a closing NUL is accepted and dropped).
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let trimmed = match bytes {
            [head @ .., 0] if head.len() == NONCE_LEN => head,
            other => other,
        };
        trimmed.try_into().ok().map(Self)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; NONCE_LEN] {
        &self.0
    }
}

impl std::fmt::Debug for Nonce {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Nonce(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_can_take_a_nonce_for_a_string_that_ends_with_nul() {
        for _ in 0..1000 {
            let nonce = Nonce::generate().unwrap();
            let whole =
                nonce.as_bytes().iter().all(|byte| byte.is_ascii() && !b"\0$".contains(byte));
            assert!(whole, "{:?}", nonce.as_bytes());
        }
    }

    #[test]
    fn a_nonce_has_20_bytes_and_at_most_a_closing_nul() {
        for (bytes, is_one) in [
            (&b"01234567890123456789"[..], true),
            (b"01234567890123456789\0", true),
            (b"0\0", false),
        ] {
            assert_eq!(Nonce::from_bytes(bytes).is_some(), is_one, "{bytes:?}");
        }
    }
}
