//! What is known of a connection: for log, metrics and ledger, and what one step leaves for a
//! later one (the peer's address, a certificate, the warm connection of the greeting).
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use access::ClientCertificate;
use rustls::pki_types::CertificateDer;
use tokio_rustls::TlsStream;

use crate::daemon::{Daemon, DoorWay};
use crate::replica::pool::Warm;
use crate::tls::socket::TlsSocket;

/// Longest user name that is noted, in characters.
const NAME_LIMIT: usize = 128;

/// Facts of one connection.
pub struct Context {
    /// Id of the greeting.
    pub connection_id: u32,
    /// The other end.
    pub peer: SocketAddr,
    /// Listener it came in by.
    pub listener: String,
    /// When it was accepted.
    pub accepted: Instant,
    /// TLS version and cipher suite.
    pub tls: Option<(String, String)>,
    /// The client's certificate, verified by TLS.
    pub certificate: Option<Arc<ClientCertificate>>,
    /// That certificate and those that lead to its authority, as they came.
    pub chain: Arc<[CertificateDer<'static>]>,
    /// User name as given, lossily decoded.
    pub user: Option<String>,
    /// Warm connection to the replica whose id the greeting repeats.
    pub earmarked: Option<Warm>,
    /// Set once a session is open.
    pub session: Option<SessionNote>,
}

/// What a session leaves behind.
pub struct SessionNote {
    /// Statements forwarded.
    pub statements: u64,
    /// Statements refused.
    pub refusals: u64,
}

impl Context {
    /// A connection that has just been accepted.
    pub fn new(daemon: &Daemon, door: &DoorWay, peer: SocketAddr) -> Self {
        Self {
            connection_id: daemon.registry.next_connection_id(),
            earmarked: None,
            peer,
            listener: door.name.clone(),
            accepted: Instant::now(),
            tls: None,
            certificate: None,
            chain: Arc::default(),
            user: None,
            session: None,
        }
    }

    /// Notes TLS version, cipher suite and the certificates that came.
    pub fn note_tls(&mut self, tls: Option<&TlsStream<TlsSocket>>) {
        let Some((_, connection)) = tls.map(TlsStream::get_ref) else {
            return;
        };
        self.chain = connection.peer_certificates().unwrap_or_default().into();
        let version = connection.protocol_version().and_then(|v| v.as_str());
        let suite = connection.negotiated_cipher_suite().and_then(|s| s.suite().as_str());
        self.tls = Some((
            version.unwrap_or("unknown").replace("TLSv1_", "TLSv1."),
            suite.unwrap_or("unknown").to_owned(),
        ));
    }

    /// Notes the user name that the client gave.
    pub fn note_user(&mut self, name: &[u8]) {
        self.user = Some(String::from_utf8_lossy(name).chars().take(NAME_LIMIT).collect());
    }

    /// Counts a statement that was forwarded, or answered by the console.
    pub fn count_statement(&mut self) {
        if let Some(note) = &mut self.session {
            note.statements += 1;
        }
    }

    /// Counts a refusal.
    pub fn count_refusal(&mut self) {
        if let Some(note) = &mut self.session {
            note.refusals += 1;
        }
    }
}
