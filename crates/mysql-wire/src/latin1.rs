//! Names of clients that speak latin1, which to both servers is Windows-1252 with its five gaps filled.
//!
//! <https://dev.mysql.com/doc/refman/8.4/en/charset-we-sets.html>

/// Collation ids of latin1; the last two are MariaDB's, without padding.
const COLLATIONS: [u16; 10] = [5, 8, 15, 31, 47, 48, 49, 94, 1032, 1071];

/// What 0x80 to 0x9f stand for. All other bytes are the characters of their number.
const FROM_0X80: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}',
    '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

/// A name in UTF-8, as servers make it of one in the collation's character set, if that is latin1. What
/// is UTF-8 already stays so: clients that announce latin1 and send what a terminal typed are common,
/// and no name in latin1 looks like that by chance.
pub fn name_in_utf8(name: Vec<u8>, collation: u16) -> Vec<u8> {
    if !COLLATIONS.contains(&collation) || std::str::from_utf8(&name).is_ok() {
        return name;
    }
    let character = |byte: u8| {
        let special = byte.checked_sub(0x80).and_then(|at| FROM_0X80.get(usize::from(at)));
        special.copied().unwrap_or(char::from(byte))
    };
    name.into_iter().map(character).collect::<String>().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From MySQL 9.7.4 and MariaDB 10.11: `HEX(CONVERT(_latin1 X'8081..9F' USING utf8mb4))`.
    const BY_THE_SERVERS: &str = "E282ACC281E2809AC692E2809EE280A6E280A0E280A1CB86E280B0C5A0E280B9\
         C592C28DC5BDC28FC290E28098E28099E2809CE2809DE280A2E28093E28094CB9CE284A2C5A1E280BAC593C29D\
         C5BEC5B8";

    #[test]
    fn a_name_in_latin1_is_what_the_servers_make_of_it() {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02X}")).collect::<String>();
        let upper: Vec<u8> = (0x80..=0x9f).collect();
        assert_eq!(hex(&name_in_utf8(upper, 8)), BY_THE_SERVERS);
        assert_eq!(name_in_utf8(b"jos\xe9".into(), 1071), "josé".as_bytes());
    }

    #[test]
    fn a_name_in_utf8_or_another_character_set_stays_as_it_is() {
        assert_eq!(name_in_utf8("josé".into(), 8), "josé".as_bytes());
        assert_eq!(name_in_utf8(b"jos\xe9".into(), 45), b"jos\xe9");
    }
}
