//! Who a session is, encoded once for all its records: each names user, role, source, replica
//! and policy itself, and the record of the login that tells the rest. What has changed since
//! that login stands in each record again, and counts there.

use std::sync::Arc;

use serde::Serialize;

use crate::json::{push_members, push_name, push_number, push_value};
use crate::record::Who;

/// What a login record tells for all records of its session.
pub(crate) const TOLD_AT_LOGIN: [&str; 6] =
    ["source_port", "listener", "tls_version", "tls_cipher", "program", "account"];

/// Who a session's records are about. Cheap to clone.
#[derive(Debug, Clone)]
pub struct WhoTag(pub(crate) Arc<WhoMembers>);

impl WhoTag {
    /// The same session, about which something has changed since its login.
    #[must_use]
    pub fn changed(&self, who: &Who<'_>) -> Self {
        Self(Arc::new(WhoMembers::new(who, self.0.login.clone())))
    }
}

/// The members that tell who.
#[derive(Debug)]
pub(crate) struct WhoMembers {
    /// Between the event's name and what happened.
    bytes: Vec<u8>,
    /// How many of `bytes` name session and user alone.
    brief: usize,
    login: Option<Login>,
}

/// A login that is recorded.
#[derive(Debug, Clone)]
pub(crate) struct Login {
    sequence: u64,
    /// What its record says, as JSON.
    told: Arc<Told>,
}

/// The values of [`TOLD_AT_LOGIN`], as JSON.
type Told = [Vec<u8>; 6];

impl Login {
    /// The login of this session, by the number of its record.
    pub(crate) fn new(sequence: u64, who: &Who<'_>) -> Self {
        Self { sequence, told: Arc::new(told(who)) }
    }
}

impl WhoMembers {
    /// Without a login record all members stand here.
    pub(crate) fn new(who: &Who<'_>, login: Option<Login>) -> Self {
        #[derive(Serialize)]
        struct Brief<'a> {
            session: u64,
            user: &'a str,
        }
        #[derive(Serialize)]
        struct Each<'a> {
            role: &'a str,
            source: std::net::IpAddr,
            replica: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            replica_session: Option<u64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            policy: Option<&'a str>,
        }
        let &Who { session, user, role, source, replica, replica_session, policy, .. } = who;
        let mut bytes = Vec::new();
        // Strings, numbers and addresses always serialise.
        let _ = push_members(&mut bytes, &Brief { session, user });
        let brief = bytes.len();
        bytes.push(b',');
        let each = Each { role, source, replica, replica_session, policy };
        let _ = push_members(&mut bytes, &each);
        let before = login.as_ref().map(|login| login.told.as_ref());
        for (place, (name, value)) in TOLD_AT_LOGIN.iter().zip(&told(who)).enumerate() {
            let is_news = match before.and_then(|before| before.get(place)) {
                Some(before) => before != value,
                None => value != b"null",
            };
            if is_news {
                push_name(&mut bytes, name);
                bytes.extend_from_slice(value);
            }
        }
        if let Some(login) = &login {
            push_number(&mut bytes, "login", login.sequence);
        }
        Self { bytes, brief, login }
    }

    /// Session and user.
    pub(crate) fn brief(&self) -> &[u8] {
        self.bytes.get(..self.brief).unwrap_or(&self.bytes)
    }

    /// All of them.
    pub(crate) fn whole(&self) -> &[u8] {
        &self.bytes
    }
}

fn told(who: &Who<'_>) -> Told {
    fn json<T: Serialize>(value: T) -> Vec<u8> {
        let mut out = Vec::new();
        // Strings and numbers always serialise.
        let _ = push_value(&mut out, &value);
        out
    }
    [
        json(who.source_port),
        json(who.listener),
        json(who.tls_version),
        json(who.tls_cipher),
        json(who.program),
        json(who.account),
    ]
}
