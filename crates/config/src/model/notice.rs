//! Whom to tell of what, as types.
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::{Endpoint, HostPort};
use crate::secret::SecretFile;

/// Somebody who is told when something is wrong, and when it is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Unique name, in ledger and metrics.
    pub name: String,
    /// How it is sent.
    pub way: NoticeWay,
    /// PEM: who signs the receiver's certificate. There if it is reached by TLS.
    pub ca_file: Option<PathBuf>,
    /// What it is sent for.
    pub events: Vec<NoticeEvent>,
    /// How long something must be so, or be over, before it is told.
    pub settle: Duration,
    /// Between reminders; `None`: there are none.
    pub repeat: Option<Duration>,
    /// Template of the body; `None`: the built-in one.
    pub body: Option<String>,
}

/// How a notice is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoticeWay {
    /// HTTP POST of JSON.
    Webhook(Webhook),
    /// E-mail.
    Mail(Mail),
}

/// A receiver of HTTP POSTs.
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Its address. Path and query may hold a token.
    pub endpoint: Endpoint,
    /// Name of a header, and the file that holds its value.
    pub header: Option<(String, SecretFile)>,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Webhook");
        shown.field("address", &self.endpoint.address).field("header", &self.header);
        shown.finish_non_exhaustive()
    }
}

/// A mail server and who gets mail by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// Where it takes mail.
    pub server: HostPort,
    /// How the way to it is protected.
    pub tls: MailTls,
    /// Account on it, and the file with its password.
    pub account: Option<(String, SecretFile)>,
    /// Address of the sender.
    pub from: String,
    /// Addresses. At least one.
    pub to: Vec<String>,
    /// Template of the subject.
    pub subject: String,
}

/// How the way to a mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailTls {
    /// Asked for after the greeting, and required.
    StartTls,
    /// From the first byte on.
    Tls,
    /// Not at all.
    None,
}

/// What a notice can be sent for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NoticeEvent {
    /// No session can be opened on the replica.
    ReplicaDown,
    /// It is further behind than `replica.max_lag`.
    ReplicaBehind,
    /// The shared account can do more than read, or the replica is not read-only.
    ReplicaUnsafe,
    /// A feed is late or missing.
    FeedLate,
    /// A feed's newest delivery is malformed.
    FeedMalformed,
    /// A feed can't be looked at.
    FeedUnknown,
    /// The ledger takes no records.
    LedgerTrouble,
    /// A configuration was refused, and none has been taken since.
    ConfigRejected,
    /// A certificate in use ends within 14 days, or has ended.
    CertificateExpiring,
    /// Users, credentials or sources end within `credentials.warn_before`, or have ended.
    AccessExpiring,
    /// A source was blocked for failed logins.
    LoginBlocked,
    /// Many connections of sources that are not listed.
    SourceDeniedBurst,
}

impl NoticeEvent {
    /// All of them, by their names in the configuration.
    pub const ALL: [(&'static str, Self); 12] = [
        ("replica_down", Self::ReplicaDown),
        ("replica_behind", Self::ReplicaBehind),
        ("replica_unsafe", Self::ReplicaUnsafe),
        ("feed_late", Self::FeedLate),
        ("feed_malformed", Self::FeedMalformed),
        ("feed_unknown", Self::FeedUnknown),
        ("ledger_trouble", Self::LedgerTrouble),
        ("config_rejected", Self::ConfigRejected),
        ("certificate_expiring", Self::CertificateExpiring),
        ("access_expiring", Self::AccessExpiring),
        ("login_blocked", Self::LoginBlocked),
        ("source_denied_burst", Self::SourceDeniedBurst),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, event)| *event == self).map_or("", |(name, _)| name)
    }
}

/// The placeholders of templates: `${name}`.
pub(crate) const PLACEHOLDERS: [&str; 7] =
    ["node", "event", "subject", "phase", "since", "time", "text"];

/// Replaces each `${name}` by what `value` says of it.
///
/// # Errors
/// The first name that `value` doesn't know, or that doesn't end.
pub fn fill(template: &str, value: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut filled = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, behind) = after.split_once('}').ok_or_else(|| after.to_owned())?;
        filled.push_str(before);
        filled.push_str(&value(name).ok_or_else(|| name.to_owned())?);
        rest = behind;
    }
    filled.push_str(rest);
    Ok(filled)
}
