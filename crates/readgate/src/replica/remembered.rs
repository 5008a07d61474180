//! The state of a session that lends its connection: read from the connection that it leaves,
//! set again on the one that it gets. What isn't here a session can't leave behind.
//!
//! A session without a state of its own still has what the last statement left: FOUND_ROWS()
//! and ROW_COUNT(). Reading them changes them, so they are read when the connection is given
//! away anyway, and made again by a query over constants of as many rows.
use super::guard::{self, Baseline};
use super::text_query::{self, TextRow};
use super::{ReplicaFault, ReplicaSession, ReplicaTarget};

/// A FOUND_ROWS() beyond this is not made again.
pub const MOST_ROWS: u64 = 1_000_000;

/// As bytes, whatever character set the user has asked results in.
const QUESTION: &str = "SELECT CAST(FOUND_ROWS() AS BINARY), CAST(ROW_COUNT() AS BINARY), \
     CAST(@@session.sql_mode AS BINARY), CAST(@@session.character_set_client AS BINARY), \
     CAST(@@session.character_set_results AS BINARY), \
     CAST(@@session.collation_connection AS BINARY), CAST(DATABASE() AS BINARY) LIMIT 1";
/// Leaves FOUND_ROWS() as it is, and ROW_COUNT() at 0.
const COUNTS_NONE: &str = "SET SESSION TRANSACTION READ ONLY";

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub struct Remembered {
    found_rows: u64,
    /// ROW_COUNT() is 0, as behind a SET; else it is -1, as behind a query.
    counts_none: bool,
    sql_mode: String,
    charset: String,
    collation: String,
    /// Results come in that character set; else as they are.
    converts_results: bool,
    schema: Option<String>,
}

/// Reads the state of a session that is about to lend its connection; `None` if it is one that
/// can't be set again. The connection's diagnostics are the question's afterwards.
pub async fn ask(
    target: &ReplicaTarget,
    session: &mut ReplicaSession,
) -> Result<Option<Remembered>, ReplicaFault> {
    let asking = async {
        let rows = text_query::run(&mut session.channel, QUESTION).await;
        rows.map_err(|fault| ReplicaFault::Guard(fault.to_string()))
    };
    let rows = target.within_deadline(asking).await?;
    let read = rows.into_iter().next().and_then(Remembered::read);
    // A login gives a session its schema back; nothing takes it away.
    let has_lost_schema =
        |read: &Remembered| read.schema.is_none() && session.wish.schema.is_some();
    Ok(read.filter(|read| !has_lost_schema(read)))
}

impl Remembered {
    fn read(row: TextRow) -> Option<Self> {
        let [found_rows, row_count, sql_mode, client, results, collation, schema] =
            <[_; 7]>::try_from(row).ok()?;
        let word = |value: Option<Vec<u8>>| guard::word(&value?).map(str::to_owned);
        let is_of =
            |charset: &Vec<u8>| collation.as_ref().is_some_and(|of| of.starts_with(charset));
        if !client.as_ref().is_some_and(is_of) {
            return None;
        }
        if results.as_ref().is_some_and(|results| Some(results) != client.as_ref()) {
            return None;
        }
        let remembered = Self {
            found_rows: word(found_rows)?.parse().ok().filter(|rows| *rows <= MOST_ROWS)?,
            counts_none: match row_count?.as_slice() {
                b"0" => true,
                b"-1" => false,
                _ => return None,
            },
            sql_mode: modes(sql_mode?)?,
            converts_results: results.is_some(),
            charset: word(client)?,
            collation: word(collation)?,
            schema: match schema {
                Some(schema) => Some(ascii(schema)?),
                None => None,
            },
        };
        Some(remembered)
    }

    /// Sets the state on a session that has just been opened. It has it when this returns: the
    /// part that statements are judged by is read back, with the guard.
    pub async fn restore(
        &self,
        target: &ReplicaTarget,
        session: &mut ReplicaSession,
    ) -> Result<(), ReplicaFault> {
        let restoring = async {
            let baseline = guard::after(session, self.settings()).await?;
            if !self.is_in(&baseline) {
                return Err(ReplicaFault::Guard("the session's state can't be set again".into()));
            }
            let made = text_query::run_all(&mut session.channel, &self.diagnostics()).await;
            made.map(|_| ()).map_err(|fault| ReplicaFault::Guard(fault.to_string()))
        };
        target.within_deadline(restoring).await
    }

