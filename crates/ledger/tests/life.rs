//! The life of closed files: compressed, encrypted, removed; all of it recorded, and still
//! whole to the verifier. And who has read the ledger.

#![allow(clippy::unwrap_used, reason = "helpers of tests may stop at the first surprise")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use common::life::{
    RECIPIENT, check, decrypt_all, fill, found, names, settings, wait_for_two_passes, wait_until,
};
use common::{query, who};
use ledger::cli::{Search, search};
use ledger::verify::{Finding, VerifyRequest, What, verify};
use ledger::{Ledger, LedgerSettings, Reader, Recipient, keygen, note_reading, rotate_key};

#[test]
fn closed_files_are_compressed_and_stay_readable_and_whole() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let ledger = Ledger::open(settings(folder)).unwrap();
    fill(&ledger, 200);
    wait_until("compression", || names(folder, ".jsonl.zst").len() > 2);
    wait_until("the removal of what was compressed", || names(folder, ".jsonl").len() == 1);
    ledger.close("test").unwrap();
    assert_eq!(found(folder, "intent"), 200);
    assert!(found(folder, "archived") > 2);
    let report = check(folder);
    assert!(report.is_intact(), "{:?}", report.findings().collect::<Vec<_>>());
    assert_eq!(report.nodes[0].first, 1);

    // A start after it goes on.
    let ledger = Ledger::open(settings(folder)).unwrap();
    fill(&ledger, 1);
    ledger.close("test").unwrap();
    assert!(check(folder).is_intact());

    let oldest = folder.join("ledger").join(&names(folder, ".jsonl.zst")[0]);
    fs::remove_file(oldest).unwrap();
    let report = check(folder);
    assert!(matches!(report.nodes[0].findings[0].what, What::Missing { from: 1, .. }));
}

#[test]
fn encrypted_files_are_vouched_for_and_a_changed_one_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let sealing = |folder: &Path| LedgerSettings {
        encrypt_to: Some(Recipient::parse(RECIPIENT).unwrap()),
        ..settings(folder)
    };
    fs::create_dir(folder.join("ledger")).unwrap();
    let oldest = keygen(&folder.join("ledger/signing.key")).unwrap();
    let ledger = Ledger::open(sealing(folder)).unwrap();
    fill(&ledger, 100);
    ledger.close("test").unwrap();
    rotate_key(&folder.join("ledger/signing.key")).unwrap();
    let ledger = Ledger::open(sealing(folder)).unwrap();
    wait_until("the new key", || found(folder, "key_rotated") == 1);
    fill(&ledger, 100);
    wait_until("its file's encryption", || found(folder, "key_rotated") == 0);
    wait_until("encryption", || names(folder, ".jsonl.zst.age").len() > 3);
    wait_until("the removal of readable files", || {
        names(folder, ".jsonl").len() == 1 && names(folder, ".jsonl.zst").is_empty()
    });
    ledger.close("test").unwrap();
    let report = check(folder);
    assert!(report.is_intact(), "{:?}", report.findings().collect::<Vec<_>>());
    assert!(report.nodes[0].sealed > 200, "{:?}", report.nodes[0]);
    // The change of the key, which can't be read, is in what was signed of its file.
    let (paths, public_key) = (vec![folder.join("ledger")], Some(oldest));
    let report = verify(&VerifyRequest { paths, public_key, anchors: vec![] }).unwrap();
    assert!(report.is_intact() && report.nodes[0].key_trusted, "{:?}", report.findings().next());
    // What somebody else signed for an encrypted file is worth nothing.
    let public_key = Some(keygen(&folder.join("another.key")).unwrap());
    let paths = vec![folder.join("ledger")];
    let report = verify(&VerifyRequest { paths, public_key, anchors: vec![] }).unwrap();
    let is_of_sealed = |one: &Finding| one.file.extension().is_some_and(|end| end == "age");
    let untrusted = report.findings().filter(|one| matches!(one.what, What::UntrustedKey { .. }));
    assert!(untrusted.filter(|one| is_of_sealed(one)).count() > 1);

    let sealed = names(folder, ".jsonl.zst.age");
    let second = folder.join("ledger").join(&sealed[1]);
    let mut bytes = fs::read(&second).unwrap();
    assert!(bytes.starts_with(b"age-encryption.org/v1\n-> X25519 "));
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&second, bytes).unwrap();
    let report = check(folder);
    assert_eq!(report.nodes[0].findings.len(), 1);
    assert_eq!(report.nodes[0].findings[0].what, What::SealedChanged);
    fs::remove_file(&second).unwrap();
    assert!(matches!(check(folder).nodes[0].findings[0].what, What::Missing { .. }));
    fs::remove_file(folder.join("ledger/archives-n1.jsonl")).unwrap();
    let report = check(folder);
    let strays = report.strays.iter().filter(|stray| stray.what == What::NotVouched);
    assert_eq!(strays.count(), sealed.len() - 1);
}

