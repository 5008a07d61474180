//! Open files, of which each client needs one and each connection to the replica another. Where the
//! system allows fewer than the configuration may need, fewer clients are let in: each learns why,
//! and what is left is for the ledger, the replica's watch and the ops address.
use config::Config;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use access::LimitSettings;

/// Beside clients and their connections: most of it is for the ops address.
const BESIDE: u64 = 384;
/// What the daemon needs of it for itself.
const LEAST_BESIDE: u64 = 64;

/// The limits of connections, within what the system allows after it was asked for more.
pub(super) fn within(config: &Config) -> LimitSettings {
    let wanted = config.limits.connections;
    let replica = u64::from(config.replica.connections);
    let clients = u64::from(wanted.connections);
    let needed = clients + clients.min(replica) + BESIDE;
    let allowed = raised_to(needed);
    let connections = u32::try_from(room_for(clients, replica, allowed)).unwrap_or(u32::MAX);
    if connections < wanted.connections {
        tracing::warn!(
            allowed,
            needed,
            connections,
            "the limit of open files is too low for limits.connections: fewer are let in"
        );
    }
    LimitSettings { connections, ..wanted }
}

/// How many files may be open, after the process's own limit was raised as far as it is needed and
/// may be.
fn raised_to(needed: u64) -> u64 {
    let now = getrlimit(Resource::Nofile);
    let (Some(current), most) = (now.current, now.maximum.unwrap_or(u64::MAX)) else {
        return u64::MAX;
    };
    if current < needed.min(most) {
        let more = Rlimit { current: Some(needed.min(most)), maximum: now.maximum };
        let _ = setrlimit(Resource::Nofile, more);
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// How many of so many clients find room, if all of them may have a connection to the replica, up
/// to its own limit.
fn room_for(clients: u64, replica: u64, files: u64) -> u64 {
    let beside = (files / 4).clamp(LEAST_BESIDE, BESIDE);
    let free = files.saturating_sub(beside);
    clients.min((free / 2).max(free.saturating_sub(replica))).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_and_their_connections_fit_into_the_open_files() {
        assert_eq!(room_for(2000, 2000, u64::MAX), 2000);
        assert_eq!(room_for(2000, 2000, 4384), 2000);
        assert_eq!(room_for(2000, 2000, 4096), 1856);
        assert_eq!(room_for(2000, 150, 1024), 618, "most of them share the replica's connections");
        assert_eq!(room_for(2000, 2000, 128), 32);
        assert_eq!(room_for(2000, 2000, 0), 1);
    }
}
