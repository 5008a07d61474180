//! When certificates and revocation lists of files in use expire, for metrics and the status page.
//! A file that can't be read has been refused before.
use std::collections::HashMap;
use std::path::Path;

use access::Timestamp;
use config::{Config, IdentityPlace, ReplicaTls};
use x509_parser::{parse_x509_certificate, parse_x509_crl};

/// What lists of revoked client certificates are for.
pub const LISTS: &str = "clients_crl";
/// Certificates are told of so long before their end.
const SOON: i64 = 14 * 86_400;
/// Revocation lists, which many authorities make each day.
const SOON_FOR_LISTS: i64 = 6 * 3600;

/// The first certificate or list of a file to expire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateEnd {
    /// What the file is for.
    pub what: &'static str,
    /// Of which listener or server.
    pub name: String,
    /// Seconds since 1970.
    pub not_after: i64,
}

impl CertificateEnd {
    /// What it is, and of whom.
    pub fn subject(&self) -> String {
        format!("{} {}", self.what, self.name)
    }

    /// What to tell people, if the end is near or has come.
    pub fn warning(&self, now: Timestamp) -> Option<String> {
        let (soon, what) = match self.what {
            LISTS => (SOON_FOR_LISTS, "revocation list"),
            _ => (SOON, "certificate"),
        };
        let at = Timestamp::from_second(self.not_after).unwrap_or_default();
        let subject = self.subject();
        let left = self.not_after - now.as_second();
        let verb = if left < 0 { "has ended" } else { "ends" };
        (left < soon).then(|| format!("a {what} in use ({subject}) {verb} {at}"))
    }
}

/// All files of a configuration.
pub fn ends(config: &Config) -> Vec<CertificateEnd> {
    let mut ends = Vec::new();
    let mut note = |what, name: &str, file: &Path| {
        let first_end = if what == LISTS { first_list_end(file) } else { first_end(file) };
        ends.extend(first_end.map(|not_after| CertificateEnd {
            what,
            name: name.to_owned(),
            not_after,
        }));
    };
    for listener in &config.listeners {
        note("listener", &listener.name, &listener.tls.certificate_file);
        if let Some(clients) = &listener.tls.clients {
            note("clients_ca", &listener.name, &clients.ca_file);
            if let Some(lists) = &clients.crl_file {
                note(LISTS, &listener.name, lists);
            }
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

/// Of each authority the newest list counts.
fn first_list_end(file: &Path) -> Option<i64> {
    let mut ends = HashMap::new();
    for list in super::revocation_lists(file).ok()? {
        let (_, list) = parse_x509_crl(&list).ok()?;
        let end = list.next_update()?.timestamp();
        ends.entry(list.issuer().as_raw().to_vec()).or_insert(end);
    }
    ends.into_values().min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_told_of_an_end_that_is_near_or_has_come() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        for (what, soon) in [("listener", SOON), (LISTS, SOON_FOR_LISTS)] {
            let warning = |left| {
                let not_after = now.as_second() + left;
                CertificateEnd { what, name: String::from("main"), not_after }.warning(now)
            };
            assert_eq!(warning(soon), None, "{what}");
            for (left, verb) in [(soon - 1, "ends"), (0, "ends"), (-SOON, "has ended")] {
                let told = warning(left).expect("a warning");
                assert!(told.contains(&format!("({what} main) {verb} 20")), "{told}");
            }
        }
    }
}
