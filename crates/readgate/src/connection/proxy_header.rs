//! The PROXY protocol, versions 1 and 2: what a TCP balancer says of the real client.
//!
//! Read only from balancers that the listener names, and from those always: a header is
//! never guessed. Pure: bytes in, header or fault out.
//!
//! <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Signature of version 2.
const V2_SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Longest version 1 line, CRLF included.
const V1_MAX: usize = 107;
/// Fixed part of version 2.
const V2_HEADER: usize = 16;
/// Longest version 2 address block believed; balancers add TLVs of some hundred bytes.
const V2_MAX: usize = 4096;

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyHeader {
    /// The balancer passes a client on.
    Client(SocketAddr),
    /// The balancer itself, such as a health check (LOCAL, or UNKNOWN in version 1).
    Local,
}

/// What looking at the first bytes led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed {
    /// A header, and its length.
    Header(ProxyHeader, usize),
    /// So far it could be one; more bytes are needed, to this length at least.
    NeedAtLeast(usize),
}

/// The bytes aren't a PROXY header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed PROXY header")]
pub struct BadHeader;

/// Reads a header from the start of `bytes`.
pub fn parse(bytes: &[u8]) -> Result<Parsed, BadHeader> {
    if bytes.is_empty() {
        return Ok(Parsed::NeedAtLeast(1));
    }
    let shared = bytes.len().min(V2_SIGNATURE.len());
    if bytes.get(..shared) == V2_SIGNATURE.get(..shared) {
        return match bytes.len() < V2_HEADER {
            true => Ok(Parsed::NeedAtLeast(V2_HEADER)),
            false => parse_v2(bytes),
        };
    }
    parse_v1(bytes)
}

fn parse_v1(bytes: &[u8]) -> Result<Parsed, BadHeader> {
    const START: &[u8] = b"PROXY ";
    let shared = bytes.len().min(START.len());
    if bytes.get(..shared) != START.get(..shared) {
        return Err(BadHeader);
    }
    let window = bytes.get(..bytes.len().min(V1_MAX)).unwrap_or(bytes);
    let Some(end) = window.windows(2).position(|pair| pair == b"\r\n") else {
        return match bytes.len() < V1_MAX {
            true => Ok(Parsed::NeedAtLeast(bytes.len() + 1)),
            false => Err(BadHeader),
        };
    };
    let line = std::str::from_utf8(window.get(..end).unwrap_or_default()).map_err(|_| BadHeader)?;
    Ok(Parsed::Header(v1_line(line)?, end + 2))
}

fn v1_line(line: &str) -> Result<ProxyHeader, BadHeader> {
    let fields: Vec<&str> = line.split(' ').collect();
    match fields.as_slice() {
        ["PROXY", "UNKNOWN", ..] => Ok(ProxyHeader::Local),
        ["PROXY", family, source, destination, port, to_port] => {
            let source: IpAddr = source.parse().map_err(|_| BadHeader)?;
            let destination: IpAddr = destination.parse().map_err(|_| BadHeader)?;
            let is_v4 = *family == "TCP4";
            if !(is_v4 || *family == "TCP6")
                || source.is_ipv4() != is_v4
                || destination.is_ipv4() != is_v4
            {
                return Err(BadHeader);
            }
            to_port.parse::<u16>().map_err(|_| BadHeader)?;
            let port = port.parse().map_err(|_| BadHeader)?;
            Ok(ProxyHeader::Client(SocketAddr::new(source, port)))
        }
        _ => Err(BadHeader),
    }
}

