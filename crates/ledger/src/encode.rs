//! Records to the members of their JSON objects: everything between the fixed head of
//! a line and its chain suffix. Runs in the session's own thread, before any lock.

use serde::Serialize;

use crate::json::{push_bytes, push_members, push_value};
use crate::line::{push_hex, sha256};
use crate::mask;
use crate::record::{Intent, Outcome, Refusal, ReplicaError, Who};

/// Longest message of a replica's error that is kept, in bytes.
const MAX_MESSAGE: usize = 1024;

/// The members that tell who, encoded once per session.
#[derive(Debug)]
pub(crate) struct WhoMembers {
    bytes: Vec<u8>,
    /// How many of `bytes` name session and user alone.
    brief: usize,
}

impl WhoMembers {
    pub(crate) fn new(who: &Who<'_>) -> serde_json::Result<Self> {
        #[derive(Serialize)]
        struct Brief<'a> {
            session: u64,
            user: &'a str,
        }
        let mut bytes = Vec::new();
        push_members(&mut bytes, &Brief { session: who.session, user: who.user })?;
        let brief = bytes.len();
        bytes.clear();
        // The two lead the members of `Who` as well: one buffer serves both.
        push_members(&mut bytes, who)?;
        Ok(Self { bytes, brief })
    }

    /// What is left to say when encoding fails, which strings and numbers can't.
    pub(crate) fn unknown(session: u64) -> Self {
        let bytes = format!("\"session\":{session}").into_bytes();
        Self { brief: bytes.len(), bytes }
    }

    fn brief(&self) -> &[u8] {
        self.bytes.get(..self.brief).unwrap_or(&self.bytes)
    }
}

pub(crate) fn intent(
    out: &mut Vec<u8>,
    who: &WhoMembers,
    intent: &Intent<'_>,
    max_text: usize,
) -> serde_json::Result<()> {
    open(out, "intent", &who.bytes);
    member(out, "command", &intent.command)?;
    member(out, "kind", &intent.kind)?;
    schema(out, intent.schema);
    text(out, intent.text, max_text)?;
    optional(out, "fingerprint", intent.fingerprint.as_ref())?;
    optional(out, "prepared", intent.prepared.as_ref())?;
    list(out, "binds", intent.binds)?;
    list(out, "tables", intent.tables)?;
    optional(out, "end_user", intent.end_user.as_ref())?;
    optional(out, "policy", intent.policy.as_ref())
}

pub(crate) fn outcome(
    out: &mut Vec<u8>,
    who: &WhoMembers,
    intent: u64,
    outcome: &Outcome<'_>,
) -> serde_json::Result<()> {
    outcome_core(out, who.brief(), intent, outcome)?;
    if let Some(error) = &outcome.error {
        let message = shortened(error.message, MAX_MESSAGE);
        member(out, "error", &ReplicaError { message, ..error.clone() })?;
    }
    list(out, "tables", outcome.tables)?;
    list(out, "columns", outcome.columns)?;
    optional(out, "result_sha256", outcome.result_sha256.as_ref())
}

/// The same without what can be long: always within [`crate::shared::OUTCOME_ROOM`].
pub(crate) fn outcome_brief(
    out: &mut Vec<u8>,
    intent: u64,
    outcome: &Outcome<'_>,
) -> serde_json::Result<()> {
    outcome_core(out, b"\"brief\":true", intent, outcome)?;
    optional(out, "error_code", outcome.error.as_ref().map(|error| &error.code))
}

fn outcome_core(
    out: &mut Vec<u8>,
    who: &[u8],
    intent: u64,
    outcome: &Outcome<'_>,
) -> serde_json::Result<()> {
    open(out, "outcome", who);
    member(out, "intent", &intent)?;
    member(out, "end", &outcome.end)?;
    member(out, "rows", &outcome.rows)?;
    member(out, "bytes", &outcome.bytes)?;
    member(out, "duration_us", &micros(outcome.duration))
}

/// The trace of an intent that was dropped without an outcome.
pub(crate) fn abandoned(out: &mut Vec<u8>, intent: u64) -> serde_json::Result<()> {
    out.extend_from_slice(b"\"event\":\"outcome\"");
    member(out, "intent", &intent)?;
    member(out, "end", &"abandoned")
}

pub(crate) fn refusal(
    out: &mut Vec<u8>,
    who: &WhoMembers,
    refusal: &Refusal<'_>,
    max_text: usize,
) -> serde_json::Result<()> {
    open(out, "refusal", &who.bytes);
    member(out, "command", &refusal.command)?;
    member(out, "kind", &refusal.kind)?;
    member(out, "verdict", &refusal.verdict)?;
    member(out, "rule", &refusal.rule)?;
    member(out, "reason", &shortened(refusal.reason, MAX_MESSAGE))?;
    member(out, "offset", &refusal.offset)?;
    schema(out, refusal.schema);
    text(out, refusal.text, max_text)
}

fn open(out: &mut Vec<u8>, event: &str, who: &[u8]) {
    out.extend_from_slice(b"\"event\":\"");
    out.extend_from_slice(event.as_bytes());
    out.extend_from_slice(b"\",");
    out.extend_from_slice(who);
}

fn schema(out: &mut Vec<u8>, schema: Option<&[u8]>) {
    if let Some(schema) = schema {
        out.push(b',');
        push_bytes(out, "schema", schema);
    }
}

/// The statement's text with passwords masked; a longer one is cut, and says how long it was and its hash.
fn text(out: &mut Vec<u8>, text: &[u8], max_text: usize) -> serde_json::Result<()> {
    out.push(b',');
    let masked = mask::passwords(text);
    let text: &[u8] = &masked;
    let Some(kept) = text.get(..max_text).filter(|kept| kept.len() < text.len()) else {
        push_bytes(out, "text", text);
        return Ok(());
    };
    push_bytes(out, "text", whole_chars(kept));
    member(out, "text_bytes", &text.len())?;
    out.extend_from_slice(b",\"text_sha256\":\"");
    push_hex(out, &sha256(text));
    out.push(b'"');
    Ok(())
}

/// Without a character cut in half at the end, if the rest is UTF-8.
fn whole_chars(bytes: &[u8]) -> &[u8] {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => {
            bytes.get(..error.valid_up_to()).unwrap_or(bytes)
        }
        _ => bytes,
    }
}

fn shortened(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or(0)).unwrap_or(text)
}

fn member<T: Serialize>(out: &mut Vec<u8>, name: &str, value: &T) -> serde_json::Result<()> {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
    push_value(out, value)
}

fn optional<T: Serialize>(
    out: &mut Vec<u8>,
    name: &str,
    value: Option<&T>,
) -> serde_json::Result<()> {
    value.map_or(Ok(()), |value| member(out, name, value))
}

fn list<T: Serialize>(out: &mut Vec<u8>, name: &str, values: &[T]) -> serde_json::Result<()> {
    if values.is_empty() { Ok(()) } else { member(out, name, &values) }
}

fn micros(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
