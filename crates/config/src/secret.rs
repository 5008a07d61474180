//! Where secrets are, and reading them. Guarantees that no secret is shown, and that a
//! secret file that others can read is refused rather than used.
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use access::Password;
use zeroize::Zeroizing;

/// More than any password or key; keeps a wrong path from filling the memory.
const SECRET_FILE_MAX: u64 = 64 * 1024;

/// Where a password is.
#[derive(Debug, Clone)]
pub enum PasswordSource {
    /// In a file; one line end at its end doesn't count.
    File(SecretFile),
    /// In an environment variable of that name.
    Environment(String),
    /// In a systemd credential of that name (`LoadCredential=`).
    Credential(String),
    /// In the configuration itself, where that was allowed.
    Inline(Password),
}

impl PasswordSource {
    /// Reads the password.
    ///
    /// # Errors
    /// Says which place it looked in and what is wrong there; never the password.
    pub fn read(&self) -> Result<Password, SecretError> {
        let password = match self {
            Self::File(file) => without_line_end(&file.read()?),
            Self::Environment(name) => from_environment(name)?,
            Self::Credential(name) => from_credential(name)?,
            Self::Inline(password) => password.clone(),
        };
        if password.is_empty() {
            return Err(SecretError::Empty { place: self.place() });
        }
        if password.reveal().contains(&b'\n') {
            return Err(SecretError::Lines { place: self.place() });
        }
        Ok(password)
    }

    /// The place in words, for messages.
    fn place(&self) -> String {
        match self {
            Self::File(file) => file.path().display().to_string(),
            Self::Environment(name) => format!("environment variable {name}"),
            Self::Credential(name) => format!("systemd credential {name}"),
            Self::Inline(_) => String::from("password in the configuration"),
        }
    }
}

fn from_environment(name: &str) -> Result<Password, SecretError> {
    let missing = || SecretError::NoVariable { name: name.to_owned() };
    let value = std::env::var_os(name).ok_or_else(missing)?;
    Ok(Password::new(std::os::unix::ffi::OsStringExt::into_vec(value)))
}

/// systemd guards the folder of credentials itself and may give its files an access list
/// that looks like a group's right, so their mode isn't looked at.
fn from_credential(name: &str) -> Result<Password, SecretError> {
    let missing = || SecretError::NoCredentials { name: name.to_owned() };
    let folder = std::env::var_os("CREDENTIALS_DIRECTORY").ok_or_else(missing)?;
    let path = Path::new(&folder).join(name);
    let (mut file, _) = open(&path)?;
    Ok(without_line_end(&read_all(&path, &mut file)?))
}

fn without_line_end(bytes: &[u8]) -> Password {
    let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    Password::new(line.strip_suffix(b"\r").unwrap_or(line))
}

/// A file that only its owner may read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretFile(PathBuf);

impl SecretFile {
    /// The file of that path.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Reads it whole.
    ///
    /// # Errors
    /// If it can't be read, is larger than 64 KiB, or if group or others have any right
    /// to it.
    pub fn read(&self) -> Result<Zeroizing<Vec<u8>>, SecretError> {
        let (mut file, mode) = open(&self.0)?;
        if mode & 0o077 != 0 {
            return Err(SecretError::Exposed { path: self.0.clone(), mode: mode & 0o7777 });
        }
        read_all(&self.0, &mut file)
    }
}

/// The mode is that of the file that is then read, not of what the path meant before.
fn open(path: &Path) -> Result<(File, u32), SecretError> {
    use std::os::unix::fs::PermissionsExt;
    let unreadable = |error| SecretError::Unreadable { path: path.to_owned(), error };
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if metadata.is_dir() {
        return Err(SecretError::Folder { path: path.to_owned() });
    }
    Ok((file, metadata.permissions().mode()))
}

fn read_all(path: &Path, file: &mut File) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    // Reserved at once, so that no copy is left behind by growing.
    let capacity = usize::try_from(SECRET_FILE_MAX + 1).unwrap_or(0);
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
    let unreadable = |error| SecretError::Unreadable { path: path.to_owned(), error };
    let read = file.take(SECRET_FILE_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if u64::try_from(read).unwrap_or(u64::MAX) > SECRET_FILE_MAX {
        return Err(SecretError::TooLarge { path: path.to_owned() });
    }
    Ok(bytes)
}

/// A secret that can't be had. Says where, never what.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file can't be read.
    #[error("{path}: {error}; make it readable by readgate's account")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        error: std::io::Error,
    },
    /// It is no file.
    #[error("{path}: is a folder; name the file of the secret")]
    Folder {
        /// The folder.
        path: PathBuf,
    },
    /// Group or others have rights to the file.
    #[error("{path}: mode {mode:04o} lets others at a secret; chmod 600 {path}")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is no secret's size.
    #[error("{path}: has more than 64 KiB; name the file of the secret")]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The environment variable isn't set.
    #[error("environment variable {name} is not set; set it for readgate's process")]
    NoVariable {
        /// Its name.
        name: String,
    },
    /// systemd handed no credentials over.
    #[error(
        "systemd credential {name}: CREDENTIALS_DIRECTORY is not set; add LoadCredential={name}:PATH to the unit"
    )]
    NoCredentials {
        /// Its name.
        name: String,
    },
    /// It has a line end within: a comment, or a second password, that would count as part of it.
    #[error("{place}: has more than one line; write the password and nothing else")]
    Lines {
        /// The place.
        place: String,
    },
    /// There is a place and nothing in it.
    #[error("{place}: is empty; an account without password is not accepted")]
    Empty {
        /// The place.
        place: String,
    },
}
