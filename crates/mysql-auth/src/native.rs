//! `mysql_native_password`: SHA-1 challenge and response.
//!
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase_authentication_methods_native_password_authentication.html>
use std::fmt;

use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use crate::{Nonce, Password};

const SHA1_LEN: usize = 20;

/// What a server keeps of a native password: `SHA1(SHA1(password))`, written as
/// MySQL does: `*` and 40 hexadecimal digits.
#[derive(Clone)]
pub struct NativeVerifier([u8; SHA1_LEN]);

impl NativeVerifier {
    /// The verifier of a password.
    pub fn from_password(password: &Password) -> Self {
        Self(sha1(&[&sha1(&[password.reveal()])]))
    }

    /// Reads the `*0123...` form; `None` if it is not one.
    pub fn parse(text: &str) -> Option<Self> {
        crate::sha2::decode_hex(text.strip_prefix('*')?).map(Self)
    }

    /// A verifier that no password fits, to spend the same work on unknown users.
    pub fn dummy() -> Self {
        Self([0; SHA1_LEN])
    }

    /// The text form that [`NativeVerifier::parse`] reads.
    pub fn to_text(&self) -> String {
        crate::sha2::encode_hex("*", &self.0).to_ascii_uppercase()
    }

    /// Whether `scramble` answers `nonce` for this password. Constant time in the
    /// bytes compared; an answer of another length is wrong.
    pub fn verify_scramble(&self, nonce: &Nonce, scramble: &[u8]) -> bool {
        let mut mask = sha1(&[nonce.as_bytes(), &self.0]);
        let scramble: Result<[u8; SHA1_LEN], _> = scramble.try_into();
        let (answer, well_formed) = match scramble {
            Ok(bytes) => (bytes, true),
            Err(_) => ([0; SHA1_LEN], false),
        };
        for (byte, given) in mask.iter_mut().zip(answer) {
            *byte ^= given;
        }
        let matches: bool = sha1(&[&mask]).ct_eq(&self.0).into();
        mask.zeroize();
        matches & well_formed
    }
}

impl PartialEq for NativeVerifier {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for NativeVerifier {}

impl fmt::Debug for NativeVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NativeVerifier(..)")
    }
}

/// The answer to a nonce: `SHA1(pw) XOR SHA1(nonce, SHA1(SHA1(pw)))`; empty for an empty
/// password.
pub(crate) fn scramble(password: &Password, nonce: &Nonce) -> Vec<u8> {
    if password.is_empty() {
        return Vec::new();
    }
    let stage1 = sha1(&[password.reveal()]);
    let mask = sha1(&[nonce.as_bytes(), &sha1(&[&stage1])]);
    stage1.iter().zip(mask).map(|(a, b)| a ^ b).collect()
}

fn sha1(parts: &[&[u8]]) -> [u8; SHA1_LEN] {
    let mut joined = parts.concat();
    let mut out = [0; SHA1_LEN];
    out.copy_from_slice(digest(&SHA1_FOR_LEGACY_USE_ONLY, &joined).as_ref());
    joined.zeroize();
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_is_the_servers() {
        // SELECT PASSWORD('secret') on MariaDB 10.11.
        let verifier = NativeVerifier::from_password(&Password::new("secret"));
        assert_eq!(verifier.to_text(), "*14E65567ABDB5135D0CFD9A70B3032C179A49EE7");
        let parsed = NativeVerifier::parse(&verifier.to_text()).unwrap();
        assert_eq!(parsed.0, verifier.0);
    }

    #[test]
    fn accepts_the_right_scramble_only() {
        let nonce = Nonce::generate().unwrap();
        let verifier = NativeVerifier::from_password(&Password::new("secret"));
        let scramble = scramble(&Password::new("secret"), &nonce);
        assert!(verifier.verify_scramble(&nonce, &scramble));
        assert!(!verifier.verify_scramble(&nonce, &scramble[..19]));
        assert!(!verifier.verify_scramble(&Nonce::generate().unwrap(), &scramble));
        assert!(!NativeVerifier::dummy().verify_scramble(&nonce, &scramble));
    }
}
