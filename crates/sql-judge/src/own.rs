//! Statements that readgate puts in the place of a client's: minted here from nothing that a
//! client wrote.

use bytes::Bytes;

use crate::facts::{Effects, SessionFacts};
use crate::judge::Judge;
use crate::server::Flavour;
use crate::verdict::{ReadPermit, StatementKind};

/// Most sessions in one list.
const MAX_SESSIONS: usize = 10_000;

impl Judge {
    /// What is sent for `SHOW [FULL] PROCESSLIST` where a session may see its own user's
    /// sessions only: these replica sessions, with the columns of SHOW PROCESSLIST. Without
    /// any, the asking session alone.
    pub fn process_list(&self, facts: &SessionFacts, full: bool, sessions: &[u32]) -> ReadPermit {
        let text = Bytes::from(process_list(self.server().flavour, full, sessions));
        ReadPermit::new(text, StatementKind::Show, Effects::default(), facts).with_own_text()
    }
}

fn process_list(flavour: Flavour, full: bool, sessions: &[u32]) -> String {
    let (statement, info) = match full {
        true => ("SHOW FULL PROCESSLIST", "CAST(`INFO` AS CHAR)"),
        false => ("SHOW PROCESSLIST", "LEFT(`INFO`, 100)"),
    };
    let progress = match flavour {
        Flavour::MySql => "",
        Flavour::MariaDb => ", CAST(`PROGRESS` AS DOUBLE(7, 3)) AS `Progress`",
    };
    let ids: Vec<String> = sessions.iter().take(MAX_SESSIONS).map(u32::to_string).collect();
    let ids = if ids.is_empty() { "CONNECTION_ID()".to_owned() } else { ids.join(", ") };
    // SHOW heeds no sql_select_limit, so neither does this.
    format!(
        "/* {statement} of the user's own sessions */ SELECT `ID` AS `Id`, `USER` AS `User`, \
         `HOST` AS `Host`, `DB` AS `db`, `COMMAND` AS `Command`, `TIME` AS `Time`, \
         `STATE` AS `State`, {info} AS `Info`{progress} FROM `information_schema`.`PROCESSLIST` \
         WHERE `ID` IN ({ids}) ORDER BY `ID` LIMIT {MAX_SESSIONS}"
    )
}
