//! What the judge makes of a statement, in words and in JSON, for `readgate explain`.
//! Observes: nothing here decides.

use std::io::{BufRead, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use serde_json::{Value, json};

use crate::charset::Charset;
use crate::digest_text::digest_text;
use crate::facts::SessionFacts;
use crate::judge::{Judge, Policy};
use crate::literals::{Literal, LiteralKind, literals};
use crate::server::{Flavour, ServerVersion};
use crate::structure::{self, Structure};
use crate::verdict::{Denial, OwnStatement, StatementKind, Verdict};

/// A verdict, why, and what the statement touches.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// `allow`, `absorb` or `reject`; readgate's own statements count as `absorb`.
    pub verdict: &'static str,
    /// The rule that refused; empty if none did.
    pub rule: &'static str,
    /// One sentence; empty for what is allowed.
    pub reason: String,
    /// Where the refusal points, in bytes from the start of the text.
    pub offset: usize,
    /// The kind of the (first) statement.
    pub kind: StatementKind,
    /// Tables, columns and functions named in the text.
    pub structure: Structure,
    /// The text without its values.
    pub fingerprint: String,
    /// Start, end and sort of each value and comment.
    pub literals: Vec<(usize, usize, &'static str)>,
}

/// Judges a text as [`Judge::judge_several`] does and explains the outcome. A text of
/// several statements is rejected unless all of them pass.
pub fn explain(judge: &Judge, facts: &SessionFacts, text: Bytes) -> Explanation {
    let verdicts = judge.judge_several(facts, text.clone());
    let structure = match verdicts.as_slice() {
        [Verdict::Allow(permit)] => permit.structure(facts),
        _ => structure::structure(facts, &text),
    };
    let mut explanation = Explanation {
        verdict: "allow",
        rule: "",
        reason: String::new(),
        offset: 0,
        kind: verdicts.first().map_or(StatementKind::Unknown, kind_of),
        structure,
        fingerprint: digest_text(facts, &text),
        literals: positions(facts, &text),
    };
    for verdict in verdicts {
        match verdict {
            Verdict::Allow(_) => {}
            Verdict::Absorb(absorbed) => {
                explanation.verdict = "absorb";
                explanation.reason = absorbed.reason.to_owned();
            }
            Verdict::Own(_) => {
                explanation.verdict = "absorb";
                explanation.reason = "readgate answers this itself".to_owned();
            }
            Verdict::Deny(Denial { rule, reason, offset, .. }) => {
                return Explanation { verdict: "reject", rule, reason, offset, ..explanation };
            }
        }
    }
    explanation
}

/// Nothing where the text can't be read to its end.
fn positions(facts: &SessionFacts, text: &[u8]) -> Vec<(usize, usize, &'static str)> {
    let named = |literal: Literal| {
        let kind = match literal.kind {
            LiteralKind::String => "string",
            LiteralKind::Number => "number",
            LiteralKind::Comment => "comment",
        };
        (literal.range.start, literal.range.end, kind)
    };
    literals(facts, text).unwrap_or_default().into_iter().map(named).collect()
}

fn kind_of(verdict: &Verdict) -> StatementKind {
    match verdict {
        Verdict::Allow(permit) => permit.kind(),
        Verdict::Absorb(absorbed) => absorbed.kind,
        Verdict::Own(OwnStatement::Kill { .. }) => StatementKind::Kill,
        Verdict::Own(OwnStatement::ProcessList { .. }) => StatementKind::Show,
        Verdict::Deny(denial) => denial.kind,
    }
}

impl Explanation {
    /// One JSON object.
    pub fn to_json(&self) -> Value {
        let rejected = self.verdict == "reject";
        json!({
            "verdict": self.verdict,
            "rule": rejected.then_some(self.rule),
            "reason": self.reason,
            "offset": rejected.then_some(self.offset),
            "kind": self.kind.as_str(),
            "tables": self.structure.tables,
            "columns": self.structure.columns,
            "functions": self.structure.functions,
            "literals": self.literals,
            "fingerprint": self.fingerprint,
        })
    }

    /// Several lines of text; a refusal shows the line with a caret under its place.
    pub fn to_text(&self, text: &[u8]) -> String {
        let mut lines = format!("{}: {}\n", self.verdict, self.kind.as_str());
        if !self.reason.is_empty() {
            lines.push_str(&format!("  {}\n", self.reason));
        }
        if self.verdict == "reject" {
            lines.push_str(&format!("  rule {}, offset {}\n", self.rule, self.offset));
            lines.push_str(&self.caret(text));
        }
        let Structure { tables, columns, functions } = &self.structure;
        for (label, names) in [("tables", tables), ("columns", columns), ("functions", functions)] {
            if !names.is_empty() {
                lines.push_str(&format!("  {label}: {}\n", names.join(", ")));
            }
        }
        lines
    }

    fn caret(&self, text: &[u8]) -> String {
        let offset = self.offset.min(text.len());
        let (before, after) = text.split_at(offset);
        let line_start = before.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
        let start = line_start.max(offset.saturating_sub(60));
        let shown_before = before.get(start..).unwrap_or_default();
        let shown_after = after.split(|&b| b == b'\n').next().unwrap_or_default();
        let shown_after = shown_after.get(..shown_after.len().min(60)).unwrap_or_default();
        let (head, tail) = (printable(shown_before), printable(shown_after));
        format!("    {head}{tail}\n    {}^\n", " ".repeat(head.len()))
    }
}

/// ASCII only, one column a character.
fn printable(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|byte| byte.escape_ascii()).map(char::from).collect()
}

