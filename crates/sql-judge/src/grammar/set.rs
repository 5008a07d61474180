//! SET: assignment by assignment. Only the session's own, listed variables; what decides
//! how texts are read is told from the text or asked of the replica; what would undo the guard is absorbed.

use super::query::Until;
use super::{Outcome, Parser, Refusal, Rule};
use crate::charset::Charset;
use crate::facts::Change;
use crate::lexer::keyword::Keyword as K;
use crate::lexer::token::{Kind, Token};
use crate::server::Flavour;
use crate::settings::{Limited, Setting, setting};
use crate::sql_mode::SqlMode;
use crate::text::{excerpt, unquote_name};
use crate::verdict::StatementKind;

const WRITES_STAY_REFUSED: &str = "the session stays read-only";
const LIMIT_STAYS: &str = "the limit of this session stays";

/// What one assignment asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Item {
    /// A plain value: if the server refuses it, it refuses the whole statement.
    Plain,
    /// An expression.
    Computed,
    /// To be answered and not forwarded, for this reason.
    Absorbed(&'static str),
}

impl Parser<'_> {
    /// `SET ...` of any sort.
    pub(super) fn set(&mut self) -> Rule<Outcome> {
        self.kind = StatementKind::Set;
        self.advance()?;
        if self.is_word(K::STATEMENT) && !self.is_mysql() {
            return self.set_statement();
        }
        let mut items = 0;
        let mut absorbed = None;
        loop {
            let item = self.set_item()?;
            items += 1;
            if let Item::Absorbed(reason) = item {
                absorbed = Some(reason);
            }
            if !self.eat_symbol(b',')? {
                break;
            }
        }
        if let Some(why) = absorbed {
            if items == 1 {
                return Ok(Outcome::Absorb(why));
            }
            let reason = format!("{why}: this can't be asked for together with other settings");
            return Err(self.refuse("mixed_absorbed", reason));
        }
        Ok(Outcome::Read)
    }

    fn set_item(&mut self) -> Rule<Item> {
        if self.token.kind == Kind::UserVariable {
            self.advance()?;
            self.assignment_sign()?;
            return self.free_value(Until::Comma);
        }
        if self.token.kind == Kind::AtAt {
            self.advance()?;
            self.refuse_wider_scope()?;
            let has_scope = self.eat(K::SESSION)? || self.eat(K::LOCAL)?;
            if has_scope && !self.eat_symbol(b'.')? {
                return Err(self.unexpected());
            }
            return self.variable();
        }
        self.refuse_wider_scope()?;
        if self.eat(K::SESSION)? || self.eat(K::LOCAL)? {
            return if self.is_word(K::TRANSACTION) {
                self.characteristics()
            } else {
                self.variable()
            };
        }
        #[expect(clippy::wildcard_enum_match_arm, reason = "all other words name variables")]
        match self.token.keyword {
            K::NAMES => self.names(),
            K::CHARSET => self.charset(),
            K::CHARACTER | K::CHAR => {
                self.advance()?;
                if !self.is_word(K::SET) {
                    return Err(self.unexpected());
                }
                self.charset()
            }
            K::TRANSACTION => self.characteristics(),
            K::PASSWORD | K::ROLE | K::DEFAULT | K::RESOURCE => {
                let word = excerpt(self.bytes(self.token)).to_uppercase();
                let reason = format!("SET {word} changes the account that all users share");
                Err(self.refuse("set_account", reason))
            }
            _ => self.variable(),
        }
    }

    fn refuse_wider_scope(&self) -> Rule {
        let is_wider = [K::GLOBAL, K::PERSIST, K::PERSIST_ONLY].iter().any(|&w| self.is_word(w));
        if is_wider {
            let scope = excerpt(self.bytes(self.token)).to_uppercase();
            let reason = format!("SET {scope} changes the replica for everyone");
            return Err(self.refuse("set_global", reason));
        }
        Ok(())
    }

    fn assignment_sign(&mut self) -> Rule {
        self.eat_symbol(b':')?;
        if self.eat_symbol(b'=')? { Ok(()) } else { Err(self.unexpected()) }
    }

    // ---- variables -------------------------------------------------------------------

    /// `name = value`
    fn variable(&mut self) -> Rule<Item> {
        let token = self.expect_name()?;
        let name = unquote_name(self.bytes(token));
        if self.token.is(b'.') {
            return Err(self.refuse_variable(token));
        }
        self.assignment_sign()?;
        match setting(&name) {
            Setting::Free => self.free_value(Until::Comma),
            Setting::Tracing => {
                self.changes.push(Change::Tracing);
                self.free_value(Until::Comma)
            }
            Setting::SqlMode => self.sql_mode(token),
            Setting::ClientCharset => match self.written()? {
                Some(value) => self.client_charset(token, &value),
                None => Ok(self.in_doubt()),
            },
            Setting::LiteralCharset => self.literal_charset(token),
            Setting::Isolation => self.isolation_value(token),
            Setting::ReadOnly => self.read_only_value(token),
            Setting::Limit(limited) => self.limit_value(limited),
            Setting::Refused => Err(self.refuse_variable(token)),
        }
    }

    /// A limit of the guard: a literal within it is set, anything else is answered.
    fn limit_value(&mut self, limited: Limited) -> Rule<Item> {
        let value = self.token;
        let item = self.free_value(Until::Comma)?;
        let within = item == Item::Plain && self.limits.allow(limited, self.bytes(value));
        let is_limited = self.limits.limits(limited);
        Ok(if within || !is_limited { item } else { Item::Absorbed(LIMIT_STAYS) })
    }

    fn refuse_variable(&self, token: Token) -> Box<Refusal> {
        let name = excerpt(self.bytes(token));
        let reason = format!("the variable {name} is not one that users may set");
        self.refuse_at(token, "set_variable", reason)
    }

    /// An expression that reads; tells a single token from more.
    fn free_value(&mut self, until: Until) -> Rule<Item> {
        let first = self.token;
        self.expression(until)?;
        let [last, ..] = self.before();
        if self.token.offset() == first.offset() {
            return Err(self.unexpected());
        }
        Ok(if last.offset() == first.offset() { Item::Plain } else { Item::Computed })
    }

    /// A value that is written out; `None`: another expression that reads, whose value only the
    /// replica knows.
    fn written(&mut self) -> Rule<Option<Vec<u8>>> {
        let start = self.place();
        if let Ok(value) = self.written_value()
            && (self.at_end() || self.token.is(b','))
        {
            return Ok(Some(value));
        }
        self.go_back(start);
        self.free_value(Until::Comma).map(|_| None)
    }

    /// The session's facts must be read back from the replica before anything else is judged.
    fn in_doubt(&mut self) -> Item {
        self.changes.push(Change::InDoubt);
        Item::Plain
    }

    /// A change of how texts are read. A prepared statement's is read back: the server may
    /// have read its literals under another mode than that of now.
    fn reads_otherwise(&mut self, change: Change) -> Item {
        if self.session.all().runs_later() {
            return self.in_doubt();
        }
        self.changes.push(change);
        Item::Plain
    }

    fn sql_mode(&mut self, token: Token) -> Rule<Item> {
        let Some(value) = self.written()? else { return Ok(self.in_doubt()) };
        let Some(mode) = SqlMode::parse(self.session.server().flavour, &value) else {
            let reason = "this sql_mode holds a mode that readgate does not know";
            return Err(self.refuse_at(token, "unknown_sql_mode", reason));
        };
        Ok(self.reads_otherwise(Change::SqlMode(mode)))
    }

    fn isolation_value(&mut self, token: Token) -> Rule<Item> {
        let value = if self.bytes(self.token) == b"3" {
            return Err(self.refuse_isolation(token));
        } else if matches!(self.bytes(self.token), b"1" | b"2") {
            self.advance()?;
            b"READ-COMMITTED".to_vec()
        } else {
            self.written_value()?
        };
        let allowed: [&[u8]; 4] = [b"", b"READ-UNCOMMITTED", b"READ-COMMITTED", b"REPEATABLE-READ"];
        if allowed.iter().any(|level| value.eq_ignore_ascii_case(level)) {
            return Ok(Item::Plain);
        }
        Err(self.refuse_isolation(token))
    }

    fn refuse_isolation(&self, token: Token) -> Box<Refusal> {
        let reason = "isolation level SERIALIZABLE makes every read take locks";
        self.refuse_at(token, "serializable", reason)
    }

    fn read_only_value(&mut self, token: Token) -> Rule<Item> {
        let value = self.token;
        self.advance()?;
        let is = |words: [&[u8]; 3]| {
            words.iter().any(|word| self.bytes(value).eq_ignore_ascii_case(word))
        };
        if is([b"1", b"ON", b"TRUE"]) {
            return Ok(Item::Plain);
        }
        if is([b"0", b"OFF", b"FALSE"]) {
            return Ok(Item::Absorbed(WRITES_STAY_REFUSED));
        }
        Err(self.refuse_variable(token))
    }

    // ---- character sets --------------------------------------------------------------

    /// `NAMES {DEFAULT | charset} [COLLATE collation]`
    fn names(&mut self) -> Rule<Item> {
        let names = self.bump()?;
        if self.token.is(b'=') || self.token.is(b':') {
            return Err(self.refuse_variable(names));
        }
        let value = if self.eat(K::DEFAULT)? { None } else { Some(self.written_value()?) };
        if self.eat(K::COLLATE)? && !self.eat(K::DEFAULT)? {
            self.written_value()?;
        }
        let Some(value) = value else { return Ok(self.in_doubt()) };
        self.changes.push(Change::Literals { in_doubt: false });
        self.client_charset(names, &value)
    }

    /// `CHARSET x`, `CHARACTER SET x`, `CHAR SET x`
    fn charset(&mut self) -> Rule<Item> {
        let word = self.bump()?;
        if self.eat(K::DEFAULT)? {
            return Ok(self.in_doubt());
        }
        let value = self.written_value()?;
        self.changes.push(Change::Literals { in_doubt: !self.is_mysql() });
        self.client_charset(word, &value)
    }

    /// `character_set_connection` and its kin.
    fn literal_charset(&mut self, at: Token) -> Rule<Item> {
        let flavour = self.session.server().flavour;
        if flavour == Flavour::MySql {
            return self.free_value(Until::Comma);
        }
        match self.written()? {
            Some(value) if Charset::keeps_literals(flavour, &value) => Ok(Item::Plain),
            Some(_) => {
                let reason =
                    "MariaDB prepares another text than the literal's in this character set";
                Err(self.refuse_at(at, "unknown_charset", reason))
            }
            None => Ok(self.in_doubt()),
        }
    }

    fn client_charset(&mut self, at: Token, name: &[u8]) -> Rule<Item> {
        let Some(charset) = Charset::by_name(self.session.server().flavour, name) else {
            let reason = "readgate does not know this client character set";
            return Err(self.refuse_at(at, "unknown_charset", reason));
        };
        Ok(self.reads_otherwise(Change::Charset(charset)))
    }

    // ---- SET TRANSACTION, SET STATEMENT ----------------------------------------------

    /// `TRANSACTION {ISOLATION LEVEL ... | READ ONLY | READ WRITE}, ...`
    fn characteristics(&mut self) -> Rule<Item> {
        let start = self.bump()?;
        let mut item = Item::Plain;
        let mut count = 0;
        loop {
            if self.eat(K::ISOLATION)? {
                self.expect(K::LEVEL)?;
                self.isolation_words()?;
            } else {
                self.expect(K::READ)?;
                if self.eat(K::WRITE)? {
                    item = Item::Absorbed(WRITES_STAY_REFUSED);
                } else {
                    self.expect(K::ONLY)?;
                }
            }
            count += 1;
            if !self.eat_symbol(b',')? {
                break;
            }
        }
        if item != Item::Plain && count > 1 {
            let reason = "READ WRITE can't be asked for together with an isolation level";
            return Err(self.refuse_at(start, "mixed_absorbed", reason));
        }
        Ok(item)
    }

    fn isolation_words(&mut self) -> Rule {
        let first = self.bump()?;
        if first.is_word(K::SERIALIZABLE) {
            return Err(self.refuse_isolation(first));
        }
        if first.is_word(K::REPEATABLE) {
            return self.expect(K::READ);
        }
        let known =
            first.is_word(K::READ) && (self.is_word(K::COMMITTED) || self.is_word(K::UNCOMMITTED));
        if !known {
            return Err(self.unexpected());
        }
        self.advance()?;
        Ok(())
    }

    /// MariaDB: `SET STATEMENT variable = value, ... FOR query`
    fn set_statement(&mut self) -> Rule<Outcome> {
        self.advance()?;
        loop {
            let token = self.expect_name()?;
            let name = unquote_name(self.bytes(token));
            let setting = setting(&name);
            match setting {
                Setting::Free | Setting::Limit(_) => {}
                Setting::Tracing => self.changes.push(Change::Tracing),
                Setting::SqlMode
                | Setting::ClientCharset
                | Setting::LiteralCharset
                | Setting::Isolation
                | Setting::ReadOnly
                | Setting::Refused => return Err(self.refuse_variable(token)),
            }
            self.assignment_sign()?;
            let value = self.token;
            let item = self.free_value(Until::CommaOrFor)?;
            if let Setting::Limit(limited) = setting {
                let within = item == Item::Plain && self.limits.allow(limited, self.bytes(value));
                if self.limits.limits(limited) && !within {
                    return Err(self.refuse_at(token, "raised_limit", LIMIT_STAYS));
                }
            }
            if !self.eat_symbol(b',')? {
                break;
            }
        }
        self.expect(K::FOR)?;
        #[expect(clippy::wildcard_enum_match_arm, reason = "all else is refused")]
        match self.token.keyword {
            K::SELECT | K::WITH | K::VALUES => self.select(),
            K::SHOW => self.show(),
            K::EXPLAIN | K::DESCRIBE | K::DESC => self.explain(),
            K::ANALYZE => self.analyze(),
            K::DO => self.do_expressions(),
            _ if self.token.is(b'(') => self.select(),
            _ => Err(self.refuse("set_statement", "SET STATEMENT may only be FOR a read")),
        }
    }
}
