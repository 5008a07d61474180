//! Client character sets, as far as lexing depends on them: which bytes form one
//! character, so that a quote or a backslash inside it is not one.

use crate::server::Flavour;

/// How the bytes of a client character set group into characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Charset {
    /// utf8mb3, utf8mb4: no byte of a longer character is ASCII.
    Utf8,
    /// One byte each. Of the bytes above 0x7f at most one is white space to the server;
    /// the others can stand in names, or nowhere outside of quotes.
    SingleByte {
        /// That byte.
        space: Option<u8>,
    },
    /// `ascii` and `binary`, and tis620: no byte above 0x7f stands outside of quotes here.
    Ascii,
    /// big5.
    Big5,
    /// gbk.
    Gbk,
    /// gb2312.
    Gb2312,
    /// gb18030 (MySQL only).
    Gb18030,
    /// sjis, cp932.
    Sjis,
    /// euckr.
    Euckr,
    /// ujis, eucjpms.
    Ujis,
}

impl Charset {
    /// By its name in SQL. `None` if it isn't known or can't be a client character set,
    /// for swe7, to which braces and backslashes are letters, and for armscii8, which has some of
    /// ASCII once more above 0x7f: one table would have two names.
    pub(crate) fn by_name(flavour: Flavour, name: &[u8]) -> Option<Self> {
        let mut lower = [0u8; 16];
        let lower = lower.get_mut(..name.len())?;
        lower.copy_from_slice(name);
        lower.make_ascii_lowercase();
        Some(match &*lower {
            b"utf8" | b"utf8mb3" | b"utf8mb4" => Self::Utf8,
            b"ascii" | b"binary" | b"tis620" => Self::Ascii,
            b"big5" => Self::Big5,
            b"gbk" => Self::Gbk,
            b"gb2312" => Self::Gb2312,
            b"gb18030" if flavour == Flavour::MySql => Self::Gb18030,
            b"sjis" | b"cp932" => Self::Sjis,
            b"euckr" => Self::Euckr,
            b"ujis" | b"eucjpms" => Self::Ujis,
            b"cp1251" | b"cp1256" | b"cp1257" | b"cp850" | b"hp8" | b"koi8r" | b"koi8u"
            | b"macce" | b"macroman" => Self::SingleByte { space: None },
            b"latin1" | b"cp1250" | b"dec8" | b"geostd8" | b"greek" | b"hebrew" | b"latin2"
            | b"latin5" | b"latin7" => Self::SingleByte { space: Some(0xa0) },
            b"cp852" | b"cp866" | b"keybcs2" => Self::SingleByte { space: Some(0xff) },
            _ => return None,
        })
    }

    /// Whether literals in this collation, or character set, keep all of ASCII when the server
    /// converts them. MariaDB prepares a text out of a literal: in swe7, and in `filename`,
    /// backquotes and others become `?`, and what stood between them is read.
    pub(crate) fn keeps_literals(flavour: Flavour, collation: &[u8]) -> bool {
        if flavour == Flavour::MySql {
            return true;
        }
        let name = collation.split(|&byte| byte == b'_').next().unwrap_or_default();
        let wide: [&[u8]; 4] = [b"ucs2", b"utf16", b"utf16le", b"utf32"];
        wide.iter().any(|wide| name.eq_ignore_ascii_case(wide))
            || Self::by_name(flavour, name).is_some()
    }

    /// By the collation id of a handshake. `None` for ids that aren't known, and for
    /// ucs2, utf16, utf16le and utf32, which can't be lexed.
    pub(crate) fn by_collation(flavour: Flavour, id: u16) -> Option<Self> {
        let name: &[u8] = match id {
            1 | 84 => b"big5",
            13 | 88 | 95 | 96 => b"sjis",
            19 | 85 => b"euckr",
            24 | 86 => b"gb2312",
            28 | 87 => b"gbk",
            12 | 91 | 97 | 98 => b"ujis",
            248..=250 => b"gb18030",
            5 | 8 | 15 | 31 | 47 | 48 | 49 | 94 => b"latin1",
            11 | 63 | 65 => b"ascii",
            33 | 45 | 46 | 76 | 83 | 192..=215 | 223..=247 | 255..=323 => b"utf8",
            18 | 89 => b"tis620",
            // The names stand for all that share their white space.
            4
            | 6
            | 7
            | 14
            | 22
            | 23
            | 29
            | 38
            | 39
            | 43
            | 50..=53
            | 57..=59
            | 67
            | 72
            | 74
            | 75
            | 80 => b"koi8r",
            2
            | 3
            | 9
            | 16
            | 20
            | 21
            | 25..=27
            | 30
            | 34
            | 41
            | 42
            | 44
            | 66
            | 69..=71
            | 77..=79
            | 92
            | 93
            | 99 => b"latin2",
            36 | 37 | 40 | 68 | 73 | 81 => b"cp866",
            _ => return Self::by_late_collation(flavour, id),
        };
        Self::by_name(flavour, name)
    }

