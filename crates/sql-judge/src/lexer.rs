//! Bytes to tokens, exactly as this server in this session reads them.
//!
//! Follows the state machines of both servers' `sql_lex.cc`. What a server would not
//! lex, and what could be lexed in two ways, is an error: it ends in a refusal.

mod comment;
pub(crate) mod keyword;
mod number;
pub(crate) mod pattern;
#[cfg(test)]
mod pieces;
mod quoted;
pub(crate) mod reserved;
mod runs;
pub(crate) mod sight;
pub(crate) mod skeleton;
pub(crate) mod token;

use std::ops::Range;

use crate::charset::Charset;
use crate::server::{Flavour, ServerVersion};
use keyword::Keyword;
use token::{Kind, LexError, Lexed, Token};

/// What of a session decides how its texts are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct LexMode {
    pub(crate) server: ServerVersion,
    pub(crate) charset: Charset,
    pub(crate) ansi_quotes: bool,
    pub(crate) no_backslash_escapes: bool,
    pub(crate) ignore_space: bool,
    /// MariaDB's other grammar, which adds to what a query can do.
    pub(crate) oracle: bool,
}

impl LexMode {
    pub(crate) fn is_mysql(&self) -> bool {
        self.server.flavour == Flavour::MySql
    }
}

/// What the next token may be, because of the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// Anything.
    Any,
    /// The dot after a name.
    Dot,
    /// A name, because it stands right after a dot.
    Name,
    /// The name of a system variable, right after `@@`.
    SystemVariable,
}

/// What stands between two tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gap {
    /// Nothing.
    None,
    /// White space.
    Space,
    /// Comments, or the marks of an executable one.
    More,
}

/// Reads one text from front to back, in one pass.
#[derive(Clone)]
pub(crate) struct Lexer<'t> {
    text: &'t [u8],
    at: usize,
    next: Next,
    /// Inside an executable comment, whose end is still to come.
    in_comment: bool,
    mode: LexMode,
}

impl<'t> Lexer<'t> {
    pub(crate) fn new(mode: LexMode, text: &'t [u8]) -> Self {
        Self { text, at: 0, next: Next::Any, in_comment: false, mode }
    }

