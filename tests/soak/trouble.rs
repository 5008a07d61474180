//! What breaks in a troubled round.

use std::time::Duration;

use readgate_tests::config::set;
use readgate_tests::dice::Dice;
use readgate_tests::failing_disk::FailingDisk;
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
    /// Some of the calls for the ledger's files fail for a while.
    DiskFails,
    /// The daemon may open nothing more for a while, no file and no connection.
    NothingOpens,
    /// Another hand takes the ledger's newest file away.
    FileTaken,
    /// What signs the ledger is another key from the next start on.
    KeyRotated,
}

/// The last three end the daemon's process.
const ALL: [Trouble; 11] = [
    Trouble::Reload,
    Trouble::DiskFull,
    Trouble::DiskFails,
    Trouble::NothingOpens,
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
/// How long some calls do.
const FAILS: Duration = Duration::from_millis(700);

/// What can break.
pub(crate) struct Parts<'s> {
    pub(crate) daemon: &'s mut Readgate,
    pub(crate) replica: &'s mut Server,
    pub(crate) disk: Option<&'s Disk>,
    pub(crate) calls: &'s FailingDisk,
}

impl Trouble {
    pub(crate) fn any(dice: &mut Dice, may_end_daemon: bool) -> Self {
        ALL[dice.roll(if may_end_daemon { ALL.len() } else { ALL.len() - 3 })]
    }

    /// Lets it happen, and be over. The name of a file of the ledger, if it is about one.
    pub(crate) fn happen(self, parts: Parts<'_>, dice: &mut Dice) -> Option<String> {
        let Parts { daemon, replica, disk, calls } = parts;
        let ledger = daemon.directory.join("ledger");
        match self {
            Self::Reload => reload(daemon, dice),
            Self::DaemonKilled => {
                if dice.roll(2) == 0 {
                    calls.fail_with_threads(percent(dice));
                    std::thread::sleep(FAILS);
                    daemon.kill();
                    calls.serve();
                } else {
                    daemon.kill();
                }
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
            Self::DiskFails => {
                calls.fail_with_threads(percent(dice));
                std::thread::sleep(FAILS);
                calls.serve();
                daemon.wait_until_ready();
            }
            Self::NothingOpens => {
                // Below what it has, or a few more.
                let most = daemon.open_files(u64::try_from(dice.roll(100)).expect("it fits"));
                std::thread::sleep(FAILS);
                daemon.open_files(most);
                daemon.wait_until_ready();
            }
            Self::FileTaken => return meddling::take_newest(&ledger),
            Self::KeyRotated => {
                meddling::rotate_key(&ledger);
                start_again(daemon);
            }
        }
        None
    }
}

/// How many of a hundred calls fail: few, or most.
fn percent(dice: &mut Dice) -> u8 {
    [1, 3, 10, 30, 90][dice.roll(5)]
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
