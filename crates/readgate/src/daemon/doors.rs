//! The listeners as logins see them: name and TLS.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use config::Config;
use rustls::pki_types::{CertificateDer, UnixTime};
use tokio_rustls::TlsAcceptor;

use super::StartFault;
use crate::tls::{self, ClientVerifier};

/// A listener: its name and its TLS, which a reload may swap.
pub struct DoorWay {
    /// Name in config, ledger and metrics.
    pub name: String,
    acceptor: ArcSwap<TlsAcceptor>,
    required: AtomicBool,
    clients: ArcSwap<Option<ClientVerifier>>,
}

impl DoorWay {
    /// TLS with the certificate in force.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::clone(&self.acceptor.load())
    }

    /// Goes on as the other one is.
    pub(super) fn take_over(&self, other: &Self) {
        self.acceptor.store(other.acceptor.load_full());
        self.required.store(other.requires_tls(), Ordering::Relaxed);
        self.clients.store(other.clients.load_full());
    }

    /// Whether a client that came in like this would be let in now: with TLS or without, and with
    /// these certificates, its own first.
    pub fn still_takes(&self, encrypted: bool, chain: &[CertificateDer<'_>]) -> bool {
        if !encrypted {
            return !self.requires_tls();
        }
        match (&**self.clients.load(), chain) {
            (None, _) => true,
            (Some(verifier), []) => !verifier.client_auth_mandatory(),
            (Some(verifier), [own, others @ ..]) => {
                verifier.verify_client_cert(own, others, UnixTime::now()).is_ok()
            }
        }
    }

    /// Whether a client that won't use TLS is refused.
    pub fn requires_tls(&self) -> bool {
        self.required.load(Ordering::Relaxed)
    }
}

/// Those of a configuration, with the certificates and keys that their files hold now.
pub(super) fn opened(config: &Config) -> Result<Vec<Arc<DoorWay>>, StartFault> {
    let open = |listener: &config::Listener| {
        let tls = &listener.tls;
        let (acceptor, clients) = tls::acceptor(tls, &tls.private_key.read()?)?;
        Ok(Arc::new(DoorWay {
            name: listener.name.clone(),
            acceptor: ArcSwap::from_pointee(acceptor),
            required: AtomicBool::new(tls.required),
            clients: ArcSwap::from_pointee(clients),
        }))
    };
    config.listeners.iter().map(open).collect()
}
