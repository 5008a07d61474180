//! What is known of functions: which names are built into which server, and which of
//! them do more than compute.

mod table;

use crate::lexer::keyword::hash;
use crate::server::{Flavour, ServerVersion};
use table::GROUPS;

/// What a built-in function does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Computes a value.
    Pure,
    /// Computes a value if its arguments have this shape; else MariaDB looks for a stored
    /// function of that name.
    Shaped(Shape),
    /// Computes a value that may be several times longer than its arguments.
    Growth,
    /// Takes or frees a user lock.
    Lock,
    /// Waits as long as its argument says.
    Sleep,
    /// Computes in a loop as long as its argument says.
    Burn,
    /// Reads a file of the server.
    File,
    /// Reads or moves a sequence.
    Sequence,
    /// Waits for replication.
    Wait,
    /// Changes settings of the server.
    Admin,
    /// Was a built-in of earlier versions: now a component's, or any function of that name.
    Former,
}

/// What the arguments of a built-in must be like for it to be the built-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// At least one.
    Some,
    /// Two.
    Pair,
    /// `..., 'path' COLUMNS (...)`
    Columns,
}

impl Class {
    /// Whether nothing but a value comes of a call that passes.
    pub(crate) fn only_computes(self) -> bool {
        matches!(self, Self::Pure | Self::Growth | Self::Shaped(_))
    }

    /// Whether configuration may let functions of this class pass: those that use up time
    /// or locks of the session alone, and those whose component the replica may have. LOAD_FILE
    /// reads files that are not the replica's data, sequences and settings are written: there
    /// is no reading use of these.
    pub(crate) fn is_switchable(self) -> bool {
        matches!(self, Self::Lock | Self::Burn | Self::Wait | Self::Former)
    }
}

/// Whether configuration may allow the built-in function of that name.
///
/// # Errors
/// Why not, as the rest of a sentence that begins with the name.
pub fn may_be_allowed(name: &str) -> Result<(), &'static str> {
    let find = |flavour| entry(flavour, name.as_bytes()).filter(|(_, bits)| *bits != 0);
    let known = find(Flavour::MySql).or_else(|| find(Flavour::MariaDb));
    match known.map(|(class, bits)| if bits & GONE != 0 { Class::Former } else { class }) {
        Some(class) if class.is_switchable() => Ok(()),
        Some(class) if class.only_computes() => Err("only computes and passes anyway"),
        Some(Class::Sleep) => Err("has a key of its own, functions.sleep_max"),
        Some(Class::File) => Err("reads files of the replica's machine and never passes"),
        Some(_) => Err("changes the replica and never passes"),
        None => Err("is no built-in function"),
    }
}

/// How a call is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// `name(`
    Plain,
    /// `name (`, without IGNORE_SPACE
    Spaced,
    /// `` `name`( ``
    Quoted,
}

/// Bits of functions that came with a version: the first of MySQL and of MariaDB that has
/// them. Of MariaDB these are the versions with long support. Spatial functions that came with
/// MySQL 8.0.23 count as those of 8.0.24, and those of 8.0.12 to 8.0.16 as of 8.0.17.
const LATE: [(u16, u32, u32); 6] = [
    (8, 90_000, 110_400),
    (32, 80_017, 110_800),
    (64, 80_021, 120_300),
    (128, 80_024, 101_100),
    (256, 0, 100_600),
    (512, 90_704, 0),
];
/// The bit of functions that MySQL has no more from this version on.
const GONE: u16 = 16;
const MYSQL_WITHOUT_GONE: u32 = 90_600;

/// The class of the built-in that this server runs for a call so spelled. `None` if it
/// would look for a stored or loadable function.
pub(crate) fn find(server: ServerVersion, name: &[u8], spelling: Spelling) -> Option<Class> {
    let (class, bits) = entry(server.flavour, name)?;
    let needed = match spelling {
        Spelling::Plain => 1,
        Spelling::Spaced => 3,
        Spelling::Quoted => 5,
    };
    let is_there = LATE.iter().all(|&(bit, mysql, mariadb)| {
        let first = if server.flavour == Flavour::MySql { mysql } else { mariadb };
        bits & bit == 0 || server.number >= first
    });
    let is_gone = bits & GONE != 0 && server.number >= MYSQL_WITHOUT_GONE;
    let class = if is_gone { Class::Former } else { class };
    (is_there && bits & needed == needed).then_some(class)
}

/// What the table says of a name, for one make.
fn entry(flavour: Flavour, name: &[u8]) -> Option<(Class, u16)> {
    let mut slot = hash(name) & MASK;
    loop {
        let entry = SLOTS.get(slot).filter(|entry| entry.len != 0)?;
        let (mysql, mariadb, class, names) = GROUPS.get(usize::from(entry.group))?;
        let start = usize::from(entry.start);
        let known = names.as_bytes().get(start..start + usize::from(entry.len))?;
        if name.eq_ignore_ascii_case(known) {
            return Some((*class, if flavour == Flavour::MySql { *mysql } else { *mariadb }));
        }
        slot = (slot + 1) & MASK;
    }
}

/// Where a name stands in [`GROUPS`].
#[derive(Clone, Copy)]
struct Entry {
    group: u8,
    len: u8,
    start: u16,
}

const SIZE: usize = 2048;
const MASK: usize = SIZE - 1;
const EMPTY: Entry = Entry { group: 0, len: 0, start: 0 };

/// Open addressing, less than a third full; made when the crate is compiled.
static SLOTS: [Entry; SIZE] = slots();

