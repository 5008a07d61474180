//! Texts that come again: which records hold them, which name the one that does.

#![allow(clippy::unwrap_used, reason = "helpers of tests may stop at the first surprise")]

mod common;

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use common::{files, ok, query, records, who};
use ledger::cli::{Search, search_csv, show};
use ledger::{Intent, Ledger, LedgerSettings, LiteralKind, TextForm, TextPlace};
use serde_json::Value;

fn settings(folder: &tempfile::TempDir) -> LedgerSettings {
    LedgerSettings::new(folder.path().join("ledger"), "node 1")
}

fn report(number: usize) -> String {
    format!("SELECT '{}' -- report {number}", "r".repeat(300))
}

/// Runs a statement; its intent's sequence.
fn run(ledger: &Ledger, intent: &Intent<'_>) -> u64 {
    let tag = ledger.tag(&who(1));
    let recorded = ledger.intent(&tag, intent).wait().unwrap();
    let sequence = recorded.sequence();
    ledger.outcome(&tag, recorded, &ok()).wait().unwrap();
    sequence
}

fn intents(folder: &Path) -> HashMap<u64, Value> {
    let records = records(folder).into_iter().filter(|record| record["event"] == "intent");
    let mut intents = HashMap::new();
    for record in records {
        intents.insert(record.get("seq").and_then(Value::as_u64).unwrap_or_default(), record);
    }
    intents
}

#[test]
fn a_text_that_comes_again_stands_in_its_file_once() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(settings(&folder)).unwrap();
    let (place, text) = (TextPlace::default(), report(1));
    let intent = Intent { text_place: Some(&place), ..query(text.as_bytes()) };
    let sequences: Vec<u64> = (0..3).map(|_| run(&ledger, &intent)).collect();
    ledger.close("test").unwrap();
    let directory = folder.path().join("ledger");
    let intents = intents(&directory);
    assert_eq!(intents[&sequences[0]]["text"], text.as_str());
    for later in &sequences[1..] {
        assert_eq!(intents[later]["text_of"], sequences[0]);
        assert!(intents[later].get("text").is_none());
    }

    let mut shown = Vec::new();
    assert!(show(std::slice::from_ref(&directory), sequences[2], &mut shown).unwrap());
    assert!(String::from_utf8(shown).unwrap().contains(&text), "show tells the text");
    let mut csv = Vec::new();
    let search = Search { event: Some("intent".into()), ..Search::default() };
    assert_eq!(search_csv(&[directory], &search, &mut csv).unwrap(), 3);
    assert_eq!(String::from_utf8(csv).unwrap().matches(&text).count(), 3, "each row has its text");
}

#[test]
fn what_a_record_refers_to_is_in_its_own_file() {
    let folder = tempfile::tempdir().unwrap();
    let small = LedgerSettings { rotate_bytes: 8_000, ..settings(&folder) };
    let places: Vec<TextPlace> = (0..4).map(|_| TextPlace::default()).collect();
    // A start in between: what went before is no longer referred to.
    for _ in 0..2 {
        let ledger = Ledger::open(small.clone()).unwrap();
        for turn in 0..100 {
            let text = report(turn % 4);
            let place = Some(&places[turn % 4]);
            run(&ledger, &Intent { text_place: place, ..query(text.as_bytes()) });
        }
        ledger.close("test").unwrap();
    }
    let (mut referring, mut holding) = (0, 0);
    let all = files(&folder.path().join("ledger"));
    for file in &all {
        let lines = fs::read_to_string(file).unwrap();
        let mut texts: HashMap<u64, String> = HashMap::new();
        for line in lines.lines() {
            let record: Value = serde_json::from_str(line).unwrap();
            if let Some(text) = record["text"].as_str() {
                texts.insert(record["seq"].as_u64().unwrap(), text.to_owned());
                holding += 1;
            } else if let Some(sequence) = record["text_of"].as_u64() {
                assert!(texts.contains_key(&sequence), "{record} in {}", file.display());
                referring += 1;
            }
        }
    }
    assert!(all.len() > 5 && referring > 100, "{} files, {referring} references", all.len());
    assert_eq!(referring + holding, 200);
}

#[test]
fn short_redacted_and_unplaced_texts_stand_in_each_record() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("redaction.key");
    let settings = LedgerSettings { redaction_key_file: Some(key), ..settings(&folder) };
    let ledger = Ledger::open(settings).unwrap();
    let (place, text) = (TextPlace::default(), report(1));
    let literals = [ledger::Literal { range: 7..309, kind: LiteralKind::String }];
    let redacted = Intent {
        form: TextForm::Redacted(&literals),
        text_place: Some(&place),
        ..query(text.as_bytes())
    };
    let other = TextPlace::default();
    let short = Intent { text_place: Some(&other), ..query(b"SELECT 1") };
    let unplaced = query(text.as_bytes());
    for intent in [&redacted, &short, &unplaced] {
        for _ in 0..3 {
            run(&ledger, intent);
        }
    }
    ledger.close("test").unwrap();
    let intents = intents(&folder.path().join("ledger"));
    assert_eq!(intents.len(), 9);
    assert!(intents.values().all(|intent| intent["text"].is_string()), "{intents:?}");
}
