//! The first question to a connection: may anyone come in from this address?
//!
//! Guarantees that [`SourceAdmitted`] exists only for an address that a listed network,
//! valid on that day, holds. No network, no admission; an empty list lets nobody in.
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::{Date, network};

/// One source: an organisation's static networks, and why they are listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceEntry {
    /// Name that listeners, roles and users refer to. Unique.
    pub name: String,
    /// Its networks, in canonical form ([`network::canonical`]).
    pub networks: Vec<IpNet>,
    /// Who answers for the entry.
    pub owner: String,
    /// Why it is listed.
    pub reason: String,
    /// Reference of the request that asked for it.
    pub ticket: Option<String>,
    /// First day on which it counts; `None`: always has.
    pub added_on: Option<Date>,
    /// Last day on which it counts; `None`: no end.
    pub expires_on: Option<Date>,
}

impl SourceEntry {
    /// Whether the entry counts on that day. Both its first and its last day do.
    pub fn is_valid_on(&self, day: Date) -> bool {
        self.added_on.is_none_or(|first| first <= day)
            && self.expires_on.is_none_or(|last| day <= last)
    }
}

/// The names of the entries that a listener, a role or a user accepts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceSet(HashSet<String>);

impl SourceSet {
    /// Whether the entry of that name is accepted.
    pub fn accepts(&self, entry: &str) -> bool {
        self.0.contains(entry)
    }

    /// The names, sorted.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.0.iter().map(String::as_str).collect();
        names.sort_unstable();
        names
    }
}

impl<S: Into<String>> FromIterator<S> for SourceSet {
    fn from_iter<I: IntoIterator<Item = S>>(names: I) -> Self {
        Self(names.into_iter().map(Into::into).collect())
    }
}

/// All listed networks, searched by longest prefix. A search costs one hash lookup for
/// each prefix length in use, however many networks there are.
#[derive(Debug, Clone, Default)]
pub struct SourceNetworks {
    entries: Vec<Arc<SourceEntry>>,
    v4: Family,
    v6: Family,
}

/// The networks of one address family: for each prefix length (the outer key, counted
/// from the longest) the network bits and where they are listed.
type Family = BTreeMap<std::cmp::Reverse<u8>, HashMap<u128, Vec<Place>>>;

/// Of a network in the list: its entry, and its place there.
type Place = (usize, usize);

impl SourceNetworks {
    /// Indexes the entries. Networks that are not canonical are made so.
    pub fn new(entries: impl IntoIterator<Item = SourceEntry>) -> Self {
        let mut index = Self::default();
        for entry in entries {
            let id = index.entries.len();
            for (place, net) in entry.networks.iter().enumerate() {
                let net = network::canonical(*net);
                let (family, bits) = index.family_mut(net.network());
                let networks = family.entry(std::cmp::Reverse(net.prefix_len())).or_default();
                networks.entry(bits).or_insert_with(Vec::new).push((id, place));
            }
            index.entries.push(Arc::new(entry));
        }
        index
    }

    /// Whether a client may come in from `addr` on that day, by one of the entries in
    /// `accepted`. The only place where a [`SourceAdmitted`] is made.
    ///
    /// `addr` may be an IPv4-mapped IPv6 address, as a dual-stack socket reports it; it
    /// is then the IPv4 address, and no IPv6 network holds it, not even `::/0`.
    pub fn admit(
        &self,
        accepted: &SourceSet,
        addr: IpAddr,
        today: Date,
    ) -> Result<SourceAdmitted, SourceDenied> {
        let addr = addr.to_canonical();
        let mut denied = SourceDenied { addr, cause: SourceDenyCause::NotListed };
        for entry in self.holding(addr).filter(|entry| accepted.accepts(&entry.name)) {
            if entry.is_valid_on(today) {
                return Ok(SourceAdmitted { addr, entry: Arc::clone(entry) });
            }
            if denied.cause == SourceDenyCause::NotListed {
                denied.cause = SourceDenyCause::OutOfDate { entry: entry.name.clone() };
            }
        }
        Err(denied)
    }

