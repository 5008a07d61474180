//! The end of the ledger's file, for the console: records as they stand there, so texts are
//! as the privacy setting has them. Reads a bounded piece from the end.
use std::fs::File;
use std::io;
use std::path::Path;

use rusqlite::types::Value;
use serde_json::Value as Json;

use super::tables::Row;
use crate::daemon::Daemon;

/// Bytes that are read from the end of a file.
const PIECE: u64 = 2 << 20;
/// Records that are shown.
const RECORDS: usize = 1000;

/// The latest records, oldest first.
pub fn records(daemon: &Daemon) -> Vec<Row> {
    let Some(place) = daemon.console.place.get() else { return Vec::new() };
    let newest = ledger::newest_file(&place.ledger, &place.node).ok().flatten();
    let lines = newest.and_then(|file| last_lines(&file).ok()).unwrap_or_default();
    lines.iter().filter_map(|line| record(line)).collect()
}

/// The latest checkpoints, from the node's own copy.
pub fn checkpoints(daemon: &Daemon) -> Vec<Row> {
    let Some(place) = daemon.console.place.get() else { return Vec::new() };
    let lines = last_lines(&place.checkpoints).unwrap_or_default();
    lines.iter().filter_map(|line| checkpoint(line)).collect()
}

fn record(line: &str) -> Option<Row> {
    let record: Json = serde_json::from_str(line).ok()?;
    let text = |name: &str| member(&record, name);
    let number =
        |name: &str| record.get(name).and_then(Json::as_i64).map_or(Value::Null, Value::Integer);
    Some(vec![
        number("seq"),
        time(&record),
        text("event"),
        number("session"),
        text("user"),
        Value::Text(line.to_owned()),
    ])
}

fn checkpoint(line: &str) -> Option<Row> {
    let record: Json = serde_json::from_str(line).ok()?;
    let number =
        |name: &str| record.get(name).and_then(Json::as_i64).map_or(Value::Null, Value::Integer);
    Some(vec![
        number("seq"),
        time(&record),
        member(&record, "why"),
        number("records"),
        Value::Text(line.to_owned()),
    ])
}

fn member(record: &Json, name: &str) -> Value {
    match record.get(name).and_then(Json::as_str) {
        Some(text) => Value::Text(text.to_owned()),
        None => Value::Null,
    }
}

fn time(record: &Json) -> Value {
    match record.get("time").and_then(Json::as_str) {
        Some(time) => Value::Text(time.replace('T', " ").trim_end_matches('Z').to_owned()),
        None => Value::Null,
    }
}

/// The last whole lines of a file.
fn last_lines(path: &Path) -> io::Result<Vec<String>> {
    let (begin, bytes) = ledger::end_of(&mut File::open(path)?, PIECE)?;
    let text = String::from_utf8_lossy(&bytes);
    let whole = text.rfind('\n').and_then(|end| text.get(..end)).unwrap_or_default();
    // A piece from the middle begins inside a line.
    let mut lines: Vec<String> =
        whole.lines().skip(usize::from(begin > 0)).map(str::to_owned).collect();
    Ok(lines.split_off(lines.len().saturating_sub(RECORDS)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_whole_lines_are_read_and_no_more_than_the_bound() {
        let folder = std::env::temp_dir().join(format!("readgate-tail-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("ledger-n-000000000001.jsonl");
        let long = "x".repeat(1 << 16);
        let text: String = (0..100).map(|number| format!("{number} {long}\n")).collect();
        std::fs::write(&file, text + "torn").unwrap();
        let lines = last_lines(&file).unwrap();
        assert!(lines.len() < 33 && lines.iter().all(|line| line.len() > 1 << 16), "whole lines");
        assert!(lines.last().unwrap().starts_with("99 "));
        std::fs::remove_dir_all(folder).unwrap();
    }
}
