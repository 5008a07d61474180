//! A new credential on its way to its owner: encrypted to their key, or with a passphrase that
//! they hear another way; readable by nobody else, not even by whoever issued it.
use std::io::{self, Write};

use age_file::{Encryptor, Recipient, armoured};
use mysql_auth::Password;
use zeroize::Zeroizing;

/// Fewest characters of a passphrase: who has the file can try as many as they like.
const SHORTEST: usize = 16;

/// Whom a credential is for.
pub enum Handover {
    /// The owner of a key.
    Key(Recipient),
    /// Whoever knows it.
    Passphrase(Zeroizing<Vec<u8>>),
}

/// Why a credential can't be handed over.
#[derive(Debug, thiserror::Error)]
pub enum HandoverError {
    /// No public key that age knows.
    #[error(
        "the recipient is no public key; write the age1... of `age-keygen -y`, or the \
         ssh-ed25519 line of id_ed25519.pub"
    )]
    NotARecipient,
    /// Too easily found by trying.
    #[error("the passphrase has fewer than {SHORTEST} characters")]
    ShortPassphrase,
    /// The system's random generator gave nothing, or the key is one that protects nothing.
    #[error("the credential can't be encrypted: {0}")]
    NoEncryption(#[from] io::Error),
}

impl Handover {
    /// To a key as its owner's tool prints it.
    ///
    /// # Errors
    /// If it isn't a public key of a kind that is known.
    pub fn to(key: &str) -> Result<Self, HandoverError> {
        Recipient::parse(key).map(Self::Key).ok_or(HandoverError::NotARecipient)
    }

    /// With a passphrase.
    ///
    /// # Errors
    /// If it is short.
    pub fn with(phrase: Zeroizing<Vec<u8>>) -> Result<Self, HandoverError> {
        match String::from_utf8_lossy(&phrase).chars().count() < SHORTEST {
            true => Err(HandoverError::ShortPassphrase),
            false => Ok(Self::Passphrase(phrase)),
        }
    }

    /// The password and a line end, as an armoured age file.
    ///
    /// # Errors
    /// If the key protects nothing, or the random generator fails.
    pub fn seal(&self, password: &Password) -> Result<String, HandoverError> {
        let mut encryptor = match self {
            Self::Key(recipient) => Encryptor::new(recipient, Vec::new())?,
            Self::Passphrase(phrase) => Encryptor::with_passphrase(phrase, Vec::new())?,
        };
        encryptor.write_all(password.reveal())?;
        encryptor.write_all(b"\n")?;
        Ok(armoured(&encryptor.finish()?))
    }
}