#[test]
fn files_given_without_those_before_them_are_verified_for_themselves() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let ledger = Ledger::open(LedgerSettings { compress: false, ..settings(folder) }).unwrap();
    fill(&ledger, 200);
    ledger.close("test").unwrap();
    let files: Vec<PathBuf> =
        names(folder, ".jsonl").iter().map(|name| folder.join("ledger").join(name)).collect();
    let check = |paths: &[&PathBuf]| {
        let paths = paths.iter().copied().cloned().collect();
        verify(&VerifyRequest { paths, ..VerifyRequest::default() }).unwrap()
    };
    let [_, second, third, fourth, ..] = files.as_slice() else { panic!("{files:?}") };
    let report = check(&[second, third]);
    assert!(report.is_intact(), "{:?}", report.findings().next());
    let first = report.nodes[0].first;
    assert!(second.to_string_lossy().contains(&format!("-{first:012}.")));
    let report = check(&[second, fourth]);
    assert!(matches!(report.nodes[0].findings[0].what, What::Missing { .. }));

    let whole = fs::read_to_string(third).unwrap();
    fs::write(third, whole.replacen("alice", "clara", 1)).unwrap();
    assert_eq!(check(&[second, third]).nodes[0].findings[0].what, What::Changed);
    fs::write(third, format!("{whole}{{\"v\":")).unwrap();
    let report = check(&[second, third]);
    let torn = &report.nodes[0].findings[0];
    assert_eq!((&torn.what, torn.line), (&What::TornEnd, whole.lines().count() as u64 + 1));
}

#[test]
fn encrypted_files_hold_the_records_and_age_decrypts_them() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let encrypt_to = Recipient::parse(RECIPIENT);
    let ledger = Ledger::open(LedgerSettings { encrypt_to, ..settings(folder) }).unwrap();
    fill(&ledger, 200);
    wait_until("encryption", || names(folder, ".jsonl.zst.age").len() > 3);
    ledger.close("test").unwrap();
    assert!(found(folder, "intent") < 200, "what is encrypted can't be read");

    decrypt_all(folder);
    assert_eq!(found(folder, "intent"), 200);
    let report = check(folder);
    assert!(report.is_intact(), "{:?}", report.findings().next());
    assert_eq!(report.nodes[0].sealed, 0);
}

#[test]
fn old_files_are_removed_with_a_statement_unless_there_is_a_legal_hold() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::create_dir(folder.join("ledger")).unwrap();
    fs::write(folder.join("ledger/legal-hold"), "case 7").unwrap();
    let keep_for = Some(Duration::from_millis(1));
    let ledger = Ledger::open(LedgerSettings { keep_for, ..settings(folder) }).unwrap();
    fill(&ledger, 200);
    wait_until("compression", || names(folder, ".jsonl.zst").len() > 2);
    assert!(names(folder, ".jsonl.zst").iter().any(|name| name.contains("-000000000001.")));
    fs::remove_file(folder.join("ledger/legal-hold")).unwrap();
    wait_until("retention", || names(folder, ".jsonl.zst").is_empty());
    ledger.close("test").unwrap();
    assert!(found(folder, "retired") > 0);
    let report = check(folder);
    assert!(report.is_intact(), "{:?}", report.findings().collect::<Vec<_>>());
    assert!(report.nodes[0].retired > 100);
}

#[test]
fn a_hold_that_leads_nowhere_holds_and_a_file_of_a_clock_ahead_holds_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let ledger = Ledger::open(settings(folder)).unwrap();
    fill(&ledger, 200);
    wait_until("compression", || names(folder, ".jsonl.zst").len() > 3);
    ledger.close("test").unwrap();
    let packed = names(folder, ".jsonl.zst");
    let at = |name: &str| folder.join("ledger").join(name);
    let years = Duration::from_secs(10 * 365 * 86_400);
    let ahead = std::time::SystemTime::now() + years;
    fs::File::open(at(&packed[0])).unwrap().set_modified(ahead).unwrap();
    std::os::unix::fs::symlink("/nowhere/at-all", at("legal-hold")).unwrap();

    let keep_for = Some(Duration::from_millis(1));
    let ledger = Ledger::open(LedgerSettings { keep_for, ..settings(folder) }).unwrap();
    wait_for_two_passes(folder);
    assert!(packed.iter().all(|name| at(name).exists()), "held");
    fs::remove_file(at("legal-hold")).unwrap();
    wait_until("the others", || packed[1..].iter().all(|name| !at(name).exists()));
    ledger.close("test").unwrap();
    assert!(at(&packed[0]).exists());
    let report = check(folder);
    assert!(report.is_intact(), "{:?}", report.findings().next());
}

