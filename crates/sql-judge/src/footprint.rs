//! What a permitted statement leaves in its session besides the facts that judging knows:
//! decides whether the session may go on over another connection to the replica.
//!
//! Closed by default: what isn't known to leave nothing counts as lasting. A view's own
//! functions are not looked into.

use crate::functions::{self, Class, Spelling};
use crate::lexer::Lexer;
use crate::lexer::keyword::Keyword as K;
use crate::lexer::token::{Kind, Token};
use crate::text::unquote_name;
use crate::verdict::{ReadPermit, StatementKind};

/// What remains of a statement once it has been answered. Whatever it says, schema,
/// character sets, sql_mode, autocommit, an open transaction, warnings and an error are told
/// by the session's own state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Footprint {
    /// Nothing else.
    Nothing,
    /// FOUND_ROWS() that can't be made again, or the diagnostics of a statement before it.
    Diagnostics,
    /// Variables, locks, prepared statements, knowledge of the connection's id: for as long
    /// as the session lasts.
    Lasting,
}

/// Names that make a statement lasting wherever they stand: the connection's own id, values
/// and counters of the session. In lower case, sorted.
const LASTING: &[&str] = &[
    "connection_id",
    "last_insert_id",
    "lastval",
    "processlist",
    "profile",
    "profiles",
    "profiling",
    "ps_current_thread_id",
    "ps_thread_id",
    "pseudo_thread_id",
    "session_status",
    "threads",
];
/// Names that read or keep the diagnostics of a statement before. In lower case, sorted.
const DIAGNOSTICS: &[&str] =
    &["diagnostics", "error_count", "errors", "sql_calc_found_rows", "warning_count", "warnings"];
/// Variables whose value can be set again on another connection. A character set has a
/// collation that can't be read: only NAMES and `character_set_results = NULL` leave none in
/// doubt. In lower case, sorted.
const RESTORABLE: &[&str] = &["autocommit", "character_set_results", "sql_mode"];
/// Words that make a statement which does nothing but ask what the one before it left. In lower
/// case, sorted.
const ASKING: &[&str] = &[
    "as",
    "count",
    "error_count",
    "errors",
    "found_rows",
    "limit",
    "offset",
    "row_count",
    "select",
    "session",
    "show",
    "warning_count",
    "warnings",
];
/// LIMIT and OFFSET with more digits than this leave a FOUND_ROWS() that is costly to make.
const SHORT_NUMBER: usize = 5;

impl ReadPermit {
    /// What the statement leaves in its session.
    pub fn footprint(&self) -> Footprint {
        match self.kind() {
            // Stored functions may do anything to their session, whatever their names.
            _ if self.runs_routine() => Footprint::Lasting,
            // Their effects are among the session's facts and status flags.
            StatementKind::Use | StatementKind::Transaction | StatementKind::Empty => {
                Footprint::Nothing
            }
            StatementKind::FieldList => Footprint::Diagnostics,
            StatementKind::Select
            | StatementKind::Show
            | StatementKind::Explain
            | StatementKind::Help
            | StatementKind::Checksum => Tokens::of(self).read().unwrap_or(Footprint::Lasting),
            StatementKind::Set => match Tokens::of(self).sets_restorable() {
                Some(true) => Footprint::Nothing,
                Some(false) | None => Footprint::Lasting,
            },
            StatementKind::Prepare
            | StatementKind::Kill
            | StatementKind::Lock
            | StatementKind::Do
            | StatementKind::Diagnostics
            | StatementKind::Call
            | StatementKind::Write
            | StatementKind::Definition
            | StatementKind::Admin
            | StatementKind::Unknown => Footprint::Lasting,
        }
    }

    /// Whether it asks for the diagnostics of the statement before it, and does nothing else. It
    /// is made of a few words: nothing that could write is hidden in it.
    pub fn asks_diagnostics(&self) -> bool {
        let may_ask = matches!(self.kind(), StatementKind::Select | StatementKind::Show);
        self.kind() == StatementKind::Diagnostics
            || (may_ask && Tokens::of(self).ask().unwrap_or(false))
    }