    /// MariaDB numbers its own collations from 576 (UCA 14.0.0, 32 a character set) and
    /// its NOPAD collations 1024 above the padded ones.
    fn by_late_collation(flavour: Flavour, id: u16) -> Option<Self> {
        if flavour != Flavour::MariaDb {
            return None;
        }
        match id {
            576..=578 | 608..=610 => Some(Self::Utf8),
            1025..=1347 => Self::by_collation(flavour, id - 1024),
            2048..=2559 => Some(Self::Utf8),
            _ => None,
        }
    }

    /// Length of the multi-byte character at the start of `bytes`; 0 if there is none
    /// (a single byte, or a sequence that the server would not take for a character).
    pub(crate) fn multibyte_len(self, bytes: &[u8]) -> usize {
        let Some(&first) = bytes.first() else {
            return 0;
        };
        if first < 0x80 {
            return 0;
        }
        let second = bytes.get(1).copied().unwrap_or(0);
        let third = bytes.get(2).copied().unwrap_or(0);
        let two = |whole: bool| if whole { 2 } else { 0 };
        match self {
            Self::SingleByte { .. } | Self::Ascii => 0,
            Self::Utf8 => utf8_len(bytes),
            Self::Big5 => {
                two(matches!(first, 0xa1..=0xf9) && matches!(second, 0x40..=0x7e | 0xa1..=0xfe))
            }
            Self::Gbk => {
                two(matches!(first, 0x81..=0xfe) && matches!(second, 0x40..=0x7e | 0x80..=0xfe))
            }
            Self::Gb2312 => two(matches!(first, 0xa1..=0xf7) && matches!(second, 0xa1..=0xfe)),
            Self::Gb18030 => gb18030_len(bytes),
            Self::Sjis => two(matches!(first, 0x81..=0x9f | 0xe0..=0xfc)
                && matches!(second, 0x40..=0x7e | 0x80..=0xfc)),
            Self::Euckr => two(matches!(first, 0x81..=0xfe)
                && matches!(second, 0x41..=0x5a | 0x61..=0x7a | 0x81..=0xfe)),
            Self::Ujis => match (first, second, third) {
                (0xa1..=0xfe, 0xa1..=0xfe, _) | (0x8e, 0xa1..=0xdf, _) => 2,
                (0x8f, 0xa1..=0xfe, 0xa1..=0xfe) => 3,
                _ => 0,
            },
        }
    }

    /// Whether this byte above 0x7f is a character that can stand in a name.
    pub(crate) fn is_name_byte(self, byte: u8) -> bool {
        matches!(self, Self::SingleByte { space } if space != Some(byte))
    }

    /// Whether a byte of a multi-byte character can look like a quote or a backslash,
    /// so that strings can't be searched byte by byte.
    pub(crate) fn hides_ascii(self) -> bool {
        matches!(self, Self::Big5 | Self::Gbk | Self::Gb18030 | Self::Sjis)
    }
}

fn utf8_len(bytes: &[u8]) -> usize {
    let len = match bytes.first() {
        Some(0xc2..=0xdf) => 2,
        Some(0xe0..=0xef) => 3,
        Some(0xf0..=0xf4) => 4,
        _ => return 0,
    };
    let valid = bytes.get(..len).is_some_and(|bytes| std::str::from_utf8(bytes).is_ok());
    if valid { len } else { 0 }
}

