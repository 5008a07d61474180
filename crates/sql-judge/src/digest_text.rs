//! The DIGEST_TEXT of a statement, as the servers compute it: its text with every value
//! replaced. Statements that differ in values alone share it. For operators to read, never for
//! a verdict; what the ledger calls a fingerprint is a hash of [`crate::shape`].

mod words;

use crate::facts::SessionFacts;
use crate::lexer::token::{Kind, Token};
use crate::lexer::{Gap, LexMode, Lexer};
use crate::text::unquote_name;

/// Most pieces of one, about as many as the servers' default digest length
/// holds. What follows is left out, and `...` stands for it.
const MAX_PIECES: usize = 400;

/// A part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    /// `?`
    Value,
    /// `?, ...`
    Values,
    /// `(?)`
    Row,
    /// `(?) /* , ... */`
    Rows,
    /// `(...)`
    WideRow,
    /// `(...) /* , ... */`
    WideRows,
    /// `IN (...)`
    InList,
    /// `@`, with no gap behind it.
    At,
    /// A keyword, operator or quoted name.
    Other(String),
}

/// The digest text of a text in this session: what of it can be lexed, and no more than
/// the servers keep by default.
pub fn digest_text(facts: &SessionFacts, text: &[u8]) -> String {
    let mode = facts.lex_mode();
    let mut digest = Digest { mode, lexer: Lexer::new(mode, text), pieces: Vec::new() };
    let mut token = digest.next();
    while token.kind != Kind::End {
        let next = digest.next();
        if digest.pieces.len() >= MAX_PIECES {
            digest.pieces.push(Piece::Other("...".to_owned()));
            break;
        }
        token = digest.add(token, next);
    }
    if digest.pieces.last() == Some(&symbol(b';')) {
        digest.pieces.pop();
    }
    digest.text()
}

struct Digest<'t> {
    mode: LexMode,
    lexer: Lexer<'t>,
    pieces: Vec<Piece>,
}

fn symbol(byte: u8) -> Piece {
    Piece::Other(char::from(byte).to_string())
}

