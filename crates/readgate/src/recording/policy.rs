//! How statements are recorded: by configuration, for a session of some role, and for whom.
use config::{LedgerConfig, RecordedText};
use mysql_wire::handshake_response::Attribute;
use ring::digest::{Context, SHA256};

use crate::session::carried::Carried;

/// How the names of attributes begin that readgate alone gives to the replica.
pub const RESERVED_ATTRIBUTES: &[u8] = b"readgate_";

/// How statements are recorded, by configuration.
#[derive(Debug, Clone)]
pub struct RecordPolicy {
    text: RecordedText,
    by_reference: bool,
    asserted_user_attribute: Option<String>,
    hash_results: bool,
}

impl RecordPolicy {
    /// As configured.
    pub fn new(config: &LedgerConfig) -> Self {
        Self {
            text: config.text.clone(),
            by_reference: config.text_by_reference,
            asserted_user_attribute: config.asserted_user_attribute.clone(),
            hash_results: config.hash_results,
        }
    }

    /// Whether values in the statements of a role's users are redacted.
    pub fn redacts(&self, role: &str) -> bool {
        self.text.redacts(role)
    }

    /// For a session of that role with those connection attributes, as the replica gets them.
    pub fn for_session(&self, role: &str, attributes: &[Attribute]) -> SessionRecords {
        SessionRecords {
            redacts: self.redacts(role),
            may_refer: self.by_reference,
            hash_results: self.hash_results,
            asserted: self.asserted(attributes),
        }
    }

    /// What a session's connection attributes say of the person it acts for. Those that readgate
    /// adds are no tool's word.
    fn asserted(&self, attributes: &[Attribute]) -> Asserted {
        let attribute = self.asserted_user_attribute.clone();
        let of_session = attribute.as_ref().and_then(|name| {
            let is_it = |one: &&Attribute| {
                one.name == name.as_bytes() && !one.name.starts_with(RESERVED_ATTRIBUTES)
            };
            let found = attributes.iter().find(is_it)?;
            Some(String::from_utf8_lossy(&found.value).into_owned())
        });
        Asserted { attribute, of_session }
    }
}

/// How a session's statements are recorded. Each statement stands in one way, whatever is
/// changed while it runs: the session takes another way over between two commands.
#[derive(Debug)]
pub struct SessionRecords {
    /// Whether values are left out.
    pub redacts: bool,
    /// Whether a text that comes again may stand in an earlier record alone.
    pub may_refer: bool,
    hash_results: bool,
    /// The person it acts for.
    pub asserted: Asserted,
}

impl SessionRecords {
    /// What an answer's bytes are hashed with, if they are.
    pub fn result_hash(&self) -> Option<Context> {
        self.hash_results.then(|| Context::new(&SHA256))
    }
}

/// The person that a reporting tool says it acts for.
#[derive(Debug)]
pub struct Asserted {
    attribute: Option<String>,
    of_session: Option<String>,
}

impl Asserted {
    /// The statement's own attribute, else the session's.
    pub fn of(&self, carried: &Carried) -> Option<String> {
        let own = self.attribute.as_deref().and_then(|name| carried.attribute(name));
        own.or_else(|| self.of_session.clone())
    }
}
