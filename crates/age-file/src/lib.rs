//! Encryption in the age v1 format (<https://c2sp.org/age>): to an age or ssh-ed25519 key, or
//! with a passphrase. Only encryption is here: who holds the identity decrypts with
//! `age --decrypt`.
mod recipient;
#[cfg(test)]
mod tests;

use std::io::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::error::Unspecified;
use ring::rand::{SecureRandom, SystemRandom};
use ring::{hkdf, hmac};
use zeroize::Zeroizing;

pub use recipient::Recipient;

/// Bytes of plaintext in each chunk but the last.
const CHUNK: usize = 64 << 10;

/// Writes what it is given, encrypted. Nothing counts before [`Encryptor::finish`].
pub struct Encryptor<W: Write> {
    out: W,
    key: LessSafeKey,
    counter: u64,
    chunk: Vec<u8>,
}

impl<W: Write> Encryptor<W> {
    /// Writes the header for the recipient.
    ///
    /// # Errors
    /// If it can't be written, the key protects nothing, or the random generator fails.
    pub fn new(recipient: &Recipient, out: W) -> io::Result<Self> {
        Self::with_stanza(|file_key| recipient.stanza(file_key), out)
    }

    /// Writes the header for whoever knows the passphrase. Takes about a second of work.
    ///
    /// # Errors
    /// If it can't be written, or the random generator fails.
    pub fn with_passphrase(phrase: &[u8], out: W) -> io::Result<Self> {
        Self::with_stanza(|file_key| recipient::passphrase(phrase, file_key), out)
    }

    fn with_stanza(
        stanza: impl FnOnce(&[u8; 16]) -> Result<String, Unspecified>,
        mut out: W,
    ) -> io::Result<Self> {
        let file_key = random::<16>().map_err(no_encryption)?;
        let nonce = random::<16>().map_err(no_encryption)?;
        let header = stanza(&file_key).and_then(|stanza| sealed(&stanza, &file_key));
        out.write_all(header.map_err(no_encryption)?.as_bytes())?;
        out.write_all(&nonce[..])?;
        let key = derive(&file_key[..], &nonce[..], b"payload").and_then(|key| aead(&key));
        let key = key.map_err(no_encryption)?;
        Ok(Self { out, key, counter: 0, chunk: Vec::with_capacity(CHUNK + 16) })
    }

    /// Writes the last chunk, which says that it is the last.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn finish(mut self) -> io::Result<W> {
        self.seal(true)?;
        Ok(self.out)
    }

    fn seal(&mut self, last: bool) -> io::Result<()> {
        let mut nonce = [0; 12];
        nonce[3..11].copy_from_slice(&self.counter.to_be_bytes());
        nonce[11] = u8::from(last);
        self.counter += 1;
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.key
            .seal_in_place_append_tag(nonce, Aad::empty(), &mut self.chunk)
            .map_err(no_encryption)?;
        self.out.write_all(&self.chunk)?;
        self.chunk.clear();
        Ok(())
    }
}

impl<W: Write> Write for Encryptor<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A full chunk is sealed only when more comes: the last one must be marked.
        if self.chunk.len() == CHUNK {
            self.seal(false)?;
        }
        let taken = bytes.get(..CHUNK - self.chunk.len()).unwrap_or(bytes);
        self.chunk.extend_from_slice(taken);
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An age file as text, for mail and terminals.
pub fn armoured(file: &[u8]) -> String {
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

/// The header with the seal over its stanza.
fn sealed(stanza: &str, file_key: &[u8; 16]) -> Result<String, Unspecified> {
    let header = format!("age-encryption.org/v1\n{stanza}---");
    let key = hmac::Key::new(hmac::HMAC_SHA256, &derive(file_key, &[], b"header")?[..]);
    let seal = hmac::sign(&key, header.as_bytes());
    Ok(format!("{header} {}\n", STANDARD_NO_PAD.encode(seal.as_ref())))
}

/// The file's key, encrypted. Each wrapping key encrypts one thing only, so a fixed nonce is
/// right.
fn wrap(key: &[u8; 32], file_key: &[u8; 16]) -> Result<Vec<u8>, Unspecified> {
    let mut wrapped = file_key.to_vec();
    let zero = Nonce::assume_unique_for_key([0; 12]);
    aead(key)?.seal_in_place_append_tag(zero, Aad::empty(), &mut wrapped)?;
    Ok(wrapped)
}

fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, Unspecified> {
    let mut bytes = Zeroizing::new([0; N]);
    SystemRandom::new().fill(&mut bytes[..])?;
    Ok(bytes)
}

/// HKDF-SHA-256 to 32 bytes.
fn derive(secret: &[u8], salt: &[u8], info: &[u8]) -> Result<Zeroizing<[u8; 32]>, Unspecified> {
    let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(secret);
    let mut key = Zeroizing::new([0; 32]);
    extracted.expand(&[info], hkdf::HKDF_SHA256)?.fill(&mut key[..])?;
    Ok(key)
}

fn aead(key: &[u8; 32]) -> Result<LessSafeKey, Unspecified> {
    Ok(LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key)?))
}

fn no_encryption(_: Unspecified) -> io::Error {
    io::Error::other("can't encrypt to this recipient")
}
