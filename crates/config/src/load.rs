//! From a file, or its text, to a [`Config`]. Refuses a file that others could change.
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ring::digest::{SHA256, digest};

use crate::document::Document;
use crate::error::{ConfigErrors, Wrong};
use crate::model::Config;
use crate::secret::PasswordSource;
use crate::sections;
use crate::settings::Settings;
use crate::table::Table;

/// SHA-256 of a configuration's bytes, as 64 hexadecimal digits: what the ledger names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigHash(String);

impl ConfigHash {
    /// The hash of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let hash = digest(&SHA256, bytes);
        Self(hex(hash.as_ref()))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// As hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl fmt::Display for ConfigHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file can't be read.
    #[error("{path}: {error}; name a file that readgate's account can read")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        error: std::io::Error,
    },
    /// Everybody may change who comes in.
    #[error("{path}: mode {mode:04o} lets everybody change it; chmod o-w {path}")]
    Writable {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It holds a password and everybody may read it.
    #[error("{path}: mode {mode:04o} lets others read the password in it; chmod 600 {path}")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It isn't text.
    #[error("{path}:{line}: is not UTF-8; save the file as UTF-8")]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// Line of the first wrong byte.
        line: usize,
    },
    /// Its contents are wrong.
    #[error(transparent)]
    Invalid(#[from] ConfigErrors),
}

impl Config {
    /// Reads a configuration from its text. Opens no file.
    ///
    /// `file_name` is what errors name, and its folder is where relative paths start.
    ///
    /// # Errors
    /// Every problem of the text.
    pub fn parse(text: &str, file_name: &Path) -> Result<Self, ConfigErrors> {
        let (document, items) = Document::parse(text, file_name)?;
        let config = sections::read(&Table::root(&document, &sections::ROOT, items.get_ref()));
        let (mut config, warnings) = document.finish(config)?;
        config.settings = Arc::new(Settings::of(text, items.get_ref()));
        config.warnings = warnings;
        Ok(config)
    }

    /// Reads a configuration file.
    ///
    /// # Errors
    /// If the file can't be read, is open to others, or has any problem in its text.
    pub fn load(path: &Path) -> Result<(Self, ConfigHash), LoadError> {
        let (bytes, mode) = read_file(path)?;
        if mode & 0o002 != 0 {
            return Err(LoadError::Writable { path: path.to_owned(), mode });
        }
        let text = std::str::from_utf8(&bytes).map_err(|error| {
            let before = bytes.iter().take(error.valid_up_to());
            let line = before.filter(|byte| **byte == b'\n').count() + 1;
            LoadError::NotUtf8 { path: path.to_owned(), line }
        })?;
        let mut config = Self::parse(text, path)?;
        if config.holds_password() && mode & 0o077 != 0 {
            return Err(LoadError::Exposed { path: path.to_owned(), mode });
        }
        if config.users.iter().len() > 0 && mode & 0o004 != 0 {
            let wrong = Wrong::new(
                format!("mode {mode:04o} lets everybody read the users' verifiers"),
                format!("chmod o-r {}", path.display()),
            );
            config.warnings.push(wrong.at(path, 1, "user"));
        }
        Ok((config, ConfigHash::of(&bytes)))
    }

    fn holds_password(&self) -> bool {
        let of_roles = self.replica.role_accounts.iter().map(|further| &further.account);
        let mut all = of_roles.chain([&self.replica.account]);
        all.any(|account| matches!(account.password_source, PasswordSource::Inline(_)))
    }
}

fn read_file(path: &Path) -> Result<(Vec<u8>, u32), LoadError> {
    use std::os::unix::fs::PermissionsExt;
    let unreadable = |error| LoadError::Unreadable { path: path.to_owned(), error };
    let mut file = File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.permissions().mode() & 0o7777;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(unreadable)?;
    Ok((bytes, mode))
}
