//! SHOW: by its subject. Conditions (`LIKE`, `WHERE`) are expressions like any other.

use super::{Outcome, Parser, Rule};
use crate::lexer::keyword::Keyword as K;
use crate::lexer::token::{Kind, Token};
use crate::text::excerpt;
use crate::verdict::{OwnStatement, StatementKind};

/// The words after SHOW, up to where names or conditions begin. The longest match is
/// not needed: what follows is read by the rules of expressions.
#[rustfmt::skip]
const SUBJECTS: &[&[K]] = &[
    &[K::AUTHORS], &[K::BINARY, K::LOGS], &[K::BINARY, K::LOG, K::STATUS], &[K::BINLOG, K::EVENTS],
    &[K::BINLOG, K::STATUS], &[K::CHAR, K::SET], &[K::CHARACTER, K::SET], &[K::CHARSET], &[K::CLIENT_STATISTICS],
    &[K::COLLATION], &[K::COLUMNS], &[K::CONTRIBUTORS], &[K::COUNT], &[K::CREATE, K::DATABASE],
    &[K::CREATE, K::EVENT], &[K::CREATE, K::FUNCTION], &[K::CREATE, K::LIBRARY],
    &[K::CREATE, K::PACKAGE], &[K::CREATE, K::PROCEDURE], &[K::CREATE, K::SCHEMA],
    &[K::CREATE, K::SEQUENCE], &[K::CREATE, K::TABLE], &[K::CREATE, K::TRIGGER],
    &[K::CREATE, K::USER], &[K::CREATE, K::VIEW], &[K::CREATE, K::SERVER], &[K::DATABASES],
    &[K::ENGINE], &[K::ENGINES],
    &[K::ERRORS], &[K::EVENTS], &[K::EXTENDED], &[K::FIELDS], &[K::FULL], &[K::FUNCTION, K::CODE],
    &[K::FUNCTION, K::STATUS], &[K::GLOBAL, K::STATUS], &[K::GLOBAL, K::VARIABLES], &[K::GRANTS],
    &[K::INDEX], &[K::INDEXES], &[K::INDEX_STATISTICS], &[K::KEYS], &[K::LIBRARY, K::STATUS],
    &[K::LOCAL, K::STATUS], &[K::LOCAL, K::VARIABLES], &[K::LOCALES], &[K::MASTER, K::LOGS],
    &[K::MASTER, K::STATUS], &[K::OPEN, K::TABLES], &[K::PACKAGE, K::BODY], &[K::PACKAGE, K::STATUS],
    &[K::PLUGINS], &[K::PRIVILEGES], &[K::PROCEDURE, K::CODE], &[K::PROCEDURE, K::STATUS],
    &[K::PROCESSLIST], &[K::PROFILE], &[K::PROFILES], &[K::QUERY_RESPONSE_TIME],
    &[K::RELAYLOG, K::EVENTS], &[K::REPLICA, K::HOSTS], &[K::REPLICA, K::STATUS], &[K::REPLICAS],
    &[K::ALL, K::REPLICAS], &[K::ALL, K::SLAVES], &[K::SCHEMAS], &[K::SESSION, K::STATUS],
    &[K::SESSION, K::VARIABLES], &[K::SLAVE, K::HOSTS], &[K::SLAVE, K::STATUS], &[K::STATUS],
    &[K::STORAGE, K::ENGINES], &[K::TABLE, K::STATUS], &[K::TABLE, K::TYPES], &[K::TABLES],
    &[K::TABLE_STATISTICS], &[K::TRIGGERS], &[K::USER_STATISTICS], &[K::VARIABLES],
    &[K::WARNINGS], &[K::WSREP_MEMBERSHIP], &[K::WSREP_STATUS],
];

impl Parser<'_> {
    /// `SHOW subject ...`
    pub(super) fn show(&mut self) -> Rule<Outcome> {
        self.kind = StatementKind::Show;
        self.advance()?;
        let first = self.token;
        let known: Vec<&[K]> = SUBJECTS
            .iter()
            .copied()
            .filter(|subject| subject.first() == Some(&first.keyword))
            .collect();
        if !known.is_empty() {
            self.advance()?;
        }
        // MariaDB: `SLAVE 'name' STATUS`, of several sources.
        let is_replica = first.is_word(K::SLAVE) || first.is_word(K::REPLICA);
        if is_replica && !self.is_mysql() && self.token.kind == Kind::Text {
            self.advance()?;
        }
        if let Some(own) = self.others_in_show(first)? {
            return Ok(own);
        }
        let second = self.token.keyword;
        if known.iter().any(|subject| subject.len() == 1) {
            // EXTENDED and FULL stand before subjects that are all listed.
        } else if known.iter().any(|subject| subject.get(1) == Some(&second)) {
            self.advance()?;
            if first.is_word(K::CREATE) {
                return self.show_create();
            }
        } else {
            let subject = excerpt(self.bytes(first)).to_uppercase();
            let reason = format!("SHOW {subject} is not a form that readgate knows");
            return Err(self.refuse_at(first, "unknown_show", reason));
        }
        self.query()?;
        Ok(Outcome::Read)
    }

    /// What would show other users' sessions or the writes of all schemas, where the policy
    /// hides them: refused, or answered for the user's own sessions.
    fn others_in_show(&mut self, first: Token) -> Rule<Option<Outcome>> {
        let is = |words: &[K]| words.iter().any(|&word| first.is_word(word));
        let is_log = is(&[K::BINLOG, K::RELAYLOG]) && self.token.is_word(K::EVENTS);
        if self.policy.restricts_schemas() && is_log {
            let reason = "the binary log holds the writes of schemas that this role may not read";
            return Err(self.refuse_at(first, "schema", reason));
        }
        if !self.policy.own_sessions_only {
            return Ok(None);
        }
        // MariaDB logs `CREATE USER ... IDENTIFIED BY` as it came.
        if is_log || (first.is_word(K::CREATE) && self.token.is_word(K::SERVER)) {
            let reason = "it holds passwords of other accounts, in clear";
            return Err(self.refuse_at(first, "credentials", reason));
        }
        if is(&[K::ENGINE, K::USER_STATISTICS, K::CLIENT_STATISTICS]) {
            let subject = excerpt(self.bytes(first)).to_uppercase();
            let reason = format!("SHOW {subject} shows what other users do");
            return Err(self.refuse_at(first, "others_sessions", reason));
        }
        let full = first.is_word(K::FULL) && self.eat(K::PROCESSLIST)?;
        let is_list = full || first.is_word(K::PROCESSLIST);
        Ok(is_list.then_some(Outcome::Own(OwnStatement::ProcessList { full })))
    }

    /// `SHOW CREATE TABLE name`: a name, with no expression behind it.
    fn show_create(&mut self) -> Rule<Outcome> {
        while !self.at_end() {
            if self.token.is(b'(') && !self.before_is_current_user() {
                return Err(self.unexpected());
            }
            self.advance()?;
        }
        Ok(Outcome::Read)
    }

    fn before_is_current_user(&self) -> bool {
        let [word, ..] = self.before();
        self.bytes(word).eq_ignore_ascii_case(b"CURRENT_USER")
    }
}
