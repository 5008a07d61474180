//! The tables of the shared store, row by row. Every function runs inside what its caller
//! opened.
use access::store::{Author, Difference, HistoryEntry, Snapshot};
use access::{Identity, SharedBlock, Timestamp, UserName};
use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Conn, Params, Row, Value, from_row_opt};

use super::Fault;
use crate::identity::text::{self, CredentialRow, Unreadable, UserRow};

const USER_COLUMNS: &str = "name, full_name, email, owner, role, status, valid_from, \
     valid_until, plugins, sources, connections";
const CREDENTIAL_COLUMNS: &str = "user, id, sha2, native, stage, until, retires_at";

/// In the order of [`USER_COLUMNS`].
type UserColumns = (
    String,
    String,
    Option<String>,
    Option<String>,
    String,
    String,
    Option<String>,
    Option<String>,
    String,
    Option<String>,
    Option<u32>,
);

/// In the order of [`CREDENTIAL_COLUMNS`].
type CredentialColumns =
    (String, i64, Option<String>, Option<String>, String, Option<String>, Option<String>);

pub(super) async fn revision(connection: &mut Conn) -> Result<u64, Fault> {
    of_store(connection, "revision").await
}

/// A column of the one row that tells of the store.
pub(super) async fn of_store<T: FromRow>(
    connection: &mut Conn,
    column: &'static str,
) -> Result<T, Fault> {
    let row: Option<Row> = connection.query_first(format!("SELECT {column} FROM rg_store")).await?;
    Ok(from_row_opt(row.ok_or_else(|| Unreadable::new(column, "nothing"))?)?)
}

pub(super) async fn load(connection: &mut Conn) -> Result<Snapshot, Fault> {
    let revision = revision(connection).await?;
    let query = format!("SELECT {USER_COLUMNS} FROM rg_user ORDER BY name");
    let mut identities = Vec::new();
    for user in read::<UserColumns>(connection, &query, Params::Empty).await? {
        identities.push(user_row(user).read()?);
    }
    let query = format!("SELECT {CREDENTIAL_COLUMNS} FROM rg_credential ORDER BY user, id DESC");
    let credentials: Vec<CredentialColumns> = read(connection, &query, Params::Empty).await?;
    text::join(&mut identities, credentials.into_iter().map(credential_row))?;
    Ok(Snapshot { revision, identities })
}

pub(super) async fn find(
    connection: &mut Conn,
    name: &UserName,
) -> Result<Option<Identity>, Fault> {
    let query = format!("SELECT {USER_COLUMNS} FROM rg_user WHERE name = ?");
    let by_name = || Params::from((name.as_str(),));
    let found: Vec<UserColumns> = read(connection, &query, by_name()).await?;
    let Some(user) = found.into_iter().next() else { return Ok(None) };
    let mut identity = user_row(user).read()?;
    let query =
        format!("SELECT {CREDENTIAL_COLUMNS} FROM rg_credential WHERE user = ? ORDER BY id DESC");
    for row in read::<CredentialColumns>(connection, &query, by_name()).await? {
        identity.credentials.push(credential_row(row).1.read()?);
    }
    Ok(Some(identity))
}

/// All rows, each of exactly those types.
async fn read<T: FromRow>(
    connection: &mut Conn,
    query: &str,
    values: Params,
) -> Result<Vec<T>, Fault> {
    let rows: Vec<Row> = connection.exec(query, values).await?;
    rows.into_iter().map(|row| Ok(from_row_opt(row)?)).collect()
}

fn user_row(columns: UserColumns) -> UserRow {
    let (name, full_name, email, owner, role, status, from, until, plugins, sources, most) =
        columns;
    UserRow {
        name,
        full_name,
        email,
        owner,
        role,
        status,
        valid_from: from,
        valid_until: until,
        plugins,
        sources,
        connections: most,
    }
}

fn credential_row(columns: CredentialColumns) -> (String, CredentialRow) {
    let (user, id, sha2, native, stage, until, retires_at) = columns;
    (user, CredentialRow { id, sha2, native, stage, until, retires_at })
}

