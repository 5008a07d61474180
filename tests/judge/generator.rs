//! Statements whose meaning hangs on the lexer: a call of `w()`, which writes, stands
//! where some readings have code and others a string, a name or a comment.

use crate::values::Random;

const QUOTES: &[&[u8]] = &[b"'", b"\"", b"`"];
/// Ends of strings that are escapes, halves of characters or whole ones somewhere.
const TRICKS: &[&[u8]] = &[
    b"a\\",
    b"\\",
    b"\\\\",
    b"\xa5\\",
    b"\x95\\",
    b"\x83\\",
    b"\xfd\\",
    b"\xfe\\",
    b"\xe0\\",
    b"\xfc\\",
    b"\xf9\\",
    b"\xa1\\",
    b"\x81\\",
    b"\x810\x810",
    b"\x810",
    b"\x81",
    b"\x8e",
    b"\x8f\xa1",
    b"\xe3\x81",
    b"\xc3",
    b"\xf0\x9f",
    b"\xa5`",
    b"\xfe|",
    b"\xa1",
    b"\xff",
    b"\x80",
    b"\xa0",
    b"a",
    b"",
    b"\0",
];
const VERSIONS: &[&[u8]] = &[
    b"", b"50000", b"40101", b"50700", b"99999", b"90704", b"90705", b"100000", b"101119",
    b"101120", b"090704", b"080000 ", b"100100 ", b"1", b"12345", b"999999", b"999999 ", b"50000 ",
];
const GAPS: &[&[u8]] = &[
    b" ",
    b"\x01",
    b"\x7f",
    b"\xa0",
    b"\x80",
    b"\xc2\xa0",
    b"1",
    b"",
    b"\xe3\x80\x80",
    b"\x0b",
    b"\0",
    b"\x1f",
    b"\x85",
    b"\x9f",
    b"\t",
    b"\n",
];

/// The next statement.
pub(crate) fn statement(random: &mut Random) -> Vec<u8> {
    let quote = random.one(QUOTES);
    let mut trick = random.one(TRICKS).to_vec();
    if random.below(3) == 0 {
        trick.extend(random.one(TRICKS));
    }
    let ends: [Vec<u8>; 9] = [
        [b"-- ", quote].concat(),
        [b"# ", quote].concat(),
        [b"/*", quote, b"*/"].concat(),
        [b",", quote, b"x", quote].concat(),
        [quote, quote].concat(),
        [b"as a", quote].concat(),
        [b"-- ", quote, b"\n"].concat(),
        b"*/".to_vec(),
        Vec::new(),
    ];
    let end = &ends[random.below(ends.len())];
    match random.below(11) {
        0..=4 => quoted(random, quote, &trick, end),
        5..=6 => commented(random, quote, &trick, end),
        7..=8 => dashed(random, quote, end),
        9 => bracketed(random, quote, end),
        _ => leading(random, &trick),
    }
}

fn quoted(random: &mut Random, quote: &[u8], trick: &[u8], end: &[u8]) -> Vec<u8> {
    let prefix = random.one(&[&b""[..], b"N", b"_gbk", b"1,", b"@"]);
    let closing = [quote.to_vec(), quote.to_vec(), [quote, quote].concat(), Vec::new()];
    let closing = &closing[random.below(closing.len())];
    let call = random.one(&[&b" ,w() "[..], b",w()", b"*w() "]);
    [b"select ", prefix, quote, trick, closing, call, end].concat()
}

fn commented(random: &mut Random, quote: &[u8], trick: &[u8], end: &[u8]) -> Vec<u8> {
    let open = random.one(&[&b"/*!"[..], b"/*M!", b"/*", b"/*+", b"/*/"]);
    let version = random.one(VERSIONS);
    let nested = random.one(&[&b" "[..], b"", b"/*", b" /*"]);
    let inside = random.one(&[quote, trick, b",w()", b""]);
    let close = random.one(&[&b"*/"[..], b"*/", b"*/ */"]);
    let call = random.one(&[&b" ,w() "[..], b""]);
    [b"select 1 ", open, version, nested, inside, close, call, end].concat()
}

fn dashed(random: &mut Random, quote: &[u8], end: &[u8]) -> Vec<u8> {
    let mark = random.one(&[&b"--"[..], b"#", b" --", b"-- ", b" as a"]);
    let gap = random.one(GAPS);
    let calls: [Vec<u8>; 5] = [
        b",w()".to_vec(),
        [quote, b"\n,w()"].concat(),
        b"\n,w() ".to_vec(),
        b",w() /*\n*/".to_vec(),
        b" from (select w()) x".to_vec(),
    ];
    [b"select 5", mark, gap, &calls[random.below(calls.len())], end].concat()
}

/// A name in brackets, to MariaDB in MSSQL mode.
fn bracketed(random: &mut Random, quote: &[u8], end: &[u8]) -> Vec<u8> {
    let inside = random.one(&[quote, b"/*", b"#", b"-- ", b"a]]b", b"/*!", b"a"]);
    let close = random.one(&[&b"]"[..], b"]\n", b""]);
    let call = random.one(&[&b" ,w() "[..], b",w() /**/"]);
    [b"select 1 as [", inside, close, call, end].concat()
}

fn leading(random: &mut Random, trick: &[u8]) -> Vec<u8> {
    let open = random.one(&[&b"/*!"[..], b"/*M!", b"/*", b"/*/", b"-- ", b"#", b"--"]);
    let version = random.one(VERSIONS);
    let close = random.one(&[&b"*/"[..], b" */", b"\n", b"*/*/"]);
    let write = random.one(&[&b"insert into log values (1)"[..], b"do w()", b"select w()"]);
    [open, version, b" ", trick, close, write].concat()
}