fn gb18030_len(bytes: &[u8]) -> usize {
    match bytes {
        [0x81..=0xfe, 0x40..=0x7e | 0x80..=0xfe, ..] => 2,
        [0x81..=0xfe, 0x30..=0x39, 0x81..=0xfe, 0x30..=0x39, ..] => 4,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backslash_as_second_byte_belongs_to_its_character() {
        for charset in [Charset::Big5, Charset::Gbk, Charset::Gb18030] {
            assert_eq!(charset.multibyte_len(b"\xa5\\'"), 2, "{charset:?}");
        }
        assert_eq!(Charset::Sjis.multibyte_len(b"\x95\\'"), 2);
        assert_eq!(Charset::Euckr.multibyte_len(b"\xa5\\'"), 0);
        assert_eq!(Charset::Utf8.multibyte_len(b"\xc3\\'"), 0);
    }

    #[test]
    fn bytes_group_as_the_server_groups_them_by_name_and_by_collation() {
        let groups: &[(&str, u16, &[u8], usize)] = &[
            ("big5", 84, b"\xa1\x40", 2),
            ("big5", 1, b"\xa0\x40", 0),
            ("big5", 1, b"\xa1\x80", 0),
            ("gbk", 28, b"\x81\x80", 2),
            ("gbk", 87, b"\x81\x7f", 0),
            ("gbk", 28, b"\x80\x40", 0),
            ("gb2312", 24, b"\xa1\xa1", 2),
            ("gb2312", 86, b"\xf8\xa1", 0),
            ("gb2312", 24, b"\xa1\x5c", 0),
            ("sjis", 13, b"\xe0\x5c", 2),
            ("cp932", 95, b"\x81\x80", 2),
            ("sjis", 88, b"\xa1\x5c", 0),
            ("cp932", 96, b"\x81\x7f", 0),
            ("euckr", 19, b"\x81\x41", 2),
            ("euckr", 85, b"\x81\x5c", 0),
            ("euckr", 19, b"\x80\x41", 0),
            ("ujis", 12, b"\xa1\xa1", 2),
            ("ujis", 91, b"\x8e\xa1", 2),
            ("eucjpms", 97, b"\x8f\xa1\xa1", 3),
            ("eucjpms", 98, b"\x8f\xa1\x5c", 0),
            ("utf8mb3", 33, b"\xc3\xa4", 2),
            ("utf8mb4", 45, b"\xe2\x82\xac", 3),
            ("utf8mb4", 255, b"\xf0\x9f\x98\x80", 4),
            ("utf8", 192, b"\xe2\x82'", 0),
            ("ascii", 11, b"\xc3\xa4", 0),
            ("tis620", 18, b"\xa1\xa1", 0),
            ("latin1", 8, b"\xa5\x5c", 0),
            ("latin2", 9, b"\xa5\x5c", 0),
            ("koi8r", 7, b"\xa5\x5c", 0),
            ("CP866", 36, b"\xa5\x5c", 0),
        ];
        for &(name, id, bytes, len) in groups {
            let charset = Charset::by_name(Flavour::MySql, name.as_bytes());
            assert_eq!(charset, Charset::by_collation(Flavour::MySql, id), "{name}");
            assert_eq!(charset.unwrap().multibyte_len(bytes), len, "{name} {bytes:x?}");
            // MariaDB's collations without padding.
            assert_eq!(charset, Charset::by_collation(Flavour::MariaDb, id), "{name}");
            let late = Charset::by_collation(Flavour::MariaDb, id + 1024);
            assert_eq!(late, charset, "{name}");
            assert_eq!(Charset::by_collation(Flavour::MySql, id + 1024), None, "{name}");
        }
        for id in [576, 608, 2048, 2304, 2559] {
            assert_eq!(Charset::by_collation(Flavour::MariaDb, id), Some(Charset::Utf8), "{id}");
            assert_eq!(Charset::by_collation(Flavour::MySql, id), None, "{id}");
        }
        let gb18030 = Charset::by_name(Flavour::MySql, b"gb18030").unwrap();
        assert_eq!(Charset::by_collation(Flavour::MySql, 248), Some(gb18030));
        assert_eq!(Charset::by_name(Flavour::MariaDb, b"gb18030"), None);
        for (bytes, len) in [(&b"\x81\x5c"[..], 2), (b"\x81\x30\x81\x30", 4), (b"\x81\x30\\", 0)] {
            assert_eq!(gb18030.multibyte_len(bytes), len, "{bytes:x?}");
        }
    }

    #[test]
    fn a_character_set_that_is_wide_or_reads_ascii_otherwise_is_refused() {
        for name in ["ucs2", "utf16", "utf16le", "utf32", "swe7", "armscii8", "klingon"] {
            assert_eq!(Charset::by_name(Flavour::MySql, name.as_bytes()), None);
        }
        for id in [10, 32, 35, 54, 55, 56, 60, 61, 62, 64, 82, 90, 101, 128, 160, 183] {
            assert_eq!(Charset::by_collation(Flavour::MySql, id), None, "{id}");
        }
    }
}