/// Reads JSON lines and writes JSON lines, in the same order, until the input ends.
///
/// In: `id`; `sql`, or `b` as base64 bytes; optional `cs` (client character set), `mode`
/// (sql_mode), `flavour` (`mysql` or `mariadb`), `version`. Out: `id`, `verdict`,
/// `reason`, `offset`, `kind`, `tables`, and more. What can't be judged is rejected.
///
/// # Errors
/// Only those of the reader and the writer.
pub fn explain_batch(
    input: impl BufRead,
    mut output: impl Write,
    server: ServerVersion,
    policy: &Policy,
) -> std::io::Result<()> {
    for line in input.split(b'\n') {
        let line = line?;
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let request: Value = serde_json::from_slice(&line).unwrap_or(Value::Null);
        let mut answer = match answer(&request, server, policy) {
            Ok(explanation) => explanation.to_json(),
            Err(reason) => json!({
                "verdict": "reject", "rule": "bad_request", "reason": reason, "offset": 0,
                "kind": "unknown", "tables": [], "columns": [], "functions": [],
            }),
        };
        if let Some(answer) = answer.as_object_mut() {
            answer.insert("id".to_owned(), request.get("id").cloned().unwrap_or(Value::Null));
        }
        serde_json::to_writer(&mut output, &answer)?;
        output.write_all(b"\n")?;
        // Whoever sends line by line waits for each answer.
        output.flush()?;
    }
    Ok(())
}

fn answer(
    request: &Value,
    default: ServerVersion,
    policy: &Policy,
) -> Result<Explanation, &'static str> {
    let text = |key: &str| request.get(key).and_then(Value::as_str);
    let server = requested_server(text("flavour"), request.get("version"), default)?;
    let bytes = match (text("sql"), text("b")) {
        (Some(sql), None) => sql.as_bytes().to_vec(),
        (None, Some(encoded)) => {
            // Padding may be left out.
            let decoded = STANDARD_NO_PAD.decode(encoded.trim_end_matches('='));
            decoded.map_err(|_| "`b` is not base64")?
        }
        _ => return Err("one of `sql` and `b` is needed"),
    };
    let charset = text("cs").unwrap_or("utf8mb4");
    let charset = Charset::by_name(server.flavour, charset.as_bytes());
    let charset = charset.ok_or("this client character set is not known")?;
    let mode = text("mode").unwrap_or("").as_bytes();
    let facts = SessionFacts::with_charset(server, mode, charset);
    let facts = facts.ok_or("this sql_mode is not known")?;
    let judge = Judge::new(server, policy.clone());
    Ok(explain(&judge, &facts, Bytes::from(bytes)))
}

/// `flavour` and `version` of a request; a version is text (`9.7.4`) or a number (90704).
fn requested_server(
    flavour: Option<&str>,
    version: Option<&Value>,
    default: ServerVersion,
) -> Result<ServerVersion, &'static str> {
    let flavour = match flavour {
        None => default.flavour,
        Some("mysql") => Flavour::MySql,
        Some("mariadb") => Flavour::MariaDb,
        Some(_) => return Err("`flavour` is neither mysql nor mariadb"),
    };
    let number = match version {
        None | Some(Value::Null) if flavour == default.flavour => default.number,
        None | Some(Value::Null) => match flavour {
            Flavour::MySql => 90704,
            Flavour::MariaDb => 101119,
        },
        Some(version) => {
            let number = version.as_u64().and_then(|number| u32::try_from(number).ok());
            let text = version.as_str().map(str::as_bytes);
            let server = text.and_then(ServerVersion::from_greeting);
            number.or(server.map(|server| server.number)).ok_or("`version` can't be read")?
        }
    };
    Ok(ServerVersion { flavour, number })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::Policy;

    #[test]
    fn an_explanation_says_where_values_stand() {
        let server = ServerVersion { flavour: Flavour::MySql, number: 90704 };
        let judge = Judge::new(server, Policy::default());
        let facts = SessionFacts::new(server, b"", 45, None).unwrap();
        let explanation = explain(&judge, &facts, Bytes::from_static(b"SELECT 'a', 42 -- c"));
        let expected = [(7, 10, "string"), (12, 14, "number"), (15, 19, "comment")];
        assert_eq!(explanation.literals, expected);
        assert_eq!(explanation.to_json()["literals"][1], json!([12, 14, "number"]));
    }

    #[test]
    fn a_request_in_base64_is_the_bytes_that_it_stands_for() {
        let server = ServerVersion { flavour: Flavour::MySql, number: 90704 };
        // SELECT 1, with its padding and without; a sign that isn't base64.
        for (encoded, verdict) in [
            ("U0VMRUNUIDE=", "\"allow\""),
            ("U0VMRUNUIDE", "\"allow\""),
            ("U0V%", "`b` is not base64"),
        ] {
            let request = format!("{{\"id\":1,\"b\":\"{encoded}\"}}\n");
            let mut answer = Vec::new();
            explain_batch(request.as_bytes(), &mut answer, server, &Policy::default()).unwrap();
            let answer = String::from_utf8(answer).unwrap();
            assert!(answer.contains(verdict), "{encoded}: {answer}");
        }
    }
}
