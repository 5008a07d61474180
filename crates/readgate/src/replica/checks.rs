//! The third wall: is the replica read-only, and can its accounts do nothing but read? Asked at
//! start and periodically; what comes of it, config decides.
use std::sync::Arc;

use super::account::Account;
use super::text_query::{self, QueryFault, TextRow};
use super::{ReplicaFault, ReplicaSession, ReplicaTarget, SessionWish};

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
    /// The accounts, the replica's own first.
    pub accounts: Vec<AccountFindings>,
    /// The replica takes writes.
    pub is_writable: bool,
}

/// What was found of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountFindings {
    /// What roles call it; `None`: the replica's own.
    pub name: Option<String>,
    /// Its user name on the replica.
    pub user: String,
    /// Its rights beyond reading, as granted; or why they aren't known.
    pub excess_rights: Result<Vec<String>, String>,
}

impl Findings {
    /// Whether every account is known to do no more than read.
    pub fn accounts_only_read(&self) -> bool {
        self.accounts.iter().all(|found| found.excess_rights.as_ref().is_ok_and(Vec::is_empty))
    }
}

/// Asks for the rights of the accounts: in a session of the replica's own, and in one of each
/// other. What was found `before` of one that the replica has no place for, say, goes on counting:
/// its sessions are no less safe for it.
pub async fn rights(
    target: &ReplicaTarget,
    own: &mut ReplicaSession,
    execute_is_wanted: bool,
    before: &[AccountFindings],
) -> Result<Vec<AccountFindings>, ReplicaFault> {
    let mut accounts = vec![AccountFindings {
        name: None,
        user: own.wish.account.user.clone(),
        excess_rights: Ok(excess_rights(target, own, execute_is_wanted).await?),
    }];
    let all = target.accounts.load_full();
    for account in all.all().filter(|account| account.name.is_some()) {
        let excess_rights = match of_account(target, account, execute_is_wanted).await {
            Ok(rights) => Ok(rights),
            Err(fault) => unasked(&fault, account, before),
        };
        accounts.push(AccountFindings {
            name: account.name.clone(),
            user: account.user.clone(),
            excess_rights,
        });
    }
    Ok(accounts)
}

async fn of_account(
    target: &ReplicaTarget,
    account: &Arc<Account>,
    execute_is_wanted: bool,
) -> Result<Vec<String>, ReplicaFault> {
    let mut session = target.open(&Arc::new(SessionWish::own("readgate-watch", account))).await?;
    let rights = excess_rights(target, &mut session, execute_is_wanted).await;
    let _ = session.channel.shut_down().await;
    rights
}

fn unasked(
    fault: &ReplicaFault,
    account: &Account,
    before: &[AccountFindings],
) -> Result<Vec<String>, String> {
    let is_it =
        |found: &&AccountFindings| (&found.name, &found.user) == (&account.name, &account.user);
    match before.iter().find(is_it) {
        Some(found) if !fault.is_of_the_account() => found.excess_rights.clone(),
        Some(_) | None => Err(fault.to_string()),
    }
}

async fn excess_rights(
    target: &ReplicaTarget,
    session: &mut ReplicaSession,
    execute_is_wanted: bool,
) -> Result<Vec<String>, ReplicaFault> {
    let asked = async {
        let grants = text_query::run(&mut session.channel, "SHOW GRANTS").await;
        Ok(excess(&grants.map_err(not_answered)?, execute_is_wanted))
    };
    target.within_deadline(asked).await
}

fn not_answered(fault: QueryFault) -> ReplicaFault {
    match fault {
        QueryFault::Stream(fault) => ReplicaFault::Stream(fault),
        fault @ QueryFault::Replica(_) => ReplicaFault::Guard(format!("checks: {fault}")),
    }
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
        if rest.contains(" WITH GRANT OPTION") {
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
    use mysql_wire::error_code::ER_ACCESS_DENIED_ERROR;
    use mysql_wire::{ErrPacket, SqlState};

    use super::*;

    fn rows(lines: &[&str]) -> Vec<TextRow> {
        lines.iter().map(|line| vec![Some(line.as_bytes().to_vec())]).collect()
    }

    fn excess_of(lines: &[&str]) -> Vec<String> {
        excess(&rows(lines), false)
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
                "GRANT `writer` TO `u`@`%` WITH ADMIN OPTION",
                "GRANT PROXY ON ''@'' TO 'root'@'localhost'",
            ]),
            [
                "INSERT ON *.*",
                "FILE ON *.*",
                "GRANT OPTION ON *.*",
                "ALL PRIVILEGES ON `clin`.*",
                "UPDATE ON `clin`.`t`",
                "GRANT `writer`@`%` TO `u`@`%`",
                "GRANT `writer` TO `u`@`%` WITH ADMIN OPTION",
                "GRANT PROXY ON ''@'' TO 'root'@'localhost'",
            ]
        );
    }

    #[test]
    fn routines_may_be_run_where_some_are_allowed_and_nowhere_else() {
        let grants = rows(&["GRANT SELECT, EXECUTE ON `clin`.* TO `u`@`%`"]);
        assert_eq!(excess(&grants, true), [""; 0]);
        assert_eq!(excess(&grants, false), ["EXECUTE ON `clin`.*"]);
    }

    #[test]
    fn what_was_found_counts_on_only_where_the_account_was_not_refused() {
        let account = |user: &str| Account {
            name: Some(String::from("blinded")),
            user: user.to_owned(),
            password: mysql_auth::Password::new(""),
            default_schema: None,
        };
        let found = AccountFindings {
            name: Some(String::from("blinded")),
            user: String::from("ro"),
            excess_rights: Ok(Vec::new()),
        };
        let unasked = |fault: &ReplicaFault, user| {
            super::unasked(fault, &account(user), std::slice::from_ref(&found)).is_ok()
        };
        let denied = ErrPacket::new(ER_ACCESS_DENIED_ERROR, SqlState::AUTHORISATION, "no");
        assert!(unasked(&ReplicaFault::Crowded(1040), "ro"));
        assert!(!unasked(&ReplicaFault::Crowded(1040), "another"));
        assert!(!unasked(&ReplicaFault::Account(denied), "ro"));
    }

    #[test]
    fn a_hash_in_a_grant_is_never_shown() {
        let shown = excess_of(&["GRANT `r` TO `u`@`%` IDENTIFIED BY PASSWORD '*14E6'"]);
        assert_eq!(shown, ["GRANT `r` TO `u`@`%`"]);
    }
}