    /// The bytes of a token.
    pub(crate) fn bytes(&self, token: Token) -> &'t [u8] {
        self.text.get(self.range(token)).unwrap_or_default()
    }

    /// Where a token stands.
    pub(crate) fn range(&self, token: Token) -> Range<usize> {
        token.start as usize..token.end as usize
    }

    /// What stands between two tokens.
    pub(crate) fn gap(&self, before: Token, after: Token) -> Gap {
        self.gap_from(before.end as usize, after)
    }

    /// What stands between a place and a token.
    fn gap_from(&self, end: usize, after: Token) -> Gap {
        match self.text.get(end..after.start as usize) {
            Some([]) => Gap::None,
            Some(space) if space.iter().all(|&byte| is_space(byte)) => Gap::Space,
            Some(_) | None => Gap::More,
        }
    }

    /// The next token; `Kind::End` at the end, again and again.
    #[inline(always)]
    pub(crate) fn next(&mut self) -> Lexed<Token> {
        let token = self.bare()?;
        if token.kind != Kind::Word {
            return Ok(token);
        }
        Ok(Token { keyword: Keyword::find(self.bytes(token)), ..token })
    }

    /// The next token, of which it isn't told which keyword it is.
    #[inline(always)]
    fn bare(&mut self) -> Lexed<Token> {
        match std::mem::replace(&mut self.next, Next::Any) {
            Next::Dot => return Ok(self.dot()),
            Next::Name => return self.name_after_dot(),
            Next::SystemVariable => return self.system_variable_name(),
            Next::Any => {}
        }
        loop {
            self.at = runs::space_end(self.text, self.at);
            let start = self.at;
            let Some(byte) = self.peek(0) else {
                if self.in_comment {
                    return Err(self.error("unclosed_comment", "a comment is not closed", start));
                }
                return Ok(self.token(Kind::End, start));
            };
            match byte {
                b'#' => self.skip_line(),
                b'-' if self.starts_dash_comment()? => self.skip_line(),
                b'/' if self.peek(1) == Some(b'*') => {
                    if let Some(hint) = self.open_comment()? {
                        return Ok(hint);
                    }
                }
                b'*' if self.in_comment && self.peek(1) == Some(b'/') => {
                    self.at += 2;
                    self.in_comment = false;
                }
                _ => return self.token_starting_with(byte),
            }
        }
    }

    #[inline(always)]
    fn token_starting_with(&mut self, byte: u8) -> Lexed<Token> {
        let start = self.at;
        match byte {
            b'\'' => self.string(start, 0),
            b'"' if self.mode.ansi_quotes => self.quoted_name(),
            b'"' => self.string(start, 0),
            b'`' => self.quoted_name(),
            b'n' | b'N' if self.peek(1) == Some(b'\'') => self.string(start, 1),
            b'x' | b'X' | b'b' | b'B' if self.peek(1) == Some(b'\'') => self.digits_string(byte),
            b'0'..=b'9' => self.number(),
            b'.' => self.dot_or_fraction(),
            b'@' => self.variable(),
            b'$' if self.mode.is_mysql() => self.dollar(),
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | b'$' | 0x80.. => self.word(),
            b'\\' if !self.mode.is_mysql() && self.peek(1) == Some(b'N') => {
                self.at += 2;
                Ok(self.token(Kind::Number, start))
            }
            // MariaDB in MSSQL mode reads a name up to the `]`, quotes and comments in it or not.
            b'[' => {
                let message = "a bracket stands outside of quotes; names are quoted by backquotes";
                Err(self.error("bracket", message, start))
            }
            0 => Err(self.error("nul_byte", "a NUL byte stands outside of quotes", start)),
            0x01..=0x1f | 0x7f | b'\\' => {
                Err(self.error("stray_byte", "a byte stands here that no statement has", start))
            }
            _ => {
                self.at += 1;
                Ok(Token { byte, ..self.token(Kind::Symbol, start) })
            }
        }
    }

    // ---- words -------------------------------------------------------------------

    #[inline(always)]
    fn word(&mut self) -> Lexed<Token> {
        let start = self.at;
        self.skip_name()?;
        let token = self.token(Kind::Word, start);
        if self.dot_and_name_follow() {
            // `into.x`: a name, even if the word is reserved.
            self.next = Next::Dot;
            return Ok(Token { kind: Kind::Name, ..token });
        }
        Ok(token)
    }

    /// MySQL reads `$tag$ ... $tag$` as a text, which no read has.
    fn dollar(&mut self) -> Lexed<Token> {
        let start = self.at;
        let mut after = start + 1;
        while self.text.get(after).is_some_and(|&byte| byte != b'$' && is_name_byte(byte)) {
            after += 1;
        }
        if self.text.get(after) == Some(&b'$') {
            return Err(self.error("dollar_quote", "dollar-quoted text is not for reads", start));
        }
        self.word()
    }

    fn dot(&mut self) -> Token {
        let start = self.at;
        self.at += 1;
        if self.peek(0).is_some_and(is_name_byte) {
            self.next = Next::Name;
        }
        Token { byte: b'.', ..self.token(Kind::Symbol, start) }
    }

    fn dot_or_fraction(&mut self) -> Lexed<Token> {
        if self.peek(1).is_some_and(|byte| byte.is_ascii_digit()) {
            return self.fraction(self.at);
        }
        Ok(self.dot())
    }

    fn name_after_dot(&mut self) -> Lexed<Token> {
        let start = self.at;
        self.skip_name()?;
        if self.dot_and_name_follow() {
            self.next = Next::Dot;
        }
        Ok(self.token(Kind::Name, start))
    }

    fn dot_and_name_follow(&self) -> bool {
        self.peek(0) == Some(b'.') && self.peek(1).is_some_and(is_name_byte)
    }

    /// Goes to the end of an unquoted name. Bytes that the character set doesn't group
    /// into characters are refused: servers disagree on where the name ends.
    #[inline(always)]
    fn skip_name(&mut self) -> Lexed<()> {
        loop {
            self.at = runs::name_end(self.text, self.at);
            match self.peek(0) {
                Some(byte @ 0x80..) => self.skip_character(byte)?,
                Some(_) | None => return Ok(()),
            }
        }
    }

    /// Goes on by one character of a name that isn't ASCII.
    #[cold]
    fn skip_character(&mut self, first: u8) -> Lexed<()> {
        match self.mode.charset.multibyte_len(self.rest()) {
            0 if self.mode.charset.is_name_byte(first) => self.at += 1,
            0 => {
                let message = "bytes outside of quotes are not valid in this character set";
                return Err(self.error("invalid_bytes", message, self.at));
            }
            len => self.at += len,
        }
        Ok(())
    }

    // ---- variables -----------------------------------------------------------------

    fn variable(&mut self) -> Lexed<Token> {
        let start = self.at;
        self.at += 1;
        match self.peek(0) {
            Some(b'@') => {
                self.at += 1;
                if self.peek(0) != Some(b'`') {
                    self.next = Next::SystemVariable;
                }
                return Ok(self.token(Kind::AtAt, start));
            }
            Some(b'`') => drop(self.quoted_name()?),
            Some(b'"') if self.mode.ansi_quotes => drop(self.quoted_name()?),
            Some(b'\'' | b'"') => drop(self.string(self.at, 0)?),
            _ => {
                let is_part =
                    |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'$');
                self.skip_while(is_part);
            }
        }
        Ok(self.token(Kind::UserVariable, start))
    }

    fn system_variable_name(&mut self) -> Lexed<Token> {
        let start = self.at;
        self.skip_while(is_name_byte);
        let token = self.token(Kind::Word, start);
        if token.start == token.end {
            return Err(self.error("bad_variable", "a variable name is missing", start));
        }
        if self.peek(0) == Some(b'.') {
            self.next = Next::Dot;
        }
        Ok(token)
    }

    // ---- bytes ---------------------------------------------------------------------

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.text.get(self.at + ahead).copied()
    }

    /// All that isn't read yet.
    fn rest(&self) -> &'t [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Goes to the first byte that is not such a one, or to the end.
    #[inline(always)]
    fn skip_while(&mut self, is_such: impl Fn(u8) -> bool) {
        let rest = self.rest();
        self.at += rest.iter().position(|&byte| !is_such(byte)).unwrap_or(rest.len());
    }

    /// A token from `start` to here. Texts are shorter than 4 GiB: see `Judge`.
    #[inline(always)]
    fn token(&self, kind: Kind, start: usize) -> Token {
        let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Token { kind, keyword: Keyword::None, byte: 0, start: offset(start), end: offset(self.at) }
    }

    #[cold]
    fn error(&self, rule: &'static str, message: &'static str, offset: usize) -> Box<LexError> {
        Box::new(LexError { rule, message, offset })
    }
}

/// White space as both servers have it, in every client character set.
pub(crate) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

/// A byte that can stand in an unquoted name; of those above 0x7f the character set tells.
fn is_name_byte(byte: u8) -> bool {
    NAME_BYTES.get(usize::from(byte)).copied().unwrap_or(false)
}

static NAME_BYTES: [bool; 256] = name_bytes();

#[allow(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "runs at compile time, over all values of a byte"
)]
const fn name_bytes() -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let value = byte as u8;
        table[byte] = value.is_ascii_alphanumeric() || matches!(value, b'_' | b'$' | 0x80..);
        byte += 1;
    }
    table
}
