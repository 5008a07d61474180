//! What breaks in a troubled round.

use std::time::Duration;

use readgate_tests::config::set;
use readgate_tests::dice::Dice;
use readgate_tests::readgate::Readgate;
use readgate_tests::server::Server;
use toml::Table;

use crate::meddling::{self, Disk};

/// Something that happens while clients are at work.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Trouble {
    /// Another configuration counts from now on.
    Reload,
    DaemonKilled,
    DaemonStopped,
    /// It gets no processor for a while.
    DaemonHangs,
    ReplicaKilled,
    ReplicaHangs,
    /// The ledger's disk has no room for a while.
    DiskFull,
    /// Another hand takes the ledger's newest file away.
    FileTaken,
    /// What signs the ledger is another key from the next start on.
    KeyRotated,
}

/// The last three end the daemon's process.
const ALL: [Trouble; 9] = [
    Trouble::Reload,
    Trouble::DiskFull,
    Trouble::FileTaken,
    Trouble::DaemonHangs,
    Trouble::ReplicaKilled,
    Trouble::ReplicaHangs,
    Trouble::DaemonKilled,
    Trouble::DaemonStopped,
    Trouble::KeyRotated,
];

/// Within this the daemon ends when it is told to.
pub(crate) const LONGEST_STOP: Duration = Duration::from_secs(60);
/// How long what hangs does.
const HANGS: Duration = Duration::from_millis(1500);

/// What can break.
pub(crate) struct Parts<'s> {
    pub(crate) daemon: &'s mut Readgate,
    pub(crate) replica: &'s mut Server,
    pub(crate) disk: Option<&'s Disk>,
}

impl Trouble {
    pub(crate) fn any(dice: &mut Dice, may_end_daemon: bool) -> Self {
        ALL[dice.roll(if may_end_daemon { ALL.len() } else { ALL.len() - 3 })]
    }

    /// Lets it happen, and be over. The name of a file of the ledger, if it is about one.
    pub(crate) fn happen(self, parts: Parts<'_>, dice: &mut Dice) -> Option<String> {
        let Parts { daemon, replica, disk } = parts;
        let ledger = daemon.directory.join("ledger");
        match self {
            Self::Reload => reload(daemon, dice),
            Self::DaemonKilled => {
                daemon.kill();
                daemon.restart();
            }
            Self::DaemonStopped => start_again(daemon),
            Self::DaemonHangs => {
                daemon.signal("STOP");
                std::thread::sleep(HANGS);
                daemon.signal("CONT");
            }
            Self::ReplicaKilled => {
                replica.kill();
                replica.restart();
            }
            Self::ReplicaHangs => {
                replica.hang();
                std::thread::sleep(HANGS);
                replica.signal("CONT");
            }
            Self::DiskFull => disk.into_iter().for_each(|disk| disk.fill(daemon)),
            Self::FileTaken => return Some(meddling::take_newest(&ledger)),
            Self::KeyRotated => {
                meddling::rotate_key(&ledger);
                start_again(daemon);
            }
        }
        None
    }
}

fn start_again(daemon: &mut Readgate) {
    let status = daemon.stop(LONGEST_STOP);
    assert!(status.success(), "it ended with {status}:\n{}", daemon.log());
    daemon.restart();
}

fn reload(daemon: &Readgate, dice: &mut Dice) {
    let file = daemon.directory.join("proxy.toml");
    let text = std::fs::read_to_string(&file).expect("the configuration is there");
    let mut config: Table = text.parse().expect("it is TOML");
    let most = 1000 + i64::try_from(dice.roll(1000)).expect("it fits");
    set(&mut config, "limits.connections_per_user", most);
    let new = file.with_extension("new");
    std::fs::write(&new, config.to_string()).expect("it can be written");
    std::fs::rename(&new, &file).expect("it can be put in place");
    daemon.signal("HUP");
}
