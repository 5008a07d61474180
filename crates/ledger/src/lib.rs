//! The audit ledger: evidence of who read what.
//!
//! One JSON object a line, one monotonic sequence per node, a SHA-256 chain over the
//! exact bytes, signed checkpoints. A record counts as *recorded* when it is in the
//! kernel's hands: it survives `kill -9` of the daemon. No async runtime in here; waits
//! are plain [`std::future::Future`]s that any runtime can poll.
//!
//! A record's way, and the files in reading order: [`Ledger`] takes it ([`ledger`]),
//! encodes it ([`encode`], [`json`]), puts it into the journal under one short lock
//! ([`shared`], [`journal`], [`map`]) and hands back a [`Recording`] ([`recording`]). The
//! ledger thread ([`writer`]) turns journal entries into chained lines ([`line`]) of the
//! ledger files ([`files`]). At start, what a killed daemon left in the journal is
//! brought into the files first ([`recovery`]).

mod encode;
mod fault;
mod files;
mod journal;
mod json;
mod ledger;
mod line;
mod map;
mod record;
mod recording;
mod recovery;
mod settings;
mod shared;
mod writer;

pub use fault::{LedgerError, LedgerFault};
pub use ledger::{Ledger, WhoTag};
pub use record::{Bind, Event, Intent, Outcome, PreparedRef, Refusal, ReplicaError, Who};
pub use recording::{IntentRecorded, Recording};
pub use settings::{LedgerSettings, SyncPolicy};
pub use shared::LedgerHealth;
