//! Passwords in addresses, as `CONNECTION='mysql://user:password@host/schema'` has one.

use memchr::memmem;

/// What stands between an address's scheme and the rest of it.
const MARK: &[u8] = b"://";
/// What stands in a record for such a password.
const MASK: &[u8] = b"***";

/// Whether an address may be there.
pub(super) fn is_in(text: &[u8]) -> bool {
    memmem::find(text, MARK).is_some()
}

/// The text without the passwords of its addresses.
pub(super) fn without_passwords(text: Vec<u8>) -> Vec<u8> {
    if !is_in(&text) {
        return text;
    }
    let mut masked = Vec::with_capacity(text.len());
    let mut rest = text.as_slice();
    while let Some(at) = memmem::find(rest, MARK) {
        let (before, after) = rest.split_at((at + MARK.len()).min(rest.len()));
        masked.extend_from_slice(before);
        rest = match password(after) {
            Some((user, behind)) => {
                masked.extend_from_slice(user);
                masked.extend_from_slice(MASK);
                behind
            }
            None => after,
        };
    }
    masked.extend_from_slice(rest);
    masked
}

/// What stands before and behind the password in `user:password@host`, if there is one. Where it
/// holds an `@` of its own the last one counts.
fn password(address: &[u8]) -> Option<(&[u8], &[u8])> {
    let ends = |byte: &u8| byte.is_ascii_whitespace() || b"/?#'\"`".contains(byte);
    let host_ends = address.iter().position(ends).unwrap_or(address.len());
    let user_ends = memchr::memrchr(b'@', address.get(..host_ends)?)?;
    let begins = memchr::memchr(b':', address.get(..user_ends)?)? + 1;
    let is_empty = begins == user_ends;
    (!is_empty).then_some((address.get(..begins)?, address.get(user_ends..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_keeps_all_but_its_password() {
        for (text, masked) in [
            ("'mysql://bob:sesame@h:3306/db'", "'mysql://bob:***@h:3306/db'"),
            ("'mysql://bob:ses@me@h/db/t'", "'mysql://bob:***@h/db/t'"),
            ("a://b:c@d e://f:g@h", "a://b:***@d e://f:***@h"),
            ("a://b:c://d:e@f", "a://b:c://d:***@f"),
        ] {
            let got = without_passwords(text.as_bytes().to_vec());
            assert_eq!(String::from_utf8_lossy(&got), masked);
        }
        for text in ["http://h:80/x@y", "http://bob@h/", "http://bob:@h/", "://", "x://'a:b@c'"] {
            assert_eq!(without_passwords(text.as_bytes().to_vec()), text.as_bytes());
        }
    }
}
