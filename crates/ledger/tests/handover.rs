//! Settings that a running ledger takes over: from one record to the next, with nobody left
//! waiting for what the former ones promised, and a chain that goes on.

#![allow(clippy::unwrap_used, reason = "helpers of tests may stop at the first surprise")]

mod common;

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::life::{RECIPIENT, fill, wait_until};
use common::{event, files, ok, query, records, who};
use ledger::verify::{VerifyRequest, verify};
use ledger::{
    Event, Intent, Ledger, LedgerSettings, Literal, LiteralKind, Recipient, SyncPolicy, TextForm,
};

const HOUR: Duration = Duration::from_secs(3600);

fn settings(folder: &Path) -> LedgerSettings {
    LedgerSettings {
        keeper_period: Duration::from_millis(5),
        ..LedgerSettings::new(folder.join("ledger"), "n1")
    }
}

fn note(ledger: &Ledger) -> u64 {
    ledger.event(&Event::Stop { reason: "a record" }).wait().unwrap()
}

/// How many checkpoints the files hold for that reason, as they are being written.
fn checkpoints(folder: &Path, why: &str) -> usize {
    let text = |file: &PathBuf| fs::read_to_string(file).unwrap_or_default();
    let why = format!("\"why\":\"{why}\"");
    files(&folder.join("ledger")).iter().map(|file| text(file).matches(&why).count()).sum()
}

fn assert_intact(folder: &Path, anchors: Vec<PathBuf>) {
    let paths = vec![folder.join("ledger")];
    let report = verify(&VerifyRequest { paths, anchors, ..VerifyRequest::default() }).unwrap();
    assert!(report.is_intact(), "{:?}", report.findings().collect::<Vec<_>>());
}

#[test]
fn nobody_who_was_promised_the_disk_waits_for_the_next_period() {
    let folder = tempfile::tempdir().unwrap();
    let with = |sync| LedgerSettings { sync, ..settings(folder.path()) };
    let ledger = Ledger::open(with(SyncPolicy::Interval(HOUR))).unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let writers = (0..6).map(|_| {
        let (ledger, over) = (ledger.clone(), Arc::clone(&over));
        std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                note(&ledger);
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    for _ in 0..30 {
        ledger.put_in_force(with(SyncPolicy::Each)).unwrap();
        let counted = note(&ledger);
        assert!(ledger.health().synced_sequence >= counted, "it counted before it was there");
        ledger.put_in_force(with(SyncPolicy::Interval(HOUR))).unwrap();
        note(&ledger);
    }
    over.store(true, Ordering::Relaxed);
    wait_until("the end of those who wait", || writers.iter().all(|one| one.is_finished()));
    ledger.close("test").unwrap();
    assert_intact(folder.path(), Vec::new());
}

#[test]
fn a_shorter_period_counts_for_what_waits_already() {
    let folder = tempfile::tempdir().unwrap();
    let with = |sync| LedgerSettings { sync, ..settings(folder.path()) };
    let ledger = Ledger::open(with(SyncPolicy::Interval(HOUR))).unwrap();
    let sequence = note(&ledger);
    wait_until("the file", || ledger.health().written_sequence >= sequence);
    assert!(ledger.health().synced_sequence < sequence);
    ledger.put_in_force(with(SyncPolicy::Group(Duration::from_millis(1)))).unwrap();
    wait_until("the disk", || ledger.health().synced_sequence >= sequence);
}

#[test]
fn a_file_that_is_too_large_by_now_ends_with_the_next_record() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(settings(folder.path())).unwrap();
    fill(&ledger, 50);
    let last = note(&ledger);
    ledger
        .put_in_force(LedgerSettings { rotate_bytes: 10_000, ..settings(folder.path()) })
        .unwrap();
    let next = note(&ledger);
    assert_eq!(next, last + 1);
    fill(&ledger, 1);
    ledger.put_in_force(settings(folder.path())).unwrap();
    fill(&ledger, 50);
    ledger.close("test").unwrap();
    let records = records(&folder.path().join("ledger"));
    let checkpoint = event(&records, "checkpoint").unwrap();
    assert_eq!(
        (&checkpoint["why"], checkpoint["seq"].as_u64()),
        (&"rotation".into(), Some(next + 1))
    );
    assert_eq!(files(&folder.path().join("ledger")).len(), 2, "the second has all room again");
    assert_intact(folder.path(), Vec::new());
}

#[test]
fn other_ages_of_checkpoints_and_files_count_for_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let (of, soon) = (|| settings(folder.path()), Duration::from_millis(1));
    let hours = LedgerSettings { checkpoint_age: HOUR, rotate_age: HOUR, ..of() };
    let ledger = Ledger::open(hours.clone()).unwrap();
    note(&ledger);
    ledger.put_in_force(LedgerSettings { checkpoint_age: soon, ..hours.clone() }).unwrap();
    wait_until("a checkpoint", || checkpoints(folder.path(), "time") > 0);
    assert_eq!(checkpoints(folder.path(), "rotation"), 0);
    ledger.put_in_force(LedgerSettings { rotate_age: soon, ..hours }).unwrap();
    wait_until("the end of the file", || checkpoints(folder.path(), "rotation") > 0);
    note(&ledger);
    ledger.close("test").unwrap();
    assert!(files(&folder.path().join("ledger")).len() > 1);
    assert_intact(folder.path(), Vec::new());
}