    /// Whether every mode and character set that is judged in reads it alike: it has no quotes and
    /// nothing but ASCII.
    pub fn reads_alike(&self) -> bool {
        let text = self.text();
        text.is_ascii() && !text.iter().any(|byte| b"'\"`\\".contains(byte))
    }
}

/// The statement, read as it was when it was judged. `None` in what follows: it can't be read.
struct Tokens<'t> {
    permit: &'t ReadPermit,
    lexer: Lexer<'t>,
    /// The latest first.
    before: [Token; 2],
}

impl<'t> Tokens<'t> {
    fn of(permit: &'t ReadPermit) -> Self {
        let lexer = Lexer::new(permit.read_as(), permit.text());
        Self { permit, lexer, before: [Token::NONE; 2] }
    }

    fn next(&mut self) -> Option<Token> {
        loop {
            let token = self.lexer.next().ok()?;
            if token.kind != Kind::Hint {
                return Some(token);
            }
        }
    }

    fn is_one_of(&self, token: Token, names: &[&str]) -> bool {
        let name = unquote_name(self.lexer.bytes(token)).to_ascii_lowercase();
        std::str::from_utf8(&name).is_ok_and(|name| names.binary_search(&name).is_ok())
    }

    fn read(mut self) -> Option<Footprint> {
        let (mut found, mut is_limited) = (Footprint::Nothing, false);
        loop {
            let token = self.next()?;
            let is_long = self.lexer.range(token).len() > SHORT_NUMBER;
            match token.kind {
                Kind::End => return Some(found),
                Kind::UserVariable => return Some(Footprint::Lasting),
                Kind::Word | Kind::Name | Kind::QuotedName if self.is_lasting(token) => {
                    return Some(Footprint::Lasting);
                }
                Kind::Word | Kind::Name | Kind::QuotedName => {
                    is_limited |= token.is_word(K::LIMIT) || token.is_word(K::OFFSET);
                    if self.is_one_of(token, DIAGNOSTICS) {
                        found = Footprint::Diagnostics;
                    }
                }
                Kind::Number if is_limited && is_long => found = Footprint::Diagnostics,
                Kind::Symbol if token.byte == b'(' && !self.opens_harmless() => {
                    return Some(Footprint::Lasting);
                }
                Kind::Number | Kind::Symbol | Kind::Text | Kind::AtAt | Kind::Hint => {}
            }
            let [latest, _] = self.before;
            self.before = [token, latest];
        }
    }

    /// Whether all tokens are [`ASKING`] or what goes with that; a name behind AS is any.
    fn ask(mut self) -> Option<bool> {
        loop {
            let token = self.next()?;
            let [before, _] = self.before;
            let is_known = match token.kind {
                Kind::End => return Some(true),
                Kind::Word | Kind::Name => before.is_word(K::AS) || self.is_one_of(token, ASKING),
                Kind::QuotedName => before.is_word(K::AS),
                Kind::Symbol => matches!(token.byte, b'(' | b')' | b'*' | b',' | b';' | b'.'),
                Kind::Number | Kind::AtAt => true,
                Kind::Text | Kind::UserVariable | Kind::Hint => false,
            };
            if !is_known {
                return Some(false);
            }
            self.before = [token, before];
        }
    }

    fn is_lasting(&self, name: Token) -> bool {
        let [before, _] = self.before;
        let of_session = [K::SHOW, K::SESSION, K::LOCAL].iter().any(|&word| before.is_word(word));
        (name.is_word(K::STATUS) && of_session) || self.is_one_of(name, LASTING)
    }

    /// Whether the parenthesis that comes next belongs to no function, or to one that only
    /// computes. Stored functions may do anything to their session.
    fn opens_harmless(&self) -> bool {
        let [name, before] = self.before;
        if !name.is_name() {
            return true;
        }
        if before.is(b'.') {
            return false;
        }
        if name.keyword.takes_parenthesis() {
            return true;
        }
        let server = self.permit.read_as().server;
        let class = functions::find(server, &unquote_name(self.lexer.bytes(name)), Spelling::Plain);
        class.is_some_and(|class| class.only_computes() || class == Class::Sleep)
    }