/// Writes what is new or differs: an old credential costs nothing.
pub(super) async fn write(
    connection: &mut Conn,
    before: Option<&Identity>,
    after: &Identity,
) -> Result<(), Fault> {
    let user = UserRow::of(after);
    let mut values: Vec<Value> = vec![
        user.full_name.into(),
        user.email.into(),
        user.owner.into(),
        user.role.into(),
        user.status.into(),
        user.valid_from.into(),
        user.valid_until.into(),
        user.plugins.into(),
        user.sources.into(),
        user.connections.into(),
    ];
    let statement = if before.is_none() {
        values.insert(0, user.name.into());
        format!("INSERT INTO rg_user ({USER_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
    } else {
        values.push(user.name.into());
        String::from(
            "UPDATE rg_user SET full_name = ?, email = ?, owner = ?, role = ?, status = ?,
             valid_from = ?, valid_until = ?, plugins = ?, sources = ?, connections = ?
             WHERE name = ?",
        )
    };
    connection.exec_drop(statement, Params::Positional(values)).await?;
    write_credentials(connection, before, after).await
}

async fn write_credentials(
    connection: &mut Conn,
    before: Option<&Identity>,
    after: &Identity,
) -> Result<(), Fault> {
    let known = before.map(|before| before.credentials.as_slice()).unwrap_or_default();
    for credential in &after.credentials {
        let row = CredentialRow::of(credential)?;
        let name = after.name.as_str();
        if known.iter().any(|old| old.id == credential.id) {
            let values = (&row.stage, &row.until, &row.retires_at, name, row.id);
            let update = "UPDATE rg_credential SET stage = ?, until = ?, retires_at = ?
                          WHERE user = ? AND id = ?";
            connection.exec_drop(update, values).await?;
        } else {
            let values =
                (name, row.id, &row.sha2, &row.native, &row.stage, &row.until, &row.retires_at);
            let insert = format!(
                "INSERT INTO rg_credential ({CREDENTIAL_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)"
            );
            connection.exec_drop(insert, values).await?;
        }
    }
    Ok(())
}

/// What is to be noted in the history.
pub(super) struct Note<'n> {
    pub(super) number: u64,
    pub(super) user: Option<&'n UserName>,
    pub(super) label: &'n str,
    pub(super) differences: &'n [Difference],
}

pub(super) async fn note(
    connection: &mut Conn,
    note: &Note<'_>,
    author: &Author,
    now: Timestamp,
) -> Result<(), Fault> {
    let values = (
        note.number,
        now.to_string(),
        author.by(),
        author.reason(),
        note.user.map(UserName::as_str),
        note.label,
        text::differences_to_text(note.differences),
    );
    let insert = "INSERT INTO rg_change (number, at, author, reason, user, label, differences)
                  VALUES (?, ?, ?, ?, ?, ?, ?)";
    Ok(connection.exec_drop(insert, values).await?)
}

pub(super) async fn history(
    connection: &mut Conn,
    user: Option<&UserName>,
    after: u64,
) -> Result<Vec<HistoryEntry>, Fault> {
    type Columns = (u64, String, String, String, Option<String>, String, String);
    let user = user.map(UserName::as_str);
    let query = "SELECT number, at, author, reason, user, label, differences FROM rg_change
                 WHERE (? IS NULL OR user = ?) AND number > ? ORDER BY number";
    let rows: Vec<Columns> = read(connection, query, Params::from((user, user, after))).await?;
    let entry = |(number, at, by, reason, user, label, differences): Columns| {
        Ok(HistoryEntry {
            number,
            at: text::moment("at", &at)?,
            by,
            reason,
            user: user.unwrap_or_default(),
            label,
            differences: text::differences(&differences)?,
        })
    };
    rows.into_iter().map(entry).collect()
}

/// Those that have ended make room first.
pub(super) async fn block(
    connection: &mut Conn,
    block: &SharedBlock,
    now: Timestamp,
) -> Result<(), Fault> {
    for ended in blocks(connection).await?.into_iter().filter(|block| block.until <= now) {
        let (source, name, _) = text::block_to_texts(&ended);
        let delete = "DELETE FROM rg_block WHERE source = ? AND name = ?";
        connection.exec_drop(delete, (source, name)).await?;
    }
    let insert = "INSERT INTO rg_block (source, name, until) VALUES (?, ?, ?)
                  ON DUPLICATE KEY UPDATE until = GREATEST(until, VALUES(until))";
    Ok(connection.exec_drop(insert, text::block_to_texts(block)).await?)
}

pub(super) async fn blocks(connection: &mut Conn) -> Result<Vec<SharedBlock>, Fault> {
    let query = "SELECT source, name, until FROM rg_block";
    let rows: Vec<(String, String, String)> = read(connection, query, Params::Empty).await?;
    rows.into_iter().map(|row| Ok(text::block(row)?)).collect()
}
