//! The judge: splits a text into statements, judges each by the grammar, and mints the
//! permits. The only place that does.

use std::sync::Arc;

use bytes::Bytes;

use crate::access;
use crate::facts::{Change, Effects, PreparedText, SessionFacts};
use crate::grammar::{Outcome, Parser, Refusal};
use crate::lexer::sight::{Looked, Session, Sight};
use crate::memory::{Memory, PlainRead, Unknown};
use crate::server::ServerVersion;
use crate::settings::Limits;
use crate::text::names_file;
use crate::verdict::{Absorbed, Denial, OwnStatement, ReadPermit, StatementKind, Verdict};

/// Longest text that is judged, in bytes: MySQL's largest packet.
const MAX_TEXT: usize = 1 << 30;
/// Most statements in one text.
const MAX_STATEMENTS: usize = 1000;
/// Longest name of a schema or table in a command, in bytes: 64 characters.
const MAX_NAME: usize = 256;

/// What configuration adds to the built-in rules.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// Functions that may be called beside those that only compute: stored ones as
    /// `schema.name`, built-in ones by name ([`crate::may_be_allowed`]).
    pub allowed_functions: Vec<String>,
    /// Routines that CALL may run, `schema.name`.
    pub allowed_calls: Vec<String>,
    /// Longest literal argument of SLEEP that is let through, in seconds.
    pub sleep_max_seconds: u32,
    /// Schemas whose tables may be read, as written, in ASCII, beside the servers' own
    /// metadata; `None`: all.
    pub schemas: Option<Vec<String>>,
    /// Whether tables that show other sessions and their statements are hidden.
    pub own_sessions_only: bool,
}

/// Judges statements for one replica under one policy. Cheap to share.
#[derive(Debug, Clone)]
pub struct Judge {
    server: ServerVersion,
    policy: Arc<Policy>,
    limits: Limits,
    memory: Memory,
}

/// How a text splits: the statements of one COM_QUERY in order, each judged with the
/// facts as they would be after the ones before it succeeded. Stops after the first Deny.
pub type Verdicts = Vec<Verdict>;

/// One statement, judged.
struct Judged {
    verdict: Verdict,
    /// Offset of the `;` behind it, if more statements follow.
    next: Option<usize>,
}

/// What the grammar read.
struct Read {
    outcome: Outcome,
    kind: StatementKind,
    changes: Vec<Change>,
    runs_routine: bool,
    inner: Option<PreparedText>,
    next: Option<usize>,
}

impl Judge {
    /// A judge for a replica of this version under this policy.
    pub fn new(server: ServerVersion, policy: Policy) -> Self {
        Self {
            server,
            policy: Arc::new(policy),
            limits: Limits::default(),
            memory: Memory::default(),
        }
    }

