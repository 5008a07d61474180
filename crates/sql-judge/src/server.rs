//! The replica's make and version, which decide how a text is read. Nothing can be
//! judged without them.

/// The make of a server; the two lex and execute differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flavour {
    /// Oracle's MySQL, Percona Server, Aurora MySQL.
    MySql,
    /// MariaDB.
    MariaDb,
}

/// Flavour and version of a replica, which decide what a version comment hides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ServerVersion {
    /// The make.
    pub flavour: Flavour,
    /// As in version comments: 80043 for 8.0.43, 90704 for 9.7.4, 101119 for 10.11.19.
    pub number: u32,
}

/// The oldest versions that the rules are made for. Windows, expressions of WITH and sequences are of
/// later ones: their words would be names of stored functions there.
const OLDEST_MYSQL: u32 = 80_000;
const OLDEST_MARIADB: u32 = 100_300;

impl ServerVersion {
    /// Reads the text of a greeting, such as `9.7.4` or `5.5.5-10.11.19-MariaDB-0+deb12u1`.
    /// `None` if no version can be read from it, or one that the rules are not made for (MySQL before
    /// 8.0, MariaDB before 10.3): then nothing can be judged.
    pub fn from_greeting(text: &[u8]) -> Option<Self> {
        let is_mariadb = text.windows(7).any(|word| word.eq_ignore_ascii_case(b"mariadb"));
        let (flavour, oldest, digits) = if is_mariadb {
            // MariaDB 10 and 11 put this before their version, for old replicas' sake.
            let digits = text.strip_prefix(b"5.5.5-").unwrap_or(text);
            (Flavour::MariaDb, OLDEST_MARIADB, digits)
        } else {
            (Flavour::MySql, OLDEST_MYSQL, text)
        };
        let mut parts = digits.split(|&byte| byte == b'.');
        let major = whole_number(parts.next()?)?;
        let minor = whole_number(parts.next()?)?;
        let patch = parts.next().map_or(Some(0), leading_number)?;
        if major == 0 || major > 99 || minor > 99 || patch > 99 {
            return None;
        }
        let number = major * 10_000 + minor * 100 + patch;
        (number >= oldest).then_some(Self { flavour, number })
    }
}

fn whole_number(text: &[u8]) -> Option<u32> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn leading_number(text: &[u8]) -> Option<u32> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    whole_number(text.get(..digits)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_versions_that_servers_announce() {
        let cases: [(&str, Flavour, u32); 6] = [
            ("9.7.4", Flavour::MySql, 90704),
            ("8.0.43-0ubuntu0.22.04.1", Flavour::MySql, 80043),
            ("8.0.36-28", Flavour::MySql, 80036),
            ("5.5.5-10.11.19-MariaDB-0+deb12u1", Flavour::MariaDb, 101119),
            ("11.8.2-MariaDB-log", Flavour::MariaDb, 110802),
            ("10.6.22-MariaDB", Flavour::MariaDb, 100622),
        ];
        for (text, flavour, number) in cases {
            let expected = Some(ServerVersion { flavour, number });
            assert_eq!(ServerVersion::from_greeting(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn a_greeting_without_a_version_or_with_an_old_one_gives_none() {
        let old = ["5.7.44-log", "5.6.10", "5.5.5-10.2.44-MariaDB", "5.5.68-MariaDB"];
        for text in ["", "MariaDB", "x.y.z", "9", "9.x"].into_iter().chain(old) {
            assert_eq!(ServerVersion::from_greeting(text.as_bytes()), None, "{text}");
        }
    }
}
