//! Records to the members of their JSON objects: everything between the fixed head of
//! a line and its chain suffix. Runs in the session's own thread, before any lock.

use std::borrow::Cow;

use serde::Serialize;

use crate::bind::{Values, push_binds, push_end_user};
use crate::json::{push_bytes, push_digits, push_members, push_name, push_number, push_text};
use crate::line::{push_hex, sha256};
use crate::mask;
use crate::record::{Intent, LiteralKind, Outcome, Refusal, TextForm, Who};
use crate::redact::{RedactionKey, push_hash, redacted};

/// Longest message of a replica's error that is kept, in bytes.
const MAX_MESSAGE: usize = 1024;

/// The members that tell who, encoded once per session.
#[derive(Debug)]
pub(crate) struct WhoMembers {
    /// Between the event's name and what happened: all that is known of the session.
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

/// What every record of a ledger is made with.
pub(crate) struct Making<'a> {
    /// Longest text kept whole.
    pub(crate) max_text: usize,
    /// For redacted forms.
    pub(crate) key: Option<&'a RedactionKey>,
}

impl<'a> Making<'a> {
    fn values(&self, form: TextForm<'_>) -> Values<'a> {
        match form {
            TextForm::Full => Values::Full,
            TextForm::Redacted(_) | TextForm::Hashed => Values::Redacted(self.key),
        }
    }
}

/// `text_of` is an intent with the same text, which then stands in for it.
pub(crate) fn intent(
    out: &mut Vec<u8>,
    who: &WhoMembers,
    intent: &Intent<'_>,
    text_of: Option<u64>,
    with: &Making<'_>,
) {
    open(out, "intent", &who.bytes);
    label(out, "command", intent.command);
    label(out, "kind", intent.kind);
    schema(out, intent.schema);
    match text_of {
        Some(sequence) => push_number(out, "text_of", sequence),
        None => text(out, intent.text, intent.form, with),
    }
    optional(out, "fingerprint", intent.fingerprint);
    if let Some(prepared) = &intent.prepared {
        push_name(out, "prepared");
        out.extend_from_slice(b"{\"statement_id\":");
        push_digits(out, u64::from(prepared.statement_id));
        push_number(out, "intent", prepared.intent);
        out.push(b'}');
    }
    let how = with.values(intent.form);
    push_binds(out, "binds", intent.binds, how);
    push_binds(out, "attributes", intent.attributes, how);
    list(out, "tables", intent.tables);
    if let Some(end_user) = intent.end_user {
        push_end_user(out, end_user);
    }
}

pub(crate) fn outcome(out: &mut Vec<u8>, who: &WhoMembers, intent: u64, outcome: &Outcome<'_>) {
    outcome_core(out, who.brief(), intent, outcome);
    if let Some(error) = &outcome.error {
        push_name(out, "error");
        out.extend_from_slice(b"{\"code\":");
        push_digits(out, u64::from(error.code));
        push_name(out, "sqlstate");
        push_text(out, error.sqlstate);
        if !error.message.is_empty() {
            push_name(out, "message");
            push_text(out, shortened(error.message, MAX_MESSAGE));
        }
        out.push(b'}');
    }
    optional(out, "fingerprint", outcome.fingerprint);
    list(out, "tables", outcome.tables);
    list(out, "columns", outcome.columns);
    optional(out, "result_sha256", outcome.result_sha256);
}

/// The same without what can be long: always within [`crate::shared::OUTCOME_ROOM`].
pub(crate) fn outcome_brief(out: &mut Vec<u8>, intent: u64, outcome: &Outcome<'_>) {
    outcome_core(out, b"\"brief\":true", intent, outcome);
    if let Some(error) = &outcome.error {
        push_number(out, "error_code", u64::from(error.code));
    }
}

fn outcome_core(out: &mut Vec<u8>, who: &[u8], intent: u64, outcome: &Outcome<'_>) {
    open(out, "outcome", who);
    push_number(out, "intent", intent);
    label(out, "end", outcome.end);
    push_number(out, "rows", outcome.rows);
    push_number(out, "bytes", outcome.bytes);
    push_number(out, "duration_us", micros(outcome.duration));
}

/// The trace of an intent that was dropped without an outcome.
pub(crate) fn abandoned(out: &mut Vec<u8>, intent: u64) {
    out.extend_from_slice(b"\"event\":\"outcome\"");
    push_number(out, "intent", intent);
    label(out, "end", "abandoned");
}

pub(crate) fn refusal(
    out: &mut Vec<u8>,
    who: &WhoMembers,
    refusal: &Refusal<'_>,
    with: &Making<'_>,
) {
    open(out, "refusal", &who.bytes);
    label(out, "command", refusal.command);
    label(out, "kind", refusal.kind);
    label(out, "verdict", refusal.verdict);
    push_name(out, "rule");
    push_text(out, refusal.rule);
    if matches!(refusal.form, TextForm::Full) {
        push_name(out, "reason");
        push_text(out, shortened(refusal.reason, MAX_MESSAGE));
    }
    push_number(out, "offset", refusal.offset);
    schema(out, refusal.schema);
    text(out, refusal.text, refusal.form, with);
}

#[inline(always)]
fn open(out: &mut Vec<u8>, event: &'static str, who: &[u8]) {
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

/// The statement's text in its form, passwords masked; a longer one is cut, and says how
/// long it was and its hash.
fn text(out: &mut Vec<u8>, text: &[u8], form: TextForm<'_>, with: &Making<'_>) {
    let redacted = match form {
        TextForm::Full => Cow::Borrowed(text),
        TextForm::Redacted(literals) => Cow::Owned(redacted(with.key, text, literals)),
        TextForm::Hashed => {
            push_number(out, "text_bytes", as_u64(text.len()));
            push_name(out, "text_hash");
            out.push(b'"');
            push_hash(out, with.key, LiteralKind::String, text);
            return out.push(b'"');
        }
    };
    out.push(b',');
    let masked = mask::passwords(&redacted);
    let text: &[u8] = &masked;
    let Some(kept) = text.get(..with.max_text).filter(|kept| kept.len() < text.len()) else {
        return push_bytes(out, "text", text);
    };
    push_bytes(out, "text", whole_chars(kept));
    push_number(out, "text_bytes", as_u64(text.len()));
    out.extend_from_slice(b",\"text_sha256\":\"");
    push_hex(out, &sha256(text));
    out.push(b'"');
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

/// A member whose value is a word of ours: nothing in it needs escaping.
#[inline(always)]
fn label(out: &mut Vec<u8>, name: &'static str, value: &'static str) {
    push_name(out, name);
    out.push(b'"');
    out.extend_from_slice(value.as_bytes());
    out.push(b'"');
}

fn optional(out: &mut Vec<u8>, name: &'static str, value: Option<&str>) {
    if let Some(value) = value {
        push_name(out, name);
        push_text(out, value);
    }
}

fn list(out: &mut Vec<u8>, name: &'static str, values: &[String]) {
    let Some((first, rest)) = values.split_first() else {
        return;
    };
    push_name(out, name);
    out.push(b'[');
    push_text(out, first);
    for value in rest {
        out.push(b',');
        push_text(out, value);
    }
    out.push(b']');
}

fn as_u64(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

fn micros(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
