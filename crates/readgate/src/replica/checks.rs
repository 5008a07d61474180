//! The third wall: is the replica read-only, and can the shared account do nothing but
//! read? Asked at start and periodically; what comes of it, config decides.
use sql_judge::Flavour;

use super::text_query::{self, QueryFault, TextRow};
use super::{ReplicaFault, ReplicaSession, ReplicaTarget};

/// Rights that only read. The last three are MariaDB's parts of REPLICATION CLIENT.
const READING: [&str; 9] = [
    "USAGE",
    "SELECT",
    "SHOW VIEW",
    "PROCESS",
    "SHOW DATABASES",
    "REPLICATION CLIENT",
    "BINLOG MONITOR",
    "SLAVE MONITOR",
    "REPLICA MONITOR",
];

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// Rights of the account beyond reading, as granted.
    pub excess_rights: Vec<String>,
    /// The replica takes writes.
    pub is_writable: bool,
}

/// Asks the replica.
pub async fn look(
    target: &ReplicaTarget,
    session: &mut ReplicaSession,
    execute_is_wanted: bool,
) -> Result<Findings, ReplicaFault> {
    target
        .within_deadline(async {
            let grants = text_query::run(&mut session.channel, "SHOW GRANTS").await;
            let grants = grants.map_err(not_answered)?;
            let excess_rights = excess(&grants, execute_is_wanted);
            let read_only = match session.version.flavour {
                // Aurora's readers have innodb_read_only instead.
                Flavour::MySql => "SELECT @@global.read_only OR @@global.innodb_read_only",
                Flavour::MariaDb => {
                    "SELECT @@global.read_only NOT IN ('0', 'OFF') OR @@global.innodb_read_only"
                }
            };
            let answer = text_query::run(&mut session.channel, read_only).await;
            let answer = answer.map_err(not_answered)?;
            Ok(Findings { excess_rights, is_writable: !says_one(&answer) })
        })
        .await
}

fn not_answered(fault: QueryFault) -> ReplicaFault {
    match fault {
        QueryFault::Stream(fault) => ReplicaFault::Stream(fault),
        fault @ QueryFault::Replica(_) => ReplicaFault::Guard(format!("checks: {fault}")),
    }
}

fn says_one(rows: &[TextRow]) -> bool {
    matches!(rows, [row] if row.first().and_then(Option::as_deref) == Some(b"1"))
}

/// The grants that allow more than reading, shortened to what they allow and where.
fn excess(grants: &[TextRow], execute_is_wanted: bool) -> Vec<String> {
    let lines = grants.iter().filter_map(|row| row.first()?.as_deref());
    let mut found = Vec::new();
    for line in lines.map(String::from_utf8_lossy) {
        let Some((rights, rest)) = rights_of(&line) else {
            found.push(shorten(&line));
            continue;
        };
        let place = rest.split(" TO ").next().unwrap_or_default();
        let is_excess = |right: &&&str| {
            let wanted = **right == "EXECUTE" && execute_is_wanted;
            !wanted && !READING.contains(*right)
        };
        found.extend(rights.iter().filter(is_excess).map(|right| format!("{right} ON {place}")));
        if rest.contains(" WITH GRANT OPTION") || rest.contains(" WITH ADMIN OPTION") {
            found.push(format!("GRANT OPTION ON {place}"));
        }
    }
    found
}

/// `GRANT rights ON rest`; a grant of a role or of PROXY has no such form, and what it
/// brings can't be seen here.
fn rights_of(line: &str) -> Option<(Vec<&str>, &str)> {
    let (rights, rest) = line.strip_prefix("GRANT ")?.split_once(" ON ")?;
    if rights.starts_with(['`', '\'']) || rights == "PROXY" {
        return None;
    }
    let mut names = Vec::new();
    let (mut depth, mut start) = (0_i32, 0);
    for (at, byte) in rights.bytes().enumerate().chain([(rights.len(), b',')]) {
        match byte {
            b'(' => depth += 1,
            b')' => depth -= 1,
            b',' if depth == 0 => {
                let right = rights.get(start..at).unwrap_or_default();
                names.push(right.split('(').next().unwrap_or_default().trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    Some((names, rest))
}

/// A grant may hold a password hash (MariaDB): only its beginning is shown.
fn shorten(line: &str) -> String {
    let end = line.find(" IDENTIFIED ").unwrap_or(line.len());
    line.get(..end).unwrap_or_default().chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excess_of(lines: &[&str]) -> Vec<String> {
        let rows: Vec<TextRow> =
            lines.iter().map(|line| vec![Some(line.as_bytes().to_vec())]).collect();
        excess(&rows, false)
    }

    #[test]
    fn reading_rights_are_no_excess() {
        let none: Vec<String> = Vec::new();
        assert_eq!(
            excess_of(&[
                "GRANT SELECT, PROCESS, SHOW DATABASES, BINLOG MONITOR, SHOW VIEW ON *.* TO \
                 `readonly_shared`@`%` IDENTIFIED BY PASSWORD '*14E6' REQUIRE SSL",
                "GRANT SELECT (`a`, `b`), SHOW VIEW ON `clin`.`t` TO `readonly_shared`@`%`",
                "GRANT USAGE ON *.* TO `readonly_shared`@`%`",
            ]),
            none
        );
    }

    #[test]
    fn anything_else_is_named() {
        assert_eq!(
            excess_of(&[
                "GRANT SELECT, INSERT, FILE ON *.* TO `u`@`%` WITH GRANT OPTION",
                "GRANT ALL PRIVILEGES ON `clin`.* TO `u`@`%`",
                "GRANT SELECT (`a`), UPDATE (`b`, `c`) ON `clin`.`t` TO `u`@`%`",
                "GRANT `writer`@`%` TO `u`@`%`",
                "GRANT PROXY ON ''@'' TO 'root'@'localhost'",
            ]),
            [
                "INSERT ON *.*",
                "FILE ON *.*",
                "GRANT OPTION ON *.*",
                "ALL PRIVILEGES ON `clin`.*",
                "UPDATE ON `clin`.`t`",
                "GRANT `writer`@`%` TO `u`@`%`",
                "GRANT PROXY ON ''@'' TO 'root'@'localhost'",
            ]
        );
    }

    #[test]
    fn a_hash_in_a_grant_is_never_shown() {
        let shown = excess_of(&["GRANT `r` TO `u`@`%` IDENTIFIED BY PASSWORD '*14E6'"]);
        assert_eq!(shown, ["GRANT `r` TO `u`@`%`"]);
    }
}
