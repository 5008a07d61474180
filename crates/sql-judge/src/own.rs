//! Statements that readgate puts in the place of a client's: minted here from nothing that a
//! client wrote.

use bytes::Bytes;

use crate::facts::{Effects, SessionFacts};
use crate::judge::Judge;
use crate::server::{Flavour, ServerVersion};
use crate::verdict::{ReadPermit, StatementKind};

/// Most sessions in one list.
const MAX_SESSIONS: usize = 10_000;
/// The first MySQL that has `performance_schema.processlist`, which everybody may read.
const LISTED_BY_PERFORMANCE_SCHEMA: u32 = 80_022;
const LIST: &str = "`information_schema`.`PROCESSLIST`";
/// MySQL fills [`LIST`] whole before it picks rows, and fails, with a piece of the text in its
/// error, where anybody's statement has a character of four bytes. The performance schema's has
/// no such limit. Where that schema is off it has no rows, and only then the other one is filled.
const EITHER_LIST: &str = "(\
    SELECT `ID`, `USER`, `HOST`, `DB`, `COMMAND`, `TIME`, `STATE`, `INFO` \
    FROM `performance_schema`.`processlist` UNION ALL \
    SELECT `ID`, `USER`, `HOST`, `DB`, `COMMAND`, `TIME`, `STATE`, `INFO` \
    FROM `information_schema`.`PROCESSLIST` WHERE @@performance_schema = 0) AS `list` \
    LEFT JOIN JSON_TABLE(CAST(`TIME` AS JSON), _utf8mb4'$' \
    COLUMNS (`seconds` INT PATH _utf8mb4'$')) AS `clock` ON TRUE";
/// Its time, in SHOW's type, which no function gives. Without `_utf8mb4` the paths would be bytes
/// behind SET NAMES binary, which MySQL refuses.
const SHORT_TIME: &str = "`seconds`";

impl Judge {
    /// What is sent for `SHOW [FULL] PROCESSLIST` where a session may see its own user's
    /// sessions only: these replica sessions, with the columns of SHOW PROCESSLIST. Without
    /// any, the asking session alone.
    pub fn process_list(&self, facts: &SessionFacts, full: bool, sessions: &[u32]) -> ReadPermit {
        let text = Bytes::from(process_list(self.server(), full, sessions));
        ReadPermit::new(text, StatementKind::Show, Effects::default(), facts).with_own_text()
    }
}

fn process_list(server: ServerVersion, full: bool, sessions: &[u32]) -> String {
    let (statement, info) = match full {
        true => ("SHOW FULL PROCESSLIST", "CAST(`INFO` AS CHAR)"),
        false => ("SHOW PROCESSLIST", "LEFT(`INFO`, 100)"),
    };
    let progress = match server.flavour {
        Flavour::MySql => "",
        Flavour::MariaDb => ", CAST(`PROGRESS` AS DOUBLE(7, 3)) AS `Progress`",
    };
    let ids: Vec<String> = sessions.iter().take(MAX_SESSIONS).map(u32::to_string).collect();
    let ids = if ids.is_empty() { "CONNECTION_ID()".to_owned() } else { ids.join(", ") };
    let has_either =
        server.flavour == Flavour::MySql && server.number >= LISTED_BY_PERFORMANCE_SCHEMA;
    let (list, time) = if has_either { (EITHER_LIST, SHORT_TIME) } else { (LIST, "`TIME`") };
    // SHOW heeds no sql_select_limit, so neither does this.
    format!(
        "/* {statement} of the user's own sessions */ SELECT `ID` AS `Id`, `USER` AS `User`, \
         `HOST` AS `Host`, `DB` AS `db`, `COMMAND` AS `Command`, {time} AS `Time`, \
         `STATE` AS `State`, {info} AS `Info`{progress} FROM {list} \
         WHERE `ID` IN ({ids}) ORDER BY `ID` LIMIT {MAX_SESSIONS}"
    )
}
