//! The tables of the file, row by row. Every function runs inside what its caller opened.
use access::store::{Author, Difference, HistoryEntry, Snapshot};
use access::{Change, Credential, Identity, Timestamp, UserName, UserStatus};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Fault, first};
use crate::identity::text::{self, CredentialRow, Unreadable};

const USER_COLUMNS: &str = "name, full_name, email, owner, role, status, valid_from, \
     valid_until, plugins, sources, connections";
const CREDENTIAL_COLUMNS: &str = "id, sha2, native, stage, until, retires_at";

pub(super) fn revision(connection: &Connection) -> Result<u64, Fault> {
    let query = "SELECT coalesce(max(number), 0) FROM change";
    let number: i64 = connection.query_row(query, [], first)?;
    Ok(u64::try_from(number).map_err(|_| Unreadable::new("number", number.to_string()))?)
}

/// In one transaction, so that nothing changes between the queries.
pub(super) fn load(connection: &mut Connection) -> Result<Snapshot, Fault> {
    let transaction = connection.transaction()?;
    let revision = revision(&transaction)?;
    let mut users =
        transaction.prepare(&format!("SELECT {USER_COLUMNS} FROM user ORDER BY name"))?;
    let mut identities = Vec::new();
    let mut rows = users.query([])?;
    while let Some(row) = rows.next()? {
        identities.push(read_user(row)?);
    }
    // Both lists are in the order of names, so one walk joins them.
    let mut credentials = transaction.prepare(&format!(
        "SELECT {CREDENTIAL_COLUMNS}, user FROM credential ORDER BY user, id DESC"
    ))?;
    let mut rows = credentials.query([])?;
    let mut owners = identities.iter_mut().peekable();
    while let Some(row) = rows.next()? {
        let user: String = row.get("user")?;
        while owners.next_if(|owner| owner.name.as_str() != user).is_some() {}
        let owner = owners.peek_mut().ok_or_else(|| Unreadable::new("user", user))?;
        owner.credentials.push(read_credential(row)?);
    }
    Ok(Snapshot { revision, identities })
}

pub(super) fn find(connection: &Connection, name: &UserName) -> Result<Option<Identity>, Fault> {
    let query = format!("SELECT {USER_COLUMNS} FROM user WHERE name = ?1");
    let mut statement = connection.prepare_cached(&query)?;
    let found = statement.query_row([name.as_str()], |row| Ok(read_user(row))).optional()?;
    let Some(mut identity) = found.transpose()? else {
        return Ok(None);
    };
    let query =
        format!("SELECT {CREDENTIAL_COLUMNS} FROM credential WHERE user = ?1 ORDER BY id DESC");
    let mut statement = connection.prepare_cached(&query)?;
    let mut rows = statement.query([name.as_str()])?;
    while let Some(row) = rows.next()? {
        identity.credentials.push(read_credential(row)?);
    }
    Ok(Some(identity))
}

fn read_user(row: &Row<'_>) -> Result<Identity, Fault> {
    let name: String = row.get("name")?;
    let status: String = row.get("status")?;
    let sources: Option<String> = row.get("sources")?;
    let plugins: String = row.get("plugins")?;
    Ok(Identity {
        name: UserName::new(name.clone()).map_err(|_| Unreadable::new("name", name))?,
        full_name: row.get("full_name")?,
        email: row.get("email")?,
        owner: row.get("owner")?,
        role: row.get("role")?,
        status: UserStatus::from_name(&status).ok_or_else(|| Unreadable::new("status", status))?,
        valid_from: text::day("valid_from", row.get("valid_from")?)?,
        valid_until: text::day("valid_until", row.get("valid_until")?)?,
        plugins: text::plugins(&plugins)?,
        sources: sources.as_deref().map(text::sources),
        max_connections: row.get("connections")?,
        credentials: Vec::new(),
    })
}

fn read_credential(row: &Row<'_>) -> Result<Credential, Fault> {
    let row = CredentialRow {
        id: row.get("id")?,
        sha2: row.get("sha2")?,
        native: row.get("native")?,
        stage: row.get("stage")?,
        until: row.get("until")?,
        retires_at: row.get("retires_at")?,
    };
    Ok(row.read()?)
}

pub(super) fn write(connection: &Connection, user: &Identity) -> Result<(), Fault> {
    let name = user.name.as_str();
    connection
        .prepare_cached(&format!(
            "INSERT INTO user ({USER_COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
             ON CONFLICT (name) DO UPDATE SET (full_name, email, owner, role, status, valid_from,
             valid_until, plugins, sources, connections)
             = (?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"
        ))?
        .execute(params![
            name,
            user.full_name,
            user.email,
            user.owner,
            user.role,
            user.status.name(),
            user.valid_from.map(|day| day.to_string()),
            user.valid_until.map(|day| day.to_string()),
            text::plugins_to_text(&user.plugins),
            user.sources.as_ref().map(text::sources_to_text),
            user.max_connections,
        ])?;
    for credential in &user.credentials {
        let row = CredentialRow::of(credential)?;
        connection
            .prepare_cached(&format!(
                "INSERT INTO credential (user, {CREDENTIAL_COLUMNS})
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                 ON CONFLICT (user, id) DO UPDATE SET (stage, until, retires_at) = (?5, ?6, ?7)"
            ))?
            .execute(params![
                name,
                row.id,
                row.sha2,
                row.native,
                row.stage,
                row.until,
                row.retires_at
            ])?;
    }
    Ok(())
}

pub(super) fn note(
    connection: &Connection,
    change: &Change,
    author: &Author,
    now: Timestamp,
    differences: &[Difference],
) -> Result<(), Fault> {
    let differences = text::differences_to_text(differences);
    connection
        .prepare_cached(
            "INSERT INTO change (at, by, reason, user, label, differences)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            now.to_string(),
            author.by(),
            author.reason(),
            change.user().as_str(),
            change.label(),
            differences,
        ])?;
    Ok(())
}

pub(super) fn history(
    connection: &Connection,
    user: Option<&UserName>,
) -> Result<Vec<HistoryEntry>, Fault> {
    let mut statement = connection.prepare(
        "SELECT number, at, by, reason, user, label, differences FROM change
         WHERE ?1 IS NULL OR user = ?1 ORDER BY number",
    )?;
    let mut rows = statement.query([user.map(UserName::as_str)])?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        let (number, at): (i64, String) = (row.get("number")?, row.get("at")?);
        let differences: String = row.get("differences")?;
        entries.push(HistoryEntry {
            number: u64::try_from(number)
                .map_err(|_| Unreadable::new("number", number.to_string()))?,
            at: text::moment("at", &at)?,
            by: row.get("by")?,
            reason: row.get("reason")?,
            user: row.get("user")?,
            label: row.get("label")?,
            differences: text::differences(&differences)?,
        });
    }
    Ok(entries)
}