#[test]
fn a_closed_file_that_another_hand_removes_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let ledger = Ledger::open(LedgerSettings { compress: false, ..settings(folder) }).unwrap();
    fill(&ledger, 100);
    wait_until("a closed file", || names(folder, ".jsonl").len() > 2);
    let seen = || found(folder, "ledger_trouble") > 0;
    let oldest = names(folder, ".jsonl").remove(0);
    wait_for_two_passes(folder);
    fs::rename(folder.join("ledger").join(oldest), folder.join("elsewhere")).unwrap();
    wait_until("the note", seen);
    ledger.close("test").unwrap();
}

#[test]
fn a_start_without_the_newest_files_goes_on_behind_the_closed_ones() {
    for encrypt_to in [None, Recipient::parse(RECIPIENT)] {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let closed = if encrypt_to.is_some() { ".jsonl.zst.age" } else { ".jsonl.zst" };
        let settings = || LedgerSettings { encrypt_to, ..settings(folder) };
        let ledger = Ledger::open(settings()).unwrap();
        fill(&ledger, 200);
        wait_until("the life of files", || names(folder, closed).len() > 2);
        ledger.close("test").unwrap();
        let last = check(folder).nodes[0].last;
        let of_before = |name: &String| (name.clone(), contents(folder, name));
        let before: Vec<_> = names(folder, closed).iter().map(of_before).collect();

        for plain in names(folder, ".jsonl") {
            fs::rename(folder.join("ledger").join(&plain), folder.join(&plain)).unwrap();
        }
        let ledger = Ledger::open(settings()).unwrap();
        fill(&ledger, 200);
        wait_until("the life of more files", || names(folder, closed).len() > before.len() + 2);
        ledger.close("test").unwrap();
        let report = check(folder);
        assert!(report.is_intact(), "{:?}", report.findings().collect::<Vec<_>>());
        assert!(report.nodes[0].last > last + 400, "the journal had what the file had");
        assert!(before.iter().all(|(name, bytes)| contents(folder, name) == *bytes));
    }
}

#[test]
fn a_compressed_file_that_was_changed_or_cut_is_told_and_the_others_are_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let ledger = Ledger::open(settings(folder)).unwrap();
    fill(&ledger, 200);
    wait_until("compression", || names(folder, ".jsonl.zst").len() > 3);
    ledger.close("test").unwrap();
    let packed = names(folder, ".jsonl.zst");
    let [cut, changed] = [1, 2].map(|at| folder.join("ledger").join(&packed[at]));
    let bytes = fs::read(&cut).unwrap();
    fs::write(&cut, &bytes[..bytes.len() - 5]).unwrap();
    let mut bytes = fs::read(&changed).unwrap();
    bytes[0] ^= 1;
    fs::write(&changed, bytes).unwrap();
    let report = check(folder);
    let found = |file: &Path| report.findings().any(|found| found.file == file);
    assert!(found(&cut) && found(&changed), "{:?}", report.findings().collect::<Vec<_>>());
    assert!(report.findings().filter(|found| found.what == What::Damaged).count() == 2);
    assert_eq!(report.nodes[0].last, ledger.health().last_sequence);
}

#[test]
fn where_there_is_no_ledger_none_is_called_intact() {
    let folder = tempfile::tempdir().unwrap();
    let paths = vec![folder.path().to_owned()];
    assert!(verify(&VerifyRequest { paths, ..VerifyRequest::default() }).is_err());
}

#[test]
fn a_file_is_closed_at_its_age_however_often_the_daemon_starts() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let rotate_age = Duration::from_secs(1);
    let settings = || LedgerSettings { rotate_age, compress: false, ..settings(folder) };
    wait_until("a second file", || {
        let ledger = Ledger::open(LedgerSettings { rotate_bytes: 1 << 30, ..settings() }).unwrap();
        fill(&ledger, 1);
        ledger.close("test").unwrap();
        names(folder, ".jsonl").len() > 1
    });
    assert!(check(folder).is_intact());
}

