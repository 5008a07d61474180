//! Records to the members of their JSON objects: everything between the fixed head of
//! a line and its chain suffix. Runs in the session's own thread, before any lock.

use std::borrow::Cow;

use crate::alike::Likeness;
use crate::bind::{Values, push_binds, push_end_user};
use crate::json::{name, number, push_bytes, push_digits, push_name, push_text};
use crate::line::{push_hex, sha256};
use crate::mask;
use crate::record::{Intent, LiteralKind, Outcome, Refusal, TextForm};
use crate::redact::{RedactionKey, push_hash, redacted};
use crate::tag::WhoMembers;

/// Longest message of a replica's error that is kept, in bytes.
const MAX_MESSAGE: usize = 1024;

/// A member whose value is a word of ours: nothing in it needs escaping.
macro_rules! label {
    ($out:expr, $name:literal, $value:expr) => {{
        let word: &'static str = $value;
        $out.extend_from_slice(concat!(",\"", $name, "\":\"").as_bytes());
        $out.extend_from_slice(word.as_bytes());
        $out.push(b'"');
    }};
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
        if form.is_full() { Values::Full } else { Values::Redacted(self.key) }
    }
}

/// How an intent's text is told.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Told<'t> {
    /// It stands in the record.
    Whole,
    /// The intent of that number has the same.
    Of(u64),
    /// By one that differs in one place.
    Like(Likeness<'t>),
}

pub(crate) fn intent(
    out: &mut Vec<u8>,
    who: &WhoMembers,
    intent: &Intent<'_>,
    told: Told<'_>,
    with: &Making<'_>,
) {
    out.extend_from_slice(b"\"event\":\"intent\",");
    out.extend_from_slice(who.whole());
    label!(out, "command", intent.command);
    label!(out, "kind", intent.kind);
    schema(out, intent.schema);
    match told {
        Told::Whole => text(out, intent.text, intent.form, with),
        Told::Of(sequence) => number!(out, "text_of", sequence),
        Told::Like(like) => likeness(out, &like),
    }
    if let Some(prepared) = &intent.prepared {
        name!(out, "prepared");
        out.extend_from_slice(b"{\"statement_id\":");
        push_digits(out, u64::from(prepared.statement_id));
        number!(out, "intent", prepared.intent);
        out.push(b'}');
    }
    let how = with.values(intent.form);
    push_binds(out, "binds", intent.binds, how);
    push_binds(out, "attributes", intent.attributes, how);
    if let Some(end_user) = intent.end_user {
        push_end_user(out, end_user);
    }
}

pub(crate) fn outcome(out: &mut Vec<u8>, who: &WhoMembers, intent: u64, outcome: &Outcome<'_>) {
    outcome_core(out, who.brief(), intent, outcome);
    if let Some(error) = &outcome.error {
        name!(out, "error");
        out.extend_from_slice(b"{\"code\":");
        push_digits(out, u64::from(error.code));
        name!(out, "sqlstate");
        push_text(out, error.sqlstate);
        if !error.message.is_empty() {
            name!(out, "message");
            push_text(out, shortened(error.message, MAX_MESSAGE));
        }
        out.push(b'}');
    }
    if let Some(names) = outcome.names {
        out.extend_from_slice(names.members());
    }
    optional(out, "result_sha256", outcome.result_sha256);
}

/// The same without what can be long: always within the room that the journal keeps
/// for it (`OUTCOME_ROOM`).
pub(crate) fn outcome_brief(out: &mut Vec<u8>, intent: u64, outcome: &Outcome<'_>) {
    outcome_core(out, b"\"brief\":true", intent, outcome);
    if let Some(error) = &outcome.error {
        number!(out, "error_code", u64::from(error.code));
    }
}

fn outcome_core(out: &mut Vec<u8>, who: &[u8], intent: u64, outcome: &Outcome<'_>) {
    out.extend_from_slice(b"\"event\":\"outcome\",");
    out.extend_from_slice(who);
    number!(out, "intent", intent);
    label!(out, "end", outcome.end);
    number!(out, "rows", outcome.rows);
    number!(out, "bytes", outcome.bytes);
    number!(out, "duration_us", micros(outcome.duration));
}

/// The trace of an intent that was dropped without an outcome.
pub(crate) fn abandoned(out: &mut Vec<u8>, intent: u64) {
    out.extend_from_slice(b"\"event\":\"outcome\"");
    number!(out, "intent", intent);
    label!(out, "end", "abandoned");
}

pub(crate) fn refusal(
    out: &mut Vec<u8>,
    who: &WhoMembers,
    refusal: &Refusal<'_>,
    with: &Making<'_>,
) {
    out.extend_from_slice(b"\"event\":\"refusal\",");
    out.extend_from_slice(who.whole());
    label!(out, "command", refusal.command);
    label!(out, "kind", refusal.kind);
    label!(out, "verdict", refusal.verdict);
    name!(out, "rule");
    push_text(out, refusal.rule);
    if refusal.form.is_full() {
        name!(out, "reason");
        push_text(out, shortened(refusal.reason, MAX_MESSAGE));
    }
    number!(out, "offset", refusal.offset);
    schema(out, refusal.schema);
    text(out, refusal.text, refusal.form, with);
}

fn schema(out: &mut Vec<u8>, schema: Option<&[u8]>) {
    if let Some(schema) = schema {
        out.push(b',');
        push_bytes(out, "schema", schema);
    }
}

/// The statement's text in its form, passwords masked; a longer one is cut, and says how
/// long it was and its hash.
pub(crate) fn text(out: &mut Vec<u8>, text: &[u8], form: TextForm<'_>, with: &Making<'_>) {
    let redacted = match form {
        TextForm::Full => Cow::Borrowed(text),
        TextForm::Redacted(literals) => Cow::Owned(redacted(with.key, text, literals)),
        TextForm::Hashed => {
            number!(out, "text_bytes", as_u64(text.len()));
            name!(out, "text_hash");
            out.push(b'"');
            push_hash(out, with.key, LiteralKind::String, text);
            return out.push(b'"');
        }
        TextForm::Made(made) => return out.extend_from_slice(&made.members),
    };
    out.push(b',');
    let masked = mask::passwords(&redacted);
    let text: &[u8] = &masked;
    let Some(kept) = text.get(..with.max_text).filter(|kept| kept.len() < text.len()) else {
        return push_bytes(out, "text", text);
    };
    push_bytes(out, "text", whole_chars(kept));
    number!(out, "text_bytes", as_u64(text.len()));
    out.extend_from_slice(b",\"text_sha256\":\"");
    push_hex(out, &sha256(text));
    out.push(b'"');
}

/// The members in the place of a text that another record's tells but for one place.
fn likeness(out: &mut Vec<u8>, like: &Likeness<'_>) {
    number!(out, "text_like", like.of);
    number!(out, "text_head", as_u64(like.head));
    number!(out, "text_tail", as_u64(like.tail));
    name!(out, "text_between");
    push_text(out, like.between);
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

/// What a text names.
pub(crate) fn names(
    out: &mut Vec<u8>,
    fingerprint: Option<&str>,
    tables: &[String],
    columns: &[String],
) {
    optional(out, "fingerprint", fingerprint);
    list(out, "tables", tables);
    list(out, "columns", columns);
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
