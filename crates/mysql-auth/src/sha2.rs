//! `caching_sha2_password`: SHA-256 challenge and response, and the password itself.
//!
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_caching_sha2_authentication_exchanges.html>
use std::fmt;

use ring::digest::{SHA256, digest};
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use crate::{Nonce, Password};

const SHA256_LEN: usize = 32;
const TEXT_PREFIX: &str = "$sha2fast$";

/// What the server keeps in its cache of a password: `SHA256(SHA256(password))`.
/// It answers both the fast exchange (a scramble) and the full one (the password),
/// and a password cannot be made from it. Written as `$sha2fast$` and 64
/// hexadecimal digits.
#[derive(Clone)]
pub struct Sha2Verifier([u8; SHA256_LEN]);

impl Sha2Verifier {
    /// The verifier of a password.
    pub fn from_password(password: &Password) -> Self {
        Self(sha256(&[&sha256(&[password.reveal()])]))
    }

    /// Reads the `$sha2fast$...` form; `None` if it is not one.
    pub fn parse(text: &str) -> Option<Self> {
        decode_hex(text.strip_prefix(TEXT_PREFIX)?).map(Self)
    }

    /// A verifier that no password fits, to spend the same work on unknown users.
    pub fn dummy() -> Self {
        Self([0; SHA256_LEN])
    }

    /// The text form that [`Sha2Verifier::parse`] reads.
    pub fn to_text(&self) -> String {
        encode_hex(TEXT_PREFIX, &self.0)
    }

    /// Fast authentication: whether `scramble` answers `nonce`. Constant time in
    /// the bytes compared; an answer of another length is wrong.
    pub fn verify_scramble(&self, nonce: &Nonce, scramble: &[u8]) -> bool {
        let mut mask = sha256(&[&self.0, nonce.as_bytes()]);
        let (answer, well_formed) = match scramble.try_into() {
            Ok(bytes) => (bytes, true),
            Err(_) => ([0_u8; SHA256_LEN], false),
        };
        for (byte, given) in mask.iter_mut().zip(answer) {
            *byte ^= given;
        }
        let matches: bool = sha256(&[&mask]).ct_eq(&self.0).into();
        mask.zeroize();
        matches & well_formed
    }

    /// Full authentication: whether this is the password, compared in constant time.
    pub fn verify_password(&self, password: &Password) -> bool {
        Self::from_password(password).0.ct_eq(&self.0).into()
    }
}

impl PartialEq for Sha2Verifier {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Sha2Verifier {}

impl fmt::Debug for Sha2Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sha2Verifier(..)")
    }
}

/// The answer to a nonce: `SHA256(pw) XOR SHA256(SHA256(SHA256(pw)), nonce)`; empty for an
/// empty password.
pub(crate) fn scramble(password: &Password, nonce: &Nonce) -> Vec<u8> {
    if password.is_empty() {
        return Vec::new();
    }
    let stage1 = sha256(&[password.reveal()]);
    let mask = sha256(&[&sha256(&[&stage1]), nonce.as_bytes()]);
    stage1.iter().zip(mask).map(|(a, b)| a ^ b).collect()
}

fn sha256(parts: &[&[u8]]) -> [u8; SHA256_LEN] {
    let mut joined = parts.concat();
    let mut out = [0; SHA256_LEN];
    out.copy_from_slice(digest(&SHA256, &joined).as_ref());
    joined.zeroize();
    out
}

/// The bytes in lower-case hexadecimal, behind a prefix.
pub(crate) fn encode_hex(prefix: &str, bytes: &[u8]) -> String {
    let mut text = String::with_capacity(prefix.len() + 2 * bytes.len());
    text.push_str(prefix);
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    text.extend(digits.filter_map(|digit| char::from_digit(u32::from(digit), 16)));
    text
}

/// Decodes exactly `N` bytes of hexadecimal.
pub(crate) fn decode_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut out = [0; N];
    if text.len() != 2 * N || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, index) in out.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(text.get(index..index + 2)?, 16).ok()?;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scramble(password: &[u8], nonce: &Nonce) -> Vec<u8> {
        super::scramble(&Password::new(password), nonce)
    }

    #[test]
    fn fast_authentication_accepts_the_right_scramble_only() {
        let nonce = Nonce::generate().unwrap();
        let verifier = Sha2Verifier::from_password(&Password::new("secret"));
        assert!(verifier.verify_scramble(&nonce, &scramble(b"secret", &nonce)));
        assert!(!verifier.verify_scramble(&nonce, &scramble(b"Secret", &nonce)));
        assert!(!verifier.verify_scramble(&nonce, b""));
        assert!(!Sha2Verifier::dummy().verify_scramble(&nonce, &scramble(b"secret", &nonce)));
    }

    #[test]
    fn full_authentication_accepts_the_right_password_only() {
        let verifier = Sha2Verifier::from_password(&Password::new("secret"));
        assert!(verifier.verify_password(&Password::new("secret")));
        assert!(!verifier.verify_password(&Password::new("secret\0")));
    }

    #[test]
    fn text_form_round_trips_and_refuses_the_rest() {
        let verifier = Sha2Verifier::from_password(&Password::new("secret"));
        assert_eq!(Sha2Verifier::parse(&verifier.to_text()).unwrap().0, verifier.0);
        assert!(Sha2Verifier::parse("$sha2fast$00").is_none());
        assert!(Sha2Verifier::parse(&verifier.to_text()[1..]).is_none());
        assert!(Sha2Verifier::parse(&format!("{}00", verifier.to_text())).is_none());
        assert!(Sha2Verifier::parse(&verifier.to_text().replace('a', "é")).is_none());
        let signed = format!("$sha2fast${}", "+f".repeat(32));
        assert!(Sha2Verifier::parse(&signed).is_none(), "numbers may have a sign, digits none");
    }
}