/// As a full disk or a power cut may leave it.
#[test]
fn a_torn_statement_or_copy_of_a_checkpoint_takes_none_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::create_dir(folder.join("ledger")).unwrap();
    for name in ["archives-n1.jsonl", "checkpoints-n1.jsonl"] {
        fs::write(folder.join("ledger").join(name), "{\"v\":1,\"node\":\"n").unwrap();
    }
    let encrypt_to = Recipient::parse(RECIPIENT);
    let ledger = Ledger::open(LedgerSettings { encrypt_to, ..settings(folder) }).unwrap();
    fill(&ledger, 60);
    wait_until("encryption", || !names(folder, ".jsonl.zst.age").is_empty());
    wait_until("the removal of the readable file", || names(folder, ".jsonl.zst").is_empty());
    ledger.close("test").unwrap();
    let report = check(folder);
    assert!(report.is_intact(), "{:?}", report.findings().next());
    // Also those of the encrypted files' ends.
    let copies = fs::read_to_string(folder.join("ledger/checkpoints-n1.jsonl")).unwrap();
    assert_eq!(report.nodes[0].anchors_met, copies.lines().count() as u64);
    assert!(report.nodes[0].sealed > 0);
}

#[test]
fn a_file_that_a_kill_left_without_a_record_keeps_none_from_being_put_away() {
    // Made but not written to, and written to in part.
    for left in ["", "{\"v\":2,\"se"] {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let encrypt_to = Recipient::parse(RECIPIENT);
        let open = || Ledger::open(LedgerSettings { encrypt_to, ..settings(folder) }).unwrap();
        let ledger = open();
        fill(&ledger, 1);
        let next = ledger.health().last_sequence + 2;
        ledger.close("test").unwrap();
        let empty = format!("ledger-n1-{next:012}.jsonl");
        fs::write(folder.join("ledger").join(&empty), left).unwrap();
        let ledger = open();
        fill(&ledger, 60);
        wait_until("encryption", || names(folder, ".jsonl.zst.age").len() > 1);
        wait_until("the end of it", || names(folder, ".jsonl.zst").is_empty());
        ledger.close("test").unwrap();
        let report = check(folder);
        assert!(report.is_intact(), "{:?}", report.findings().next());
        assert_eq!(found(folder, "ledger_trouble"), 0);
        assert!(!names(folder, "").iter().any(|name| name.starts_with(&empty)));
    }
}

#[test]
fn an_encrypted_file_is_never_there_without_what_is_signed_about_it() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let encrypt_to = Recipient::parse(RECIPIENT);
    let ledger = Ledger::open(LedgerSettings { encrypt_to, ..settings(folder) }).unwrap();
    // It can't be signed for, as on a full disk, or as if the process were killed there.
    let statements = folder.join("ledger/archives-n1.jsonl");
    fs::create_dir(&statements).unwrap();
    fill(&ledger, 60);
    wait_until("the failure", || found(folder, "ledger_trouble") > 0);
    wait_for_two_passes(folder);
    ledger.close("test").unwrap();
    assert_eq!(found(folder, "ledger_trouble"), 1, "it is told once");
    fs::remove_dir(&statements).unwrap();
    let report = check(folder);
    assert!(report.is_intact(), "{:?}", report.findings().next());
    assert!(report.nodes[0].sealed == 0 && found(folder, "intent") == 60);
}

fn contents(folder: &Path, name: &str) -> Vec<u8> {
    fs::read(folder.join("ledger").join(name)).unwrap()
}

#[test]
fn a_closed_file_is_never_replaced_by_a_part_of_it_that_somebody_unpacked() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let ledger = Ledger::open(settings(folder)).unwrap();
    fill(&ledger, 200);
    wait_until("compression", || names(folder, ".jsonl.zst").len() > 2);
    let [first, second] = [0, 1].map(|at| names(folder, ".jsonl.zst").remove(at));
    let unpacked = |name: &str| zstd::decode_all(&contents(folder, name)[..]).unwrap();
    let plain = |name: &str| folder.join("ledger").join(name.trim_end_matches(".zst"));
    let (whole, packed) = (unpacked(&first), contents(folder, &first));
    let lines = whole.iter().rposition(|byte| *byte == b'\n').unwrap();
    let half = whole[..lines].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    fs::write(plain(&first), &whole[..half]).unwrap();
    fs::write(plain(&second), unpacked(&second)).unwrap();
    wait_until("the note", || found(folder, "ledger_trouble") > 0);
    wait_until("the removal of what is there twice", || !plain(&second).exists());
    assert!(plain(&first).exists() && contents(folder, &first) == packed);
    fs::remove_file(plain(&first)).unwrap();
    ledger.close("test").unwrap();
    assert!(check(folder).is_intact());
}

