//! The signing key of a node: made, kept (0600), read, and followed when it is rotated.
//! The old key signs the new one and the new one the old, so that a verifier who trusts
//! the old one can follow.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

use crate::fault::LedgerError;
use crate::line::{from_hex, hex, sha256};
use crate::whole_file::write_new;

const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";

/// An Ed25519 public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// Reads 64 hex digits, blanks around them ignored.
    pub fn from_hex(text: &str) -> Option<Self> {
        from_hex(text.trim().as_bytes()).map(Self)
    }

    /// The key as 64 hex digits.
    pub fn to_hex(self) -> String {
        hex(&self.0)
    }

    /// A short name: the first 16 hex digits of its SHA-256.
    pub fn id(self) -> String {
        hex(sha256(&self.0).get(..8).unwrap_or_default())
    }

    pub(crate) fn verifies(self, message: &[u8], signature: &[u8; 64]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0).verify(message, signature).is_ok()
    }
}

/// A private key. Shows nothing of itself.
pub(crate) struct SigningKey {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

impl SigningKey {
    pub(crate) fn public(&self) -> PublicKey {
        self.public
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        let mut signature = [0; 64];
        // Ed25519 signatures have 64 bytes.
        for (to, from) in signature.iter_mut().zip(self.pair.sign(message).as_ref()) {
            *to = *from;
        }
        signature
    }

    fn from_pkcs8(pkcs8: &[u8]) -> Option<Self> {
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8).ok()?;
        let public = PublicKey(pair.public_key().as_ref().try_into().ok()?);
        Some(Self { pair, public })
    }

    pub(crate) fn read(path: &Path) -> Result<Self, LedgerError> {
        let text = read_secret(path, 0o077)?;
        let text = String::from_utf8_lossy(&text);
        let base64: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
        STANDARD.decode(base64).ok().and_then(|pkcs8| Self::from_pkcs8(&pkcs8)).ok_or_else(|| {
            let what = format!("{} is no Ed25519 private key in PEM", path.display());
            LedgerError::Setting(what)
        })
    }

    /// Reads the key, or makes it with its public half beside it.
    pub(crate) fn read_or_make(path: &Path) -> Result<Self, LedgerError> {
        match Self::read(path) {
            Err(LedgerError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                keygen(path)?;
                Self::read(path)
            }
            other => other,
        }
    }
}

