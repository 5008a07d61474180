//! What breaks in a troubled round.

use std::time::Duration;

use readgate_tests::config::set;
use readgate_tests::dice::Dice;
use readgate_tests::readgate::Readgate;
use readgate_tests::server::Server;
use toml::Table;

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
}

/// The last two end the daemon's process.
const ALL: [Trouble; 6] = [
    Trouble::Reload,
    Trouble::DaemonHangs,
    Trouble::ReplicaKilled,
    Trouble::ReplicaHangs,
    Trouble::DaemonKilled,
    Trouble::DaemonStopped,
];

/// Within this the daemon ends when it is told to.
pub(crate) const LONGEST_STOP: Duration = Duration::from_secs(60);
/// How long what hangs does.
const HANGS: Duration = Duration::from_millis(1500);

impl Trouble {
    pub(crate) fn any(dice: &mut Dice, may_end_daemon: bool) -> Self {
        ALL[dice.roll(if may_end_daemon { ALL.len() } else { ALL.len() - 2 })]
    }

    /// Lets it happen, and be over.
    pub(crate) fn happen(self, daemon: &mut Readgate, replica: &mut Server, dice: &mut Dice) {
        match self {
            Self::Reload => reload(daemon, dice),
            Self::DaemonKilled => {
                daemon.kill();
                daemon.restart();
            }
            Self::DaemonStopped => {
                let status = daemon.stop(LONGEST_STOP);
                assert!(status.success(), "it ended with {status}:\n{}", daemon.log());
                daemon.restart();
            }
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
        }
    }
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