    /// The same judge, holding users to the limits of the session's guard: longer ones
    /// are answered OK and not set, or refused where they stand with other settings.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, memory: Memory::default(), ..self }
    }

    /// The server whose statements are judged.
    pub fn server(&self) -> ServerVersion {
        self.server
    }

    /// Judges a text that must be one statement (a trailing `;` is fine): a COM_QUERY of
    /// a client without CLIENT_MULTI_STATEMENTS, or a COM_STMT_PREPARE.
    pub fn judge(&self, facts: &SessionFacts, text: Bytes) -> Verdict {
        let Judged { verdict, next } = self.judge_first(facts, &text);
        match (verdict, next) {
            (verdict @ Verdict::Deny(_), _) | (verdict, None) => verdict,
            (_, Some(offset)) => {
                let reason = "a second statement follows the first";
                deny("several_statements", StatementKind::Unknown, reason, offset)
            }
        }
    }

    /// Judges a text that may hold several statements. Never empty.
    pub fn judge_several(&self, facts: &SessionFacts, text: Bytes) -> Verdicts {
        let Judged { verdict, next } = self.judge_first(facts, &text);
        let Some(_) = next else { return vec![verdict] };
        let mut facts = facts.clone();
        let mut verdicts = Vec::new();
        let mut start = 0;
        loop {
            let rest = text.slice(start..);
            let Judged { verdict, next } = self.judge_first(&facts, &rest);
            // What is sent is the part without its `;`, so that part is what is judged.
            let verdict = match next {
                Some(end) => self.judge(&facts, rest.slice(..end)),
                None => verdict,
            };
            let verdict = shifted(verdict, start);
            let denied = matches!(verdict, Verdict::Deny(_));
            if let Verdict::Allow(permit) = &verdict {
                facts.apply(permit.effects());
            }
            verdicts.push(verdict);
            match next {
                Some(_) if verdicts.len() >= MAX_STATEMENTS && !denied => {
                    let reason = "the text holds too many statements";
                    verdicts.push(deny("too_many", StatementKind::Unknown, reason, start));
                    return verdicts;
                }
                Some(end) if !denied => start += end + 1,
                _ => return verdicts,
            }
        }
    }

    /// Judges a text for COM_STMT_PREPARE: as [`Judge::judge`], and refuses what may not
    /// be prepared. The permit's effects happen at each execution, not at prepare.
    pub fn judge_prepare(&self, facts: &SessionFacts, text: Bytes) -> Verdict {
        match self.judge_inner(facts, facts.schema_bytes(), text) {
            Verdict::Own(OwnStatement::Kill { .. }) => {
                let reason = "KILL can't be prepared here; send it as a query";
                deny("prepare_of_kill", StatementKind::Kill, reason, 0)
            }
            // Whose sessions are the user's changes; the asking one stays.
            Verdict::Own(OwnStatement::ProcessList { full }) => {
                Verdict::Allow(self.process_list(facts, full, &[]))
            }
            verdict @ (Verdict::Allow(_) | Verdict::Absorb(_) | Verdict::Deny(_)) => verdict,
        }
    }

    /// Judges a text that is prepared, with the schema of its names.
    fn judge_inner(&self, facts: &SessionFacts, schema: Option<Bytes>, text: Bytes) -> Verdict {
        match self.judge(&facts.of_prepared(schema), text) {
            Verdict::Allow(permit) if permit.kind() == StatementKind::Prepare => {
                let reason = "PREPARE and EXECUTE can't be prepared";
                deny("prepare_of_prepare", StatementKind::Prepare, reason, 0)
            }
            verdict @ (Verdict::Allow(_)
            | Verdict::Absorb(_)
            | Verdict::Own(_)
            | Verdict::Deny(_)) => verdict,
        }
    }

    /// Whether a permit given earlier in this session (a prepared statement's) still
    /// means the same: a server may read the text again under the modes of now.
    pub fn still_holds(&self, facts: &SessionFacts, permit: &ReadPermit) -> bool {
        permit.read_as() == facts.lex_mode() || self.would_allow(facts, permit)
    }

    /// Whether this judge would give the permit that another one gave.
    pub fn would_allow(&self, facts: &SessionFacts, permit: &ReadPermit) -> bool {
        let facts = facts.of_prepared(permit.schema());
        permit.is_own() || matches!(self.judge(&facts, permit.text().clone()), Verdict::Allow(_))
    }

    /// Judges COM_INIT_DB: the payload is a schema name, not SQL; it may be refused for
    /// its length or NUL bytes. The permit's effects hold the new schema.
    pub fn judge_init_db(&self, facts: &SessionFacts, schema: Bytes) -> Verdict {
        let is_name = !schema.is_empty()
            && schema.len() <= MAX_NAME
            && !schema.contains(&0)
            && !names_file(&schema);
        if !is_name {
            return deny("schema_name", StatementKind::Use, "this is no schema name", 0);
        }
        if !self.policy.may_use(&schema) {
            let reason = "this schema is not one that this role may read";
            return deny("schema", StatementKind::Use, reason, 0);
        }
        // The name alone is kept, not all that came with it.
        let named = Bytes::copy_from_slice(&schema);
        let effects = Effects { changes: vec![Change::Schema(named)] };
        Verdict::Allow(ReadPermit::new(schema, StatementKind::Use, effects, facts))
    }

    /// Judges COM_FIELD_LIST (table NUL pattern): plain names only.
    pub fn judge_field_list(&self, facts: &SessionFacts, payload: Bytes) -> Verdict {
        let mut parts = payload.split(|&byte| byte == 0);
        let table = parts.next().unwrap_or_default();
        let pattern = parts.next().unwrap_or_default();
        let is_plain = !table.is_empty()
            && table.len() <= MAX_NAME
            && !names_file(table)
            && pattern.len() <= MAX_NAME
            && parts.all(<[u8]>::is_empty);
        if !is_plain {
            return deny("field_list_name", StatementKind::FieldList, "this is no table name", 0);
        }
        if facts.schema().is_some_and(|schema| !self.policy.may_use(schema)) {
            let reason = "the default schema is not one that this role may read";
            return deny("schema", StatementKind::FieldList, reason, 0);
        }
        let (kind, effects) = (StatementKind::FieldList, Effects::default());
        Verdict::Allow(ReadPermit::new(payload, kind, effects, facts))
    }

    /// Judges the statement at the start of a text.
    fn judge_first(&self, facts: &SessionFacts, text: &Bytes) -> Judged {
        if text.len() > MAX_TEXT {
            let verdict = deny("too_long", StatementKind::Unknown, "the text is too long", 0);
            return Judged { verdict, next: None };
        }
        if facts.in_doubt() {
            let reason = "the statement before this one sets how texts are read to a value that \
                          only the replica knows; send this one by itself";
            let verdict = deny("in_doubt", StatementKind::Unknown, reason, 0);
            return Judged { verdict, next: None };
        }
        match self.memory.recall(facts, text) {
            Ok(known) => {
                let permit = ReadPermit::of_known(text.clone(), known, facts);
                Judged { verdict: Verdict::Allow(permit), next: None }
            }
            Err(unknown) => self.judge_anew(facts, text, unknown),
        }
    }

    /// Judges the statement at the start of a text that the judge doesn't know.
    fn judge_anew(&self, facts: &SessionFacts, text: &Bytes, unknown: Unknown<'_>) -> Judged {
        let looked = Looked::default();
        let session = Session::new(facts, &looked);
        let sight = Sight::new(facts.lex_mode(), text, &looked);
        let read = self.read(session, &sight);
        let Read { outcome, kind, changes, runs_routine, inner, next } = match read {
            Ok(read) => read,
            Err((refusal, kind)) => {
                return Judged { verdict: refused(*refusal, kind), next: None };
            }
        };
        let verdict = match outcome {
            Outcome::Read => match inner {
                Some(inner) => self.permit(facts, text, kind, changes, inner),
                None => {
                    let is_plain = changes.is_empty() && next.is_none();
                    let plain = is_plain.then_some(PlainRead { kind, runs_routine });
                    let memos = self.memory.keep(facts, unknown, plain, &looked);
                    let permit = ReadPermit::new(text.clone(), kind, Effects { changes }, facts);
                    Verdict::Allow(permit.with_memos(memos).with_routine(runs_routine))
                }
            },
            Outcome::Absorb(reason) => {
                Verdict::Absorb(Absorbed { kind, reason, text: text.clone() })
            }
            Outcome::Own(statement) => Verdict::Own(statement),
        };
        Judged { verdict, next }
    }

    /// What the grammar and the policy find in a text, or why they refuse it and as what.
    fn read(
        &self,
        session: Session<'_>,
        sight: &Sight<'_>,
    ) -> Result<Read, (Box<Refusal>, StatementKind)> {
        let parser = Parser::new(session, &self.policy, &self.limits, sight.clone());
        let mut parser = parser.map_err(|refusal| (refusal, StatementKind::Unknown))?;
        let outcome = parser.statement().and_then(|outcome| Ok((outcome, parser.more_follows()?)));
        let kind = parser.kind;
        let (outcome, next) = outcome.map_err(|refusal| (refusal, kind))?;
        let schema = session.schema();
        let forbidden = parser.must_look.then(|| access::forbidden(&self.policy, schema, sight));
        let locking = || parser.has_subquery.then(|| access::locking(schema, sight));
        if let Some(refusal) = forbidden.flatten().or_else(|| locking().flatten()) {
            return Err((Box::new(refusal), kind));
        }
        let Parser { changes, runs_routine, inner, .. } = parser;
        Ok(Read { outcome, kind, changes, runs_routine, inner, next })
    }

    /// The permit for a text that the grammar found a read with a statement inside it
    /// (PREPARE, EXECUTE), which must be a read as well.
    fn permit(
        &self,
        facts: &SessionFacts,
        text: &Bytes,
        kind: StatementKind,
        mut changes: Vec<Change>,
        inner: PreparedText,
    ) -> Verdict {
        let is_executed = changes.is_empty();
        let mut runs_routine = false;
        match self.judge_inner(facts, inner.schema.clone(), inner.text.clone()) {
            Verdict::Allow(permit) if is_executed => {
                changes.push(Change::Executed(inner));
                changes.extend(permit.effects().changes.iter().cloned());
                runs_routine = permit.runs_routine();
            }
            Verdict::Allow(_) => {}
            Verdict::Absorb(_) | Verdict::Own(_) => {
                let reason = "this statement can't be prepared here; send it as a query";
                return deny("prepared_statement", kind, reason, 0);
            }
            Verdict::Deny(denial) => {
                let reason = format!("the prepared text is refused: {}", denial.reason);
                return deny(denial.rule, denial.kind, reason, 0);
            }
        }
        let effects = Effects { changes };
        let permit = ReadPermit::new(text.clone(), kind, effects, facts);
        Verdict::Allow(permit.with_routine(runs_routine))
    }
}

