//! Networks as people write them, and the ranges that no outside client can truly
//! come from. Guarantees that a network has no stray host bits and that one IPv4
//! address has one form only.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Why a text is not a network that can be listed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// Neither an address nor an address with a prefix length.
    #[error("not a network")]
    Malformed,
    /// Bits are set behind the prefix: either the prefix or the address is wrong.
    #[error("the address has bits set beyond its prefix")]
    HostBits {
        /// The network that the prefix would mean.
        network: IpNet,
        /// The single address that may have been meant.
        host: IpNet,
    },
}

/// Reads `203.0.113.0/24`, `2001:db8::/32` or a single address. A network of
/// IPv4-mapped addresses (`::ffff:203.0.113.0/120`) becomes the IPv4 network.
pub fn parse(text: &str) -> Result<IpNet, NetworkError> {
    let net = written(text).ok_or(NetworkError::Malformed)?;
    if net.addr() != net.network() {
        return Err(NetworkError::HostBits { network: net.trunc(), host: IpNet::from(net.addr()) });
    }
    Ok(canonical(net))
}

/// `IpNet`'s own reading takes leading zeros, which others read as octal: `010.0.0.0/8` is
/// 8.0.0.0/8 to them.
fn written(text: &str) -> Option<IpNet> {
    let Some((addr, length)) = text.split_once('/') else {
        return text.parse::<IpAddr>().ok().map(IpNet::from);
    };
    let prefix = length.parse::<u8>().ok().filter(|prefix| prefix.to_string() == length)?;
    IpNet::new(addr.parse().ok()?, prefix).ok()
}

/// The one form of a network: IPv4-mapped IPv6 becomes IPv4, host bits are cut.
pub fn canonical(net: IpNet) -> IpNet {
    let IpNet::V6(v6) = net.trunc() else {
        return net.trunc();
    };
    let mapped = v6.network().to_ipv4_mapped();
    match (mapped, v6.prefix_len().checked_sub(96)) {
        (Some(addr), Some(len)) => Ipv4Net::new(addr, len).map_or(net, IpNet::V4),
        (None, _) | (_, None) => IpNet::V6(v6),
    }
}

/// Why a network can't be the static address of an organisation on the internet:
/// the name of the special range it shares addresses with, if any.
///
/// Ranges from the IANA special-purpose registries (RFC 6890 and its updates).
pub fn special_range(net: &IpNet) -> Option<&'static str> {
    let shares = |range: &IpNet| range.contains(net) || net.contains(range);
    let v4 = V4_RANGES.iter().map(|&([a, b, c, d], len, what)| {
        (Ipv4Net::new(Ipv4Addr::new(a, b, c, d), len).map(IpNet::V4), what)
    });
    let v6 = V6_RANGES.iter().map(|&(segments, len, what)| {
        (Ipv6Net::new(Ipv6Addr::from(segments), len).map(IpNet::V6), what)
    });
    v4.chain(v6).find_map(|(range, what)| match range {
        Ok(range) if shares(&range) => Some(what),
        Ok(_) | Err(_) => None,
    })
}

const V4_RANGES: &[([u8; 4], u8, &str)] = &[
    ([10, 0, 0, 0], 8, "private"),
    ([172, 16, 0, 0], 12, "private"),
    ([192, 168, 0, 0], 16, "private"),
    ([127, 0, 0, 0], 8, "loopback"),
    ([169, 254, 0, 0], 16, "link-local"),
    ([100, 64, 0, 0], 10, "carrier-grade NAT"),
    ([224, 0, 0, 0], 4, "multicast"),
    ([192, 0, 2, 0], 24, "documentation"),
    ([198, 51, 100, 0], 24, "documentation"),
    ([203, 0, 113, 0], 24, "documentation"),
    ([198, 18, 0, 0], 15, "benchmarking"),
    ([192, 0, 0, 0], 24, "protocol assignments"),
    ([0, 0, 0, 0], 8, "\"this network\""),
    ([240, 0, 0, 0], 4, "reserved"),
];

const V6_RANGES: &[([u16; 8], u8, &str)] = &[
    ([0, 0, 0, 0, 0, 0, 0, 1], 128, "loopback"),
    ([0, 0, 0, 0, 0, 0, 0, 0], 128, "unspecified"),
    ([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, "private (unique local)"),
    ([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, "link-local"),
    ([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, "site-local"),
    ([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, "multicast"),
    ([0x2001, 0x0db8, 0, 0, 0, 0, 0, 0], 32, "documentation"),
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, "documentation"),
    ([0x0064, 0xff9b, 1, 0, 0, 0, 0, 0], 48, "private (local NAT64)"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_networks_and_single_addresses() {
        for (text, expected) in [
            ("198.51.7.0/24", "198.51.7.0/24"),
            ("198.51.7.9", "198.51.7.9/32"),
            ("2a00:1450::/32", "2a00:1450::/32"),
            ("2a00:1450::1", "2a00:1450::1/128"),
            ("::ffff:198.51.7.0/120", "198.51.7.0/24"),
            ("::ffff:198.51.7.9", "198.51.7.9/32"),
            ("::ffff:0:0/96", "0.0.0.0/0"),
            ("::ffff:0:0/95", "::fffe:0:0/95"),
            ("::/0", "::/0"),
        ] {
            match parse(text) {
                Ok(net) => assert_eq!(net.to_string(), expected, "{text}"),
                Err(NetworkError::HostBits { network, .. }) => {
                    assert_eq!(network.to_string(), expected, "{text}");
                }
                Err(error) => panic!("{text}: {error}"),
            }
        }
    }

    #[test]
    fn refuses_host_bits_and_says_both_readings() {
        assert_eq!(
            parse("10.1.2.3/8"),
            Err(NetworkError::HostBits {
                network: "10.0.0.0/8".parse().unwrap(),
                host: "10.1.2.3/32".parse().unwrap(),
            })
        );
    }

    #[test]
    fn refuses_what_is_no_network() {
        for text in [
            "",
            "10.0.0.0/33",
            "10.0.0/8",
            "host.example",
            "10.0.0.0/-1",
            "10.0.0.0/",
            "10.0.0.0/8/8",
            "::/129",
            "1.2.3.4/ 8",
        ] {
            assert_eq!(parse(text), Err(NetworkError::Malformed), "{text}");
        }
    }

    #[test]
    fn refuses_leading_zeros_which_may_mean_octal() {
        for text in ["010.0.0.0/8", "192.168.010.0/24", "010.0.0.1", "10.0.0.0/08", "10.0.0.0/+8"] {
            assert_eq!(parse(text), Err(NetworkError::Malformed), "{text}");
        }
    }

    #[test]
    fn names_the_special_range_of_a_network() {
        for (net, expected) in [
            ("10.20.0.0/16", Some("private")),
            ("172.31.255.255/32", Some("private")),
            ("172.32.0.0/16", None),
            ("100.127.0.0/16", Some("carrier-grade NAT")),
            ("100.128.0.0/16", None),
            ("169.254.1.1/32", Some("link-local")),
            ("8.0.0.0/6", Some("private")),
            ("224.0.0.1/32", Some("multicast")),
            ("192.0.2.1/32", Some("documentation")),
            ("8.8.8.0/24", None),
            ("::1/128", Some("loopback")),
            ("fd12::/16", Some("private (unique local)")),
            ("fe80::1/128", Some("link-local")),
            ("2001:db8:1::/48", Some("documentation")),
            ("2a00::/16", None),
            ("255.255.255.255/32", Some("reserved")),
        ] {
            assert_eq!(special_range(&net.parse().unwrap()), expected, "{net}");
        }
    }
}