impl Digest<'_> {
    fn next(&mut self) -> Token {
        self.lexer.next().unwrap_or(Token::NONE)
    }

    /// Adds a token, of which `next` is the one behind; gives the first that remains.
    fn add(&mut self, token: Token, next: Token) -> Token {
        match token.kind {
            Kind::End | Kind::Hint => {}
            Kind::Number => self.number(token, next),
            Kind::Text => self.text_value(token),
            Kind::Word => self.word(token, next),
            Kind::Name | Kind::QuotedName => self.name(token),
            Kind::UserVariable => self.user_variable(token),
            Kind::AtAt => return self.system_variable(next),
            Kind::Symbol if token.byte == b')' => self.close(),
            Kind::Symbol if token.byte == b'?' => self.value(),
            Kind::Symbol => return self.operator(token, next),
        }
        next
    }

    fn other(&mut self, text: &str) {
        self.pieces.push(Piece::Other(text.to_owned()));
    }

    // ---- values ----------------------------------------------------------------------

    /// `?`, or the next of `?, ...`
    fn value(&mut self) {
        let goes_on = match self.pieces.as_slice() {
            [.., Piece::Value | Piece::Values, comma] => *comma == symbol(b','),
            _ => false,
        };
        if goes_on {
            self.pieces.truncate(self.pieces.len().saturating_sub(2));
            self.pieces.push(Piece::Values);
        } else {
            self.pieces.push(Piece::Value);
        }
    }

    /// MySQL keeps the positions in `ORDER BY 1, 2`, since they name columns; 8.0 doesn't.
    fn number(&mut self, token: Token, next: Token) {
        const FIRST_BEHIND_8_0: u32 = 80_100;
        let digits = self.lexer.bytes(token);
        let keeps = self.mode.is_mysql() && self.mode.server.number >= FIRST_BEHIND_8_0;
        let is_position = keeps
            && digits.iter().all(u8::is_ascii_digit)
            && self.begins_item()
            && self.ends_item(next);
        if is_position {
            return self.other(&String::from_utf8_lossy(digits));
        }
        self.drop_signs();
        self.value();
    }

    /// Whether an item of ORDER BY, GROUP BY or PARTITION BY is next. Behind a value it is one more
    /// of those to the servers.
    fn begins_item(&self) -> bool {
        const ENDS_LIST: &str = "SELECT FROM VALUES HAVING QUALIFY WINDOW LIMIT INTO";
        match self.pieces.as_slice() {
            [.., Piece::Value | Piece::Values, _] => return false,
            [.., comma] if *comma == symbol(b',') => {}
            [.., by] => return *by == Piece::Other("BY".to_owned()),
            [] => return false,
        }
        let mut closed = 0_usize;
        for piece in self.pieces.iter().rev() {
            let Piece::Other(text) = piece else { continue };
            match text.as_str() {
                ")" => closed += 1,
                "(" if closed == 0 => return false,
                "(" => closed -= 1,
                _ if closed > 0 => {}
                "BY" => return true,
                word if ENDS_LIST.split(' ').any(|end| end == word) => return false,
                _ => {}
            }
        }
        false
    }

    /// Whether a number before this token is a whole item. Within an expression it is a value.
    fn ends_item(&self, next: Token) -> bool {
        const BEHIND: &str = "ASC DESC LIMIT HAVING QUALIFY WINDOW WITH ORDER UNION EXCEPT \
            INTERSECT INTO FOR LOCK SEPARATOR ROWS RANGE GROUPS";
        match next.kind {
            Kind::End => true,
            Kind::Symbol => [b',', b')', b';'].iter().any(|&end| next.is(end)),
            Kind::Word => {
                let word = self.lexer.bytes(next).to_ascii_uppercase();
                BEHIND.split(' ').any(|known| known.as_bytes() == word)
            }
            Kind::Name | Kind::QuotedName | Kind::Text | Kind::Number => false,
            Kind::UserVariable | Kind::AtAt | Kind::Hint => false,
        }
    }

    /// MariaDB has no word for `x''` and `b''` in its digests.
    fn text_value(&mut self, token: Token) {
        let is_hex = matches!(self.lexer.bytes(token), [b'x' | b'X', ..]);
        if is_hex && !self.mode.is_mysql() {
            self.other("(unknown)");
        } else {
            self.value();
        }
    }

    /// `@name` is a sign and a value; a quoted name is one.
    fn user_variable(&mut self, token: Token) {
        let name = self.lexer.bytes(token).get(1..).unwrap_or_default();
        self.pieces.push(Piece::At);
        if name.first() == Some(&b'`') {
            self.other(&format!("`{}`", String::from_utf8_lossy(&unquote_name(name))));
        } else {
            self.value();
        }
    }

    /// A sign that can't be an operator belongs to the number behind it.
    fn drop_signs(&mut self) {
        while let [before @ .., sign] = self.pieces.as_slice() {
            let is_sign = *sign == symbol(b'-') || *sign == symbol(b'+');
            let mode = self.mode;
            let starts_value = before.last().is_some_and(|piece| begins_expression(mode, piece));
            if !is_sign || !starts_value {
                return;
            }
            self.pieces.pop();
        }
    }

    /// `(?)` and `(...)` are rows, and rows after rows are one piece.
    fn close(&mut self) {
        let open = symbol(b'(');
        let (row, rows) = match self.pieces.as_slice() {
            [.., before, Piece::Value] if *before == open => (Piece::Row, Piece::Rows),
            [.., before, Piece::Values] if *before == open => (Piece::WideRow, Piece::WideRows),
            _ => return self.pieces.push(symbol(b')')),
        };
        self.pieces.truncate(self.pieces.len().saturating_sub(2));
        let is_list = match self.pieces.as_slice() {
            [.., last, comma] => (*last == row || *last == rows) && *comma == symbol(b','),
            _ => false,
        };
        if is_list {
            self.pieces.truncate(self.pieces.len().saturating_sub(2));
            self.pieces.push(rows);
        } else if self.mode.is_mysql() && self.pieces.last() == Some(&Piece::Other("IN".into())) {
            self.pieces.pop();
            self.pieces.push(Piece::InList);
        } else {
            self.pieces.push(row);
        }
    }

    // ---- words and operators ---------------------------------------------------------

    fn word(&mut self, token: Token, next: Token) {
        let bytes = self.lexer.bytes(token);
        let upper = String::from_utf8_lossy(bytes).to_uppercase();
        let adjacent =
            next.is(b'(') && (self.lexer.gap(token, next) == Gap::None || self.mode.ignore_space);
        if upper == "NULL" && !self.after_is() {
            self.value();
        } else if upper.starts_with('_') && matches!(next.kind, Kind::Text | Kind::Number) {
            self.other("(_charset)");
        } else if is_keyword(self.mode, &upper) || (adjacent && is_function_word(&upper)) {
            self.other(canonical(&upper));
        } else {
            self.name(token);
        }
    }

    fn after_is(&self) -> bool {
        let is = |piece: &Piece, word: &str| *piece == Piece::Other(word.to_owned());
        match self.pieces.as_slice() {
            [.., before, last] => is(last, "IS") || (is(last, "NOT") && is(before, "IS")),
            _ => false,
        }
    }

    fn name(&mut self, token: Token) {
        let name = unquote_name(self.lexer.bytes(token));
        self.other(&format!("`{}`", String::from_utf8_lossy(&name)));
    }

    /// `@@name` and `@@SESSION . name`: the two signs stand without a gap.
    fn system_variable(&mut self, name: Token) -> Token {
        let upper = String::from_utf8_lossy(self.lexer.bytes(name)).to_uppercase();
        if name.kind == Kind::Word && is_keyword(self.mode, &upper) {
            self.other(&format!("@@{}", canonical(&upper)));
        } else {
            let name = unquote_name(self.lexer.bytes(name));
            self.other(&format!("@@`{}`", String::from_utf8_lossy(&name)));
        }
        self.next()
    }

    /// Operators of several bytes are one piece.
    fn operator(&mut self, token: Token, mut next: Token) -> Token {
        const LONG: &[&str] =
            &["<=>", "->>", "<<", ">>", "<=", ">=", "!=", "<>", ":=", "&&", "||", "->"];
        let mut text = char::from(token.byte).to_string();
        let mut last = token;
        loop {
            let longer = format!("{text}{}", char::from(next.byte));
            let adjoins = next.kind == Kind::Symbol && self.lexer.gap(last, next) == Gap::None;
            if !adjoins || !LONG.contains(&longer.as_str()) {
                break;
            }
            text = longer;
            last = next;
            next = self.next();
        }
        self.other(if text == "<>" { "!=" } else { &text });
        next
    }

    /// MariaDB leaves a gap behind the last piece.
    fn text(&self) -> String {
        let mut text = String::new();
        for piece in &self.pieces {
            text.push_str(piece.text());
            if *piece != Piece::At {
                text.push(' ');
            }
        }
        if self.mode.is_mysql() {
            text.pop();
        }
        text
    }
}