    fn is_in(&self, baseline: &Baseline) -> bool {
        baseline.sql_mode == self.sql_mode.as_bytes()
            && baseline.character_set_client == self.charset.as_bytes()
            && baseline.schema.as_deref() == self.schema.as_ref().map(String::as_bytes)
    }

    /// The schema first: its name is ASCII, which all character sets here begin with.
    fn settings(&self) -> Vec<String> {
        let Self { sql_mode, charset, collation, schema, .. } = self;
        let schema = schema.iter().map(|schema| format!("USE `{}`", schema.replace('`', "``")));
        let as_they_are = (!self.converts_results).then_some("SET character_set_results = NULL");
        let rest = [
            format!("SET SESSION sql_mode = '{sql_mode}'"),
            format!("SET NAMES {charset} COLLATE {collation}"),
        ];
        schema.chain(rest).chain(as_they_are.map(str::to_owned)).collect()
    }

    /// A query that finds as many rows: those before an offset count, and aren't sent.
    fn diagnostics(&self) -> Vec<String> {
        let ten = format!("SELECT 0{}", " UNION ALL SELECT 0".repeat(9));
        let query = match self.found_rows.checked_sub(1) {
            None => "SELECT 0 FROM (SELECT 0) none WHERE 1 = 0".to_owned(),
            Some(before) => {
                let digits = before.checked_ilog10().map_or(1, |zeros| zeros + 1);
                let tables: Vec<String> = (0..digits).map(|n| format!("({ten}) d{n}")).collect();
                format!("SELECT 0 FROM {} LIMIT {before}, 1", tables.join(", "))
            }
        };
        let counts_none = self.counts_none.then(|| COUNTS_NONE.to_owned());
        [query].into_iter().chain(counts_none).collect()
    }
}

/// A list of names; it may be empty.
fn modes(bytes: Vec<u8>) -> Option<String> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b',');
    bytes.iter().all(plain).then(|| ascii(bytes)).flatten()
}

fn ascii(bytes: Vec<u8>) -> Option<String> {
    String::from_utf8(bytes).ok().filter(|text| text.is_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(found: &str, count: &str, results: Option<&str>, schema: Option<&str>) -> TextRow {
        let given = [Some(found), Some(count), Some("ANSI_QUOTES,ANSI"), Some("latin1")];
        let rest = [results, Some("latin1_bin"), schema];
        given.into_iter().chain(rest).map(|v| v.map(|text| text.as_bytes().to_vec())).collect()
    }

    #[test]
    fn what_was_read_is_set_again() {
        let read = Remembered::read(row("101", "0", None, Some("a`b"))).unwrap();
        assert_eq!(
            read.settings(),
            [
                "USE `a``b`",
                "SET SESSION sql_mode = 'ANSI_QUOTES,ANSI'",
                "SET NAMES latin1 COLLATE latin1_bin",
                "SET character_set_results = NULL",
            ]
        );
        let made = read.diagnostics();
        assert!(made[0].ends_with(" LIMIT 100, 1") && made[0].matches(") d").count() == 3);
        assert_eq!(made[1], COUNTS_NONE);
        for (found, digits) in [("0", 0), ("1", 1), ("10", 1), ("11", 2), ("1000000", 6)] {
            let read = Remembered::read(row(found, "-1", Some("latin1"), None)).unwrap();
            let made = read.diagnostics();
            assert_eq!((made.len(), made[0].matches(") d").count()), (1, digits), "{found}");
        }
    }

    #[test]
    fn what_cannot_be_set_again_is_not_remembered() {
        assert!(Remembered::read(row("1", "-1", None, Some("clinical"))).is_some());
        for wrong in [
            row("1000001", "-1", None, None),
            row("1", "3", None, None),
            row("1", "-1", Some("utf8mb4"), None),
            row("1", "-1", None, Some("größe")),
            Vec::new(),
        ] {
            assert_eq!(Remembered::read(wrong), None);
        }
    }
}