#[test]
fn reading_a_live_ledger_is_recorded_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let ledger = Ledger::open(settings(folder)).unwrap();
    let paths: Vec<PathBuf> = vec![folder.join("ledger")];
    let mut reader = Reader { name: "op", uid: 1000, login_uid: None };
    note_reading(&paths, reader, "search --user alice").unwrap();
    wait_until("the record", || found(folder, "reading") == 1);
    let mut out = Vec::new();
    let what = Search { event: Some("reading".into()), ..Search::default() };
    search(&paths, &what, &mut out).unwrap();
    let record: serde_json::Value = serde_json::from_slice(&out).unwrap();
    assert_eq!((record["by"].as_str(), record["uid"].as_u64()), (Some("op"), Some(1000)));
    assert_eq!(record["what"], "search --user alice");
    assert!(record.get("login_uid").is_none(), "{record}");
    reader.login_uid = Some(1001);
    note_reading(&paths, reader, "search").unwrap();
    wait_until("the record", || found(folder, "reading") == 2);
    out.clear();
    search(&paths, &what, &mut out).unwrap();
    assert!(String::from_utf8(out).unwrap().contains(",\"uid\":1000,\"login_uid\":1001,"));
    ledger.close("test").unwrap();
    fs::remove_dir_all(folder.join("ledger/readings")).unwrap();
    assert!(note_reading(&paths, reader, "search").is_err());
    // A copy has no journal.
    fs::remove_file(folder.join("ledger/journal-n1")).unwrap();
    note_reading(&paths, reader, "search").unwrap();
}

#[test]
fn what_is_no_note_of_a_reading_holds_up_none_behind_it() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let ledger = Ledger::open(settings(folder)).unwrap();
    let notes = folder.join("ledger/readings");
    wait_until("the folder", || notes.exists());
    // In their order before any that a reader leaves: they begin with the time.
    fs::create_dir(notes.join("0-a-folder.json")).unwrap();
    let pipe = Command::new("mkfifo").arg(notes.join("0-a-pipe.json")).status().unwrap();
    assert!(pipe.success());
    let reader = Reader { name: "op", uid: 1000, login_uid: None };
    note_reading(&[folder.join("ledger")], reader, "search").unwrap();
    wait_until("the record", || found(folder, "reading") == 1);
    wait_until("both are told", || found(folder, "ledger_trouble") == 2);
    fs::remove_dir(notes.join("0-a-folder.json")).unwrap();
    ledger.close("test").unwrap();
    assert!(fs::read_dir(notes).unwrap().next().is_none(), "the pipe is gone too");
    assert_eq!(found(folder, "ledger_trouble"), 2);
}

/// The other side of the format, written by its authors; CI installs it.
#[test]
#[ignore = "needs the programs age and age-keygen: --ignored"]
fn the_age_tool_makes_a_closed_file_readable_again() {
    use std::process::Command;
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let identity = folder.join("identity");
    let made = Command::new("age-keygen").arg("-o").arg(&identity).output().unwrap();
    assert!(made.status.success());
    let public = Command::new("age-keygen").arg("-y").arg(&identity).output().unwrap();
    let recipient = Recipient::parse(String::from_utf8(public.stdout).unwrap().trim()).unwrap();
    // Several chunks of 64 KiB, compressed: texts that don't repeat.
    let settings =
        LedgerSettings { encrypt_to: Some(recipient), rotate_bytes: 1 << 20, ..settings(folder) };
    let ledger = Ledger::open(settings).unwrap();
    let tag = ledger.tag(&who(1));
    for number in 0..4000_u64 {
        let text = format!("SELECT '{}'", number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        drop(ledger.intent(&tag, &query(text.as_bytes())).wait().unwrap());
    }
    wait_until("encryption", || !names(folder, ".jsonl.zst.age").is_empty());
    ledger.close("test").unwrap();
    let name = names(folder, ".jsonl.zst.age").remove(0);
    let copy = folder.join("copy");
    fs::create_dir(&copy).unwrap();
    let opened = Command::new("age")
        .args(["--decrypt", "-i"])
        .arg(&identity)
        .arg("-o")
        .arg(copy.join(name.strip_suffix(".age").unwrap()))
        .arg(folder.join("ledger").join(&name))
        .output()
        .unwrap();
    assert!(opened.status.success(), "{}", String::from_utf8_lossy(&opened.stderr));
    let report = verify(&VerifyRequest { paths: vec![copy], ..VerifyRequest::default() }).unwrap();
    assert!(report.is_intact() && report.nodes[0].records > 1000, "{report:?}");
}
