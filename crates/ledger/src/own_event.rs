//! Records that the ledger makes about itself.

use serde::Serialize;

use crate::entry::Kind;
use crate::json;
use crate::keys::Rotation;
use crate::shared::{Class, Shared};

/// What the ledger has to say about itself.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum OwnEvent<'a> {
    /// What the start found after an end that wasn't orderly.
    Recovered {
        /// Whether the last end was orderly.
        clean: bool,
        /// Records brought from the journal into the files.
        records: u64,
        /// The newest file whose end was torn, if so.
        torn: Option<Torn>,
        /// A file whose newest whole line isn't one of ours, if so: left as it is.
        damaged_file: Option<String>,
    },
    /// The chain's head, signed; the ledger thread completes it.
    Checkpoint {
        /// `count`, `time`, `rotation` or `close`.
        why: &'a str,
        /// Records before this one.
        records: u64,
        /// As in the newest record that names one.
        #[serde(skip_serializing_if = "Option::is_none")]
        kept_sha256: Option<&'a str>,
    },
    /// Another key signs from here on.
    KeyRotated {
        #[serde(flatten)]
        rotation: &'a Rotation,
    },
    /// Records that were lost (in a power cut): this one stands for all of them.
    Gap {
        /// Sequence of the last lost one.
        lost_to: u64,
    },
    /// A ledger file isn't as it was left.
    LedgerTrouble { what: &'a str, file: &'a str },
    /// The ledger can't be written; written once it can.
    LedgerFailed { reason: &'a str },
    /// Writing works again.
    LedgerResumed { reason: &'a str, failed_for_us: u64, refused: u64 },
    /// Somebody is about to read the ledger.
    Reading {
        by: &'a str,
        uid: u32,
        /// Of who has logged in on the machine, if that is another.
        #[serde(skip_serializing_if = "Option::is_none")]
        login_uid: Option<u32>,
        what: &'a str,
        read_at: &'a str,
    },
    /// A closed file has become this one.
    Archived {
        file: &'a str,
        bytes: u64,
        /// Of an encrypted one.
        #[serde(skip_serializing_if = "Option::is_none")]
        sha256: Option<&'a str>,
    },
    /// A file was removed because it is as old as files are kept.
    Retired { file: &'a str, first: u64, last: u64, head: &'a str },
    /// The wall clock moved against the monotonic one.
    ClockStep { step_us: i64 },
}

/// The bytes after the last line feed of a file, taken off it.
#[derive(Debug, Serialize)]
pub(crate) struct Torn {
    pub(crate) file: String,
    pub(crate) bytes: usize,
    pub(crate) sha256: String,
    /// The bytes, at most 4 KiB of them.
    pub(crate) start_b64: String,
}

impl OwnEvent<'_> {
    /// The members of the record.
    pub(crate) fn members(&self) -> Vec<u8> {
        let mut members = Vec::new();
        // Strings and numbers always serialise.
        let _ = json::push_members(&mut members, self);
        members
    }

    /// Adds the record to the journal. Its room is kept; if that is full of such notes
    /// already, they tell enough; false then.
    pub(crate) fn note(&self, shared: &Shared) -> bool {
        let kind = match self {
            Self::Checkpoint { why: "rotation", .. } => Kind::LastOfFile,
            Self::Checkpoint { .. } => Kind::Checkpoint,
            Self::Recovered { .. }
            | Self::KeyRotated { .. }
            | Self::Gap { .. }
            | Self::LedgerTrouble { .. }
            | Self::LedgerFailed { .. }
            | Self::LedgerResumed { .. }
            | Self::Reading { .. }
            | Self::Archived { .. }
            | Self::Retired { .. }
            | Self::ClockStep { .. } => Kind::Record,
        };
        shared.append(Class::Own, kind, &self.members()).is_ok()
    }
}
