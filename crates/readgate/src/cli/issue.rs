//! `readgate credential issue`: a new credential, and whom it is encrypted for.
use std::path::PathBuf;

use access::Change;
use clap::Args;

use super::people::{Failure, Opened, Why, change_to, user_name};
use super::{json, note, passphrase};
use crate::identity::handover::{Handover, HandoverError};

/// Whom a credential is for.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct To {
    /// The owner's public key: age1... or "ssh-ed25519 AAAA..."
    #[arg(long)]
    to: Option<String>,
    /// Encrypt with a passphrase, asked for at the terminal or read from standard input.
    #[arg(long)]
    passphrase: bool,
    /// Encrypt with the passphrase in the first line of a file, such as /dev/fd/3.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

impl To {
    fn handover(&self) -> Result<Handover, Failure> {
        let refused = |error: HandoverError| Failure::Refused(error.to_string());
        if let Some(key) = &self.to {
            return Handover::to(key).map_err(refused);
        }
        let phrase = passphrase::read(self.passphrase_file.as_deref());
        let phrase = phrase.map_err(|e| Failure::Refused(format!("the passphrase: {e}")))?;
        Handover::with(phrase).map_err(refused)
    }
}

/// The password exists in this process's memory and in what is printed, encrypted, alone.
pub(super) fn issue(user: &str, to: &To, why: &Why) -> Result<String, Failure> {
    let rules = Opened::at(&why.place)?.config.passwords;
    let handover = to.handover()?;
    let password = rules.generate().map_err(|error| Failure::Refused(error.to_string()))?;
    let sealed = handover.seal(&password);
    let sealed = sealed.map_err(|error| Failure::Refused(error.to_string()))?;
    let after = change_to(&Change::Issue(user_name(user)?, password), why)?;
    if let Some(new) = after.credentials.first() {
        note(&format!("credential {} of {user}: {}", new.id.0, new.life()));
    }
    match why.place.json {
        true => Ok(json::issued(&after, &sealed).to_string()),
        false => Ok(sealed),
    }
}
