//! Which texts have one skeleton, and which must not.
use super::*;
use crate::facts::SessionFacts;
use crate::lexer::pieces::{Chance, PIECES};
use crate::server::ServerVersion;

fn of(text: &str) -> Option<Vec<u8>> {
    let version = ServerVersion::from_greeting(b"9.7.4").unwrap();
    let facts = SessionFacts::new(version, b"", 255, None).unwrap();
    let read = |quickly| {
        let skeleton = Skeleton::read(facts.lex_mode(), text.as_bytes(), quickly);
        skeleton.map(|skeleton| skeleton.bytes)
    };
    let bytes = read(true);
    assert_eq!(bytes, read(false), "{text}");
    bytes
}

/// No two of the texts may have one skeleton.
fn all_differ(texts: &[&str]) {
    for (number, one) in texts.iter().enumerate() {
        for other in texts.iter().skip(number + 1) {
            assert_ne!(of(one).unwrap(), of(other).unwrap(), "{one} and {other}");
        }
    }
}

fn same(one: &str, other: &str) {
    assert_eq!(of(one).unwrap(), of(other).unwrap(), "{one} and {other}");
}

#[test]
fn values_comments_and_space_leave_no_trace() {
    same("SELECT a FROM t WHERE b = 'x' AND c < 1.5e3", "SELECT a FROM t WHERE b='' AND c<0x1F");
    same("SELECT a -- x\nFROM t", "SELECT /* SELECT 1 */ a FROM t # y");
    same("SELECT /*!50000 a */", "SELECT a");
    same("SELECT 'it''s', 'a\\'b'", "SELECT '/*', ';'");
}

#[test]
fn whatever_a_rule_may_see_leaves_a_trace() {
    all_differ(&["SELECT 1", "SELECT /*+ a */ 1", "SELECT /*+ b */ 1", "SELECT 1;", "select 1"]);
    all_differ(&["SELECT f(1)", "SELECT f (1)", "SELECT f/**/(1)"]);
    all_differ(&["SELECT a", "SELECT `a`", "SELECT @a", "SELECT @@a", "SELECT @`a`", "SELECT 'a'"]);
    all_differ(&["SELECT a.b", "SELECT a . b", "SELECT a .b", "SELECT `a`.b", "SELECT ab"]);
    all_differ(&[
        "SELECT 1",
        "SELECT '1'",
        "SELECT \"1\"",
        "SELECT N'1'",
        "SELECT n'1'",
        "SELECT x'11'",
        "SELECT b'11'",
        "SELECT ?",
        "SELECT -1",
        "SELECT NULL",
    ]);
    all_differ(&[
        "SELECT `a`, `b`",
        "SELECT `a, b`",
        "SELECT `a``, ``b`",
        "SELECT `a\u{3}`, `b`",
        "SELECT `a,\u{3}\u{3}b`",
        "SELECT a, b",
    ]);
}

#[test]
fn of_a_long_list_of_values_of_one_sort_the_first_stand_for_all() {
    let list = |values: &[&str]| format!("SELECT a IN ({})", values.join(", "));
    same(&list(&["1"; 8]), &list(&["2"; 300]));
    same(&list(&["'a'"; 8]), &list(&["'b'"; 9]));
    same("SELECT 1,1,1,1,1,1,1,1,1,a", "SELECT 1,1,1,1,1,1,1,1,a");
    same("SELECT a IN (1,1,1,1,1,1,1,1,2,3)", "SELECT a IN (1, 1,1,1,1,1,1,1,/**/2 ,3, 4)");
    let lists = [
        list(&["1"; 1]),
        list(&["1", "1", "1", "1", "1", "1", "1", "1", "1", "1x"]),
        list(&["1", "1", "1", "1", "1", "1", "1", "1", "1", "-1"]),
        list(&["1", "1", "1", "1", "1", "1", "1", "1", "1", "'1'"]),
        format!("{};", list(&["1"; 9])),
        list(&["1"; 2]),
        list(&["1"; 7]),
        list(&["1"; 8]),
        list(&["'1'"; 8]),
        list(&["1", "'1'", "1", "'1'", "1", "'1'", "1", "'1'", "1", "'1'"]),
        list(&["1", "'1'", "1", "'1'", "1", "'1'", "1", "'1'", "1", "'1'", "1"]),
        list(&["-1"; 8]),
        list(&["-1"; 9]),
        list(&["a"; 8]),
        list(&["a"; 9]),
        list(&["1,"; 8]),
        list(&["1,"; 9]),
        list(&["1,"; 10]),
        list(&["1 1"; 9]),
        list(&["1 1"; 10]),
    ];
    all_differ(&lists.each_ref().map(String::as_str));
}

#[test]
fn what_is_plain_is_read_as_the_lexer_reads_it() {
    let mut chance = Chance::new();
    let mut read = 0;
    for _ in 0..200_000 {
        let mode = chance.mode();
        let count = 1 + chance.below(13);
        let text: String = (0..count).map(|_| chance.one_of(PIECES)).collect();
        let of = |quickly| Skeleton::read(mode, text.as_bytes(), quickly);
        let skeleton = of(true).map(|skeleton| skeleton.bytes);
        read += usize::from(skeleton.is_some());
        assert_eq!(skeleton, of(false).map(|skeleton| skeleton.bytes), "{text:?}");
    }
    assert!(read > 10_000, "only {read} texts were one statement");
}

#[test]
fn one_statement_alone_has_one() {
    for text in
        ["SELECT 1; SELECT 2", "SELECT 1;;1", "SELECT 1 /*! ; */", "SELECT 'open", "SELECT /*! 1"]
    {
        assert_eq!(of(text), None, "{text}");
    }
    assert_eq!(of(&format!("SELECT '{}'", "x".repeat(LONGEST))), None);
    assert!(of("SELECT 1;; -- x").is_some());
}
