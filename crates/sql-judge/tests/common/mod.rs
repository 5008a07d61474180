//! Puts other values into texts, and compares a judge that has seen their like with one that
//! never judged before: both must say the same, and find the same names.

mod random;
mod table;

use std::time::Duration;

use bytes::Bytes;
use sql_judge::{
    Judge, Limits, Policy, ServerVersion, SessionFacts, Verdict, literals, shape, split, structure,
};

pub(crate) use random::Random;
pub(crate) use table::unescape;

/// What may come in a value's place: values that lexers trip over, values that rules look
/// at, and what is no value at all.
const VALUES: &[&[u8]] = &[
    b"''",
    b"'x'",
    b"'it''s'",
    b"'a\\'",
    b"'\\\\'",
    b"'\\''",
    b"\"q\"",
    b"'\"'",
    b"'-- '",
    b"'/*'",
    b"'*/'",
    b"'/*!50000 '",
    b"'# '",
    b"';'",
    b"N'x'",
    b"n''",
    b"x'41'",
    b"X''",
    b"b'01'",
    b"B'1'",
    b"'\xc3\xa9'",
    b"'\xa5\\'",
    b"'\x95\\'",
    b"'\xff'",
    b"'\0'",
    b"_latin1'x'",
    b"'a' 'b'",
    b"'); DROP TABLE t -- '",
    b"' INTO OUTFILE '",
    b"'SERIALIZABLE'",
    b"'READ-COMMITTED'",
    b"'ANSI_QUOTES'",
    b"'utf8mb4'",
    b"'gbk'",
    b"'0'",
    b"'DELETE FROM t'",
    b"'SELECT 1'",
    b"'open",
    b"0",
    b"1",
    b"2",
    b"3",
    b"7",
    b"10",
    b"600",
    b"3600",
    b"4294967296",
    b"99999999999999999999999999",
    b"0x1F",
    b"0x",
    b"0b1",
    b"0b2",
    b"1e400",
    b"1.5e3",
    b"1e-5",
    b"1e",
    b"1.e",
    b".5",
    b"1.",
    b"0.0001",
    b"1st",
    b"1..2",
    b"\\N",
    b"-1",
    b"?",
    b"a",
    b"@x",
    b"@'x'",
    b"NULL",
    b"fn(1)",
    b"(1)",
    b"(SELECT 1)",
];

/// The text with other values; whatever comes of it is a text as well.
fn with_other_values(facts: &SessionFacts, text: &[u8], random: &mut Random) -> Vec<u8> {
    let mut other = Vec::new();
    let mut rest = 0;
    let change_one_in = 1 + random.below(3);
    for literal in literals(facts, text).unwrap_or_default() {
        other.extend_from_slice(&text[rest..literal.range.start]);
        rest = literal.range.end;
        let as_it_was = &text[literal.range];
        if random.below(change_one_in) != 0 {
            other.extend_from_slice(as_it_was);
            continue;
        }
        // A list of values, as long as it may be.
        let longest = random.one(&[&[1][..], &[1], &[20]])[0];
        let first = random.one(VALUES);
        for number in 0..=random.below(longest) {
            let comma: &[u8] = if number == 0 { b"" } else { random.one(&[&b","[..], b" , "]) };
            let same = random.below(4) > 0;
            other.extend_from_slice(comma);
            other.extend_from_slice(if same { first } else { random.one(VALUES) });
        }
    }
    other.extend_from_slice(&text[rest..]);
    other
}

/// The text with a small change beside its values: what the memory must not overlook.
fn nudged(text: &[u8], random: &mut Random) -> Vec<u8> {
    const INSERTED: &[&[u8]] =
        &[b" ", b"/**/", b"`", b",", b"1", b";", b"/*!", b"*/", b"@", b"x", b"(", b"["];
    let mut other = text.to_vec();
    let parentheses: Vec<usize> = (0..text.len()).filter(|&at| text[at] == b'(').collect();
    let at = match parentheses.len() {
        0 => random.below(text.len() + 1),
        count if random.below(2) == 0 => parentheses[random.below(count)],
        _ => random.below(text.len() + 1),
    };
    match random.below(4) {
        0 if at < text.len() => drop(other.remove(at)),
        // A gap before a parenthesis goes, a word loses its end, a name its dot.
        1 if at > 0 => drop(other.remove(at - 1)),
        2 if at < text.len() => other[at] = b'0' + other[at] % 10,
        _ => drop(other.splice(at..at, random.one(INSERTED).iter().copied())),
    }
    other
}

/// All that is known of a text: verdict, and what it names.
fn said(judge: &Judge, facts: &SessionFacts, text: &[u8], found_anew: &mut usize) -> String {
    match judge.judge(facts, Bytes::copy_from_slice(text)) {
        Verdict::Allow(permit) => {
            assert_eq!(permit.text(), text);
            let named = permit.remember_alike(|| {
                *found_anew += 1;
                let (structure, shape) = (structure(facts, text), shape(facts, text));
                format!("{structure:?} {}", shape.escape_ascii())
            });
            format!("allow {:?} {:?} {named}", permit.kind(), permit.effects())
        }
        other @ (Verdict::Absorb(_) | Verdict::Own(_) | Verdict::Deny(_)) => format!("{other:?}"),
    }
}

fn judge(server: ServerVersion, policy: &Policy) -> Judge {
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    let limits = Limits { statement: seconds(60), lock_wait: seconds(10) };
    Judge::new(server, policy.clone()).with_limits(limits)
}

/// One judge with a memory.
pub(crate) struct Warm {
    server: ServerVersion,
    policy: Policy,
    judge: Judge,
    pub(crate) random: Random,
    /// Texts of which the judge knew at once what they name.
    pub(crate) known: usize,
    /// Texts that were compared.
    pub(crate) compared: usize,
}

impl Warm {
    pub(crate) fn new(server: ServerVersion, policy: Policy, seed: u64) -> Self {
        let judge = judge(server, &policy);
        Self { server, policy, judge, random: Random(seed), known: 0, compared: 0 }
    }

    /// Judges a text until it is remembered, and then so many with other values: as it is, and
    /// with a comment in front that makes it long enough for a pattern.
    pub(crate) fn compare(&mut self, facts: &SessionFacts, text: &[u8], times: usize) {
        let comment = format!("/* {} */ ", "long ".repeat(60));
        for statement in split(facts, &Bytes::copy_from_slice(text)) {
            self.compare_one(facts, &statement, times);
            self.compare_one(facts, &[comment.as_bytes(), &statement].concat(), times);
        }
    }

    fn compare_one(&mut self, facts: &SessionFacts, statement: &[u8], times: usize) {
        let mut found_anew = 0;
        // Twice for the text and its skeleton; the third time, as another text, for the pattern.
        for text in [statement, statement, &[statement, b" "].concat()] {
            said(&self.judge, facts, text, &mut found_anew);
        }
        for _ in 0..times {
            let other = with_other_values(facts, statement, &mut self.random);
            let near = [nudged(&other, &mut self.random), nudged(statement, &mut self.random)];
            self.one(facts, &other);
            near.iter().for_each(|near| self.one(facts, near));
        }
    }

    fn one(&mut self, facts: &SessionFacts, text: &[u8]) {
        let fresh = judge(self.server, &self.policy);
        let (mut anew, mut ignored) = (0, 0);
        let known = said(&self.judge, facts, text, &mut anew);
        assert_eq!(known, said(&fresh, facts, text, &mut ignored), "{}", text.escape_ascii());
        self.known += usize::from(anew == 0 && known.starts_with("allow"));
        self.compared += 1;
    }
}
