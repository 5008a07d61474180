//! What a terminal or a browser is shown. Names and texts come from clients: nothing in them may
//! steer the one or reorder what the other shows.

use std::borrow::Cow;
use std::io::{self, Write};

use serde::Serialize;

use crate::json;

/// A text with what steers or misleads written as JSON writes it; line ends and tabs stay.
pub(crate) fn shown(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return text.into();
    }
    let mut out = Vec::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let bytes = &mut [0; 4];
        let bytes = c.encode_utf8(bytes);
        match c {
            '"' | '\\' | '\n' | '\t' => out.extend_from_slice(bytes.as_bytes()),
            '\r' if chars.peek() == Some(&'\n') => out.push(b'\r'),
            _ => json::push_escaped(&mut out, bytes),
        }
    }
    String::from_utf8_lossy(&out).into_owned().into()
}

/// The same on one line.
pub(crate) fn shown_on_a_line(text: &str) -> String {
    shown(text).replace('\r', "\\r").replace('\n', "\\n").replace('\t', "\\t")
}

/// Writes JSON, laid out for reading.
pub(crate) fn write_pretty(value: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}", shown(&serde_json::to_string_pretty(value)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_steers_or_reorders_is_shown_as_it_is() {
        let text = "a\u{1b}[2J\u{9b}2J\u{7f}\u{202e}\u{2066}\u{feff}\u{2028}\rz\u{e4}";
        let inside = r"a\u001b[2J\u009b2J\u007f\u202e\u2066\ufeff\u2028\rz".to_owned() + "\u{e4}";
        assert_eq!(shown(text), inside);
        let mut out = Vec::new();
        write_pretty(&[text, "two\nlines \"and\" a \\"], &mut out).unwrap();
        let written = String::from_utf8(out).unwrap();
        assert!(written.contains(&inside), "{written}");
        let read: Vec<String> = serde_json::from_str(&written).unwrap();
        assert_eq!(read, [text, "two\nlines \"and\" a \\"], "and it is still what it was");
    }
}
