//! What a command on stored users works on, and how it ends: the configuration, the store that it
//! names, who asks and why.
use std::path::PathBuf;
use std::process::ExitCode;

use access::store::{IdentityStore, StoreError};
use access::{Change, Identity, UserName, UserStore, Users};
use clap::Args;
use config::{Config, ConfigHash};

use crate::cli::{EXIT_CONFIG, EXIT_UNAVAILABLE, fail, note, say};
use crate::identity::Directory;

/// Where the store is.
#[derive(Debug, Args)]
pub(in crate::cli) struct Where {
    /// Configuration file that names the store.
    #[arg(long, default_value = "/etc/readgate/proxy.toml")]
    config: PathBuf,
    /// Print JSON, one value a line.
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

/// Where the store is, and why it is changed.
#[derive(Debug, Args)]
pub(in crate::cli) struct Why {
    #[command(flatten)]
    pub(in crate::cli) place: Where,
    /// Why, for the history: a ticket, a request, a person.
    #[arg(long)]
    pub(super) reason: String,
}

/// A configuration and its store.
pub(in crate::cli) struct Opened {
    pub(in crate::cli) config: Config,
    pub(in crate::cli) hash: ConfigHash,
    path: PathBuf,
    directory: Option<Directory>,
}

impl Opened {
    /// For what needs the store.
    pub(in crate::cli) fn at(place: &Where) -> Result<Self, Failure> {
        let opened = Self::with_or_without_store(place)?;
        opened.store()?;
        Ok(opened)
    }

    /// For what says something without one too.
    pub(in crate::cli) fn with_or_without_store(place: &Where) -> Result<Self, Failure> {
        let config = Config::load(&place.config);
        let (config, hash) = config.map_err(|error| Failure::Config(error.to_string()))?;
        let directory = Directory::open(&config)?;
        Ok(Self { config, hash, path: place.config.clone(), directory })
    }

    /// The store; an error that says what to add if there is none.
    pub(in crate::cli) fn store(&self) -> Result<&dyn IdentityStore, Failure> {
        self.directory.as_ref().map(Directory::store).ok_or_else(|| {
            let path = self.path.display();
            Failure::Config(format!("{path}: has no [identities]; add it with file = \"...\""))
        })
    }

    /// All users, as logins find them.
    pub(in crate::cli) fn users(&self) -> Result<Users, Failure> {
        let (configured, roles) = (&self.config.users, &self.config.roles);
        match &self.directory {
            Some(directory) => Ok(directory.list(configured, roles)?.users),
            None => Ok(configured.clone()),
        }
    }

    pub(super) fn find(&self, user: &str) -> Result<Identity, Failure> {
        let name = user_name(user)?;
        let found = self.store()?.load()?.identities.into_iter().find(|one| one.name == name);
        found.ok_or_else(|| Failure::Refused(format!("there is no stored user {user:?}")))
    }

    /// Of a name that the configuration has too, the stored user is nobody: it may be prepared, but
    /// a change, such as taking access away, would be believed and not so.
    pub(super) fn check_that_it_counts(&self, change: &Change) -> Result<(), Failure> {
        let user = change.user();
        if self.config.users.find(user.as_str().as_bytes()).is_none() {
            return Ok(());
        }
        let why = format!("{user} stands in {}, and that counts", self.path.display());
        if let Change::Add(_) | Change::Issue(..) = change {
            note(&format!("{why} until it is taken out"));
            return Ok(());
        }
        Err(Failure::Refused(format!("{why}; change that [[user]]")))
    }

    pub(super) fn check_role(&self, role: &str) -> Result<(), Failure> {
        if self.config.roles.iter().any(|known| known.name == role) {
            return Ok(());
        }
        Err(Failure::Refused(format!("no [[role]] is named {role:?}")))
    }
}

pub(in crate::cli) enum Failure {
    Config(String),
    Refused(String),
    Store(StoreError),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        if let StoreError::Change(error) = error {
            return Self::Refused(error.to_string());
        }
        Self::Store(error)
    }
}

pub(in crate::cli) fn finish(outcome: Result<String, Failure>) -> ExitCode {
    match outcome {
        Ok(text) => {
            // Of nothing there is no line.
            if !text.is_empty() {
                say(&text);
            }
            ExitCode::SUCCESS
        }
        Err(Failure::Config(why)) => fail(EXIT_CONFIG, &why),
        Err(Failure::Refused(why)) => fail(1, &why),
        Err(Failure::Store(error)) => fail(EXIT_UNAVAILABLE, &error.to_string()),
    }
}

pub(in crate::cli) fn user_name(text: &str) -> Result<UserName, Failure> {
    UserName::new(text).map_err(|error| Failure::Refused(format!("{text:?}: {error}")))
}

/// The account of the process, and who used sudo to get it.
pub(in crate::cli) fn operating_system_user() -> String {
    let uid = rustix::process::getuid().as_raw();
    match std::env::var("SUDO_UID") {
        Ok(sudo) if uid == 0 => format!("os:{uid} (sudo by uid {sudo})"),
        Ok(_) | Err(_) => format!("os:{uid}"),
    }
}
