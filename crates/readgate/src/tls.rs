//! TLS of both sides: rustls with ring, versions 1.2 and 1.3, verified towards the replica.
pub mod certificate;
pub mod expiry;
pub mod socket;

use std::cmp::Reverse;
use std::path::Path;
use std::sync::Arc;

use config::{ClientTls, ListenerTls};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, ServerName};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{CipherSuite, ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use x509_parser::x509::X509Version;
use x509_parser::{parse_x509_certificate, parse_x509_crl};

/// Certificate, key or name that TLS can't work with.
#[derive(Debug, thiserror::Error)]
pub enum TlsFault {
    /// A file that can't be read or holds no PEM of the kind.
    #[error("{file}: {why}")]
    File {
        /// The file.
        file: String,
        /// What is wrong with it.
        why: String,
    },
    /// A file that can't be read.
    #[error("{file}: {error}; make it readable by readgate's account")]
    Unreadable {
        /// The file.
        file: String,
        /// What the system says.
        #[source]
        error: std::io::Error,
    },
    /// rustls won't take them.
    #[error("{0}")]
    Rustls(#[from] rustls::Error),
    /// The replica's name isn't one that a certificate can hold.
    #[error("{0:?} is not a host name that a certificate can be checked against")]
    ServerName(String),
    /// The system's random generator failed.
    #[error("the system's random generator failed")]
    Randomness,
}

/// What clients' certificates must be.
pub type ClientVerifier = Arc<dyn ClientCertVerifier>;

/// The door's side, and what it asks of clients' certificates if it does: certificate chain from a
/// PEM file and its key. Sessions are resumed by ticket, except where clients show certificates: a
/// certificate that was revoked or has expired must not live on in a ticket.
pub fn acceptor(
    listener: &ListenerTls,
    key_pem: &[u8],
) -> Result<(TlsAcceptor, Option<ClientVerifier>), TlsFault> {
    let clients = listener.clients.as_ref().map(client_verifier).transpose()?;
    let chain = certificates(&listener.certificate_file)?;
    let key_file = listener.private_key.path();
    let no_key = match key_pem.windows(9).any(|part| part == b"ENCRYPTED") {
        true => "the key has a passphrase; take it off with openssl pkey",
        false => "no private key in it; PEM with BEGIN PRIVATE KEY is needed",
    };
    let key = PrivateKeyDer::from_pem_slice(key_pem).map_err(|_| fault(key_file, &no_key))?;
    let unpaired = |error| {
        let certificate = &listener.certificate_file;
        if matches!(error, rustls::Error::InconsistentKeys(_)) {
            let what = format!("it is not the key of the certificate in {}", certificate.display());
            return fault(key_file, &what);
        }
        unfit(certificate, &error)
    };
    let builder = ServerConfig::builder_with_provider(door_provider())
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?;
    let mut server = match clients.clone() {
        None => {
            let mut server =
                builder.with_no_client_auth().with_single_cert(chain, key).map_err(unpaired)?;
            let ticketer = rustls::crypto::ring::Ticketer::new();
            server.ticketer = ticketer.map_err(|_| TlsFault::Randomness)?;
            // A client that comes back gets the next one then.
            server.send_tls13_tickets = 1;
            server
        }
        Some(verifier) => {
            let builder = builder.with_client_cert_verifier(verifier);
            let mut server = builder.with_single_cert(chain, key).map_err(unpaired)?;
            server.session_storage = Arc::new(NoServerSessionStorage {});
            server.send_tls13_tickets = 0;
            server
        }
    };
    server.ignore_client_order = true;
    Ok((TlsAcceptor::from(Arc::new(server)), clients))
}

/// By the authorities and lists that the files hold now.
fn client_verifier(client: &ClientTls) -> Result<ClientVerifier, TlsFault> {
    let authorities = roots(&client.ca_file)?;
    let mut verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), provider());
    if let Some(file) = &client.crl_file {
        // Who was revoked since a list has ended stands in none.
        verifier = verifier.with_crls(revocation_lists(file)?).enforce_revocation_expiration();
    }
    if !client.required {
        verifier = verifier.allow_unauthenticated();
    }
    // Authorities there are: what can be wrong now is a list.
    let lists = client.crl_file.as_ref().unwrap_or(&client.ca_file);
    verifier.build().map_err(|error| fault(lists, &error))
}

