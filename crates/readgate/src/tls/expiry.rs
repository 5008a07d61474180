//! When certificates of files in use expire, for metrics and the status page. A file that
//! can't be read has been refused before.
use std::path::Path;

use config::{Config, IdentityPlace, ReplicaTls};
use x509_parser::parse_x509_certificate;

/// The first certificate of a file to expire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateEnd {
    /// What the file is for.
    pub what: &'static str,
    /// Of which listener or server.
    pub name: String,
    /// Seconds since 1970.
    pub not_after: i64,
}

/// All files of a configuration.
pub fn ends(config: &Config) -> Vec<CertificateEnd> {
    let mut ends = Vec::new();
    let mut note = |what, name: &str, file: &Path| {
        ends.extend(first_end(file).map(|not_after| CertificateEnd {
            what,
            name: name.to_owned(),
            not_after,
        }));
    };
    for listener in &config.listeners {
        note("listener", &listener.name, &listener.tls.certificate_file);
        if let Some(clients) = &listener.tls.clients {
            note("clients_ca", &listener.name, &clients.ca_file);
        }
    }
    if let ReplicaTls::Verified { ca_file, .. } = &config.replica.tls {
        note("replica_ca", &config.replica.name, ca_file);
    }
    if let Some(identities) = &config.identities
        && let IdentityPlace::Shared(store) = &identities.place
    {
        note("identities_ca", &store.address.to_string(), &store.ca_file);
    }
    if let Some(ca_file) = &config.ledger.shipping.ca_file {
        note("ledger_ship_ca", "ledger", ca_file);
    }
    ends
}

fn first_end(file: &Path) -> Option<i64> {
    let ends = super::certificates(file).ok()?;
    ends.iter()
        .filter_map(|der| {
            Some(parse_x509_certificate(der).ok()?.1.validity().not_after.timestamp())
        })
        .min()
}
