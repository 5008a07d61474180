//! Shared by the ledger's tests: a session, statements, and the lines read back.

#![allow(dead_code, reason = "each test binary uses its own part")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests may stop at the first surprise"
)]

pub(crate) mod life;

use std::collections::HashMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ledger::report::ReportRequest;
use ledger::{Intent, Outcome, Refusal, TextForm, Who};
use serde_json::Value;

pub(crate) fn who(session: u64) -> Who<'static> {
    Who {
        session,
        user: "alice",
        role: "analyst",
        source: IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7)),
        source_port: 50_123,
        listener: "main",
        tls_version: Some("TLSv1.3"),
        tls_cipher: Some("TLS13_AES_256_GCM_SHA384"),
        program: Some("mysql"),
        replica: "clinical",
        account: "readonly_shared",
        replica_session: Some(77),
        policy: None,
    }
}

pub(crate) fn query(text: &[u8]) -> Intent<'_> {
    Intent { command: "query", schema: Some(b"clin"), text, kind: "select", ..Intent::default() }
}

pub(crate) fn ok() -> Outcome<'static> {
    Outcome {
        rows: 1,
        bytes: 80,
        duration: Duration::from_micros(250),
        end: "ok",
        ..Outcome::default()
    }
}

/// The node's ledger files in order.
pub(crate) fn files(directory: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("ledger-"))
        .collect();
    files.sort();
    files
}

/// All records, in order, each line checked to be a JSON object.
pub(crate) fn records(directory: &Path) -> Vec<Value> {
    files(directory)
        .iter()
        .flat_map(|path| {
            let text = fs::read_to_string(path).unwrap();
            assert!(text.is_empty() || text.ends_with('\n'), "{} is torn", path.display());
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>()
        })
        .collect()
}

/// The first record of an event.
pub(crate) fn event<'a>(records: &'a [Value], event: &str) -> Option<&'a Value> {
    records.iter().find(|record| record["event"] == event)
}

/// Everything, as a report tells it.
pub(crate) fn report_request(paths: &[PathBuf]) -> ReportRequest {
    ReportRequest {
        paths: paths.to_vec(),
        from: None,
        to: None,
        user: None,
        table: None,
        hours: (0, 24),
        dormant_days: 90,
    }
}

/// What a record refers to for its text, or for all but a piece of it, put together as documented.
/// `None`: to nothing; `Some(None)`: to what isn't among these.
pub(crate) fn referred_to(record: &Value, texts: &HashMap<u64, String>) -> Option<Option<String>> {
    if let Some(sequence) = record["text_of"].as_u64() {
        return Some(texts.get(&sequence).cloned());
    }
    let whole = texts.get(&record["text_like"].as_u64()?);
    let len = |name: &str| usize::try_from(record[name].as_u64().unwrap()).unwrap();
    let between = record["text_between"].as_str().unwrap();
    Some(whole.map(|whole| {
        let tail = &whole[whole.len() - len("text_tail")..];
        [&whole[..len("text_head")], between, tail].concat()
    }))
}

/// How many records of a file refer to a text, and how many hold one. What a record refers to
/// must stand in the file; `check` gets both.
pub(crate) fn references_in(file: &Path, check: impl Fn(&Value, &str)) -> [usize; 2] {
    let mut texts: HashMap<u64, String> = HashMap::new();
    let (mut referring, mut holding) = (0, 0);
    for line in fs::read_to_string(file).unwrap().lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        if let Some(text) = record["text"].as_str() {
            texts.insert(record["seq"].as_u64().unwrap(), text.to_owned());
            holding += 1;
        } else if let Some(text) = referred_to(&record, &texts) {
            check(&record, &text.unwrap_or_else(|| panic!("{record} in {}", file.display())));
            referring += 1;
        }
    }
    [referring, holding]
}

/// A write that was not forwarded.
pub(crate) fn refused() -> Refusal<'static> {
    Refusal {
        command: "query",
        schema: None,
        text: b"DELETE",
        kind: "write",
        form: TextForm::Full,
        verdict: "refused",
        rule: "not_a_read",
        reason: "no",
        offset: 0,
    }
}

/// A line of our form, as a ledger of that time would have it.
pub(crate) fn line(sequence: u64, time: &str, members: &str) -> String {
    let zeros = "0".repeat(64);
    format!(
        "{{\"v\":1,\"seq\":{sequence},\"time\":\"{time}.000000Z\",\"node\":\"n\",\"build\":\"0\",\
         {members},\"prev\":\"{zeros}\"}}\n"
    )
}

/// A read by alice of a table, as a node has recorded it.
pub(crate) fn read_on(node: &str, sequence: u64, time: &str, table: &str) -> String {
    let members = format!(
        "\"event\":\"outcome\",\"session\":1,\"user\":\"alice\",\"intent\":1,\"end\":\"ok\",\
         \"rows\":1,\"bytes\":1,\"duration_us\":1,\"tables\":[\"{table}\"]"
    );
    line(sequence, time, &members).replace("\"node\":\"n\"", &format!("\"node\":\"{node}\""))
}
