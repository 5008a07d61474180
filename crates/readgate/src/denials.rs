//! Connections that were refused for their address: counted by network, within bounds, and
//! logged once a minute for each. The ledger has every one of them.
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ipnet::IpNet;

/// Networks that are counted by name; the others are counted together.
const NETWORKS: usize = 200;
/// A network is logged so often at most.
const PAUSE: Duration = Duration::from_secs(60);

/// The networks that were seen first have a name of their own.
#[derive(Debug, Default)]
pub struct Denials(Mutex<HashMap<Option<IpNet>, Seen>>);

#[derive(Debug, Default)]
struct Seen {
    logged: Option<Instant>,
    /// Since it was logged.
    unlogged: u64,
}

/// What to do about a denial.
#[derive(Debug, PartialEq, Eq)]
pub struct Noted {
    /// The network as metrics name it.
    pub label: String,
    /// Denials to be logged now, if it is time to.
    pub to_log: Option<u64>,
}

/// The network that denials of an address are counted under: /24, or /48 with IPv6, about
/// what one organisation has.
pub fn network_of(address: IpAddr) -> Option<IpNet> {
    let address = address.to_canonical();
    let length = if address.is_ipv4() { 24 } else { 48 };
    IpNet::new(address, length).ok().map(|net| net.trunc())
}

impl Denials {
    /// Counts one.
    pub fn note(&self, address: IpAddr, now: Instant) -> Noted {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = network_of(address);
        let key = if all.contains_key(&own) || all.len() < NETWORKS { own } else { None };
        let seen = all.entry(key).or_default();
        seen.unlogged += 1;
        let is_due = seen.logged.is_none_or(|logged| now.duration_since(logged) >= PAUSE);
        let to_log = is_due.then(|| {
            seen.logged = Some(now);
            std::mem::take(&mut seen.unlogged)
        });
        let label = key.map_or_else(|| String::from("other"), |network| network.to_string());
        Noted { label, to_log }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_network_is_logged_once_a_minute_with_all_its_denials() {
        let (denials, start) = (Denials::default(), Instant::now());
        let note = |address: &str, after: u64| {
            let noted = denials.note(address.parse().unwrap(), start + Duration::from_secs(after));
            (noted.label, noted.to_log)
        };
        let label = || String::from("198.51.7.0/24");
        assert_eq!(note("198.51.7.1", 0), (label(), Some(1)));
        assert_eq!(note("::ffff:198.51.7.2", 1), (label(), None));
        assert_eq!(note("198.51.7.3", 59), (label(), None));
        assert_eq!(note("2a00:1450:17:1::1", 59), (String::from("2a00:1450:17::/48"), Some(1)));
        assert_eq!(note("198.51.7.3", 60), (label(), Some(3)));
    }

    #[test]
    fn networks_beyond_the_bound_share_a_name() {
        let denials = Denials::default();
        let now = Instant::now();
        let mut labels = std::collections::BTreeSet::new();
        for number in 0..10_000_u32 {
            let address = std::net::Ipv4Addr::from(number << 8);
            labels.insert(denials.note(IpAddr::V4(address), now).label);
        }
        assert_eq!(labels.len(), NETWORKS + 1);
        assert!(labels.contains("other"));
    }
}
