//! A file of statements, cut where a client would: at each `;` that is a token.

use bytes::Bytes;

use crate::facts::SessionFacts;
use crate::lexer::Lexer;
use crate::lexer::token::Kind;

/// The statements of a text, in order, without their `;` and without empty ones. Lexed
/// throughout as `facts` say. What can't be lexed stays whole, as the last one.
pub fn split(facts: &SessionFacts, text: &Bytes) -> Vec<Bytes> {
    let mut statements = Vec::new();
    let mut lexer = Lexer::new(facts.lex_mode(), text);
    let (mut start, mut has_token) = (0, false);
    loop {
        let Ok(token) = lexer.next() else {
            statements.push(text.slice(start..));
            return statements;
        };
        let end = token.offset();
        if token.kind == Kind::End || token.is(b';') {
            if has_token {
                statements.push(text.slice(start..end.min(text.len())));
            }
            if token.kind == Kind::End {
                return statements;
            }
            (start, has_token) = (lexer.range(token).end, false);
        } else {
            has_token = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::ServerVersion;

    #[test]
    fn cuts_at_semicolons_that_are_tokens() {
        let server = ServerVersion::from_greeting(b"9.7.4").unwrap();
        let facts = SessionFacts::new(server, b"", 45, None).unwrap();
        let text = Bytes::from_static(b"SELECT ';' /* ; */; ;\n-- ;\nSHOW TABLES;\n# end");
        let cut: Vec<Bytes> = split(&facts, &text);
        assert_eq!(cut.len(), 2);
        assert_eq!(cut[0], "SELECT ';' /* ; */");
        assert_eq!(cut[1], "\n-- ;\nSHOW TABLES");
    }
}
