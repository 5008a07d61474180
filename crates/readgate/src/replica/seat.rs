//! Where a connection to the replica is. Its id alone doesn't tell: one name may lead to several
//! servers, or to another one than before, and each counts for itself.
use std::net::SocketAddr;
use std::sync::Arc;

/// A connection's place at one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seat {
    /// The server's id of it.
    pub id: u32,
    /// Which server, in its own words; empty before it was asked.
    pub server: Arc<[u8]>,
    /// The address that it was reached by.
    pub address: SocketAddr,
}

impl Seat {
    /// Of a connection that has just been greeted.
    pub fn new(id: u32, address: SocketAddr) -> Self {
        Self { id, server: Arc::default(), address }
    }

    /// Notes what the server says of itself.
    pub fn is_at(&mut self, server: &[u8]) {
        if *self.server != *server {
            self.server = server.into();
        }
    }
}
