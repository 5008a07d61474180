//! Strings and quoted names.

use super::Lexer;
use super::runs::quoted_end;
use super::token::{Kind, Lexed, Token};
use crate::text::names_file;

const FILE_NAME: &str = "a name that begins with #mysql50# is that of a file, not of a table";

impl<'t> Lexer<'t> {
    /// A string; `prefix` bytes (`N`) stand before its quote. Ends at the quote that is
    /// neither escaped nor doubled nor part of a longer character.
    pub(super) fn string(&mut self, start: usize, prefix: usize) -> Lexed<Token> {
        self.at = start + prefix;
        let Some(quote) = self.peek(0) else {
            return Err(self.error("unclosed_quote", "a quote is missing", start));
        };
        self.at += 1;
        let escapes = !self.mode.no_backslash_escapes;
        loop {
            self.at = quoted_end(self.text, self.at, quote, b'\\');
            let Some(byte) = self.peek(0) else {
                return Err(self.error("unclosed_quote", "a quote is not closed", start));
            };
            if byte == quote {
                self.at += 1;
                if self.peek(0) != Some(quote) {
                    return Ok(Token { byte: quote, ..self.token(Kind::Text, start) });
                }
                self.at += 1;
            } else if byte == b'\\' && escapes {
                if self.peek(1).is_none() {
                    return Err(self.error("unclosed_quote", "a quote is not closed", start));
                }
                self.at += 2;
            } else {
                self.at += self.step(byte);
            }
        }
    }

    /// A name in backticks or, under ANSI_QUOTES, double quotes. No escapes; a NUL can't
    /// stand in it.
    pub(super) fn quoted_name(&mut self) -> Lexed<Token> {
        let start = self.at;
        let quote = self.peek(0).unwrap_or(b'`');
        self.at += 1;
        if names_file(self.rest()) {
            return Err(self.error("file_name", FILE_NAME, start));
        }
        loop {
            self.at = quoted_end(self.text, self.at, quote, 0);
            match self.peek(0) {
                None => return Err(self.error("unclosed_quote", "a quote is not closed", start)),
                Some(0) => {
                    return Err(self.error("nul_byte", "a NUL byte stands in a name", self.at));
                }
                Some(byte) if byte == quote => {
                    self.at += 1;
                    if self.peek(0) != Some(quote) {
                        return Ok(self.token(Kind::QuotedName, start));
                    }
                    self.at += 1;
                }
                Some(byte) => self.at += self.step(byte),
            }
        }
    }

    /// `x'1f'` and `b'01'`.
    pub(super) fn digits_string(&mut self, prefix: u8) -> Lexed<Token> {
        let start = self.at;
        self.at += 2;
        let is_hex = prefix.eq_ignore_ascii_case(&b'x');
        while let Some(byte) = self.peek(0) {
            self.at += 1;
            match byte {
                b'\'' => {
                    return Ok(Token { byte, ..self.token(Kind::Text, start) });
                }
                b'0' | b'1' => {}
                _ if is_hex && byte.is_ascii_hexdigit() => {}
                _ => break,
            }
        }
        Err(self.error("bad_literal", "a hexadecimal or bit literal is malformed", start))
    }

    /// How far to go on from a byte inside quotes that isn't special.
    fn step(&self, byte: u8) -> usize {
        if byte < 0x80 || !self.mode.charset.hides_ascii() {
            return 1;
        }
        self.mode.charset.multibyte_len(self.rest()).max(1)
    }
}
