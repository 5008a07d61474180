//! Which texts a pattern fits, and that none of them has another skeleton.
use super::*;
use crate::lexer::pieces::{Chance, PIECES, mode};

fn pattern(mode: LexMode, text: &str) -> Option<Pattern> {
    Some(Pattern::new(mode, text.as_bytes(), Skeleton::of(mode, text.as_bytes())?))
}

/// Whether the one is a pattern that fits the other, however many tokens that takes.
fn fits(one: &str, other: &str) -> bool {
    let mode = mode(b"9.7.4", b"", b"utf8mb4");
    pattern(mode, one).unwrap().fits(mode, other.as_bytes(), &mut Patience(usize::MAX))
}

/// A long text around this.
fn within(middle: &str) -> String {
    let before = "SELECT a, `b`, 'c' FROM t WHERE d IN (1, 2, 3) AND ".repeat(6);
    format!("{before}{middle}{}", " GROUP BY a, b ORDER BY c LIMIT 20".repeat(6))
}

#[test]
fn other_values_comments_and_space_fit() {
    for (one, other) in [
        ("x = 1", "x = 123456"),
        ("x = 'a'", "x='/* it''s -- '"),
        ("x = 1 AND y = 'b' AND z < 3", "x = 2 AND y = 'bb' AND z < 3.5e7"),
        ("x = 1 /* a */", "x = 1 # b\n"),
        ("x = f(1)", "x = f(-- a\n2)"),
        ("/*!50000 x = 1 */", "/*!50000 x = 2 */"),
    ] {
        assert!(fits(&within(one), &within(other)), "{one} and {other}");
    }
}

#[test]
fn whatever_a_rule_may_see_does_not_fit() {
    for (one, other) in [
        ("x = 1", "x = y"),
        ("x = 1", "x = 1 INTO OUTFILE 'f'"),
        ("x = 1", "x = '1'"),
        ("x = '1'", "x = N'1'"),
        ("x = N'1'", "x = n'1'"),
        ("x = '1'", "x = \"1\""),
        ("x = 1", "x = -1"),
        ("x = f(1)", "x = f (1)"),
        ("x = f (1)", "x = f/**/(1)"),
        ("x = a", "x = A"),
        ("x = a. b", "x = a.b"),
        ("x = `a`", "x = `a``b`"),
        ("x = @a", "x = @b"),
        ("x = @@a", "x = @@b"),
        ("x /*+ a */", "x /*+ b */"),
        ("x = 1", "/*!50000 x = 1"),
        ("x = 1", "x = 1;"),
        ("x = 'a'", "x = 'a"),
        ("x = 1", "x = 1e+"),
        ("x = 1", "x = 1\0"),
    ] {
        assert!(!fits(&within(one), &within(other)), "{one} and {other}");
        assert!(!fits(&format!("{} {one}", within("x")), &format!("{} {other}", within("x"))));
    }
    assert!(!fits(&within("x = 1"), ""));
    assert!(!fits(&within("x = 1"), &within("x = 1")[..100]));
    assert!(!fits(&format!("{};", within("x = 1")), &format!("{}; SELECT 2", within("x = 1"))));
}

#[test]
fn a_pattern_is_for_its_own_mode_and_for_as_many_differences_as_pay() {
    let (here, other) = (mode(b"9.7.4", b"", b"utf8mb4"), mode(b"9.7.4", b"", b"gbk"));
    let (one, text) = (within("x = 1"), within("x = 22"));
    let pattern = pattern(here, &one).unwrap();
    let fits = |mode, mut patience| pattern.fits(mode, text.as_bytes(), &mut patience);
    assert!(fits(here, Patience::with(text.as_bytes())));
    assert!(!fits(other, Patience::with(text.as_bytes())));
    assert!(!fits(here, Patience(1)));
    let all_differ = within("x = 1").replace('a', "b");
    assert!(!pattern.fits(here, all_differ.as_bytes(), &mut Patience::with(text.as_bytes())));
}

/// In long texts, each piece replaced by another at each place, in all that changes how a text
/// is read: a pattern that fits is one of the same skeleton.
#[test]
fn what_fits_has_the_same_skeleton() {
    const TEXT: &str = "SELECT a, `b c`, 'x', 12.5, f(x), @v, a.b FROM t WHERE c IN (1, 2, 3) AND \
        d = 'e' /* f */ AND g BETWEEN 1 AND 20 -- h\n UNION ALL SELECT 'a', 0x1F, N'b', \"c\"";
    let mut chance = Chance::new();
    let mut fitting = 0;
    for _ in 0..60_000 {
        let mode = chance.mode();
        let mut changed = |text: &str| {
            let (at, len) = (chance.below(text.len()), chance.below(3));
            let (before, rest) = text.split_at_checked(at).unwrap_or((text, ""));
            // Now and then with nothing in its place.
            let piece = PIECES.get(chance.below(PIECES.len() + 3)).unwrap_or(&"");
            format!("{before}{piece}{}", rest.get(len..).unwrap_or(rest))
        };
        let one = changed(TEXT);
        let other = changed(&one);
        let Some(pattern) = pattern(mode, &one) else { continue };
        if pattern.fits(mode, other.as_bytes(), &mut Patience(usize::MAX)) {
            fitting += 1;
            let of = |text: &str| Skeleton::of(mode, text.as_bytes()).unwrap();
            assert_eq!(of(&one).bytes(), of(&other).bytes(), "{one:?} and {other:?}");
        }
    }
    assert!(fitting > 2_000, "only {fitting} texts fit");
}
