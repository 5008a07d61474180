//! `proxy.toml` to validated values. Guarantees that a [`Config`] is whole and
//! consistent, or that every problem in the text is named with its line, its key, what
//! is wrong and what would be right.
//!
//! [`Config::parse`] reads no file; [`Config::load`] reads the one it is given. Secrets
//! are read when they are needed ([`PasswordSource::read`], [`SecretFile::read`]).
mod document;
mod error;
mod keys;
mod load;
mod model;
mod nearest;
pub mod reference;
pub mod schema;
mod secret;
mod sections;
mod settings;
mod table;
#[cfg(test)]
mod tests;
mod values;

pub use error::{ConfigErrors, Problem};
pub use load::{ConfigHash, LoadError};
pub use model::{
    ClientTls, Config, Deadline, Endpoint, Feed, FeedFiles, FeedPlace, FileForm, HostPort,
    Identities, IdentityPlace, LedgerConfig, Limits, Listener, ListenerTls, Mail, MailTls, Notice,
    NoticeEvent, NoticeWay, Ops, RecordedText, Reload, Replica, ReplicaAccount, ReplicaCompression,
    ReplicaTls, RoleAccount, SharedStore, Shipping, TimeOfDay, Webhook, Weekday, WhenBehind, fill,
};
pub use secret::{PasswordSource, SecretError, SecretFile};
pub use settings::{Kept, Settings, whole_or_begun};