    /// `SET NAMES ...`, or assignments of single words and literals to variables that can be
    /// restored.
    fn sets_restorable(mut self) -> Option<bool> {
        self.next()?;
        let mut token = self.next()?;
        if token.is_word(K::NAMES) {
            return Some(!self.next()?.is_word(K::DEFAULT));
        }
        loop {
            if token.kind == Kind::AtAt {
                token = self.next()?;
            }
            if token.is_word(K::SESSION) || token.is_word(K::LOCAL) {
                token = self.next()?;
                if token.is(b'.') {
                    token = self.next()?;
                }
            }
            if !token.is_name() || !self.is_one_of(token, RESTORABLE) {
                return Some(false);
            }
            let is_results = self.is_one_of(token, &["character_set_results"]);
            token = self.next()?;
            if token.is(b':') {
                token = self.next()?;
            }
            if !token.is(b'=') {
                return Some(false);
            }
            let value = self.next()?;
            let is_single = value.is_name() || matches!(value.kind, Kind::Text | Kind::Number);
            if !is_single || (is_results && !value.is_word(K::NULL)) {
                return Some(false);
            }
            token = self.next()?;
            if token.is(b',') {
                token = self.next()?;
            } else {
                return Some(token.kind == Kind::End || token.is(b';'));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Flavour, Judge, Policy, ServerVersion, SessionFacts, Verdict};

    fn judge(server: ServerVersion) -> Judge {
        let allowed_functions =
            ["clinical.age_at", "clinical.columns", "GET_LOCK"].map(str::to_owned).to_vec();
        Judge::new(server, Policy { allowed_functions, ..Policy::default() })
    }

    fn permit(flavour: Flavour, text: &str) -> ReadPermit {
        let number = if flavour == Flavour::MySql { 90_700 } else { 101_100 };
        let server = ServerVersion { flavour, number };
        let facts = SessionFacts::new(server, b"", 45, Some(b"clinical")).unwrap();
        let verdict = judge(server).judge(&facts, bytes::Bytes::copy_from_slice(text.as_bytes()));
        let Verdict::Allow(permit) = verdict else { panic!("{text}: {verdict:?}") };
        permit
    }

    fn footprint(flavour: Flavour, text: &str) -> Footprint {
        permit(flavour, text).footprint()
    }

    fn all_are(expected: Footprint, texts: &[&str]) {
        for flavour in [Flavour::MySql, Flavour::MariaDb] {
            for text in texts {
                assert_eq!(footprint(flavour, text), expected, "{flavour:?}: {text}");
            }
        }
    }

    #[test]
    fn the_lists_are_sorted() {
        assert!(LASTING.is_sorted() && DIAGNOSTICS.is_sorted() && RESTORABLE.is_sorted());
    }

    #[test]
    fn plain_reads_and_what_can_be_restored_leave_nothing() {
        let texts = [
            "SELECT COUNT(*), MAX(a) FROM t WHERE b IN (1, 2) AND c LIKE 'x%' GROUP BY d LIMIT 10",
            "SELECT FOUND_ROWS(), ROW_COUNT()",
            "SELECT @@session.sql_mode, @@version",
            "SELECT CAST(a AS CHAR(10)) FROM (SELECT 1 AS a) x",
            "SELECT 'connection_id()', \"@a\"",
            "SELECT POINT(1, 2) FROM JSON_TABLE('[1]', '$' COLUMNS (a INT PATH '$')) AS t",
            "SELECT 2000000, SLEEP(0) FROM t LIMIT 99999",
            "SHOW TABLES",
            "SHOW TABLE STATUS",
            "SHOW GLOBAL STATUS",
            "EXPLAIN SELECT 1",
            "USE clinical",
            "BEGIN",
            "COMMIT",
            "SET NAMES latin1 COLLATE latin1_bin",
            "SET sql_mode = 'ANSI'",
            "SET LOCAL sql_mode := 'ANSI';",
            "SET SESSION sql_mode = 'ANSI', @@session.autocommit = 1, character_set_results = NULL",
        ];
        all_are(Footprint::Nothing, &texts);
    }

    #[test]
    fn what_reads_or_bends_diagnostics_is_told() {
        let texts = [
            "SELECT SQL_CALC_FOUND_ROWS a FROM t LIMIT 1",
            "SHOW WARNINGS",
            "SHOW COUNT(*) ERRORS",
            "SELECT @@warning_count",
            "SELECT @@`error_count`",
            "SELECT a FROM t LIMIT 100000",
            "SELECT a FROM t LIMIT 2000000, 5",
            "SELECT a FROM t LIMIT 5 OFFSET 2000000",
        ];
        all_are(Footprint::Diagnostics, &texts);
    }

    #[test]
    fn what_only_asks_is_told() {
        let asks = |text: &str| permit(Flavour::MariaDb, text).asks_diagnostics();
        for text in [
            "SHOW WARNINGS",
            "show errors limit 1, 5;",
            "SHOW COUNT(*) WARNINGS",
            "GET DIAGNOSTICS @n = NUMBER",
            "SELECT FOUND_ROWS() AS `all`, ROW_COUNT()",
            "SELECT @@session.warning_count, @@error_count AS n",
        ] {
            assert!(asks(text), "{text}");
        }
        for text in [
            "SELECT 1 AS n FROM t",
            "SELECT FOUND_ROWS(), age_at(1)",
            "SHOW TABLES",
            "SELECT FOUND_ROWS() INTO @n",
            "SELECT 'a'",
            "DO 1",
        ] {
            assert!(!asks(text), "{text}");
        }
    }

    #[test]
    fn what_runs_a_listed_routine_is_told_each_time() {
        let listed = |text: &str| permit(Flavour::MySql, text).runs_routine();
        for text in ["SELECT age_at(1)", "SELECT 1 + clinical . age_at(2)", "DO age_at(1)"] {
            assert!(listed(text), "{text}");
        }
        assert!(!listed("SELECT COUNT(1), GET_LOCK('a', 1)"));
        let server = ServerVersion { flavour: Flavour::MySql, number: 90_700 };
        let judge = judge(server);
        let facts = SessionFacts::new(server, b"", 45, Some(b"clinical")).unwrap();
        for number in 0..5 {
            let text = format!("SELECT age_at({number})");
            for _ in 0..3 {
                let Verdict::Allow(permit) = judge.judge(&facts, text.clone().into()) else {
                    panic!("refused");
                };
                assert!(permit.runs_routine(), "{text}");
            }
        }
    }

    #[test]
    fn all_else_lasts() {
        let texts = [
            "SELECT @a := 1",
            "SELECT @a",
            "SELECT 1 INTO @a",
            "SELECT CONNECTION_ID()",
            "SELECT /*! CONNECTION_ID() */ + 1",
            "SELECT connection_id ( )",
            "SELECT @@pseudo_thread_id",
            "SELECT LAST_INSERT_ID(5)",
            "SELECT GET_LOCK('a', 1)",
            "SELECT age_at(1)",
            "SELECT clinical.age_at(1)",
            "SHOW STATUS",
            "SHOW SESSION STATUS LIKE 'Handler%'",
            "SHOW PROFILES",
            "SET @a = 1",
            "SET time_zone = '+00:00'",
            "SET sql_mode = @a",
            "SET NAMES DEFAULT",
            "SET CHARACTER SET utf8mb4",
            "SET character_set_results = utf8mb4",
            "SET collation_connection = utf8mb4_bin",
            "SET character_set_client = utf8mb4",
            "SET sql_mode = 'ANSI', time_zone = '+00:00'",
            "SET sql_mode = CONCAT(@@sql_mode, ',ANSI')",
            "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
            "SET TRANSACTION READ ONLY",
            "PREPARE s FROM 'SELECT 1'",
            "DO 0",
        ];
        all_are(Footprint::Lasting, &texts);
        // A stored function's name to MariaDB alone.
        assert_eq!(footprint(Flavour::MariaDb, "SELECT columns(1)"), Footprint::Lasting);
    }
}