#[test]
fn a_checkpoint_is_made_for_records_and_not_for_the_one_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint_age = Duration::from_millis(1);
    let ledger =
        Ledger::open(LedgerSettings { checkpoint_age, ..settings(folder.path()) }).unwrap();
    for round in 1..=5 {
        note(&ledger);
        wait_until("a checkpoint", || checkpoints(folder.path(), "time") >= round);
    }
    ledger.close("test").unwrap();
    let records = records(&folder.path().join("ledger"));
    let by_time = |record: &serde_json::Value| record["why"] == "time";
    assert!(!records.windows(2).any(|two| two.iter().all(by_time)));
}

#[test]
fn a_start_takes_another_size_of_the_journal() {
    let folder = tempfile::tempdir().unwrap();
    for journal_bytes in [2 << 20, 1 << 20, 4 << 20] {
        let max_text = 4 << 10;
        let settings = LedgerSettings { journal_bytes, max_text, ..settings(folder.path()) };
        let ledger = Ledger::open(settings).unwrap();
        assert_eq!(ledger.health().capacity_bytes, journal_bytes);
        fill(&ledger, 50);
        ledger.close("test").unwrap();
    }
    let records = records(&folder.path().join("ledger"));
    assert_eq!(records.iter().filter(|record| record["event"] == "intent").count(), 150);
    assert_intact(folder.path(), Vec::new());
}

#[test]
fn a_new_anchor_gets_the_next_checkpoint_and_a_former_one_none() {
    let folder = tempfile::tempdir().unwrap();
    let [former, new] = ["former", "new"].map(|name| folder.path().join(name));
    let with = |anchor: &PathBuf| {
        let mut settings = settings(folder.path());
        settings.checkpoint_age = Duration::from_millis(1);
        settings.anchors.push(anchor.clone());
        settings
    };
    let lines = |path: &PathBuf| fs::read_to_string(path).unwrap_or_default();
    let ledger = Ledger::open(with(&former)).unwrap();
    note(&ledger);
    wait_until("a checkpoint", || lines(&former).contains("\"why\":\"time\""));
    ledger.put_in_force(with(&new)).unwrap();
    note(&ledger);
    wait_until("another checkpoint", || lines(&new).contains("\"why\":\"time\""));
    ledger.close("test").unwrap();
    assert!(lines(&new).contains("\"why\":\"close\""), "{}", lines(&new));
    assert!(!lines(&former).contains("\"why\":\"close\""), "{}", lines(&former));
    assert_intact(folder.path(), vec![former, new]);
}

#[test]
fn an_anchor_that_stays_still_gets_what_it_lacks() {
    let folder = tempfile::tempdir().unwrap();
    let late = folder.path().join("not there yet/anchor");
    let with = |more: &[&PathBuf]| {
        let mut settings = settings(folder.path());
        settings.checkpoint_age = Duration::from_millis(1);
        settings.anchors.extend(more.iter().copied().cloned());
        settings
    };
    let ledger = Ledger::open(with(&[&late])).unwrap();
    note(&ledger);
    wait_until("a checkpoint", || ledger.health().last_checkpoint.is_some());
    let first = ledger.health().last_checkpoint.unwrap();
    ledger.put_in_force(with(&[&folder.path().join("new"), &late])).unwrap();
    fs::create_dir(late.parent().unwrap()).unwrap();
    note(&ledger);
    ledger.close("test").unwrap();
    let lines = fs::read_to_string(&late).unwrap();
    assert!(lines.contains(&*first) && lines.lines().count() > 1, "{lines}");
}

#[test]
fn an_anchor_that_cannot_be_written_is_told_once_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("mount");
    let anchor = place.join("anchor");
    let mut settings = settings(folder.path());
    settings.checkpoint_age = Duration::from_millis(1);
    settings.anchors.push(anchor.clone());
    let ledger = Ledger::open(settings).unwrap();
    let another = || {
        let before = checkpoints(folder.path(), "time");
        wait_until("a checkpoint", || {
            note(&ledger);
            checkpoints(folder.path(), "time") > before
        });
    };
    let told = || {
        let texts = files(&folder.path().join("ledger")).into_iter().map(fs::read_to_string);
        let count = |text: String| text.matches("anchor can't be written: ").count();
        texts.flatten().map(count).sum::<usize>()
    };
    another();
    wait_until("the trouble", || told() == 1);
    another();
    another();
    fs::create_dir(&place).unwrap();
    another();
    // Those before it are in by then, so what failed of them was told already.
    wait_until("what it lacked", || fs::read(&anchor).is_ok_and(|bytes| !bytes.is_empty()));
    assert_eq!(told(), 1);
    fs::rename(&place, folder.path().join("elsewhere")).unwrap();
    another();
    wait_until("the trouble that is new", || told() == 2);
    ledger.close("test").unwrap();
    let records = records(&folder.path().join("ledger"));
    assert_eq!(event(&records, "ledger_trouble").unwrap()["file"], anchor.to_str().unwrap());
}