    /// The entries that hold this address on any day, longest prefix first.
    pub fn holding(&self, addr: IpAddr) -> impl Iterator<Item = &Arc<SourceEntry>> {
        let (family, width, bits) = self.family(addr.to_canonical());
        family
            .iter()
            .filter_map(move |(len, networks)| networks.get(&masked(bits, width, len.0)))
            .flatten()
            .filter_map(|(entry, _)| self.entries.get(*entry))
    }

    /// All entries, in the order they were listed.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = &Arc<SourceEntry>> {
        self.entries.iter()
    }

    /// The entry of that name.
    pub fn entry(&self, name: &str) -> Option<&Arc<SourceEntry>> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    /// The networks that other listed networks hold already: for each the narrowest of
    /// those, and of equal ones only the later.
    pub fn overlaps(&self) -> impl Iterator<Item = Overlap> {
        self.entries.iter().enumerate().flat_map(move |(entry, of)| {
            let networks = of.networks.iter().enumerate();
            networks.filter_map(move |(network, net)| self.overlap_of(entry, network, *net))
        })
    }

    fn overlap_of(&self, entry: usize, network: usize, net: IpNet) -> Option<Overlap> {
        let inner = network::canonical(net);
        let (family, width, bits) = self.family(inner.network());
        let wider_or_equal = family.iter().filter(|(len, _)| len.0 <= inner.prefix_len());
        wider_or_equal.into_iter().find_map(|(len, networks)| {
            let first = networks.get(&masked(bits, width, len.0))?.first()?;
            let other = len.0 < inner.prefix_len() || *first < (entry, network);
            let outer = IpNet::new(inner.network(), len.0).ok()?.trunc();
            other.then_some(Overlap { entry, network, inner, outer_entry: first.0, outer })
        })
    }

    fn family(&self, addr: IpAddr) -> (&Family, u8, u128) {
        match addr {
            IpAddr::V4(v4) => (&self.v4, 32, u128::from(v4.to_bits())),
            IpAddr::V6(v6) => (&self.v6, 128, v6.to_bits()),
        }
    }

    fn family_mut(&mut self, network: IpAddr) -> (&mut Family, u128) {
        match network {
            IpAddr::V4(v4) => (&mut self.v4, u128::from(v4.to_bits())),
            IpAddr::V6(v6) => (&mut self.v6, v6.to_bits()),
        }
    }
}

/// The bits of a network of that prefix length, out of an address of that width.
fn masked(bits: u128, width: u8, prefix_len: u8) -> u128 {
    // A shift by the whole width, for prefix length 0 of IPv6, leaves nothing.
    bits & u128::MAX.checked_shl(u32::from(width.saturating_sub(prefix_len))).unwrap_or(0)
}

/// A listed network within another listed one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overlap {
    /// Place of its entry in the list.
    pub entry: usize,
    /// Its place in that entry.
    pub network: usize,
    /// The network.
    pub inner: IpNet,
    /// Place of the entry that holds it already.
    pub outer_entry: usize,
    /// The network that holds it, or is the same.
    pub outer: IpNet,
}

/// Permit: a client may speak to this listener from this address. Made by
/// [`SourceNetworks::admit`] alone.
#[derive(Debug, Clone)]
pub struct SourceAdmitted {
    addr: IpAddr,
    entry: Arc<SourceEntry>,
}

impl SourceAdmitted {
    /// The address, never IPv4-mapped.
    pub fn addr(&self) -> IpAddr {
        self.addr
    }

    /// The entry that let it in: of the longest prefix among the valid ones.
    pub fn entry(&self) -> &SourceEntry {
        &self.entry
    }
}

/// An address that nobody may come in from. Prints the reason for the ledger.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{cause}")]
pub struct SourceDenied {
    /// The address, never IPv4-mapped.
    pub addr: IpAddr,
    /// Why.
    pub cause: SourceDenyCause,
}

/// Why an address was denied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceDenyCause {
    /// No accepted entry has a network that holds it.
    #[error("source not listed")]
    NotListed,
    /// An accepted entry holds it, but not today.
    #[error("source {entry:?} is not valid today")]
    OutOfDate {
        /// Name of the entry.
        entry: String,
    },
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;
