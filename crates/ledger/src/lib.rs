//! The audit ledger: evidence of who read what.
//!
//! One JSON object a line, one monotonic sequence per node, a SHA-256 chain over the
//! exact bytes, signed checkpoints. A record counts as *recorded* when it is in the
//! kernel's hands: it survives `kill -9` of the daemon. No async runtime in here; waits
//! are plain [`std::future::Future`]s that any runtime can poll.
//!
//! A record's way, and the files in reading order: [`Ledger`] takes it ([`ledger`]), encodes it
//! ([`tag`], [`encode`], [`redact`], [`mask`], [`bind`], [`json`]; a text that is like
//! an earlier one, by [`alike`]), puts it into the journal under one short lock ([`shared`],
//! [`journal`], [`mod@entry`], [`map`]) and hands back a [`Recording`] ([`recording`]). The ledger
//! thread ([`writer`], [`batch`]) turns journal entries into chained lines ([`mod@line`]) of the ledger
//! files ([`files`]) and forces them to the disk in time ([`pace`]); signed checkpoints
//! ([`checkpoint`], [`keys`]) get their copies ([`anchors`]). At start, what a killed daemon left
//! in the journal is brought into the files first ([`recovery`]). A second thread ([`keeper`])
//! puts closed files away ([`archive`], [`mod@statement`]) and takes in who has read them
//! ([`readings`]). Whoever ships records follows the files ([`tail`]). Afterwards, on any machine,
//! [`mod@verify`] tells whether anything was changed.

mod alike;
mod anchors;
mod archive;
mod batch;
mod bind;
mod bounds;
mod checkpoint;
pub mod cli;
mod clock;
mod encode;
mod entry;
mod fault;
mod files;
mod follow;
mod intents;
mod journal;
mod json;
mod keeper;
mod keys;
mod ledger;
mod line;
mod lines;
mod logins;
mod map;
mod mask;
mod others;
mod own_event;
mod pace;
mod readings;
mod record;
mod recording;
mod recovery;
mod redact;
pub mod report;
mod search;
mod settings;
mod shared;
mod shortened;
mod shown;
mod statement;
mod tag;
mod tail;
mod texts;
pub mod verify;
pub mod whole_file;
mod writer;

pub use age_file::Recipient;
pub use fault::{LedgerError, LedgerFault};
pub use files::{end_of, newest_file, safe_name};
pub use keys::{PublicKey, keygen, rotate_key};
pub use ledger::Ledger;
pub use mask::{password_parameters, passwords as without_passwords, tells_password};
pub use readings::{Reader, note_reading};
pub use record::{
    Bind, BindValue, Event, Intent, Literal, LiteralKind, MadeText, Names, Outcome, PreparedRef,
    Refusal, ReplicaError, TextForm, TextPlace, Who,
};
pub use recording::{IntentRecorded, Recording};
pub use settings::{LedgerSettings, SyncPolicy};
pub use shared::LedgerHealth;
pub use shortened::shortened;
pub use tag::WhoTag;
pub use tail::Tail;
