//! Texts that come again: which records hold them, which name the one that does.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests may stop at the first surprise"
)]

mod common;

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{files, ok, query, records, references_in, who};
use ledger::cli::{Search, search as search_lines, search_csv, show};
use ledger::{
    Intent, Ledger, LedgerSettings, LiteralKind, PreparedRef, SyncPolicy, TextForm, TextPlace,
};
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

/// Of a file; what a record refers to must be the report that its end user's name tells.
fn references_of(file: &Path) -> [usize; 2] {
    references_in(file, |record, text| {
        let number = record["end_user"].as_str().unwrap();
        assert!(text.ends_with(&format!("report {number}")), "{record} refers to {text}");
    })
}

#[test]
fn a_text_that_comes_again_stands_in_its_file_once() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(settings(&folder)).unwrap();
    let (place, text) = (TextPlace::default(), report(1));
    let intent = Intent { may_refer: true, text_place: Some(&place), ..query(text.as_bytes()) };
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
    assert!(show(std::slice::from_ref(&directory), sequences[2], &mut shown).unwrap().found);
    assert!(String::from_utf8(shown).unwrap().contains(&text), "show tells the text");
    let mut csv = Vec::new();
    let search = Search { event: Some("intent".into()), ..Search::default() };
    assert_eq!(search_csv(&[directory], &search, &mut csv).unwrap(), 3);
    assert_eq!(String::from_utf8(csv).unwrap().matches(&text).count(), 3, "each row has its text");
}

#[test]
fn a_text_that_differs_in_one_place_is_told_by_one_that_stands_whole() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(settings(&folder)).unwrap();
    let texts: Vec<String> = ["1", "2", "22", ""].map(|visit| between(visit, "Łódź")).into();
    let alike = |text: &str| {
        let intent = Intent { may_refer: true, ..query(text.as_bytes()) };
        run(&ledger, &intent)
    };
    let sequences: Vec<u64> = texts.iter().map(|text| alike(text)).collect();
    ledger.close("test").unwrap();
    let directory = folder.path().join("ledger");
    let intents = intents(&directory);
    assert_eq!(intents[&sequences[0]]["text"], texts[0].as_str());
    for (sequence, place) in sequences.iter().zip(["1", "2", "22", ""]).skip(1) {
        let record = &intents[sequence];
        assert_eq!(record["text_like"], sequences[0]);
        assert_eq!(record["text_between"], place);
        assert!(record.get("text").is_none() && record.get("text_of").is_none());
    }

    let paths = [directory];
    for (sequence, text) in sequences.iter().zip(&texts) {
        let mut shown = Vec::new();
        assert!(show(&paths, *sequence, &mut shown).unwrap().found);
        let shown = String::from_utf8(shown).unwrap();
        let text = serde_json::to_string(text).unwrap();
        assert!(shown.contains(&format!("\"text\": {text}")), "{shown}");
    }
    let mut csv = Vec::new();
    let search = Search { event: Some("intent".into()), ..Search::default() };
    assert_eq!(search_csv(&paths, &search, &mut csv).unwrap(), 4);
    let csv = String::from_utf8(csv).unwrap();
    for text in &texts {
        assert_eq!(csv.matches(&text.replace('"', "\"\"")).count(), 1, "{text} in {csv}");
    }
}

