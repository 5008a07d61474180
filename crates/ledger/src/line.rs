//! The exact form of a ledger line, and the chain over them.
//!
//! `{"v":2,"seq":N,"time":"...","node":"...",` then the record's own members, then
//! `,"prev":"<64 hex>"}` and a line feed. Lines of version 1 begin with a 1 and name the build
//! behind the node; here only checkpoints do. `prev` is the SHA-256 of the
//! line before, without its line feed; the first line of a node names SHA-256 of
//! `readgate ledger 1 ` and the node's name. So `head -n1 FILE | tr -d '\n' | sha256sum`
//! gives what the second line must name.

use jiff::Timestamp;
use ring::digest::{SHA256, digest};

use crate::checkpoint;
use crate::entry::{Entry, Kind};
use crate::json;
use crate::keys::SigningKey;

/// A line's SHA-256.
pub(crate) type Hash = [u8; 32];

/// Bytes of `,"prev":"<64 hex>"}`.
pub(crate) const SUFFIX: usize = 9 + 64 + 2;

/// What the first line of a node's ledger names as `prev`.
pub(crate) fn genesis(node: &str) -> Hash {
    sha256(format!("readgate ledger 1 {node}").as_bytes())
}

/// Composes lines, each naming the one before, and signs checkpoints.
pub(crate) struct Chain {
    head: Hash,
    /// The member of the node, the same in each line.
    node: Vec<u8>,
    /// The member of the build.
    build: Vec<u8>,
    stamp: Stamp,
    key: SigningKey,
}

impl Chain {
    pub(crate) fn new(node: &str, build: &str, head: Hash, key: SigningKey) -> Self {
        let member = |name: &str, value: &str| {
            let mut member = Vec::new();
            json::push_bytes(&mut member, name, value.as_bytes());
            member.push(b',');
            member
        };
        let (node, build) = (member("node", node), member("build", build));
        Self { head, node, build, stamp: Stamp::default(), key }
    }

    /// The key that signs.
    pub(crate) fn key(&self) -> &SigningKey {
        &self.key
    }

    /// Appends an entry's line to `out` and moves the head on to it.
    pub(crate) fn push(&mut self, out: &mut Vec<u8>, entry: &Entry<'_>) {
        let start = out.len();
        out.extend_from_slice(b"{\"v\":2,\"seq\":");
        json::push_digits(out, entry.sequence);
        out.extend_from_slice(b",\"time\":\"");
        self.stamp.push(out, entry.time);
        out.extend_from_slice(b"\",");
        out.extend_from_slice(&self.node);
        if entry.kind != Kind::Record {
            out.extend_from_slice(&self.build);
        }
        out.extend_from_slice(entry.body);
        if entry.kind != Kind::Record {
            checkpoint::push_signature(out, start, &self.head, &self.key);
        }
        out.extend_from_slice(b",\"prev\":\"");
        out.extend_from_slice(hex_of(&self.head).as_flattened());
        out.extend_from_slice(b"\"}");
        self.head = sha256(out.get(start..).unwrap_or_default());
        out.push(b'\n');
    }
}

/// What lines are made in. Those of version 1 are read as well.
const VERSION: u32 = 2;

/// What can be read of a line without parsing it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) sequence: u64,
    pub(crate) prev: Hash,
}

impl Frame {
    /// Reads the fixed parts of a line (without its line feed). `None`: not of our form.
    pub(crate) fn read(line: &[u8]) -> Option<Self> {
        let rest = line.strip_prefix(b"{\"v\":")?;
        let rest = rest.strip_prefix(b"2").or_else(|| rest.strip_prefix(b"1"))?;
        let rest = rest.strip_prefix(b",\"seq\":")?;
        let mut sequence = 0_u64;
        let mut digits = 0;
        for byte in rest.iter().take_while(|byte| byte.is_ascii_digit()) {
            sequence = sequence.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?;
            digits += 1;
        }
        rest.get(digits..)?.starts_with(b",\"time\":\"").then_some(())?;
        let suffix = line.get(line.len().checked_sub(SUFFIX)?..)?;
        let hex = suffix.strip_prefix(b",\"prev\":\"")?.strip_suffix(b"\"}")?;
        (digits > 0 && sequence > 0).then_some(Self { sequence, prev: from_hex(hex)? })
    }
}

/// The version that a line names, if a later program than this made it.
pub(crate) fn later_version(line: &[u8]) -> Option<u32> {
    let rest = line.strip_prefix(b"{\"v\":")?;
    let end = memchr::memmem::find(rest, b",\"seq\":")?;
    let version = std::str::from_utf8(rest.get(..end)?).ok()?.parse().ok()?;
    (version > VERSION).then_some(version)
}

pub(crate) fn sha256(bytes: &[u8]) -> Hash {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}

/// The two digits of each byte.
#[allow(
    clippy::indexing_slicing,
    reason = "computed while compiling: out of range would not build"
)]
const DIGITS: [[u8; 2]; 256] = {
    let hex = *b"0123456789abcdef";
    let mut digits = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        digits[byte] = [hex[byte >> 4], hex[byte & 15]];
        byte += 1;
    }
    digits
};

/// The digits of a hash.
fn hex_of(hash: &Hash) -> [[u8; 2]; 32] {
    hash.map(|byte| *DIGITS.get(usize::from(byte)).unwrap_or(b"??"))
}

pub(crate) fn push_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    let start = out.len();
    out.resize(start + 2 * bytes.len(), b'?');
    let (pairs, _) = out.get_mut(start..).unwrap_or_default().as_chunks_mut::<2>();
    for (pair, byte) in pairs.iter_mut().zip(bytes) {
        *pair = *DIGITS.get(usize::from(*byte)).unwrap_or(b"??");
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut out = Vec::with_capacity(bytes.len() * 2);
    push_hex(&mut out, bytes);
    String::from_utf8_lossy(&out).into_owned()
}

