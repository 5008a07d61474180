//! From the SQL that MySQL's clients write to the SQL that SQLite reads: comments, quotes,
//! escapes, system variables. Guarantees nothing about safety: the engine's authorizer does.
use std::fmt::Write;

/// One word, mark or value of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// A word or a number, as written.
    Word(String),
    /// A name in backticks, without them.
    Name(String),
    /// A string's value.
    Text(String),
    /// `@@name`, lower case, without `session.` and the like.
    Variable(String),
    /// Any other mark.
    Mark(char),
    /// White space or a comment.
    Space,
}

impl Token {
    /// Whether it is this keyword, given in upper case.
    pub fn is(&self, keyword: &str) -> bool {
        matches!(self, Self::Word(word) if word.eq_ignore_ascii_case(keyword))
    }

    /// What it names or says, if it does.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Word(text) | Self::Name(text) | Self::Text(text) => Some(text),
            Self::Variable(_) | Self::Mark(_) | Self::Space => None,
        }
    }
}

/// Takes a text apart. Whatever isn't closed ends with the text.
pub fn tokens(text: &str) -> Vec<Token> {
    let mut rest = text;
    let mut tokens = Vec::new();
    while let Some(first) = rest.chars().next() {
        let (token, left) = match first {
            '\'' | '"' => string(rest, first),
            '`' => name(rest),
            '#' => (Token::Space, after(rest, "\n")),
            '-' if is_dash_comment(rest) => (Token::Space, after(rest, "\n")),
            '/' if rest.starts_with("/*") => (Token::Space, after(skip(rest, 2), "*/")),
            '@' if rest.starts_with("@@") => variable(skip(rest, 2)),
            _ if is_wordy(first) => {
                let (word, left) = split_where(rest, |c| !is_wordy(c));
                (Token::Word(word.to_owned()), left)
            }
            _ if first.is_whitespace() => (Token::Space, skip(rest, first.len_utf8())),
            _ => (Token::Mark(first), skip(rest, first.len_utf8())),
        };
        rest = left;
        tokens.push(token);
    }
    tokens
}

/// The tokens that say something; a closing semicolon does not.
pub fn significant(tokens: &[Token]) -> Vec<&Token> {
    let mut kept: Vec<&Token> = tokens.iter().filter(|token| **token != Token::Space).collect();
    while kept.last().is_some_and(|token| **token == Token::Mark(';')) {
        kept.pop();
    }
    kept
}

/// The text of a query as SQLite reads it. Columns named after a system variable are to be
/// renamed back with [`column_name`].
pub fn to_sqlite(tokens: &[Token]) -> String {
    let mut sql = String::new();
    let mut before = &Token::Space;
    for (at, token) in tokens.iter().enumerate() {
        match token {
            Token::Word(word) if word.eq_ignore_ascii_case("div") => sql.push('/'),
            // `CAST(n AS SIGNED INTEGER)`, and `CONVERT(n, UNSIGNED)`, which is a function here.
            Token::Word(_) if token.is("SIGNED") || token.is("UNSIGNED") => {
                sql.push_str(if *before == Token::Mark(',') { "'integer'" } else { "INTEGER" });
            }
            Token::Word(_)
                if token.is("INTEGER") && (before.is("SIGNED") || before.is("UNSIGNED")) => {}
            Token::Word(word) => sql.push_str(word),
            Token::Name(name) => quote(&mut sql, name, '"'),
            Token::Text(text) => {
                quote(&mut sql, text, '\'');
                let next = tokens.iter().skip(at + 1).find(|next| **next != Token::Space);
                // SQLite has no escape by itself, MySQL the backslash.
                if before.is("LIKE")
                    && text.contains('\\')
                    && next.is_none_or(|next| !next.is("ESCAPE"))
                {
                    sql.push_str(r" ESCAPE '\'");
                }
            }
            Token::Variable(name) => {
                let _ = write!(sql, "sysvar('{}')", name.replace('\'', ""));
            }
            Token::Mark(mark) => sql.push(*mark),
            Token::Space => sql.push(' '),
        }
        if *token != Token::Space {
            before = token;
        }
    }
    sql.trim().trim_end_matches(';').to_owned()
}

/// The name that a client expects of a column that SQLite named.
pub fn column_name(name: &str) -> String {
    match name.strip_prefix("sysvar('").and_then(|rest| rest.strip_suffix("')")) {
        Some(variable) => format!("@@{variable}"),
        None => name.to_owned(),
    }
}

/// A string literal of SQLite's.
pub fn literal(text: &str) -> String {
    let mut sql = String::new();
    quote(&mut sql, text, '\'');
    sql
}

fn quote(sql: &mut String, text: &str, mark: char) {
    sql.push(mark);
    for c in text.chars().filter(|c| *c != '\0') {
        if c == mark {
            sql.push(mark);
        }
        sql.push(c);
    }
    sql.push(mark);
}