fn refused(refusal: Refusal, kind: StatementKind) -> Verdict {
    deny(refusal.rule, kind, refusal.reason, refusal.offset)
}

fn deny(
    rule: &'static str,
    kind: StatementKind,
    reason: impl Into<String>,
    offset: usize,
) -> Verdict {
    let mut reason = reason.into();
    // Reasons are ASCII, so that any length is a boundary.
    reason.truncate(400);
    Verdict::Deny(Denial { rule, kind, reason, offset })
}

fn shifted(verdict: Verdict, by: usize) -> Verdict {
    match verdict {
        Verdict::Deny(denial) => {
            Verdict::Deny(Denial { offset: denial.offset.saturating_add(by), ..denial })
        }
        other @ (Verdict::Allow(_) | Verdict::Absorb(_) | Verdict::Own(_)) => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Flavour;

    #[test]
    fn names_in_commands_are_those_of_tables_and_schemas() {
        let server = ServerVersion { flavour: Flavour::MariaDb, number: 101_100 };
        let judge = Judge::new(server, Policy::default());
        let facts = SessionFacts::new(server, b"", 45, Some(b"clin")).unwrap();
        let rule = |verdict| match verdict {
            Verdict::Deny(denial) => denial.rule,
            Verdict::Allow(_) | Verdict::Absorb(_) | Verdict::Own(_) => "",
        };
        for (name, of_schema, of_table) in [
            ("clin", "", ""),
            ("#", "", ""),
            ("#mysql50#clin", "schema_name", "field_list_name"),
            ("#MYSQL50#", "schema_name", "field_list_name"),
            ("", "schema_name", "field_list_name"),
        ] {
            let name = Bytes::from_static(name.as_bytes());
            assert_eq!(rule(judge.judge_init_db(&facts, name.clone())), of_schema, "{name:?}");
            assert_eq!(rule(judge.judge_field_list(&facts, name.clone())), of_table, "{name:?}");
            assert_eq!(Policy::default().may_use(&name), of_schema.is_empty() || name.is_empty());
        }
    }
}