/// Reads a key's file, unless its mode gives others one of these rights: with the key they could
/// sign a ledger, or find out values.
pub(crate) fn read_secret(path: &Path, refused: u32) -> Result<Vec<u8>, LedgerError> {
    let mut file = fs::File::open(path).map_err(LedgerError::io("read", path))?;
    let metadata = file.metadata().map_err(LedgerError::io("read", path))?;
    if metadata.is_dir() {
        let what = format!("{}: a folder; name the key's file in it", path.display());
        return Err(LedgerError::Setting(what));
    }
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & refused != 0 {
        let path = path.display();
        let what =
            format!("{path}: mode {mode:04o} gives others a right to this key; chmod 600 {path}");
        return Err(LedgerError::Setting(what));
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(LedgerError::io("read", path))?;
    Ok(bytes)
}

/// Makes a key pair: the private key in a new file at `path` (PEM, 0600), the public key
/// as hex in `path` with the extension `pub`. Fails if `path` exists.
pub fn keygen(path: &Path) -> Result<PublicKey, LedgerError> {
    let key = make(path)?;
    write_public(path, key.public)?;
    Ok(key.public)
}

/// Makes a private key in a new file.
fn make(path: &Path) -> Result<SigningKey, LedgerError> {
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
        .map_err(|_| LedgerError::Setting("the system gives no random numbers".into()))?;
    let key = SigningKey::from_pkcs8(pkcs8.as_ref())
        .ok_or_else(|| LedgerError::Setting("a fresh key does not read back".into()))?;
    let pem = format!("{BEGIN}\n{}\n{END}\n", STANDARD.encode(pkcs8.as_ref()));
    write_new(path, 0o600, pem.as_bytes()).map_err(LedgerError::io("write", path))?;
    Ok(key)
}

fn write_public(private_path: &Path, key: PublicKey) -> Result<(), LedgerError> {
    let path = private_path.with_extension("pub");
    fs::write(&path, format!("{}\n", key.to_hex())).map_err(LedgerError::io("write", &path))
}

/// Replaces the key at `path` by a new one. The statement that ties them is left beside
/// it; the ledger records it at its next start. Both belong to whom the old key belongs, whoever
/// runs this. Returns the old and the new public key.
pub fn rotate_key(path: &Path) -> Result<(PublicKey, PublicKey), LedgerError> {
    let old = SigningKey::read(path)?;
    let (statement_path, new_path) = (rotation_path(path), path.with_extension("new"));
    if pending_rotation(path, &old)?.is_some() {
        let what = "the last rotation isn't in the ledger yet: start readgate once before the next";
        return Err(LedgerError::Setting(what.into()));
    }
    // Those of a rotation that was cut short: its key never came into force.
    for left in [&statement_path, &new_path] {
        match fs::remove_file(left) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(LedgerError::io("remove", left)(error));
            }
            Ok(()) | Err(_) => {}
        }
    }
    let new = make(&new_path)?;
    let rotation = Rotation::sign(&old, &new);
    let text =
        serde_json::to_vec(&rotation).map_err(|error| LedgerError::Setting(error.to_string()))?;
    write_new(&statement_path, 0o640, &text).map_err(LedgerError::io("write", &statement_path))?;
    let owner = fs::metadata(path).map_err(LedgerError::io("read", path))?;
    for made in [&statement_path, &new_path] {
        chown(made, Some(owner.uid()), Some(owner.gid()))
            .map_err(LedgerError::io("give to the old key's owner", made))?;
    }
    // From here on the new key is in force, and the statement leads to it from the old public one.
    fs::rename(&new_path, path).map_err(LedgerError::io("replace", path))?;
    write_public(path, new.public)?;
    Ok((old.public, new.public))
}

/// The statement of a rotation that isn't recorded yet, if `key` is its new key.
/// One that can't be read must not be passed over: nothing else leads to the new key.
pub(crate) fn pending_rotation(
    path: &Path,
    key: &SigningKey,
) -> Result<Option<Rotation>, LedgerError> {
    let path = rotation_path(path);
    let text = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(LedgerError::io("read", &path))?,
    };
    let rotation = serde_json::from_slice::<Rotation>(&text).ok();
    let is_its = |one: &Rotation| one.new == key.public.to_hex() && one.check().is_some();
    Ok(rotation.filter(is_its))
}

/// Takes the statement away once it is recorded.
pub(crate) fn rotation_recorded(path: &Path) -> io::Result<()> {
    fs::remove_file(rotation_path(path))
}

fn rotation_path(path: &Path) -> PathBuf {
    path.with_extension("rotation")
}

/// Old and new key, each signed by both.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Rotation {
    old: String,
    new: String,
    by_old: String,
    by_new: String,
}

impl Rotation {
    fn sign(old: &SigningKey, new: &SigningKey) -> Self {
        let (old_hex, new_hex) = (old.public.to_hex(), new.public.to_hex());
        let message = Self::message(&old_hex, &new_hex);
        let (by_old, by_new) = (hex(&old.sign(&message)), hex(&new.sign(&message)));
        Self { old: old_hex, new: new_hex, by_old, by_new }
    }

    fn message(old: &str, new: &str) -> Vec<u8> {
        format!("readgate ledger key rotation 1\n{old}\n{new}\n").into_bytes()
    }

    /// Old and new key, if both signatures hold.
    pub(crate) fn check(&self) -> Option<(PublicKey, PublicKey)> {
        let (old, new) = (PublicKey::from_hex(&self.old)?, PublicKey::from_hex(&self.new)?);
        let message = Self::message(&self.old, &self.new);
        let holds = old.verifies(&message, &from_hex(self.by_old.as_bytes())?)
            && new.verifies(&message, &from_hex(self.by_new.as_bytes())?);
        holds.then_some((old, new))
    }
}
