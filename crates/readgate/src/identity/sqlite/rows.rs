//! The tables of the file, row by row. Every function runs inside what its caller opened.
use access::store::{Author, Difference, HistoryEntry, Snapshot};
use access::{Identity, SharedBlock, Timestamp, UserName};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Fault, first};
use crate::identity::text::{self, CredentialRow, Unreadable, UserRow};

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
    for row in users.query_map([], user_row)? {
        identities.push(row?.read()?);
    }
    let mut credentials = transaction.prepare(&format!(
        "SELECT {CREDENTIAL_COLUMNS}, user FROM credential ORDER BY user, id DESC"
    ))?;
    let rows = credentials.query_map([], |row| Ok((row.get("user")?, credential_row(row)?)))?;
    text::join(&mut identities, rows.collect::<rusqlite::Result<Vec<_>>>()?)?;
    Ok(Snapshot { revision, identities })
}

pub(super) fn find(connection: &Connection, name: &UserName) -> Result<Option<Identity>, Fault> {
    let query = format!("SELECT {USER_COLUMNS} FROM user WHERE name = ?1");
    let mut statement = connection.prepare_cached(&query)?;
    let found = statement.query_row([name.as_str()], user_row).optional()?;
    let Some(mut identity) = found.map(UserRow::read).transpose()? else {
        return Ok(None);
    };
    let query =
        format!("SELECT {CREDENTIAL_COLUMNS} FROM credential WHERE user = ?1 ORDER BY id DESC");
    let mut statement = connection.prepare_cached(&query)?;
    for row in statement.query_map([name.as_str()], credential_row)? {
        identity.credentials.push(row?.read()?);
    }
    Ok(Some(identity))
}

fn user_row(row: &Row<'_>) -> rusqlite::Result<UserRow> {
    Ok(UserRow {
        name: row.get("name")?,
        full_name: row.get("full_name")?,
        email: row.get("email")?,
        owner: row.get("owner")?,
        role: row.get("role")?,
        status: row.get("status")?,
        valid_from: row.get("valid_from")?,
        valid_until: row.get("valid_until")?,
        plugins: row.get("plugins")?,
        sources: row.get("sources")?,
        connections: row.get("connections")?,
    })
}

fn credential_row(row: &Row<'_>) -> rusqlite::Result<CredentialRow> {
    Ok(CredentialRow {
        id: row.get("id")?,
        sha2: row.get("sha2")?,
        native: row.get("native")?,
        stage: row.get("stage")?,
        until: row.get("until")?,
        retires_at: row.get("retires_at")?,
    })
}

pub(super) fn write(connection: &Connection, user: &Identity) -> Result<(), Fault> {
    let row = UserRow::of(user);
    connection
        .prepare_cached(&format!(
            "INSERT INTO user ({USER_COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
             ON CONFLICT (name) DO UPDATE SET (full_name, email, owner, role, status, valid_from,
             valid_until, plugins, sources, connections)
             = (?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"
        ))?
        .execute(params![
            row.name,
            row.full_name,
            row.email,
            row.owner,
            row.role,
            row.status,
            row.valid_from,
            row.valid_until,
            row.plugins,
            row.sources,
            row.connections,
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
                user.name.as_str(),
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

/// What is to be noted in the history.
pub(super) struct Note<'n> {
    pub(super) user: Option<&'n UserName>,
    pub(super) label: &'n str,
    pub(super) differences: &'n [Difference],
}

pub(super) fn note(
    connection: &Connection,
    note: &Note<'_>,
    author: &Author,
    now: Timestamp,
) -> Result<(), Fault> {
    connection
        .prepare_cached(
            "INSERT INTO change (at, by, reason, user, label, differences)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            now.to_string(),
            author.by(),
            author.reason(),
            note.user.map(UserName::as_str),
            note.label,
            text::differences_to_text(note.differences),
        ])?;
    Ok(())
}

pub(super) fn history(
    connection: &Connection,
    user: Option<&UserName>,
    after: u64,
) -> Result<Vec<HistoryEntry>, Fault> {
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    let mut statement = connection.prepare(
        "SELECT number, at, by, reason, user, label, differences FROM change
         WHERE (?1 IS NULL OR user = ?1) AND number > ?2 ORDER BY number",
    )?;
    let mut rows = statement.query(params![user.map(UserName::as_str), after])?;
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
            user: row.get::<_, Option<String>>("user")?.unwrap_or_default(),
            label: row.get("label")?,
            differences: text::differences(&differences)?,
        });
    }
    Ok(entries)
}

/// Those that have ended make room first.
pub(super) fn block(
    connection: &Connection,
    block: &SharedBlock,
    now: Timestamp,
) -> Result<(), Fault> {
    let (source, name, until) = text::block_to_texts(block);
    for ended in blocks(connection)?.into_iter().filter(|block| block.until <= now) {
        let (source, name, _) = text::block_to_texts(&ended);
        connection
            .prepare_cached("DELETE FROM block WHERE source = ?1 AND name = ?2")?
            .execute([source, name])?;
    }
    connection
        .prepare_cached(
            "INSERT INTO block (source, name, until) VALUES (?1, ?2, ?3)
             ON CONFLICT (source, name) DO UPDATE SET until = max(until, ?3)",
        )?
        .execute([source, name, until])?;
    Ok(())
}

pub(super) fn blocks(connection: &Connection) -> Result<Vec<SharedBlock>, Fault> {
    let mut statement = connection.prepare_cached("SELECT source, name, until FROM block")?;
    let mut blocks = Vec::new();
    for row in statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))? {
        blocks.push(text::block(row?)?);
    }
    Ok(blocks)
}