#[test]
fn who_searches_gets_the_text_of_each_record_if_it_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(settings(&folder)).unwrap();
    let texts = ["1", "1", "2"].map(|visit| between(visit, "Oslo"));
    let places = [TextPlace::default(), TextPlace::default()];
    for (text, place) in texts.iter().zip([&places[0], &places[0], &places[1]]) {
        let place = Some(place);
        run(&ledger, &Intent { may_refer: true, text_place: place, ..query(text.as_bytes()) });
    }
    let prepared = run(&ledger, &Intent { command: "prepare", ..query(b"SELECT ?, 'of it'") });
    let prepared = Some(PreparedRef { statement_id: 1, intent: prepared });
    let execution = Intent { command: "execute", prepared, ..query(b"") };
    run(&ledger, &execution);
    // One whose preparation was redacted.
    run(&ledger, &Intent { text: b"SELECT ?, 'told'", ..execution });
    ledger.close("test").unwrap();

    let paths = [folder.path().join("ledger")];
    let search_for = |with_text| {
        let mut out = Vec::new();
        let search = Search { with_text, with_login: true, ..Search::default() };
        search_lines(&paths, &search, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    let told: Vec<String> = search_for(true)
        .lines()
        .filter(|line| line.contains(r#""event":"intent""#))
        .map(|line| {
            assert_eq!(line.matches(r#""text":"#).count(), 1, "{line}");
            let record: Value = serde_json::from_str(line).unwrap();
            record["text"].as_str().unwrap().to_owned()
        })
        .collect();
    let [first, again, other] = texts;
    let of_prepared = ["SELECT ?, 'of it'", "SELECT ?, 'of it'", "SELECT ?, 'told'"];
    assert_eq!(told[..3], [first, again, other]);
    assert_eq!(told[3..], of_prepared);

    let plain = search_for(false);
    assert!(plain.contains("text_of") && plain.contains("text_like"), "{plain}");
    let file = fs::read_to_string(files(&paths[0])[0].as_path()).unwrap();
    assert_eq!(plain, file, "lines as they stand");
}

/// A report that asks for one visit at a site; of characters of several bytes, some escaped.
fn between(visit: &str, site: &str) -> String {
    let columns = "\t\"site\",\n".repeat(30);
    format!("SELECT {columns} 1 FROM visits WHERE visit = '{visit}' AND site = '{site}' {columns}")
}

#[test]
fn a_text_too_long_for_its_record_tells_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let short = LedgerSettings { max_text: 400, ..settings(&folder) };
    let ledger = Ledger::open(short).unwrap();
    for visit in ["1", "2", "3"] {
        let text = between(visit, "Oslo");
        assert!(text.len() > 400);
        let place = TextPlace::default();
        let intent = Intent { may_refer: true, text_place: Some(&place), ..query(text.as_bytes()) };
        run(&ledger, &intent);
    }
    ledger.close("test").unwrap();
    let intents = intents(&folder.path().join("ledger"));
    assert!(intents.values().all(|intent| intent["text_sha256"].is_string()), "{intents:?}");
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
            let number = (turn % 4).to_string();
            let intent = Intent { may_refer: true, text_place: place, ..query(text.as_bytes()) };
            run(&ledger, &Intent { end_user: Some(&number), ..intent });
        }
        ledger.close("test").unwrap();
    }
    let all = files(&folder.path().join("ledger"));
    let counts: Vec<[usize; 2]> = all.iter().map(|file| references_of(file)).collect();
    let (referring, holding) =
        counts.iter().fold((0, 0), |(all, whole), [one, other]| (all + one, whole + other));
    assert!(all.len() > 5 && referring > 100, "{} files, {referring} references", all.len());
    assert_eq!(referring + holding, 200);
}

#[test]
fn short_texts_redacted_ones_and_those_that_may_not_refer_stand_in_each_record() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("redaction.key");
    let settings = LedgerSettings { redaction_key_file: Some(key), ..settings(&folder) };
    let ledger = Ledger::open(settings).unwrap();
    let (place, text) = (TextPlace::default(), report(1));
    let literals = [ledger::Literal { range: 7..309, kind: LiteralKind::String }];
    let redacted = Intent {
        form: TextForm::Redacted(&literals),
        may_refer: true,
        text_place: Some(&place),
        ..query(text.as_bytes())
    };
    let other = TextPlace::default();
    let short = Intent { may_refer: true, text_place: Some(&other), ..query(b"SELECT 1") };
    let bound = Intent { may_refer: false, text_place: Some(&other), ..query(text.as_bytes()) };
    for intent in [&redacted, &short, &bound] {
        for _ in 0..3 {
            run(&ledger, intent);
        }
    }
    // A full text is not told by one that is redacted in its record.
    let hidden = Intent { form: TextForm::Redacted(&[]), may_refer: true, ..bound };
    run(&ledger, &hidden);
    run(&ledger, &Intent { form: TextForm::Full, may_refer: true, ..hidden });
    ledger.close("test").unwrap();
    let intents = intents(&folder.path().join("ledger"));
    assert_eq!(intents.len(), 11);
    assert!(intents.values().all(|intent| intent["text"].is_string()), "{intents:?}");
}

/// Renames the newest file, as one who tidies up by hand.
fn rename_newest(directory: &Path, number: usize) {
    if let Some(newest) = files(directory).last() {
        fs::rename(newest, newest.with_extension(format!("moved-{number}"))).unwrap();
    }
}

#[test]
fn what_a_record_refers_to_is_in_its_file_also_if_files_are_taken_away_under_load() {
    let folder = tempfile::tempdir().unwrap();
    let sync = SyncPolicy::Group(Duration::from_millis(1));
    let settings = LedgerSettings { rotate_bytes: 400_000, sync, ..settings(&folder) };
    let directory = settings.directory.clone();
    let ledger = Ledger::open(settings).unwrap();
    let places: Vec<TextPlace> = (0..4).map(|_| TextPlace::default()).collect();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for session in 0..4 {
            let (ledger, places, is_over) = (&ledger, &places, &is_over);
            scope.spawn(move || {
                for turn in session.. {
                    let (text, number) = (report(turn % 4), (turn % 4).to_string());
                    let place = Some(&places[turn % 4]);
                    let intent =
                        Intent { may_refer: true, text_place: place, ..query(text.as_bytes()) };
                    run(ledger, &Intent { end_user: Some(&number), ..intent });
                    if is_over.load(Ordering::Relaxed) {
                        return;
                    }
                }
            });
        }
        for number in 0..20 {
            let (before, began) = (ledger.health().written_sequence, Instant::now());
            while ledger.health().written_sequence < before + 1000 {
                assert!(began.elapsed() < Duration::from_secs(30), "nothing is written");
                std::thread::yield_now();
            }
            rename_newest(&directory, number);
        }
        is_over.store(true, Ordering::Relaxed);
    });
    ledger.close("test").unwrap();
    let all = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path());
    let all = all.filter(|path| path.display().to_string().contains("/ledger-"));
    let counts: Vec<[usize; 2]> = all.map(|file| references_of(&file)).collect();
    let referring: usize = counts.iter().map(|[referring, _]| referring).sum();
    assert!(counts.len() > 20 && referring > 5000, "{counts:?}");
}
