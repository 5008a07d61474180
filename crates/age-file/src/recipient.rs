//! Whom a file is for: the file's key, wrapped so that they alone can unwrap it. One stanza of
//! the header each.
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use bech32::primitives::decode::CheckedHrpstring;
use curve25519_dalek::edwards::CompressedEdwardsY;
use curve25519_dalek::montgomery::MontgomeryPoint;
use ring::agreement::{EphemeralPrivateKey, UnparsedPublicKey, X25519, agree_ephemeral};
use ring::digest::{SHA256, digest};
use ring::error::Unspecified;
use ring::rand::SystemRandom;
use zeroize::Zeroizing;

use crate::{derive, random, wrap};

const X25519_LABEL: &[u8] = b"age-encryption.org/v1/X25519";
const SSH_LABEL: &[u8] = b"age-encryption.org/v1/ssh-ed25519";
const SCRYPT_LABEL: &[u8] = b"age-encryption.org/v1/scrypt";
/// What `age --passphrase` takes: about a second of work, and 256 MiB.
const SCRYPT_LOG_N: u8 = 18;

/// A public key that files can be encrypted to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recipient {
    /// `age1...`, as `age-keygen` prints it.
    X25519([u8; 32]),
    /// `ssh-ed25519 AAAA...`, as in `authorized_keys`.
    SshEd25519([u8; 32]),
}

impl Recipient {
    /// Reads a public key as it is written down. `None`: not one, or a private key.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(key) = text.strip_prefix("ssh-ed25519 ") {
            let wire = STANDARD.decode(key.split_ascii_whitespace().next()?).ok()?;
            let key: [u8; 32] = wire.strip_prefix(&wire_form(&[])[..])?.try_into().ok()?;
            CompressedEdwardsY(key).decompress()?;
            return Some(Self::SshEd25519(key));
        }
        let parsed = CheckedHrpstring::new::<bech32::Bech32>(text).ok()?;
        let bytes: Vec<u8> = parsed.byte_iter().collect();
        (parsed.hrp().as_str() == "age").then_some(Self::X25519(bytes.try_into().ok()?))
    }

    pub(crate) fn stanza(&self, file_key: &[u8; 16]) -> Result<String, Unspecified> {
        match self {
            Self::X25519(key) => x25519(key, file_key),
            Self::SshEd25519(key) => ssh_ed25519(key, file_key),
        }
    }
}

/// How ssh writes a key on the wire. With an empty one: what stands before it.
fn wire_form(key: &[u8]) -> Vec<u8> {
    [&b"\x00\x00\x00\x0bssh-ed25519\x00\x00\x00\x20"[..], key].concat()
}

fn x25519(key: &[u8; 32], file_key: &[u8; 16]) -> Result<String, Unspecified> {
    let ephemeral = EphemeralPrivateKey::generate(&X25519, &SystemRandom::new())?;
    let share = ephemeral.compute_public_key()?;
    let salt = [share.as_ref(), key].concat();
    let public = UnparsedPublicKey::new(&X25519, key);
    let wrapping =
        agree_ephemeral(ephemeral, &public, |secret| derive(secret, &salt, X25519_LABEL))??;
    let wrapped = STANDARD_NO_PAD.encode(wrap(&wrapping, file_key)?);
    Ok(format!("-> X25519 {}\n{wrapped}\n", STANDARD_NO_PAD.encode(share.as_ref())))
}

/// The agreement of X25519 with the key's point on the other form of the curve, tweaked by the
/// ssh key: ring takes no private key that isn't random, hence the other library.
fn ssh_ed25519(key: &[u8; 32], file_key: &[u8; 16]) -> Result<String, Unspecified> {
    let wire = wire_form(key);
    let point = CompressedEdwardsY(*key).decompress().ok_or(Unspecified)?.to_montgomery();
    let ephemeral = random::<32>()?;
    let share = MontgomeryPoint::mul_base_clamped(*ephemeral);
    let tweak = derive(&[], &wire, SSH_LABEL)?;
    let secret = point.mul_clamped(*ephemeral).mul_clamped(*tweak);
    let secret = Zeroizing::new(secret.to_bytes());
    // A point of small order would make the secret no secret.
    if *secret == [0; 32] {
        return Err(Unspecified);
    }
    let salt = [share.to_bytes(), point.to_bytes()].concat();
    let wrapping = derive(&secret[..], &salt, SSH_LABEL)?;
    let wrapped = STANDARD_NO_PAD.encode(wrap(&wrapping, file_key)?);
    let hash = digest(&SHA256, &wire);
    let tag = STANDARD_NO_PAD.encode(hash.as_ref().get(..4).ok_or(Unspecified)?);
    Ok(format!("-> ssh-ed25519 {tag} {}\n{wrapped}\n", STANDARD_NO_PAD.encode(share.to_bytes())))
}

/// For whoever knows the passphrase.
pub(crate) fn passphrase(phrase: &[u8], file_key: &[u8; 16]) -> Result<String, Unspecified> {
    let salt = random::<16>()?;
    let params = scrypt::Params::new(SCRYPT_LOG_N, 8, 1).map_err(|_| Unspecified)?;
    let mut wrapping = Zeroizing::new([0; 32]);
    let labelled = [SCRYPT_LABEL, &salt[..]].concat();
    scrypt::scrypt(phrase, &labelled, &params, &mut wrapping[..]).map_err(|_| Unspecified)?;
    let wrapped = STANDARD_NO_PAD.encode(wrap(&wrapping, file_key)?);
    Ok(format!("-> scrypt {} {SCRYPT_LOG_N}\n{wrapped}\n", STANDARD_NO_PAD.encode(&salt[..])))
}