#[allow(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "runs at compile time over our own table: a fault stops the build"
)]
const fn slots() -> [Entry; SIZE] {
    let mut slots = [EMPTY; SIZE];
    let mut group = 0;
    while group < GROUPS.len() {
        let names = GROUPS[group].3.as_bytes();
        let mut start = 0;
        while start < names.len() {
            let mut end = start;
            while end < names.len() && names[end] != b' ' {
                end += 1;
            }
            let (_, rest) = names.split_at(start);
            let (name, _) = rest.split_at(end - start);
            let mut slot = hash(name) & MASK;
            while slots[slot].len != 0 {
                slot = (slot + 1) & MASK;
            }
            let entry = Entry { group: group as u8, len: name.len() as u8, start: start as u16 };
            slots[slot] = entry;
            start = end + 1;
        }
        group += 1;
    }
    slots
}

#[cfg(test)]
mod tests {
    use super::*;

    const MYSQL: ServerVersion = ServerVersion { flavour: Flavour::MySql, number: 90704 };
    const MARIADB: ServerVersion = ServerVersion { flavour: Flavour::MariaDb, number: 120301 };
    const MARIADB_10: ServerVersion = ServerVersion { number: 101119, ..MARIADB };

    #[test]
    fn every_name_of_the_table_is_found() {
        for (mysql, mariadb, class, names) in GROUPS {
            for name in names.split(' ') {
                let lower = name.to_lowercase();
                for (server, bits) in [(MYSQL, mysql), (MARIADB, mariadb)] {
                    let class = if bits & GONE == 0 { *class } else { Class::Former };
                    let expected = (bits & 1 == 1).then_some(class);
                    let found = find(server, lower.as_bytes(), Spelling::Plain);
                    assert_eq!(found, expected, "{name}");
                }
            }
        }
    }

    #[test]
    fn only_functions_that_change_nothing_can_be_allowed() {
        for name in ["get_lock", "RELEASE_ALL_LOCKS", "BENCHMARK", "KDF", "MASTER_GTID_WAIT", "md5"]
        {
            assert_eq!(may_be_allowed(name), Ok(()), "{name}");
        }
        for name in
            ["LOAD_FILE", "NEXTVAL", "SLEEP", "CONCAT", "age_at", "INNODB_SET_OPEN_FILES_LIMIT"]
        {
            assert!(may_be_allowed(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_keyword_function_spelled_otherwise_is_a_stored_function() {
        for spelling in [Spelling::Spaced, Spelling::Quoted] {
            assert_eq!(find(MYSQL, b"count", spelling), None);
            assert_eq!(find(MYSQL, b"concat", spelling), Some(Class::Pure));
        }
        assert_eq!(find(MARIADB, b"if", Spelling::Quoted), None);
        assert_eq!(find(MARIADB, b"rank", Spelling::Spaced), None);
        assert_eq!(find(MYSQL, b"rank", Spelling::Spaced), Some(Class::Pure));
    }

    #[test]
    fn a_function_of_one_server_is_unknown_to_the_other() {
        assert_eq!(find(MYSQL, b"json_detailed", Spelling::Plain), None);
        assert_eq!(find(MARIADB, b"any_value", Spelling::Plain), None);
        assert_eq!(find(MYSQL, b"no_such_function", Spelling::Plain), None);
        let mysql = |number| ServerVersion { number, ..MYSQL };
        assert_eq!(find(mysql(80_040), b"md5", Spelling::Plain), Some(Class::Pure));
        assert_eq!(find(mysql(90_600), b"md5", Spelling::Plain), Some(Class::Former));
        assert_eq!(find(MARIADB, b"md5", Spelling::Plain), Some(Class::Pure));
        assert_eq!(find(mysql(80_040), b"to_vector", Spelling::Plain), None);
        assert_eq!(find(mysql(90_000), b"to_vector", Spelling::Plain), Some(Class::Pure));
        assert_eq!(find(MARIADB_10, b"uuid_v7", Spelling::Plain), None);
        assert_eq!(find(MARIADB, b"uuid_v7", Spelling::Plain), Some(Class::Pure));
        let mariadb = |number| ServerVersion { number, ..MARIADB };
        assert_eq!(find(mariadb(100_622), b"natural_sort_key", Spelling::Plain), None);
        assert_eq!(find(MARIADB_10, b"natural_sort_key", Spelling::Plain), Some(Class::Pure));
        assert_eq!(find(mariadb(110_409), b"kdf", Spelling::Plain), Some(Class::Burn));
        assert_eq!(find(mariadb(110_409), b"uuid_v7", Spelling::Plain), None);
        assert_eq!(find(mariadb(110_806), b"format_bytes", Spelling::Plain), Some(Class::Pure));
        assert_eq!(find(mariadb(110_806), b"st_simplify", Spelling::Plain), None);
        // What came in the course of MySQL 8.0, and with MariaDB 10.6.
        for (name, first) in [
            (&b"ps_thread_id"[..], 80_017),
            (b"json_overlaps", 80_017),
            (b"json_value", 80_021),
            (b"st_collect", 80_024),
            (b"current_user_in", 90_000),
        ] {
            assert_eq!(find(mysql(first - 1), name, Spelling::Plain), None);
            assert_eq!(find(mysql(first), name, Spelling::Plain), Some(Class::Pure));
        }
        assert_eq!(find(mariadb(100_529), b"to_char", Spelling::Plain), None);
        assert_eq!(find(mariadb(100_622), b"to_char", Spelling::Plain), Some(Class::Pure));
        assert_eq!(find(mariadb(100_432), b"json_value", Spelling::Plain), Some(Class::Pure));
    }
}