#[test]
fn files_closed_before_are_kept_as_the_new_settings_say() {
    let folder = tempfile::tempdir().unwrap();
    let ended = |ending: &str| {
        let entries = fs::read_dir(folder.path().join("ledger")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("ledger-") && name.ends_with(ending)).count()
    };
    let small = LedgerSettings { rotate_bytes: 10_000, ..settings(folder.path()) };
    let plain = LedgerSettings { compress: false, ..small.clone() };
    let ledger = Ledger::open(plain.clone()).unwrap();
    fill(&ledger, 50);
    wait_until("closed files", || ended(".jsonl") > 2);
    let encrypt_to = Some(Recipient::parse(RECIPIENT).unwrap());
    ledger.put_in_force(LedgerSettings { encrypt_to, ..plain }).unwrap();
    wait_until("encryption", || ended(".age") > 1 && ended(".jsonl") < 2);
    let keep_for = Some(Duration::from_millis(1));
    ledger.put_in_force(LedgerSettings { keep_for, ..small }).unwrap();
    wait_until("retention", || ended(".age") == 0);
    ledger.close("test").unwrap();
    assert_intact(folder.path(), Vec::new());
}

#[test]
fn a_key_that_is_not_there_refuses_redaction_and_one_that_is_serves_it() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(settings(folder.path())).unwrap();
    let with = |name: &str| LedgerSettings {
        redaction_key_file: Some(folder.path().join(name)),
        rotate_bytes: 1,
        ..settings(folder.path())
    };
    fs::write(folder.path().join("short"), "too short").unwrap();
    for unusable in ["short", "no-such-folder/redaction.key"] {
        ledger.put_in_force(with(unusable)).unwrap_err();
    }
    note(&ledger);
    let tag = ledger.tag(&who(1));
    let literals = [Literal { range: 7..14, kind: LiteralKind::String }];
    let redacted = Intent { form: TextForm::Redacted(&literals), ..query(b"SELECT 'Smith'") };
    ledger.put_in_force(with("redaction.key")).unwrap();
    let text = |intent: &Intent<'_>| {
        let intent = ledger.intent(&tag, intent).wait().unwrap();
        ledger.outcome(&tag, intent, &ok()).wait().unwrap();
    };
    text(&redacted);
    // One key for the life of the process: hashes of before and after stay comparable.
    ledger.put_in_force(with("another.key")).unwrap();
    text(&redacted);
    ledger.close("test").unwrap();
    assert!(!folder.path().join("another.key").exists());
    let records = records(&folder.path().join("ledger"));
    let texts: Vec<&str> = records.iter().filter_map(|record| record["text"].as_str()).collect();
    let [one, again] = texts[..] else { panic!("{texts:?}") };
    assert_eq!(one, again);
    let hash = one.strip_prefix("SELECT 'string#").and_then(|rest| rest.strip_suffix('\''));
    assert_eq!(hash.map(str::len), Some(16), "{one}");
    assert_eq!(
        event(&records, "checkpoint").unwrap()["seq"],
        3,
        "the refused ones changed nothing"
    );
}

#[test]
fn an_event_that_comes_at_the_very_end_is_refused_and_not_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    let anchor = folder.path().join("anchor");
    let mut holder = Command::new("python3")
        .args(["-c", include_str!("../../../tests/servers/hold-lease.py")])
        .arg(&anchor)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut held = [0; 4];
    holder.stdout.take().unwrap().read_exact(&mut held).unwrap();
    let mut settings = settings(folder.path());
    settings.anchors.push(anchor);
    let ledger = Ledger::open(settings).unwrap();
    note(&ledger);
    let closing = {
        let ledger = ledger.clone();
        std::thread::spawn(move || ledger.close("test"))
    };
    wait_until("the last record", || {
        let texts = files(&folder.path().join("ledger")).into_iter().map(fs::read_to_string);
        texts.flatten().any(|text| text.contains(r#""why":"close""#))
    });
    // Its end waits for the copy now.
    wait_until("a refusal", || {
        // Each that is still taken is written first: not so many that there is no end.
        std::thread::sleep(Duration::from_millis(5));
        ledger.event(&Event::Stop { reason: "late" }).wait().is_err()
    });
    closing.join().unwrap().unwrap();
    assert_eq!(ledger.health().queued_bytes, 0);
    drop(holder.stdin.take());
    holder.wait().unwrap();
}
