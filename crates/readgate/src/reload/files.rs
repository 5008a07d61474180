//! Notices that the configuration, a certificate, a key or a password has changed, by looking at
//! the files now and then: that works on every file system, and for links that are switched.
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use config::{Config, PasswordSource, ReplicaTls};
use tokio::time::{MissedTickBehavior, interval};

use super::Reloaded;

/// What tells a file from what it was: time of change, which that of its rights is too, inode, size.
/// `None`: not there.
pub type Stamp = Option<(i64, i64, u64, u64)>;
/// Files and what they were like.
pub type Stamps = BTreeMap<PathBuf, Stamp>;

/// The files of the configuration in force.
#[derive(Debug)]
pub struct FileWatch {
    period: Option<Duration>,
    loaded: Stamps,
}

impl FileWatch {
    /// Watches the files of a configuration that has just been read.
    pub async fn new(path: &Path, config: &Config) -> Self {
        Self { period: config.reload.watch, loaded: stamps(files(path, config)).await }
    }

    /// The files as they are now.
    pub async fn look(&self) -> Stamps {
        stamps(self.loaded.keys().cloned().collect()).await
    }

    /// The files have been read again, `seen` before that. If they were refused, those of
    /// before are watched on, and those that the new configuration names beside them: one
    /// that it lacks may come later.
    pub async fn note(&mut self, path: &Path, reloaded: &Reloaded, seen: Stamps) {
        self.loaded = match reloaded.config.as_deref() {
            Some(config) => stamps(files(path, config)).await,
            None => Stamps::new(),
        };
        // What changes while it is read counts as a change.
        let is_watched = |file: &PathBuf| !reloaded.in_force || self.loaded.contains_key(file);
        let seen: Vec<_> = seen.into_iter().filter(|(file, _)| is_watched(file)).collect();
        self.loaded.extend(seen);
    }

    /// Waits until a file has changed and then stayed as it is from one look to the next:
    /// who writes several files, or a long one, is not read half-way.
    pub async fn changed(&self) {
        let Some(period) = self.period else { return std::future::pending().await };
        let mut ticks = interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut before = self.loaded.clone();
        loop {
            ticks.tick().await;
            let now = self.look().await;
            if now != self.loaded && now == before {
                return;
            }
            before = now;
        }
    }
}

fn files(path: &Path, config: &Config) -> Vec<PathBuf> {
    let mut files = vec![path.to_owned()];
    for listener in &config.listeners {
        files.push(listener.tls.certificate_file.clone());
        files.push(listener.tls.private_key.path().to_owned());
        if let Some(clients) = &listener.tls.clients {
            files.push(clients.ca_file.clone());
            files.extend(clients.crl_file.clone());
        }
    }
    let further = config.replica.role_accounts.iter().map(|further| &further.account);
    for account in further.chain([&config.replica.account]) {
        if let PasswordSource::File(file) = &account.password_source {
            files.push(file.path().to_owned());
        }
    }
    if let ReplicaTls::Verified { ca_file, .. } = &config.replica.tls {
        files.push(ca_file.clone());
    }
    files.extend(config.ledger.shipping.ca_file.clone());
    files
}

/// On a thread that may wait: a file may be on a mount that hangs.
async fn stamps(files: Vec<PathBuf>) -> Stamps {
    let stamp = |file: &Path| {
        let found = std::fs::metadata(file).ok()?;
        Some((found.ctime(), found.ctime_nsec(), found.ino(), found.size()))
    };
    let look = move || files.into_iter().map(|file| (file.clone(), stamp(&file))).collect();
    tokio::task::spawn_blocking(look).await.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn every_file_that_a_reload_reads_is_watched() {
        let path = Path::new("/etc/readgate/proxy.toml");
        let clients = "\n[listener.tls.clients]\nca_file = \"people-ca.crt\"\n\
                       crl_file = \"people.crl\"\n\n[[source]]";
        let account = "[[replica.role_account]]\nname = \"blinded\"\nuser = \"readonly_blinded\"\n\
                       password_file = \"blinded.password\"\n";
        let text = include_str!("../../../../proxy.toml").replacen("\n[[source]]", clients, 1);
        let config = Config::parse(&format!("{text}\n{account}"), path).unwrap();
        let watched = files(path, &config);
        let name = |file: &PathBuf| Some(file.file_name()?.to_str()?.to_owned());
        let mut names: Vec<String> = watched.iter().filter_map(name).collect();
        names.sort_unstable();
        let expected = [
            "blinded.password",
            "ca.crt",
            "people-ca.crt",
            "people.crl",
            "proxy.toml",
            "readgate.crt",
            "readgate.key",
            "replica.password",
        ];
        assert_eq!(names, expected);
    }

    async fn says_within(watch: &FileWatch, limit: Duration) -> bool {
        tokio::time::timeout(limit, watch.changed()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn tells_of_a_change_once_it_has_settled_and_of_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("proxy.toml");
        std::fs::write(&file, "a").unwrap();
        let period = Duration::from_secs(2);
        let mut watch =
            FileWatch { period: Some(period), loaded: stamps(vec![file.clone()]).await };
        assert!(!says_within(&watch, 10 * period).await);

        std::fs::write(&file, "longer").unwrap();
        assert!(!says_within(&watch, period / 2).await, "one look is not enough");
        assert!(says_within(&watch, 3 * period).await);

        watch.note(&file, &Reloaded::default(), watch.look().await).await;
        assert!(!says_within(&watch, 10 * period).await);
        // More often than the file system's clock goes on.
        let before = watch.look().await;
        while watch.look().await == before {
            let mode = std::fs::Permissions::from_mode(0o600);
            std::fs::set_permissions(&file, mode).unwrap();
        }
        assert!(says_within(&watch, 3 * period).await, "what was refused for its mode");

        watch.note(&file, &Reloaded::default(), watch.look().await).await;
        std::fs::remove_file(&file).unwrap();
        assert!(says_within(&watch, 3 * period).await, "a file that is gone has changed");
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_goes_on_changing_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("proxy.toml");
        std::fs::write(&file, "").unwrap();
        let period = Duration::from_secs(2);
        let watch = FileWatch { period: Some(period), loaded: stamps(vec![file.clone()]).await };
        let writing = async {
            for length in 1..20 {
                std::fs::write(&file, "x".repeat(length)).unwrap();
                tokio::time::sleep(period).await;
            }
        };
        tokio::select! {
            biased;
            () = writing => {}
            () = watch.changed() => panic!("read half-way"),
        }
    }
}