impl Piece {
    fn text(&self) -> &str {
        match self {
            Self::Value => "?",
            Self::Values => "?, ...",
            Self::Row => "(?)",
            Self::Rows => "(?) /* , ... */",
            Self::WideRow => "(...)",
            Self::WideRows => "(...) /* , ... */",
            Self::InList => "IN (...)",
            Self::Other(text) => text,
            Self::At => "@",
        }
    }
}

/// Whether a sign after this piece is the sign of a number: the servers' own list, which
/// is not every place where an expression begins.
fn begins_expression(mode: LexMode, piece: &Piece) -> bool {
    const BEFORE_SIGNS: &str = "( , | & << >> + - * / % ^ && || SELECT OR XOR AND NOT BETWEEN \
        LIKE RLIKE INTERVAL DIV MOD CASE WHEN IF DEFAULT RETURN";
    const MYSQL_ONLY: &str = "= < > <= >= != <=> :=";
    match piece {
        Piece::Other(text) if mode.is_mysql() && MYSQL_ONLY.split(' ').any(|op| op == text) => true,
        Piece::Other(text) => BEFORE_SIGNS.split(' ').any(|known| known == text),
        Piece::Value | Piece::Values | Piece::Row | Piece::Rows => false,
        Piece::WideRow | Piece::WideRows | Piece::InList | Piece::At => false,
    }
}

fn is_keyword(mode: LexMode, upper: &str) -> bool {
    let own = if mode.is_mysql() { words::MYSQL } else { words::MARIADB };
    [words::BOTH, own].iter().any(|list| list.split(' ').any(|word| word == upper))
}

