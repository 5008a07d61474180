//! A new credential on its way to its owner: encrypted to their age key, readable by
//! nobody else, not even by whoever issued it.
//!
//! The age v1 format with one X25519 recipient (<https://c2sp.org/age>), on ring's
//! primitives. Only encryption is here; people decrypt with `age --decrypt`.
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use bech32::primitives::decode::CheckedHrpstring;
use mysql_auth::Password;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::agreement::{EphemeralPrivateKey, UnparsedPublicKey, X25519, agree_ephemeral};
use ring::rand::{SecureRandom, SystemRandom};
use ring::{hkdf, hmac};
use zeroize::Zeroizing;

/// A key that a credential can be encrypted to: `age1...`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient([u8; 32]);

/// Why a credential can't be handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HandoverError {
    /// Not an age public key.
    #[error("the recipient is not an age public key; write the age1... of `age-keygen -y`")]
    NotARecipient,
    /// The system's random generator gave nothing, or the key is one that protects nothing.
    #[error("the credential can't be encrypted to this recipient")]
    NoEncryption,
}

impl From<ring::error::Unspecified> for HandoverError {
    fn from(_: ring::error::Unspecified) -> Self {
        Self::NoEncryption
    }
}

impl Recipient {
    /// Reads a public key as `age-keygen` prints it.
    ///
    /// # Errors
    /// If it isn't one; a private key (`AGE-SECRET-KEY-1...`) is not either.
    pub fn parse(text: &str) -> Result<Self, HandoverError> {
        let parsed = CheckedHrpstring::new::<bech32::Bech32>(text);
        let parsed = parsed.map_err(|_| HandoverError::NotARecipient)?;
        let bytes: Vec<u8> = parsed.byte_iter().collect();
        match (parsed.hrp().as_str(), bytes.try_into()) {
            ("age", Ok(key)) => Ok(Self(key)),
            (_, _) => Err(HandoverError::NotARecipient),
        }
    }

    /// The password and a line end, as an armoured age file.
    ///
    /// # Errors
    /// If the key protects nothing, or the random generator fails.
    pub fn seal(&self, password: &Password) -> Result<String, HandoverError> {
        let file_key = random::<16>()?;
        let header = self.header(&file_key)?;
        let nonce = random::<16>()?;
        let mut payload = Zeroizing::new([password.reveal(), b"\n"].concat());
        // A single chunk: counter 0, then 1 for "the last".
        let mut chunk_nonce = [0; 12];
        chunk_nonce[11] = 1;
        let key = derive(&file_key[..], &nonce[..], b"payload")?;
        encrypt(&key, chunk_nonce, &mut payload)?;
        let file = [header.as_bytes(), &nonce[..], &payload].concat();
        Ok(armoured(&file))
    }

    /// The file key wrapped for the recipient, and the seal over that.
    fn header(&self, file_key: &[u8; 16]) -> Result<String, HandoverError> {
        let ephemeral = EphemeralPrivateKey::generate(&X25519, &SystemRandom::new())?;
        let share = ephemeral.compute_public_key()?;
        let recipient = UnparsedPublicKey::new(&X25519, self.0);
        let salt = [share.as_ref(), &self.0].concat();
        let wrapping = agree_ephemeral(ephemeral, &recipient, |secret| {
            derive(secret, &salt, b"age-encryption.org/v1/X25519")
        })??;
        let mut wrapped = Zeroizing::new(file_key.to_vec());
        encrypt(&wrapping, [0; 12], &mut wrapped)?;
        let header = format!(
            "age-encryption.org/v1\n-> X25519 {}\n{}\n---",
            STANDARD_NO_PAD.encode(share.as_ref()),
            STANDARD_NO_PAD.encode(&*wrapped)
        );
        let key = hmac::Key::new(hmac::HMAC_SHA256, &derive(file_key, &[], b"header")?[..]);
        let seal = hmac::sign(&key, header.as_bytes());
        Ok(format!("{header} {}\n", STANDARD_NO_PAD.encode(seal.as_ref())))
    }
}

fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, HandoverError> {
    let mut bytes = Zeroizing::new([0; N]);
    SystemRandom::new().fill(&mut bytes[..])?;
    Ok(bytes)
}

/// HKDF-SHA-256 to 32 bytes.
fn derive(secret: &[u8], salt: &[u8], info: &[u8]) -> Result<Zeroizing<[u8; 32]>, HandoverError> {
    let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(secret);
    let mut key = Zeroizing::new([0; 32]);
    extracted.expand(&[info], hkdf::HKDF_SHA256)?.fill(&mut key[..])?;
    Ok(key)
}

/// ChaCha20-Poly1305 in place, the tag at the end. Each key here encrypts one thing only,
/// so a fixed nonce is right.
fn encrypt(key: &[u8; 32], nonce: [u8; 12], text: &mut Vec<u8>) -> Result<(), HandoverError> {
    let key = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key)?);
    let nonce = Nonce::assume_unique_for_key(nonce);
    Ok(key.seal_in_place_append_tag(nonce, Aad::empty(), text)?)
}

fn armoured(file: &[u8]) -> String {
    let text = STANDARD.encode(file);
    let mut lines = String::from("-----BEGIN AGE ENCRYPTED FILE-----\n");
    for (index, character) in text.chars().enumerate() {
        if index > 0 && index % 64 == 0 {
            lines.push('\n');
        }
        lines.push(character);
    }
    lines + "\n-----END AGE ENCRYPTED FILE-----"
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example key of the age documentation.
    const KEY: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

    #[test]
    fn reads_public_keys_only() {
        assert!(Recipient::parse(KEY).is_ok());
        let swapped = KEY.replace("ql3", "q3l");
        let secret = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";
        for text in ["", "age1", "alice", &swapped, secret, "ssh-ed25519 AAAA"] {
            assert_eq!(Recipient::parse(text), Err(HandoverError::NotARecipient), "{text}");
        }
    }

    #[test]
    fn refuses_a_key_that_protects_nothing() {
        let zero = Recipient([0; 32]);
        assert_eq!(zero.seal(&Password::new("x")), Err(HandoverError::NoEncryption));
    }

    #[test]
    fn no_two_files_are_alike_and_none_shows_the_password() {
        let recipient = Recipient::parse(KEY).unwrap();
        let password = Password::new("correct horse battery staple");
        let (one, two) = (recipient.seal(&password).unwrap(), recipient.seal(&password).unwrap());
        assert_ne!(one, two);
        let inner: String = one.lines().filter(|line| !line.starts_with('-')).collect();
        let bytes = STANDARD.decode(inner).unwrap();
        assert!(bytes.starts_with(b"age-encryption.org/v1\n-> X25519 "));
        assert!(!bytes.windows(7).any(|part| part == b"correct"));
        assert!(one.lines().all(|line| line.len() <= 64));
    }
}
