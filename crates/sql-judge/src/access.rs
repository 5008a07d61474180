//! What a role may read, beyond reading at all: its schemas, and whether what other users'
//! sessions do. Decided on every table that a text might name; where that can't be told the
//! text is refused.

use crate::grammar::Refusal;
use crate::judge::Policy;
use crate::lexer::sight::Sight;
use crate::lexer::token::Token;
use crate::metadata::{Special, special};
use crate::text::{excerpt, names_file, unquote_name};
use crate::walk::{Event, Path, Walk};

impl Policy {
    /// Whether a session of this policy may have that schema as its default.
    pub fn may_use(&self, schema: &[u8]) -> bool {
        !names_file(schema) && (self.lists(schema) || special(schema).is_some())
    }

    /// Whether tables of a schema may be read without further ado. Compared as written: a
    /// server may tell `Clin` from `clin`.
    fn lists(&self, schema: &[u8]) -> bool {
        let listed = self.schemas.as_ref();
        listed.is_none_or(|listed| listed.iter().any(|known| known.as_bytes() == schema))
    }

    /// Whether every statement must be looked at, or only those that [`watches`] finds.
    pub(crate) fn restricts_schemas(&self) -> bool {
        self.schemas.is_some()
    }
}

/// Whether a name before a dot, as it stands in the text, might be a schema that shows
/// other users' sessions. Quick, as it is asked of each.
#[inline]
pub(crate) fn watches(qualifier: &[u8]) -> bool {
    let is_quoted = matches!(qualifier.first(), Some(b'`' | b'"'));
    match qualifier.len() - if is_quoted { 2.min(qualifier.len()) } else { 0 } {
        3 | 5 | 18 => special(&unquote_name(qualifier)).is_some(),
        _ => !qualifier.is_ascii(),
    }
}

/// Why a text, whose first statement the grammar has found a read, is not one for this
/// policy. `schema` is the session's default schema.
pub(crate) fn forbidden(
    policy: &Policy,
    schema: Option<&[u8]>,
    text: &Sight<'_>,
) -> Option<Refusal> {
    let mut walk = Walk::new(text.again());
    let mut explained_in = None;
    while let Some(event) = walk.next() {
        let schema = explained_in.as_deref().or(schema);
        let check = Check { policy, schema, walk: &walk };
        let refusal = match event {
            Event::Semicolon => return None,
            Event::Table(path) => check.table(path, true),
            Event::Described(path) => check.table(path, false),
            Event::Routine(path) => check.routine(path),
            Event::Schema(name) => check.schema_name(name),
            Event::ExplainedIn(name) => {
                let refusal = check.schema_name(name);
                explained_in = Some(unquote_name(walk.bytes(name)));
                refusal
            }
            Event::Function { .. }
            | Event::Name(_)
            | Event::Star
            | Event::Common { .. }
            | Event::CommonEnds
            | Event::Select { .. }
            | Event::Open
            | Event::Close => None,
        };
        if refusal.is_some() {
            return refusal;
        }
    }
    None
}

/// Why a SET, DO or SHOW with a subquery would take row locks: MySQL and MariaDB both lock
/// what such a subquery reads, also in a read-only session. Their metadata knows no locks.
pub(crate) fn locking(schema: Option<&[u8]>, text: &Sight<'_>) -> Option<Refusal> {
    let mut walk = Walk::new(text.again());
    while let Some(event) = walk.next() {
        match event {
            Event::Semicolon => return None,
            Event::Table(path) => {
                let named = match path.parts() {
                    Some([_]) => schema.map(<[u8]>::to_vec),
                    Some([schema, _]) => Some(unquote_name(walk.bytes(*schema)).into_owned()),
                    Some(_) | None => None,
                };
                let is_metadata = named.filter(|name| name.is_ascii()).is_some_and(|name| {
                    let metadata = [Special::InformationSchema, Special::PerformanceSchema];
                    special(&name).is_some_and(|special| metadata.contains(&special))
                });
                if !is_metadata {
                    let reason = "a subquery in SET, DO or SHOW takes row locks on what it reads; \
                                  SELECT ... INTO @variable doesn't";
                    let offset = path.first().offset();
                    let (rule, reason) = ("locking_read", reason.to_owned());
                    return Some(Refusal { rule, reason, offset });
                }
            }
            Event::Described(_)
            | Event::Routine(_)
            | Event::Schema(_)
            | Event::ExplainedIn(_)
            | Event::Function { .. }
            | Event::Name(_)
            | Event::Star
            | Event::Common { .. }
            | Event::CommonEnds
            | Event::Select { .. }
            | Event::Open
            | Event::Close => {}
        }
    }
    None
}

struct Check<'c, 't> {
    policy: &'c Policy,
    schema: Option<&'c [u8]>,
    walk: &'c Walk<'t>,
}

impl Check<'_, '_> {
    /// A table; with `reads`, its rows and not only its structure.
    fn table(&self, path: Path, reads: bool) -> Option<Refusal> {
        let (schema, table) = match path.parts() {
            // Without a default schema the server refuses the statement.
            Some([table]) => (self.schema?.to_vec(), *table),
            Some([schema, table]) => (self.name(*schema), *table),
            Some(_) | None => return Some(self.unknown(path)),
        };
        let name = self.name(table);
        let special = special(&schema);
        let holds_secrets = special.is_some_and(|special| special.holds_secrets(&name));
        if self.policy.own_sessions_only && reads && holds_secrets {
            let reason = format!("{} holds passwords of other accounts", excerpt(&name));
            return Some(self.refusal("credentials", reason, table));
        }
        let shows_others = special.is_some_and(|special| special.shows_others(&name));
        if self.policy.own_sessions_only && reads && shows_others {
            let shown = excerpt(&name);
            let reason = format!("{shown} shows what other users do, which this role may not see");
            return Some(self.refusal("others_sessions", reason, table));
        }
        let is_metadata = special.is_some_and(|special| is_harmless(special, &name, reads));
        match self.policy.lists(&schema) || is_metadata {
            true => None,
            false => Some(self.schema_refused(&schema, path.first())),
        }
    }

    fn routine(&self, path: Path) -> Option<Refusal> {
        match path.parts() {
            Some([_]) => None,
            Some([schema, _]) => self.schema_name(*schema),
            Some(_) | None => Some(self.unknown(path)),
        }
    }

    fn schema_name(&self, token: Token) -> Option<Refusal> {
        let schema = self.name(token);
        (!self.policy.may_use(&schema)).then(|| self.schema_refused(&schema, token))
    }

    fn name(&self, token: Token) -> Vec<u8> {
        unquote_name(self.walk.bytes(token)).into_owned()
    }

    fn unknown(&self, path: Path) -> Refusal {
        let reason = "this role reads listed tables only, and the name of one can't be told here";
        self.refusal("unknown_table", reason.to_owned(), path.first())
    }

    fn schema_refused(&self, schema: &[u8], at: Token) -> Refusal {
        let shown = excerpt(schema);
        self.refusal("schema", format!("the schema {shown} is not one that this role may read"), at)
    }

    fn refusal(&self, rule: &'static str, reason: String, at: Token) -> Refusal {
        Refusal { rule, reason, offset: at.offset() }
    }
}

fn is_harmless(special: Special, table: &[u8], reads: bool) -> bool {
    !reads || special.holds_no_data(table)
}