/// Lower-case hex of exactly `N` bytes.
pub(crate) fn from_hex<const N: usize>(hex: &[u8]) -> Option<[u8; N]> {
    let (pairs, rest) = hex.as_chunks();
    let pairs: &[[u8; 2]; N] = pairs.try_into().ok().filter(|_| rest.is_empty())?;
    // Loops without a way out: the compiler takes many digits at once.
    let is_hex = pairs.as_flattened().iter().fold(true, |all, digit| all & is_digit(*digit));
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(pairs) {
        // A letter's low four bits are nine below its value, and bit 6 is set.
        let pair = u16::from_le_bytes(*pair);
        let values = (pair & 0x0f0f) + 9 * (pair >> 6 & 0x0101);
        [*byte, _] = (values << 4 | values >> 8).to_le_bytes();
    }
    is_hex.then_some(bytes)
}

fn is_digit(hex: u8) -> bool {
    hex.wrapping_sub(b'0') < 10 || hex.wrapping_sub(b'a') < 6
}

/// Formats stamps as `2026-01-31T23:59:59.000001Z`, keeping the text of the last second.
#[derive(Default)]
pub(crate) struct Stamp {
    second: u64,
    text: String,
}

impl Stamp {
    pub(crate) fn push(&mut self, out: &mut Vec<u8>, micros: u64) {
        let second = micros / 1_000_000;
        if self.text.is_empty() || self.second != second {
            self.second = second;
            self.text = second_text(second);
        }
        out.extend_from_slice(self.text.as_bytes());
        let of_second = micros % 1_000_000;
        let [a, b] = json::two_digits(of_second / 10_000);
        let [c, d] = json::two_digits(of_second / 100 % 100);
        let [e, f] = json::two_digits(of_second % 100);
        out.extend_from_slice(&[b'.', a, b, c, d, e, f, b'Z']);
    }
}

/// Microseconds since 1970 of a stamp as records have it.
pub(crate) fn micros_of(stamp: &str) -> Option<u64> {
    let moment: Timestamp = stamp.parse().ok()?;
    moment.as_microsecond().try_into().ok()
}

/// `2026-01-31T23:59:59` of seconds since 1970.
fn second_text(seconds: u64) -> String {
    let moment = i64::try_from(seconds).ok().and_then(|second| Timestamp::from_second(second).ok());
    moment.unwrap_or(Timestamp::MAX).strftime("%Y-%m-%dT%H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::Checkpoint;

    #[test]
    fn lines_name_the_one_before_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let key = SigningKey::read_or_make(&folder.path().join("k")).unwrap();
        let mut chain = Chain::new("n\"1", "0.1", genesis("n\"1"), key);
        let mut out = Vec::new();
        let record = Kind::Record;
        chain
            .push(&mut out, &Entry { sequence: 1, time: 0, kind: record, body: br#""event":"a""# });
        let kind = Kind::Checkpoint;
        chain.push(
            &mut out,
            &Entry { sequence: 2, time: 1, kind, body: br#""event":"checkpoint""# },
        );
        let lines: Vec<&[u8]> = out.split(|b| *b == b'\n').collect();
        assert_eq!(Frame::read(lines[0]).unwrap(), Frame { sequence: 1, prev: genesis("n\"1") });
        assert_eq!(Frame::read(lines[1]).unwrap(), Frame { sequence: 2, prev: sha256(lines[0]) });
        assert_eq!(chain.head, sha256(lines[1]));
        assert!(Checkpoint::read(lines[0]).is_none());
        assert!(Checkpoint::read(lines[1]).unwrap().holds());
        let value: serde_json::Value = serde_json::from_slice(lines[1]).unwrap();
        assert_eq!(value["node"], "n\"1");
        assert_eq!(value["time"], "1970-01-01T00:00:00.000001Z");
    }

    #[test]
    fn stamps_read_back() {
        // Ends and beginnings of months and years, leap days, today.
        for seconds in [0, 68_169_600, 951_782_400, 951_868_799, 951_868_800, 1_798_761_599] {
            for micros in [seconds * 1_000_000, seconds * 1_000_000 + 999_999] {
                let mut stamp = Vec::new();
                Stamp::default().push(&mut stamp, micros);
                assert_eq!(micros_of(std::str::from_utf8(&stamp).unwrap()), Some(micros));
            }
        }
        assert_eq!(micros_of(""), None);
        assert_eq!(micros_of("0000-00-00T00:00:00.000000Z"), None);
    }

    #[test]
    fn hex_reads_back_and_nothing_else_is_hex() {
        for byte in 0..=255_u8 {
            let four = [byte, 0, !byte, 0x5a];
            assert_eq!(from_hex::<4>(hex(&four).as_bytes()), Some(four));
            let is_digit = matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            for at in 0..8 {
                let mut text = *b"09afa90f";
                text[at] = byte;
                assert_eq!(from_hex::<4>(&text).is_some(), is_digit, "{byte} at {at}");
            }
        }
        assert_eq!(from_hex::<4>(b"0011223"), None);
        assert_eq!(from_hex::<4>(b"001122334"), None);
    }

    #[test]
    fn stamps_agree_with_the_calendar() {
        for (seconds, text) in [
            (951_782_399, "2000-02-28T23:59:59"),
            (951_782_400, "2000-02-29T00:00:00"),
            (951_868_800, "2000-03-01T00:00:00"),
            (1_735_689_599, "2024-12-31T23:59:59"),
            (4_107_542_400, "2100-03-01T00:00:00"),
        ] {
            assert_eq!(second_text(seconds), text);
        }
    }
}
