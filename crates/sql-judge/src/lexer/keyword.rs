//! The words that the grammar of the allowed looks at, found by hash.

/// Declares the keywords and their spelling at once, and of which a parenthesis behind them opens
/// no arguments.
macro_rules! keywords {
    (grouping { $($group:ident)* } others { $($name:ident)* }) => {
        /// A word that the grammar knows.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[allow(non_camel_case_types, clippy::upper_case_acronyms, reason = "spelled as in SQL")]
        pub(crate) enum Keyword {
            /// Any other word.
            None,
            $($group,)*
            $($name),*
        }

        const NAMES: &[(&str, Keyword)] = &[
            $((stringify!($group), Keyword::$group),)*
            $((stringify!($name), Keyword::$name)),*
        ];

        impl Keyword {
            /// Whether a parenthesis after this word groups, lists or measures, and never holds
            /// the arguments of a function that a server might look up. Each of these is a syntax
            /// error to both servers when called (`SELECT word(1)`), or an operator; of which
            /// version that isn't true the grammar tells.
            pub(crate) fn takes_parenthesis(self) -> bool {
                matches!(self, $(Self::$group)|*)
            }
        }
    };
}

keywords! {
    grouping {
        // leading words, and those that begin clauses
        SELECT VALUES TABLE EXPLAIN DESCRIBE DESC ANALYZE SET DO AS FROM WHERE ROW
        // operators, and words that lists or subqueries follow
        AND OR XOR NOT IN EXISTS JOIN ON HAVING BY WHEN THEN ELSE CASE UNION ALL DISTINCT
        DISTINCTROW ANY SOME BETWEEN LIKE REGEXP RLIKE DIV IS USING OVER PARTITION INDEX KEY LATERAL
        BINARY ESCAPE LIMIT OFFSET EXCEPT INTERSECT MINUS AGAINST STRAIGHT_JOIN OF COLUMNS GROUP ORDER
        SQL_CALC_FOUND_ROWS SQL_NO_CACHE SQL_CACHE SQL_BIG_RESULT SQL_SMALL_RESULT SQL_BUFFER_RESULT
        HIGH_PRIORITY UNIQUE DAY_SECOND BOTH LEADING TRAILING SOUNDS ROLLUP RECURSIVE RETURNING SEPARATOR NULL TRUE FALSE TO
        QUALIFY CUBE
        // types, with a length in parentheses
        VARCHAR VARCHARACTER DECIMAL NUMERIC DEC FIXED FLOAT DOUBLE REAL INT INTEGER BIGINT SMALLINT
        TINYINT MEDIUMINT VARBINARY NCHAR NVARCHAR DATETIME BIT TEXT ENUM BLOB SIGNED UNSIGNED VECTOR
        FLOAT4 FLOAT8 INT1 INT2 INT3 INT4 INT8 MIDDLEINT CHARACTER VARYING
    }
    others {
        // leading words
        WITH VALUE SHOW USE START BEGIN COMMIT
        ROLLBACK SAVEPOINT RELEASE UNLOCK LOCK KILL HELP CHECKSUM PREPARE EXECUTE DEALLOCATE DROP
        CALL GET FLUSH INSERT UPDATE DELETE REPLACE
        // inside queries
        MATCH INTO FOR SHARE GROUPING SETS TABLESAMPLE SYSTEM BERNOULLI NEXT PREVIOUS PROCEDURE ANALYSE OUTFILE DUMPFILE LOAD ROWS
        // types that are functions as well
        YEAR TIME TIMESTAMP CHAR
        // SET, SHOW, transactions and the rest
        SESSION LOCAL GLOBAL PERSIST PERSIST_ONLY NAMES CHARSET COLLATE DEFAULT TRANSACTION ISOLATION
        LEVEL READ WRITE ONLY COMMITTED UNCOMMITTED REPEATABLE SERIALIZABLE CONSISTENT SNAPSHOT WORK
        CHAIN NO PASSWORD ROLE STATEMENT CONNECTION QUERY HARD SOFT TABLES IMMEDIATE FORMAT EXTENDED
        PARTITIONS SCHEMA DATABASE OFF QUICK CONVERT DIAGNOSTICS CURRENT STACKED CREATE FULL
        COUNT STATUS ATOMIC NEXTVAL CURRVAL CONDITION OPTION RESOURCE
        // SHOW subjects
        AUTHORS BINLOG COLLATION CONTRIBUTORS DATABASES ENGINE ENGINES ERRORS EVENT EVENTS
        FIELDS FUNCTION GRANTS INDEXES KEYS LIBRARY LOCALES LOGS LOG MASTER OPEN PACKAGE BODY PLUGINS
        PRIVILEGES PROCESSLIST PROFILE PROFILES RELAYLOG REPLICA REPLICAS SCHEMAS SEQUENCE SLAVE
        SLAVES HOSTS STORAGE TRIGGER TRIGGERS USER VARIABLES VIEW WARNINGS CODE SONAME MUTEX
        TYPES CLIENT_STATISTICS USER_STATISTICS INDEX_STATISTICS TABLE_STATISTICS
        QUERY_RESPONSE_TIME WSREP_MEMBERSHIP WSREP_STATUS GENERAL JSON SERVER
    }
}

impl Keyword {
    /// The keyword that this word is, whatever its case; `None` if the grammar knows none.
    pub(crate) fn find(word: &[u8]) -> Self {
        let mut slot = hash(word) & MASK;
        loop {
            let Some(&index) = SLOTS.get(slot) else {
                return Self::None;
            };
            let Some(&(name, keyword)) = NAMES.get(usize::from(index)) else {
                return Self::None;
            };
            if word.eq_ignore_ascii_case(name.as_bytes()) {
                return keyword;
            }
            slot = (slot + 1) & MASK;
        }
    }
}

const SIZE: usize = 2048;
const MASK: usize = SIZE - 1;
const EMPTY: u16 = u16::MAX;

/// Open addressing, a quarter full; made when the crate is compiled.
static SLOTS: [u16; SIZE] = slots();

#[allow(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "runs at compile time over our own list: a fault stops the build"
)]
const fn slots() -> [u16; SIZE] {
    let mut slots = [EMPTY; SIZE];
    let mut index = 0;
    while index < NAMES.len() {
        let mut slot = hash(NAMES[index].0.as_bytes()) & MASK;
        while slots[slot] != EMPTY {
            slot = (slot + 1) & MASK;
        }
        slots[slot] = index as u16;
        index += 1;
    }
    slots
}

/// FNV-1a over the word with its letters folded to one case.
#[allow(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "the index is below the length; a const fn has no iterators"
)]
pub(crate) const fn hash(word: &[u8]) -> usize {
    let mut hash: u32 = 0x811c_9dc5;
    let mut index = 0;
    while index < word.len() {
        hash = (hash ^ (word[index] & 0xdf) as u32).wrapping_mul(0x0100_0193);
        index += 1;
    }
    (hash ^ (hash >> 15)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_keyword_is_found_in_any_case() {
        for (name, keyword) in NAMES {
            assert_eq!(Keyword::find(name.as_bytes()), *keyword);
            assert_eq!(Keyword::find(name.to_lowercase().as_bytes()), *keyword);
        }
    }

    #[test]
    fn other_words_are_no_keywords() {
        for word in ["", "x", "selec", "selects", "sel\u{17f}ect", "SELECT\0"] {
            assert_eq!(Keyword::find(word.as_bytes()), Keyword::None);
        }
    }
}