/// The replica's side: its certificate must come from `ca_file` and name the host.
pub fn connector(ca_file: &Path) -> Result<TlsConnector, TlsFault> {
    client_config(ca_file).map(TlsConnector::from)
}

/// Towards a server whose certificate must come from `ca_file`.
pub fn client_config(ca_file: &Path) -> Result<Arc<ClientConfig>, TlsFault> {
    let roots = roots(ca_file)?;
    let client = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(client))
}

/// The name that the replica's certificate must hold.
pub fn server_name(host: &str) -> Result<ServerName<'static>, TlsFault> {
    ServerName::try_from(host.to_owned()).map_err(|_| TlsFault::ServerName(host.to_owned()))
}

fn roots(ca_file: &Path) -> Result<RootCertStore, TlsFault> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca_file)? {
        roots.add(certificate).map_err(|error| unfit(ca_file, &error))?;
    }
    Ok(roots)
}

/// The door prefers AES-128 with SHA-256, which machines compute in hardware; clients put
/// SHA-384 first, which costs a handshake a quarter of its time.
fn door_provider() -> Arc<rustls::crypto::CryptoProvider> {
    let mut provider = rustls::crypto::ring::default_provider();
    provider.cipher_suites.sort_by_key(|suite| {
        let is_preferred = matches!(
            suite.suite(),
            CipherSuite::TLS13_AES_128_GCM_SHA256
                | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
                | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
        );
        !is_preferred
    });
    Arc::new(provider)
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsFault> {
    all_of(file, "no certificate in it; PEM with BEGIN CERTIFICATE is needed")
}

/// The newest first: of several by one authority the first is asked. Never none: by no list
/// everybody's certificate would count.
fn revocation_lists(file: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsFault> {
    let mut lists: Vec<CertificateRevocationListDer<'static>> =
        all_of(file, "no revocation list in it; PEM with BEGIN X509 CRL is needed")?;
    lists.sort_by_key(|list| {
        Reverse(parse_x509_crl(list).ok().map(|(_, list)| list.last_update().timestamp()))
    });
    Ok(lists)
}

/// What a file holds of a kind; `none` is said of one that holds nothing of it.
fn all_of<T: PemObject>(file: &Path, none: &str) -> Result<Vec<T>, TlsFault> {
    let found: Result<Vec<T>, _> = T::pem_file_iter(file).and_then(Iterator::collect);
    match found {
        Ok(all) if !all.is_empty() => Ok(all),
        Ok(_) => Err(fault(file, &none)),
        Err(pem::Error::Io(error)) => {
            Err(TlsFault::Unreadable { file: file.display().to_string(), error })
        }
        Err(error) => Err(fault(file, &error)),
    }
}

/// A file whose certificate rustls won't take. What `openssl x509 -req` makes by itself is a usual
/// one.
fn unfit(file: &Path, error: &rustls::Error) -> TlsFault {
    let first = certificates(file).ok().and_then(|all| all.into_iter().next());
    let is_old = first.is_some_and(|first| {
        parse_x509_certificate(&first).is_ok_and(|(_, first)| first.version() != X509Version::V3)
    });
    match (is_old, error) {
        (true, _) => fault(
            file,
            &"its certificate is not of X.509 version 3; make it with extensions \
              (openssl x509 -req -extfile FILE)",
        ),
        (false, rustls::Error::InvalidCertificate(why)) => {
            fault(file, &format!("its certificate can't be used: {why}"))
        }
        (false, error) => fault(file, error),
    }
}

fn fault(file: &Path, why: &dyn std::fmt::Display) -> TlsFault {
    TlsFault::File { file: file.display().to_string(), why: why.to_string() }
}
