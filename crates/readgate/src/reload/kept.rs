//! The configuration in force, kept in a file beside the ledger: so a start can tell what was changed
//! while no daemon ran. The ledger names the SHA-256 of that file. One that another hand has
//! changed is told from it, and nothing is compared with it.
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use config::{ConfigHash, Kept, Settings};
use ledger::{LedgerSettings, safe_name, whole_file};
use ring::rand::{SecureRandom, SystemRandom};

use super::parts::Difference;

/// A longer text isn't kept, in bytes: some hundred thousand users.
const LONGEST: usize = 64 << 20;
/// Nobody's but the daemon's: with the file a guess at a secret of the configuration can be tested.
const MODE: u32 = 0o600;

/// What differs.
type Differences = Vec<Difference>;

/// Where the configuration in force is kept.
#[derive(Debug)]
pub struct KeptFile {
    directory: PathBuf,
    name: String,
    /// What couldn't be written: the stop tries once more.
    unwritten: Mutex<Option<String>>,
}

/// What is to be kept as soon as its record is in the ledger.
#[derive(Debug)]
pub struct Prepared {
    /// What the record is to name.
    pub sha256: String,
    /// Why it can't be kept, if so.
    pub fault: Option<String>,
    /// Then this is what the stop tries once more.
    unwritten: Option<String>,
}

/// What is to be told of a configuration that comes into force.
#[derive(Debug)]
pub struct Compared {
    /// From the one before; all there is, if that isn't known.
    pub differences: Differences,
    /// Why it isn't known though there was one, if so.
    pub failed: Option<String>,
}

impl Compared {
    /// With one that is known.
    pub fn with(before: &Settings, now: &Settings) -> Self {
        Self { differences: now.differences(before), failed: None }
    }
}

impl KeptFile {
    /// Beside the ledger of these settings. Reads nothing yet.
    pub fn new(ledger: &LedgerSettings) -> Self {
        let name = format!("configuration-{}", safe_name(&ledger.node));
        Self { directory: ledger.directory.clone(), name, unwritten: Mutex::default() }
    }

    /// Compares a start's configuration with the one that the ledger names, and says what to call
    /// that. `None`: it is the same file to the byte. Blocks.
    pub fn compare(
        &self,
        named: Option<&str>,
        settings: &Settings,
        hash: &ConfigHash,
    ) -> Option<(&'static str, Compared)> {
        let all = || Compared::with(&Settings::default(), settings);
        let Some(named) = named else {
            return Some(("in force by a start, the first that tells all of it", all()));
        };
        let compared = self.found(named).and_then(|text| {
            let other = || format!("{} is of another version of readgate", self.name);
            let kept = Kept::read(&text).ok_or_else(other)?;
            Ok((!kept.is_of(hash)).then(|| kept.differences(settings)))
        });
        match compared {
            Ok(differences) => {
                let differences = differences?;
                let keys = differences.len();
                tracing::warn!(keys, "the configuration was changed while no daemon ran");
                Some(("in force by a start", Compared { differences, failed: None }))
            }
            Err(why) => {
                tracing::warn!(why, "what was changed while no daemon ran can't be told");
                Some((
                    "in force by a start, all of it told",
                    Compared { failed: Some(why), ..all() },
                ))
            }
        }
    }

    /// What the ledger names. After a crash that may be the fresh file, or the one before.
    fn found(&self, named: &str) -> Result<String, String> {
        let fresh = whole_file::fresh(&self.directory, &self.name);
        let is_named = |text: &String| ConfigHash::of(text.as_bytes()).as_str() == named;
        match read(&self.directory.join(&self.name)) {
            Ok(text) if is_named(&text) => {
                drop(fs::remove_file(fresh));
                Ok(text)
            }
            other => match read(&fresh) {
                Ok(text) if is_named(&text) => {
                    self.put_fresh();
                    Ok(text)
                }
                _ => Err(match other {
                    Ok(_) => format!("{} is not what the ledger names", self.name),
                    Err(error) => format!("{}: {error}", self.name),
                }),
            },
        }
    }

    /// Writes down a configuration beside the one that is kept. Blocks.
    pub fn prepare(&self, settings: &Settings, hash: &ConfigHash) -> Prepared {
        let mut random = [0; 32];
        let drawn = SystemRandom::new().fill(&mut random).map_err(|_| "no random bytes".to_owned());
        let text = settings.to_be_kept(hash, ConfigHash::of(&random).as_str());
        let sha256 = ConfigHash::of(text.as_bytes()).as_str().to_owned();
        let written = drawn.and_then(|()| match text.len() {
            0..=LONGEST => whole_file::prepare(&self.directory, &self.name, MODE, text.as_bytes())
                .map_err(|error| error.to_string()),
            len => Err(format!("{len} bytes are too many")),
        });
        let fault = written.err();
        if let Some(why) = &fault {
            tracing::warn!(why, file = self.name, "the configuration can't be kept");
        }
        let unwritten = fault.is_some().then_some(text).filter(|text| text.len() <= LONGEST);
        Prepared { sha256, fault, unwritten }
    }

    /// It didn't come into force.
    pub fn discard(&self) {
        drop(fs::remove_file(whole_file::fresh(&self.directory, &self.name)));
    }

    /// It stands in the ledger: it takes the place of the one before. Blocks.
    pub fn put(&self, prepared: Prepared) {
        *self.unwritten() = prepared.unwritten;
        if prepared.fault.is_none() {
            self.put_fresh();
        }
    }

    fn put_fresh(&self) {
        if let Err(error) = whole_file::put(&self.directory, &self.name) {
            // The next start finds it under its other name.
            tracing::warn!(%error, file = self.name, "the configuration can't be put in its place");
        }
    }

    /// At the stop: what couldn't be written when it came into force. Blocks.
    pub fn finish(&self) {
        if let Some(text) = self.unwritten().take()
            && let Err(error) =
                whole_file::write(&self.directory, &self.name, MODE, text.as_bytes())
        {
            tracing::warn!(%error, file = self.name, "the configuration can't be kept");
        }
    }

    fn unwritten(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.unwritten.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever put another thing than a file there doesn't hold up the start by it.
fn read(path: &Path) -> io::Result<String> {
    if !fs::symlink_metadata(path)?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut text = String::new();
    let most = u64::try_from(LONGEST).unwrap_or(u64::MAX);
    File::open(path)?.take(most).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name);
        fs::write(place("file"), "text").unwrap();
        std::os::unix::fs::symlink(place("file"), place("link")).unwrap();
        assert_eq!(read(&place("file")).unwrap(), "text");
        for other in [place("link"), folder.path().to_owned(), place("nothing")] {
            assert!(read(&other).is_err(), "{}", other.display());
        }
    }
}
