//! Where a connection to the replica is. Its id alone doesn't tell: one name may lead to several
//! servers, or to another one than before, and each counts for itself, anew with each start.
use std::net::SocketAddr;
use std::sync::Arc;

/// A connection's place at one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seat {
    /// The server's id of it.
    pub id: u32,
    /// Which server, in its own words, and when it was started (its last word); empty before it was
    /// asked.
    pub server: Arc<[u8]>,
    /// The address that it was reached by.
    pub address: SocketAddr,
}

impl Seat {
    /// Of a connection that has just been greeted.
    pub fn new(id: u32, address: SocketAddr) -> Self {
        Self { id, server: Arc::default(), address }
    }

    /// Whether the server was started anew since that connection was opened, which is no more then.
    pub fn is_after(&self, former: &Self) -> bool {
        let is_there = place(&self.server).is_some_and(|ours| place(&former.server) == Some(ours));
        is_there && self.server != former.server
    }
}

/// The server, whenever it was started.
fn place(server: &[u8]) -> Option<&[u8]> {
    let end = server.iter().rposition(|byte| *byte == b' ')?;
    server.get(..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_was_started_anew_is_another_one_in_the_same_place() {
        let seat = |server: &str| {
            let address = SocketAddr::from(([127, 0, 0, 1], 3306));
            Seat { id: 16, server: server.as_bytes().into(), address }
        };
        let former = seat("replica-1 3306 7 1795450221");
        assert!(seat("replica-1 3306 7 1795450390").is_after(&former));
        for other in ["replica-1 3306 7 1795450221", "replica-2 3306 7 1795450390", "", "replica"] {
            assert!(!seat(other).is_after(&former), "{other}");
        }
        assert!(!seat("").is_after(&seat("replica")), "neither was asked");
    }
}
