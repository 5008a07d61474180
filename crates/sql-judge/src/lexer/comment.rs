//! Comments: which bytes the server skips, and which it runs.

use super::token::{Kind, Lexed, Token};
use super::{Lexer, is_space};
use crate::charset::Charset;
use crate::hints;

/// From here on MySQL takes six digits for a version only if white space follows.
const MYSQL_WITH_STRICT_SIX_DIGITS: u32 = 80400;
/// From here on MariaDB has optimizer hints.
const MARIADB_WITH_HINTS: u32 = 120000;

/// What a version comment holds for this server.
enum Versioned {
    /// Code; that many bytes of marker stand before it.
    Code(usize),
    /// A comment.
    Comment,
}

impl Lexer<'_> {
    /// `-- `: white space or a control character must follow, or the end.
    pub(super) fn starts_dash_comment(&self) -> Lexed<bool> {
        if self.peek(1) != Some(b'-') {
            return Ok(false);
        }
        match self.peek(2) {
            None => Ok(true),
            // Some one-byte character sets have white space and controls up here.
            Some(0x80..) if self.mode.charset != Charset::Utf8 => {
                let message = "two dashes and a byte that may be white space";
                Err(self.error("ambiguous_dashes", message, self.at))
            }
            Some(byte) => Ok(is_space(byte) || byte.is_ascii_control()),
        }
    }

    /// To the end of the line. A NUL ends the comment too, and is then refused as a token.
    pub(super) fn skip_line(&mut self) {
        while self.peek(0).is_some_and(|byte| byte != b'\n' && byte != 0) {
            self.at += 1;
        }
    }

    /// At `/*`: skips a comment, or enters an executable one; a hint is a token.
    pub(super) fn open_comment(&mut self) -> Lexed<Option<Token>> {
        let start = self.at;
        let is_mariadb = !self.mode.is_mysql();
        let marker = match (self.peek(2), self.peek(3)) {
            (Some(b'!'), _) => 3,
            (Some(b'M'), Some(b'!')) if is_mariadb => 4,
            (Some(b'+'), _) if self.has_hints() => return self.hint().map(Some),
            _ => {
                self.at += 2;
                self.skip_comment(false, start)?;
                return Ok(None);
            }
        };
        self.at += marker;
        match self.versioned(start, marker == 4)? {
            Versioned::Code(digits) => {
                self.at += digits;
                self.in_comment = true;
            }
            Versioned::Comment => self.skip_comment(true, start)?,
        }
        Ok(None)
    }

    fn has_hints(&self) -> bool {
        self.mode.is_mysql() || self.mode.server.number >= MARIADB_WITH_HINTS
    }

    /// Decides on what stands after `/*!` or `/*M!`.
    fn versioned(&self, start: usize, for_mariadb: bool) -> Lexed<Versioned> {
        let digits = (0..6).take_while(|&i| self.peek(i).is_some_and(|b| b.is_ascii_digit()));
        let digits = digits.count();
        if digits < 5 {
            return Ok(Versioned::Code(0));
        }
        let number = |len: usize| {
            (0..len).filter_map(|i| self.peek(i)).fold(0, |n, b| n * 10 + u32::from(b - b'0'))
        };
        let server = self.mode.server.number;
        if self.mode.is_mysql() {
            if digits == 6 && server < MYSQL_WITH_STRICT_SIX_DIGITS {
                let message = "a version comment with six digits, which servers read differently";
                return Err(self.error("ambiguous_comment_version", message, start));
            }
            let len = if digits == 6 && self.peek(6).is_some_and(is_space) { 6 } else { 5 };
            let runs = number(len) <= server;
            return Ok(if runs { Versioned::Code(len) } else { Versioned::Comment });
        }
        let version = number(digits);
        if version == 99997 {
            let message = "this version comment is code to a Galera node only";
            return Err(self.error("ambiguous_comment_version", message, start));
        }
        let is_mysql_only = (50700..=99999).contains(&version) && !for_mariadb;
        if version <= server && !is_mysql_only {
            return Ok(Versioned::Code(digits));
        }
        Ok(Versioned::Comment)
    }

    /// To after the `*/`. A version comment that is skipped may hold one level of others.
    fn skip_comment(&mut self, may_nest: bool, start: usize) -> Lexed<()> {
        let mut nested = false;
        loop {
            let Some(byte) = self.peek(0) else {
                return Err(self.error("unclosed_comment", "a comment is not closed", start));
            };
            self.at += 1;
            match (byte, self.peek(0)) {
                (b'/', Some(b'*')) if may_nest && !nested => {
                    self.at += 1;
                    nested = true;
                }
                (b'*', Some(b'/')) => {
                    self.at += 1;
                    if !nested {
                        return Ok(());
                    }
                    nested = false;
                }
                _ => {}
            }
        }
    }

    /// A hint comment. After SELECT the server reads it with a lexer of its own, which
    /// knows quotes; elsewhere it is a comment. Only texts that end at the same place in
    /// both readings pass, and only hints that leave the session alone.
    fn hint(&mut self) -> Lexed<Token> {
        let start = self.at;
        self.at += 3;
        self.skip_comment(false, start)?;
        let token = self.token(Kind::Hint, start);
        let inside = self.text.get(start + 3..self.at.saturating_sub(2)).unwrap_or_default();
        match hints::check(inside) {
            Ok(()) => Ok(token),
            Err((rule, message)) => Err(self.error(rule, message, start)),
        }
    }
}
