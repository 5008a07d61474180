//! Encryption of closed files to an owner's age key: the age v1 format with one X25519
//! recipient (<https://c2sp.org/age>), as a stream, on ring's primitives. Only encryption
//! is here: who holds the identity decrypts with `age --decrypt`.

use std::io::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bech32::primitives::decode::CheckedHrpstring;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::agreement::{EphemeralPrivateKey, UnparsedPublicKey, X25519, agree_ephemeral};
use ring::error::Unspecified;
use ring::rand::{SecureRandom, SystemRandom};
use ring::{hkdf, hmac};

/// Bytes of plaintext in each chunk but the last.
const CHUNK: usize = 64 << 10;

/// A key that files can be encrypted to: `age1...`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recipient([u8; 32]);

impl Recipient {
    /// Reads a public key as `age-keygen` prints it. `None`: not one, or a private key.
    pub fn parse(text: &str) -> Option<Self> {
        let parsed = CheckedHrpstring::new::<bech32::Bech32>(text).ok()?;
        let bytes: Vec<u8> = parsed.byte_iter().collect();
        (parsed.hrp().as_str() == "age").then_some(Self(bytes.try_into().ok()?))
    }
}

/// Writes what it is given, encrypted. Nothing counts before [`Encryptor::finish`].
pub(crate) struct Encryptor<W: Write> {
    out: W,
    key: LessSafeKey,
    counter: u64,
    chunk: Vec<u8>,
}

impl<W: Write> Encryptor<W> {
    /// Writes the header for the recipient.
    pub(crate) fn new(recipient: &Recipient, mut out: W) -> io::Result<Self> {
        let file_key = random::<16>().map_err(no_encryption)?;
        let nonce = random::<16>().map_err(no_encryption)?;
        let header = header(recipient, &file_key).map_err(no_encryption)?;
        out.write_all(header.as_bytes())?;
        out.write_all(&nonce)?;
        let key = derive(&file_key, &nonce, b"payload").and_then(aead).map_err(no_encryption)?;
        Ok(Self { out, key, counter: 0, chunk: Vec::with_capacity(CHUNK + 16) })
    }

    /// Writes the last chunk, which says that it is the last.
    pub(crate) fn finish(mut self) -> io::Result<W> {
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

/// The file key wrapped for the recipient, and the seal over that.
fn header(recipient: &Recipient, file_key: &[u8; 16]) -> Result<String, Unspecified> {
    let ephemeral = EphemeralPrivateKey::generate(&X25519, &SystemRandom::new())?;
    let share = ephemeral.compute_public_key()?;
    let public = UnparsedPublicKey::new(&X25519, recipient.0);
    let salt = [share.as_ref(), &recipient.0].concat();
    let wrapping = agree_ephemeral(ephemeral, &public, |secret| {
        derive(secret, &salt, b"age-encryption.org/v1/X25519")
    })??;
    let mut wrapped = file_key.to_vec();
    let zero = Nonce::assume_unique_for_key([0; 12]);
    aead(wrapping)?.seal_in_place_append_tag(zero, Aad::empty(), &mut wrapped)?;
    let header = format!(
        "age-encryption.org/v1\n-> X25519 {}\n{}\n---",
        STANDARD_NO_PAD.encode(share.as_ref()),
        STANDARD_NO_PAD.encode(&wrapped)
    );
    let key = hmac::Key::new(hmac::HMAC_SHA256, &derive(file_key, &[], b"header")?);
    let seal = hmac::sign(&key, header.as_bytes());
    Ok(format!("{header} {}\n", STANDARD_NO_PAD.encode(seal.as_ref())))
}

fn random<const N: usize>() -> Result<[u8; N], Unspecified> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes)?;
    Ok(bytes)
}

/// HKDF-SHA-256 to 32 bytes.
fn derive(secret: &[u8], salt: &[u8], info: &[u8]) -> Result<[u8; 32], Unspecified> {
    let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(secret);
    let mut key = [0; 32];
    extracted.expand(&[info], hkdf::HKDF_SHA256)?.fill(&mut key)?;
    Ok(key)
}

fn aead(key: [u8; 32]) -> Result<LessSafeKey, Unspecified> {
    Ok(LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &key)?))
}

fn no_encryption(_: Unspecified) -> io::Error {
    io::Error::other("can't encrypt to this recipient")
}