fn parse_v2(bytes: &[u8]) -> Result<Parsed, BadHeader> {
    let [version_command, family, high, low] =
        *bytes.get(12..).and_then(|rest| rest.first_chunk()).ok_or(BadHeader)?;
    let block_len = usize::from(u16::from_be_bytes([high, low]));
    if block_len > V2_MAX {
        return Err(BadHeader);
    }
    let total = V2_HEADER + block_len;
    let Some(block) = bytes.get(V2_HEADER..total) else {
        return Ok(Parsed::NeedAtLeast(total));
    };
    let header = match (version_command, family) {
        (0x20, _) => ProxyHeader::Local,
        (0x21, 0x11) => {
            let [a, b, c, d, _, _, _, _, p, q, _, _] =
                *block.first_chunk::<12>().ok_or(BadHeader)?;
            client(Ipv4Addr::new(a, b, c, d).into(), [p, q])
        }
        (0x21, 0x21) => {
            let source = *block.first_chunk::<16>().ok_or(BadHeader)?;
            let [p, q, _, _] = *block.get(32..).and_then(<[u8]>::first_chunk).ok_or(BadHeader)?;
            client(Ipv6Addr::from(source).into(), [p, q])
        }
        _ => return Err(BadHeader),
    };
    Ok(Parsed::Header(header, total))
}

fn client(address: IpAddr, port: [u8; 2]) -> ProxyHeader {
    ProxyHeader::Client(SocketAddr::new(address, u16::from_be_bytes(port)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let len = u16::try_from(block.len()).unwrap().to_be_bytes();
        [&V2_SIGNATURE[..], &[command, family], &len, block].concat()
    }

    #[test]
    fn version_1_names_the_client() {
        let line = b"PROXY TCP4 203.0.113.7 192.0.2.1 56324 3306\r\nrest";
        let client = ProxyHeader::Client("203.0.113.7:56324".parse().unwrap());
        assert_eq!(parse(line), Ok(Parsed::Header(client, line.len() - 4)));
        let line = b"PROXY TCP6 2001:db8::7 2001:db8::1 1 2\r\n";
        let client = ProxyHeader::Client("[2001:db8::7]:1".parse().unwrap());
        assert_eq!(parse(line), Ok(Parsed::Header(client, line.len())));
        assert_eq!(parse(b"PROXY UNKNOWN\r\n"), Ok(Parsed::Header(ProxyHeader::Local, 15)));
    }

    #[test]
    fn version_2_names_the_client_and_skips_what_it_does_not_know() {
        let block = [203, 0, 113, 7, 192, 0, 2, 1, 0xdc, 0x04, 0x0c, 0xea, 0x04, 0, 1, 9];
        let header = v2(0x21, 0x11, &block);
        let client = ProxyHeader::Client("203.0.113.7:56324".parse().unwrap());
        assert_eq!(parse(&header), Ok(Parsed::Header(client, header.len())));
        let health_check = v2(0x20, 0x00, &[]);
        assert_eq!(parse(&health_check), Ok(Parsed::Header(ProxyHeader::Local, 16)));
    }

    #[test]
    fn every_start_of_a_header_asks_for_more() {
        let v1 = b"PROXY TCP4 203.0.113.7 192.0.2.1 56324 3306\r\n".to_vec();
        let unknown = b"PROXY UNKNOWN\r\n".to_vec();
        for whole in [v1, unknown, v2(0x21, 0x11, &[0; 12]), v2(0x20, 0, &[])] {
            for cut in 0..whole.len() {
                // Never asks for more than a whole header has: it might wait for ever.
                let Ok(Parsed::NeedAtLeast(len)) = parse(&whole[..cut]) else {
                    panic!("cut at {cut}")
                };
                assert!(len > cut && len <= whole.len(), "cut at {cut} asks for {len}");
            }
        }
    }

    #[test]
    fn what_is_not_a_header_is_refused() {
        let too_long = [b"PROXY TCP4 ".to_vec(), vec![b'1'; 200]].concat();
        for bad in [
            &b"\x20\0\0\x01"[..],
            b"GET / HTTP/1.1\r\n",
            b"PROXY TCP4 2001:db8::7 192.0.2.1 1 2\r\n",
            b"PROXY TCP4 203.0.113.7 192.0.2.1 99999 2\r\n",
            b"PROXY TCP4 203.0.113.7 192.0.2.1 1\r\n",
            &too_long,
            &v2(0x22, 0x11, &[0; 12]),
            &v2(0x21, 0x11, &[0; 8]),
            &v2(0x21, 0x11, &[0; 11]),
            &v2(0x21, 0x21, &[0; 35]),
            &v2(0x21, 0x31, &[0; 216]),
        ] {
            assert_eq!(parse(bad), Err(BadHeader), "{bad:?}");
        }
    }
}
