//! What clients said and heard, to be held against the ledger.

use std::fmt;

use readgate_tests::raw::ServerError;
use serde_json::Value;

/// How tags begin.
pub(crate) const TAG: &str = "soak-";

/// The tag that a text begins with.
pub(crate) fn tag_at(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
    &text[..end.unwrap_or(text.len())]
}

/// A statement that a client sent, with a tag in it that no other one has.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) tag: String,
    /// Whose session it was.
    pub(crate) user: String,
    /// What its record must hold, where that is looked at.
    pub(crate) text: Option<Text>,
    /// The judge must not let it through.
    pub(crate) is_write: bool,
    /// Something of its answer came.
    pub(crate) is_begun: bool,
    pub(crate) end: Option<End>,
}

/// A text as it was sent.
pub(crate) enum Text {
    Whole(Vec<u8>),
    /// The length of one that no record holds whole.
    Long(usize),
}

/// Longer texts are cut in their records.
const LONGEST_KEPT: usize = 64 << 10;

impl Text {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        if bytes.len() > LONGEST_KEPT {
            Self::Long(bytes.len())
        } else {
            Self::Whole(bytes.to_vec())
        }
    }

    /// Whether it stands so in that record.
    pub(crate) fn is_in(&self, record: &Value) -> bool {
        match self {
            Self::Long(length) => record["text_bytes"] == *length,
            Self::Whole(bytes) => text_of(record).as_deref() == Some(bytes),
        }
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Long(length) => write!(f, "{length} bytes"),
            Self::Whole(bytes) => write!(f, "\"{}\"", bytes.escape_ascii()),
        }
    }
}

/// The bytes of the statement in a record.
pub(crate) fn text_of(record: &Value) -> Option<Vec<u8>> {
    match (record["text"].as_str(), record["text_b64"].as_str()) {
        (Some(text), None) => Some(text.as_bytes().to_vec()),
        (None, Some(coded)) => Some(from_base64(coded)),
        (_, _) => None,
    }
}

/// As records hold bytes that are no text (RFC 4648).
fn from_base64(coded: &str) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = coded.bytes().filter_map(|byte| DIGITS.iter().position(|digit| *digit == byte));
    let (mut bytes, mut bits) = (Vec::new(), (0, 0));
    for digit in digits {
        bits = (bits.0 << 6 | digit, bits.1 + 6);
        if bits.1 >= 8 {
            bits.1 -= 8;
            bytes.push(u8::try_from(bits.0 >> bits.1).expect("one byte"));
            bits.0 &= (1 << bits.1) - 1;
        }
    }
    bytes
}

/// How an answer ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    Rows(usize),
    /// The replica's error.
    Error(u16),
    /// An error of readgate's own.
    Refused,
    /// The session was over before, and its end said so.
    SentAway,
    /// The session was killed meanwhile.
    Killed,
    /// The client went.
    Left,
}

/// ER_SERVER_SHUTDOWN, as a daemon that stops says between two commands.
const SHUTDOWN: u16 = 1053;

impl End {
    /// By which error an answer ended.
    pub(crate) fn by(error: &ServerError) -> Self {
        match error {
            error if error.code == SHUTDOWN => Self::SentAway,
            error if error.message.starts_with("readgate: ") => Self::Refused,
            error => Self::Error(error.code),
        }
    }
}

/// A KILL that was answered OK.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Kill {
    /// Who gave it.
    pub(crate) user: String,
    pub(crate) target: u64,
    pub(crate) query_only: bool,
}

/// All of a round.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) said: Vec<Said>,
    pub(crate) kills: Vec<Kill>,
}

impl Told {
    pub(crate) fn of_all(parts: impl Iterator<Item = Self>) -> Self {
        let mut all = Self::default();
        for part in parts {
            all.said.extend(part.said);
            all.kills.extend(part.kills);
        }
        all
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} statements, {} kills", self.said.len(), self.kills.len())
    }
}