fn is_wordy(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

/// MySQL takes two dashes for a comment only with a space after them.
fn is_dash_comment(text: &str) -> bool {
    text.strip_prefix("--")
        .is_some_and(|rest| rest.chars().next().is_none_or(|c| c.is_whitespace() || c.is_control()))
}

fn skip(text: &str, bytes: usize) -> &str {
    text.get(bytes..).unwrap_or_default()
}

fn after<'t>(text: &'t str, mark: &str) -> &'t str {
    text.find(mark).map_or("", |at| skip(text, at + mark.len()))
}

fn split_where(text: &str, ends: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at_checked(text.find(ends).unwrap_or(text.len())).unwrap_or((text, ""))
}

fn string(text: &str, mark: char) -> (Token, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c == mark {
            if chars.peek().is_some_and(|(_, next)| *next == mark) {
                chars.next();
                value.push(mark);
                continue;
            }
            return (Token::Text(value), skip(text, at + c.len_utf8()));
        }
        if c == '\\' {
            match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, 't')) => value.push('\t'),
                Some((_, 'r')) => value.push('\r'),
                // LIKE's own escapes keep their backslash, as with the server.
                Some((_, pattern @ ('%' | '_'))) => value.extend(['\\', pattern]),
                Some((_, other)) => value.push(other),
                None => break,
            }
            continue;
        }
        value.push(c);
    }
    (Token::Text(value), "")
}

fn name(text: &str) -> (Token, &str) {
    let mut value = String::new();
    let mut rest = skip(text, 1);
    loop {
        let (part, left) = split_where(rest, |c| c == '`');
        value.push_str(part);
        rest = skip(left, 1);
        if !rest.starts_with('`') {
            return (Token::Name(value), rest);
        }
        value.push('`');
        rest = skip(rest, 1);
    }
}

fn variable(text: &str) -> (Token, &str) {
    let (word, rest) = split_where(text, |c| !is_wordy(c) && c != '.' && c != '`');
    let word = word.replace('`', "").to_ascii_lowercase();
    let prefixes = ["session.", "global.", "local."];
    let name = prefixes.iter().find_map(|prefix| word.strip_prefix(prefix)).unwrap_or(&word);
    (Token::Variable(name.to_owned()), rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(text: &str) -> String {
        to_sqlite(&tokens(text))
    }

    #[test]
    fn quotes_and_escapes_keep_their_meaning() {
        assert_eq!(
            translated(r#"SELECT "it's", 'a\'b', 'c''d'"#),
            "SELECT 'it''s', 'a''b', 'c''d'"
        );
        assert_eq!(translated("SELECT `a``b`.`c`"), "SELECT \"a`b\".\"c\"");
        assert_eq!(translated(r"SELECT 'x\\'; "), r"SELECT 'x\'");
        assert_eq!(translated("SELECT 'open"), "SELECT 'open'");
    }

    #[test]
    fn comments_of_all_forms_go() {
        for text in
            ["/* x */SELECT 1", "SELECT 1 -- '", "SELECT 1 # '", "/*!40101 SET NAMES x */SELECT 1"]
        {
            assert_eq!(translated(text), "SELECT 1", "{text}");
        }
        assert_eq!(translated("SELECT 2--1"), "SELECT 2--1");
    }

    #[test]
    fn casts_to_whole_numbers_are_understood() {
        assert_eq!(
            translated("SELECT CAST(1 + a AS signed integer), CONVERT(b, UNSIGNED INTEGER)"),
            "SELECT CAST(1 + a AS INTEGER ), CONVERT(b, 'integer' )"
        );
    }

    #[test]
    fn a_pattern_has_the_escape_that_servers_give_it() {
        for (text, sql) in [
            (r"a LIKE 'b\_c' AND d", r"a LIKE 'b\_c' ESCAPE '\' AND d"),
            (r"a NOT LIKE 'b_c\\'", r"a NOT LIKE 'b_c\' ESCAPE '\'"),
            (r"a LIKE 'b\%' ESCAPE '|'", r"a LIKE 'b\%' ESCAPE '|'"),
            ("a LIKE 'b_c'", "a LIKE 'b_c'"),
            (r"a = 'b\_c'", r"a = 'b\_c'"),
        ] {
            assert_eq!(translated(text), sql, "{text}");
        }
    }

    #[test]
    fn variables_keep_their_name_as_a_column() {
        let sql = translated("SELECT @@session.Auto_Increment_Increment, @@`version`");
        assert_eq!(sql, "SELECT sysvar('auto_increment_increment'), sysvar('version')");
        assert_eq!(column_name("sysvar('version')"), "@@version");
        assert_eq!(column_name("id"), "id");
    }
}
