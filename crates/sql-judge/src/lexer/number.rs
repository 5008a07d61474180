//! Numbers, and the names that begin like one.

use super::token::{Kind, Lexed, Token};
use super::{Lexer, is_name_byte};

impl Lexer<'_> {
    /// A number, or a name that begins with a digit: `12`, `1.5e3`, `0x1f`, `1st`, `1e`.
    pub(super) fn number(&mut self) -> Lexed<Token> {
        let start = self.at;
        if let Some(token) = self.prefixed_number(start) {
            return Ok(token);
        }
        self.skip_digits();
        match self.peek(0) {
            Some(b'e' | b'E') => {
                if self.exponent_follows() {
                    self.skip_exponent();
                    return Ok(self.token(Kind::Number, start));
                }
                self.number_like_name(start)
            }
            Some(byte) if is_name_byte(byte) => self.number_like_name(start),
            Some(b'.') if !self.mode.is_mysql() && self.peek(1) == Some(b'.') => {
                Ok(self.token(Kind::Number, start))
            }
            Some(b'.') => self.fraction(start),
            _ => Ok(self.token(Kind::Number, start)),
        }
    }

    /// From the dot on: digits and an exponent may follow. An exponent without digits is
    /// refused; MySQL takes `1.e(` for an opening parenthesis.
    pub(super) fn fraction(&mut self, start: usize) -> Lexed<Token> {
        self.at += 1;
        self.skip_digits();
        if matches!(self.peek(0), Some(b'e' | b'E')) {
            if !self.exponent_follows() {
                let message = "a number's exponent has no digits";
                return Err(self.error("ambiguous_number", message, start));
            }
            self.skip_exponent();
        }
        Ok(self.token(Kind::Number, start))
    }

    /// `0x1f` and `0b01`, unless more of a name follows.
    fn prefixed_number(&mut self, start: usize) -> Option<Token> {
        let is_digit: fn(u8) -> bool = match (self.peek(0)?, self.peek(1)?) {
            (b'0', b'x') => |byte| byte.is_ascii_hexdigit(),
            (b'0', b'b') => |byte| matches!(byte, b'0' | b'1'),
            _ => return None,
        };
        let mut digits = 0;
        while self.peek(2 + digits).is_some_and(is_digit) {
            digits += 1;
        }
        if digits == 0 || self.peek(2 + digits).is_some_and(is_name_byte) {
            return None;
        }
        self.at += 2 + digits;
        Some(self.token(Kind::Number, start))
    }

    fn number_like_name(&mut self, start: usize) -> Lexed<Token> {
        let name = self.name_after_dot()?;
        Ok(self.token(name.kind, start))
    }

    fn exponent_follows(&self) -> bool {
        let is_digit = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_digit());
        match self.peek(1) {
            Some(b'+' | b'-') => is_digit(self.peek(2)),
            byte => is_digit(byte),
        }
    }

    fn skip_exponent(&mut self) {
        self.at += 2;
        self.skip_digits();
    }

    fn skip_digits(&mut self) {
        self.skip_while(|byte| byte.is_ascii_digit());
    }
}