/// Words that are keywords only with a parenthesis right behind them.
fn is_function_word(upper: &str) -> bool {
    const WORDS: &str = "ADDDATE BIT_AND BIT_OR BIT_XOR CAST COUNT CURDATE CURTIME DATE_ADD \
        DATE_SUB EXTRACT GROUP_CONCAT JSON_ARRAYAGG JSON_OBJECTAGG MAX MID MIN NOW POSITION RANK \
        SESSION_USER STD STDDEV STDDEV_POP STDDEV_SAMP ST_COLLECT SUBDATE SUBSTR SUBSTRING SUM \
        SYSDATE SYSTEM_USER TRIM VARIANCE VAR_POP VAR_SAMP";
    WORDS.split(' ').any(|word| word == upper)
}

/// The spelling that a server prints for all the words of one meaning.
fn canonical(upper: &str) -> &str {
    match upper {
        "ANY" => "SOME",
        "CHAR" => "CHARACTER",
        "COLUMNS" => "FIELDS",
        "CURRENT_DATE" => "CURDATE",
        "CURRENT_TIME" => "CURTIME",
        "CURRENT_TIMESTAMP" | "LOCALTIME" | "LOCALTIMESTAMP" => "NOW",
        "DATABASE" => "SCHEMA",
        "DATABASES" => "SCHEMAS",
        "SQL_TSI_WEEK" => "WEEK",
        "SQL_TSI_YEAR" => "YEAR",
        "DAY" => "SQL_TSI_DAY",
        "HOUR" => "SQL_TSI_HOUR",
        "MINUTE" => "SQL_TSI_MINUTE",
        "MONTH" => "SQL_TSI_MONTH",
        "QUARTER" => "SQL_TSI_QUARTER",
        "SECOND" => "SQL_TSI_SECOND",
        "DEC" => "DECIMAL",
        "DESCRIBE" => "EXPLAIN",
        "DISTINCT" => "DISTINCTROW",
        "FLOAT" => "FLOAT4",
        "GEOMCOLLECTION" => "GEOMETRYCOLLECTION",
        "DOUBLE" => "FLOAT8",
        "INT" | "INT4" => "INTEGER",
        "BIGINT" => "INT8",
        "MEDIUMINT" | "INT3" => "MIDDLEINT",
        "SMALLINT" => "INT2",
        "TINYINT" => "INT1",
        "REGEXP" => "RLIKE",
        "MID" | "SUBSTR" => "SUBSTRING",
        "STD" | "STDDEV" => "STDDEV_POP",
        "VARIANCE" => "VAR_POP",
        "SESSION_USER" | "USER" => "SYSTEM_USER",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::ServerVersion;

    fn digest(server: &str, text: &str) -> String {
        let server = ServerVersion::from_greeting(server.as_bytes()).unwrap();
        let facts = SessionFacts::new(server, b"", 255, None).unwrap();
        digest_text(&facts, text.as_bytes())
    }

    #[test]
    fn numbers_stay_as_positions_alone() {
        for (items, expected) in [
            ("1", "1"),
            ("1, 2", "1 , 2"),
            ("1 DESC, a, 2 ASC LIMIT 5, 6", "1 DESC , `a` , 2 ASC LIMIT ?, ..."),
            ("COUNT(*), 1", "COUNT ( * ) , 1"),
            ("'x', 1", "?, ..."),
            ("(1), -2", "(?) , ?"),
            ("ABS(a, 1), 2", "`ABS` ( `a` , ? ) , 2"),
            // Part of an expression they are values.
            ("4711 = a", "? = `a`"),
            ("1, 4711 - a", "1 , ? - `a`"),
            ("4711 IN (a)", "? IN ( `a` )"),
            ("4711 IS NULL, 1 + 1", "? IS NULL , ? + ?"),
            ("4711 COLLATE b", "? COLLATE `b`"),
        ] {
            let found = digest("9.7.4", &format!("SELECT * FROM t ORDER BY {items}"));
            assert_eq!(found, format!("SELECT * FROM `t` ORDER BY {expected}"));
        }
        for server in ["8.0.43", "10.11.14-MariaDB"] {
            let found = digest(server, "SELECT a FROM t ORDER BY 1");
            assert_eq!(found.trim_end(), "SELECT `a` FROM `t` ORDER BY ?");
        }
    }
}
