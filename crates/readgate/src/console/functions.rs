//! The functions that MySQL's clients call at connect and that dashboards need, beside
//! SQLite's own. Moments are UTC, as text.
use access::Timestamp;
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Result};

use super::variables;

/// Who asks, as `USER()` and the like say.
#[derive(Debug, Clone)]
pub struct Asker {
    /// `user@host`.
    pub user: String,
    /// Connection id of the greeting.
    pub connection_id: u32,
    /// Schema in use, if any.
    pub schema: Option<&'static str>,
    /// Version as the greeting has it.
    pub version: String,
}

/// A moment as `DATETIME(6)` writes it.
pub fn moment(at: Timestamp) -> String {
    let text = at.to_string().replace('T', " ");
    text.trim_end_matches('Z').chars().take(26).collect()
}

/// Adds the functions to a snapshot.
///
/// # Errors
/// If SQLite has no memory left.
pub fn add(snapshot: &Connection, asker: &Asker) -> Result<()> {
    let text = |name: &str, value: Option<String>| {
        snapshot
            .create_scalar_function(name, 0, FunctionFlags::SQLITE_UTF8, move |_| Ok(value.clone()))
    };
    for name in ["database", "schema"] {
        text(name, asker.schema.map(str::to_owned))?;
    }
    for name in ["user", "current_user", "session_user", "system_user"] {
        text(name, Some(asker.user.clone()))?;
    }
    text("version", Some(asker.version.clone()))?;
    text("current_role", Some(String::from("NONE")))?;
    for name in ["now", "utc_timestamp", "sysdate"] {
        text(name, Some(moment(Timestamp::now())))?;
    }
    let id = i64::from(asker.connection_id);
    snapshot
        .create_scalar_function("connection_id", 0, FunctionFlags::SQLITE_UTF8, move |_| Ok(id))?;
    let asker = asker.clone();
    snapshot.create_scalar_function("sysvar", 1, FunctionFlags::SQLITE_UTF8, move |context| {
        let name: String = context.get(0)?;
        variables::value(&name, &asker)
            .ok_or_else(|| refuse(&format!("Unknown system variable '{name}'")))
    })?;
    add_texts(snapshot)?;
    add_times(snapshot)
}

/// What drivers compute in their queries about tables and columns.
fn add_texts(snapshot: &Connection) -> Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    for (name, greatest) in [("least", false), ("greatest", true)] {
        snapshot
            .create_scalar_function(name, -1, flags, move |context| extreme(context, greatest))?;
    }
    snapshot.create_scalar_function("convert", 2, flags, |context| {
        let number: Option<f64> = text_of_any(context)?.and_then(|text| text.parse().ok());
        #[expect(clippy::cast_possible_truncation, reason = "whole numbers are asked for")]
        Ok(number.map(|number| number.round() as i64))
    })?;
    snapshot.create_scalar_function("locate", 2, flags, |context| {
        let (part, text): (Option<String>, Option<String>) = (context.get(0)?, context.get(1)?);
        let (Some(part), Some(text)) = (part, text) else { return Ok(None) };
        let at = text.to_lowercase().find(&part.to_lowercase());
        let before = |at: usize| text.to_lowercase().get(..at).map_or(0, |t| t.chars().count());
        Ok(Some(at.map_or(0, |at| i64::try_from(before(at) + 1).unwrap_or(0))))
    })?;
    let ucase = |context: &Context<'_>| Ok(text_of_any(context)?.map(|text| text.to_uppercase()));
    let lcase = |context: &Context<'_>| Ok(text_of_any(context)?.map(|text| text.to_lowercase()));
    snapshot.create_scalar_function("ucase", 1, flags, ucase)?;
    snapshot.create_scalar_function("lcase", 1, flags, lcase)
}

/// The least or greatest of numbers; NULL if one is none.
fn extreme(context: &Context<'_>, greatest: bool) -> Result<Option<f64>> {
    let mut found: Option<f64> = None;
    for index in 0..context.len() {
        let Some(value) = context.get::<Option<f64>>(index)? else { return Ok(None) };
        found = Some(match found {
            Some(best) if greatest => best.max(value),
            Some(best) => best.min(value),
            None => value,
        });
    }
    Ok(found)
}

fn add_times(snapshot: &Connection) -> Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8;
    snapshot.create_scalar_function("unix_timestamp", -1, flags, |context| {
        match context.len() {
            0 => Ok(Some(Timestamp::now().as_second())),
            _ => Ok(text_of(context)?.and_then(|text| seconds(&text))),
        }
    })?;
    snapshot.create_scalar_function("from_unixtime", 1, flags, |context| {
        let seconds: Option<f64> = context.get(0)?;
        let at = seconds.and_then(|seconds| {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "what is out of bounds is no moment, as from_microsecond says"
            )]
            let micros = (seconds * 1e6) as i64;
            Timestamp::from_microsecond(micros).ok()
        });
        Ok(at.map(moment))
    })
}

fn text_of(context: &Context<'_>) -> Result<Option<String>> {
    context.get_raw(0).as_str_or_null().map(|text| text.map(str::to_owned)).map_err(Into::into)
}

/// The first argument as text, whatever it is.
fn text_of_any(context: &Context<'_>) -> Result<Option<String>> {
    Ok(match context.get_raw(0) {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Real(number) => Some(number.to_string()),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
            Some(String::from_utf8_lossy(bytes).into_owned())
        }
    })
}

/// Seconds of `YYYY-MM-DD[ HH:MM:SS[.ffffff]]`, UTC.
fn seconds(text: &str) -> Option<i64> {
    let date_only = text.len() == 10;
    let mut text = text.replacen(' ', "T", 1);
    if date_only {
        text.push_str("T00:00:00");
    }
    text.push('Z');
    text.parse().ok().map(Timestamp::as_second)
}

fn refuse(why: &str) -> rusqlite::Error {
    rusqlite::Error::UserFunctionError(why.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_go_both_ways() {
        let at = Timestamp::from_microsecond(1_700_000_000_250_000).unwrap();
        assert_eq!(moment(at), "2023-11-14 22:13:20.25");
        assert_eq!(seconds("2023-11-14 22:13:20.25"), Some(1_700_000_000));
        assert_eq!(seconds("2023-11-14"), Some(1_699_920_000));
        assert_eq!(seconds("yesterday"), None);
    }
}
