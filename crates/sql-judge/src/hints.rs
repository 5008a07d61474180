//! Optimizer hints: all may pass but those that change settings beyond the allowed.

use crate::settings::{self, Limited, Limits};

/// Whether the inside of a `/*+ ... */` may pass; else the rule it breaks and why.
///
/// The server reads quotes in a hint; a comment's reader does not. The two agree on the
/// end when every quote is closed and none holds a backslash.
pub(crate) fn check(inside: &[u8]) -> Result<(), (&'static str, &'static str)> {
    check_quotes(inside)?;
    let mut words = words(inside);
    while let Some(word) = words.next() {
        if word.eq_ignore_ascii_case(b"RESOURCE_GROUP") {
            return Err(("hint_resource_group", "the RESOURCE_GROUP hint is not for reads"));
        }
        if word.eq_ignore_ascii_case(b"SET_VAR") {
            let variable = words.next().unwrap_or_default();
            if !settings::may_be_hinted(variable) {
                return Err(("hint_variable", "the SET_VAR hint sets a variable not listed"));
            }
        }
    }
    Ok(())
}

/// Whether every MAX_EXECUTION_TIME in a hint keeps within the limit.
pub(crate) fn keeps_limit(hint: &[u8], limits: &Limits) -> bool {
    let mut words = words(hint);
    while let Some(word) = words.next() {
        if word.eq_ignore_ascii_case(b"MAX_EXECUTION_TIME") {
            let value = words.next().unwrap_or_default();
            if !limits.allow(Limited::StatementMillis, value) {
                return false;
            }
        }
    }
    true
}

/// The words of a hint. Those in other letters are none that mean anything here, and in some
/// character sets a byte beyond ASCII is white space to the server.
fn words(hint: &[u8]) -> impl Iterator<Item = &[u8]> {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$');
    hint.split(move |byte| !is_word(byte)).filter(|word| !word.is_empty())
}

fn check_quotes(inside: &[u8]) -> Result<(), (&'static str, &'static str)> {
    const AMBIGUOUS: (&str, &str) = ("ambiguous_hint", "a hint's quotes can be read in two ways");
    let mut open = None;
    for &byte in inside {
        match (byte, open) {
            (b'\'' | b'"' | b'`', None) => open = Some(byte),
            (b'\\', Some(_)) => return Err(AMBIGUOUS),
            (byte, Some(quote)) if byte == quote => open = None,
            _ => {}
        }
    }
    if open.is_some() { Err(AMBIGUOUS) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_about_plans_pass() {
        for hint in ["", " NO_MERGE(a) ", "INDEX(t `PRIMARY`)", "SET_VAR(sort_buffer_size = 1M)"] {
            assert_eq!(check(hint.as_bytes()), Ok(()), "{hint}");
        }
    }

    #[test]
    fn hints_that_reach_further_are_refused() {
        for hint in [
            "SET_VAR(sql_log_bin=0)",
            "set_var(`unknown`=1)",
            "SET_VAR()",
            "RESOURCE_GROUP(rg)",
            "QB_NAME(`a)",
            "QB_NAME('a\\')",
        ] {
            assert!(check(hint.as_bytes()).is_err(), "{hint}");
        }
        // White space in latin1 and cp852.
        for hint in [&b"\xa0SET_VAR(sql_log_bin=0)"[..], b"\xffRESOURCE_GROUP(rg)"] {
            assert!(check(hint).is_err(), "{}", hint.escape_ascii());
        }
    }
}
