//! Whatever is done to a ledger's files, the verifier tells it and says where.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::wildcard_enum_match_arm,
    clippy::indexing_slicing,
    reason = "helpers of tests may stop at the first surprise"
)]

mod common;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use common::{files, ok, query, records, who};
use ledger::verify::{Finding, VerifyReport, VerifyRequest, What, verify};
use ledger::{Ledger, LedgerSettings, PublicKey, keygen, rotate_key};
use ring::digest::{SHA256, digest};

/// A closed ledger in a folder, and its files' lines.
struct Made {
    folder: tempfile::TempDir,
    key: PublicKey,
}

impl Made {
    fn new(statements: usize, change: impl FnOnce(&mut LedgerSettings)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys = tempfile::tempdir().unwrap();
        let key_file = keys.path().join("k");
        let key = keygen(&key_file).unwrap();
        let mut settings = LedgerSettings { key_file, ..LedgerSettings::new(folder.path(), "n1") };
        change(&mut settings);
        write(settings, statements);
        Self { folder, key }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn verify(&self) -> VerifyReport {
        let paths = vec![self.path().to_owned()];
        verify(&VerifyRequest { paths, public_key: Some(self.key), anchors: vec![] }).unwrap()
    }

    /// Lets `tamper` change the lines of a file, verifies, and puts the file back.
    fn tampered(&self, file: &Path, tamper: impl FnOnce(&mut Vec<Vec<u8>>)) -> VerifyReport {
        let whole = fs::read(file).unwrap();
        let mut lines: Vec<Vec<u8>> =
            whole.split_inclusive(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
        tamper(&mut lines);
        fs::write(file, lines.concat()).unwrap();
        let report = self.verify();
        fs::write(file, whole).unwrap();
        report
    }
}

fn write(settings: LedgerSettings, statements: usize) {
    let ledger = Ledger::open(settings).unwrap();
    let tag = ledger.tag(&who(1));
    for number in 0..statements {
        let text = format!("SELECT {number}");
        let intent = ledger.intent(&tag, &query(text.as_bytes())).wait().unwrap();
        ledger.outcome(&tag, intent, &ok()).wait().unwrap();
    }
    ledger.close("test").unwrap();
}

fn first(report: &VerifyReport) -> Finding {
    report.findings().next().expect("nothing was found").clone()
}

/// Numbers that look random and are the same in each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }
}

#[test]
fn an_untouched_ledger_is_intact_and_tells_its_extent() {
    let made = Made::new(5000, |settings| settings.checkpoint_records = 1000);
    let report = made.verify();
    assert!(report.is_intact(), "{:?}", report.findings().collect::<Vec<_>>());
    let node = &report.nodes[0];
    assert!(node.checkpoints >= 10 && node.closed && node.key_trusted);
    assert_eq!((node.first, node.last), (1, node.records));
    assert_eq!(node.anchors_met, node.checkpoints);
    assert_eq!(node.after_last_checkpoint, 0);
}

#[test]
fn each_byte_of_a_ledger_counts() {
    let made = Made::new(3, |_| {});
    let file = files(made.path()).remove(0);
    let whole = fs::read(&file).unwrap();
    let mut line = 1;
    for at in 0..whole.len() {
        for flip in [0x01, 0x20, 0x80] {
            let mut bytes = whole.clone();
            bytes[at] ^= flip;
            fs::write(&file, &bytes).unwrap();
            let found = first(&made.verify());
            // A line feed more or less moves the place by one line.
            assert!(found.line.abs_diff(line) <= 1, "byte {at} of line {line}: {found}");
        }
        line += u64::from(whole[at] == b'\n');
    }
}

#[test]
fn changes_in_ten_thousand_records_are_found_at_their_line() {
    let made = Made::new(5000, |settings| settings.checkpoint_records = 1000);
    let file = files(made.path()).remove(0);
    let lines = fs::read(&file).unwrap().split(|b| *b == b'\n').count() - 1;
    let mut numbers = Numbers(7);
    for round in 0..25 {
        let at = 1 + numbers.below(lines - 2);
        let line = u64::try_from(at).unwrap() + 1;

        let report = made.tampered(&file, |lines| {
            let byte = numbers.below(lines[at].len() - 1);
            lines[at][byte] = lines[at][byte].wrapping_add(1);
        });
        assert_eq!(first(&report).line, line, "round {round}, changed: {}", first(&report));

        let report = made.tampered(&file, |lines| drop(lines.remove(at)));
        let missing = What::Missing { from: line, to: line };
        assert_eq!((first(&report).line, first(&report).what), (line, missing), "round {round}");

        let report = made.tampered(&file, |lines| lines.swap(at, at - 1));
        assert_eq!(first(&report).line, line - 1, "round {round}, swapped: {}", first(&report));

        let report = made.tampered(&file, |lines| lines.insert(at, lines[at / 2].clone()));
        let found = (first(&report).line, first(&report).what);
        assert_eq!(found, (line, What::OutOfPlace), "round {round}, inserted");

        let report = made.tampered(&file, |lines| lines.truncate(at));
        let cut = report.findings().any(|found| matches!(found.what, What::CutTail { .. }));
        assert!(cut, "round {round}: cut tail not found");
    }
}

#[test]
fn a_removed_file_is_found() {
    let made = Made::new(3000, |settings| settings.rotate_bytes = 300 << 10);
    assert!(made.verify().is_intact());
    let all = files(made.path());
    assert!(all.len() >= 4, "{all:?}");
    for (place, file) in all.iter().enumerate() {
        let away = made.path().join("away");
        fs::rename(file, &away).unwrap();
        let report = made.verify();
        let found = report.findings().any(|found| match found.what {
            What::Missing { .. } => place < all.len() - 1,
            What::CutTail { .. } => place == all.len() - 1,
            _ => false,
        });
        assert!(found, "file {place}: {:?}", report.findings().collect::<Vec<_>>());
        fs::rename(&away, file).unwrap();
    }
}

#[test]
fn a_rewritten_ledger_with_another_key_is_found() {
    let made = Made::new(10, |_| {});
    let forged = Made::new(10, |_| {});
    let report = verify(&VerifyRequest {
        paths: vec![forged.path().to_owned()],
        public_key: Some(made.key),
        anchors: vec![],
    });
    let report = report.unwrap();
    assert!(matches!(first(&report).what, What::UntrustedKey { .. }));
    assert!(!report.nodes[0].key_trusted);
}

/// Lays the chain anew through changed lines, as whoever lacks the key can.
fn link(lines: &mut [Vec<u8>], is_head_told: bool) {
    for at in 1..lines.len() {
        let (before, line) = lines.split_at_mut(at);
        let hash = digest(&SHA256, before[at - 1].strip_suffix(b"\n").unwrap());
        let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        let mut text = String::from_utf8(line[0].clone()).unwrap();
        let told: &[&str] = if is_head_told { &["prev", "head"] } else { &["prev"] };
        for name in told {
            let member = format!(",\"{name}\":\"");
            if let Some(found) = text.rfind(&member) {
                let value = found + member.len();
                text.replace_range(value..value + 64, &hash);
            }
        }
        line[0] = text.into_bytes();
    }
}

#[test]
fn a_chain_laid_anew_without_the_key_is_found_by_its_first_signature() {
    let made = Made::new(30, |settings| settings.checkpoint_records = 10);
    let file = files(made.path()).remove(0);
    let checkpoint = |lines: &[Vec<u8>]| {
        let is_one =
            |line: &Vec<u8>| String::from_utf8_lossy(line).contains("\"event\":\"checkpoint\"");
        lines.iter().skip(5).position(is_one).unwrap() + 6
    };
    let untouched = made.tampered(&file, |lines| link(lines, true));
    assert!(untouched.is_intact(), "{:?}", first(&untouched));
    // The signature of then over the head of then, and over that of the other chain.
    for is_head_told in [false, true] {
        let mut place = 0;
        let report = made.tampered(&file, |lines| {
            place = u64::try_from(checkpoint(lines)).unwrap();
            let changed = String::from_utf8(lines[4].clone()).unwrap().replace("alice", "clara");
            lines[4] = changed.replace("SELECT", "HELLO,").into_bytes();
            link(lines, is_head_told);
        });
        let first = first(&report);
        assert_eq!((first.what, first.line), (What::BadSignature, place), "{is_head_told}");
    }
}

#[test]
fn copies_of_checkpoints_count_as_other_programs_leave_them_and_none_is_not_agreement() {
    let made = Made::new(20, |_| {});
    let copies = fs::read_to_string(made.path().join("checkpoints-n1.jsonl")).unwrap();
    let file = files(made.path()).remove(0);
    let cut = tempfile::tempdir().unwrap();
    let lines = fs::read_to_string(&file).unwrap();
    let kept: String = lines.split_inclusive('\n').take(10).collect();
    fs::write(cut.path().join(file.file_name().unwrap()), kept).unwrap();
    let found = |folder: &Path, copies: &str| {
        let anchor = cut.path().join("copies");
        fs::write(&anchor, copies).unwrap();
        let paths = vec![folder.to_owned()];
        let report = verify(&VerifyRequest { paths, public_key: None, anchors: vec![anchor] });
        let report = report.unwrap();
        assert_eq!(report.is_intact(), report.findings().next().is_none());
        report.findings().map(|one| one.what.clone()).collect::<Vec<_>>()
    };
    for form in [
        copies.clone(),
        copies.replace('\n', "\r\n"),
        format!("\u{feff}{copies}"),
        copies.trim_end().to_owned(),
        format!("{copies}{}", &copies[..copies.len() / 2]),
    ] {
        assert_eq!(found(made.path(), &form), [], "{form:?}");
        assert!(matches!(found(cut.path(), &form)[..], [What::CutTail { .. }]), "{form:?}");
    }
    for none in ["", "\n", &copies[..copies.len() - 2]] {
        assert_eq!(found(made.path(), none), [What::NoAnchor], "{none:?}");
    }
    let forged = copies.replace("\"records\":", "\"records\":9");
    assert!(found(made.path(), &forged).contains(&What::BadAnchor), "{forged}");
}

#[test]
fn a_tail_rewritten_by_who_holds_the_key_differs_from_the_anchors() {
    let made = Made::new(10, |_| {});
    let anchors = tempfile::tempdir().unwrap();
    let anchor = anchors.path().join("anchor.jsonl");
    fs::rename(made.path().join("checkpoints-n1.jsonl"), &anchor).unwrap();
    let key_file = anchors.path().join("k");
    let key = keygen(&key_file).unwrap();
    for file in files(made.path()) {
        fs::remove_file(file).unwrap();
    }
    fs::remove_file(made.path().join("journal-n1")).unwrap();
    write(LedgerSettings { key_file, ..LedgerSettings::new(made.path(), "n1") }, 10);
    let paths = vec![made.path().to_owned()];
    let report = verify(&VerifyRequest { paths, public_key: Some(key), anchors: vec![anchor] });
    assert_eq!(first(&report.unwrap()).what, What::AnchorDiffers);
}

#[test]
fn a_tail_cut_from_files_and_journal_is_no_power_cut_to_the_anchors() {
    let folder = tempfile::tempdir().unwrap();
    let settings =
        || LedgerSettings { checkpoint_records: 10, ..LedgerSettings::new(folder.path(), "n1") };
    write(settings(), 30);
    let file = files(folder.path()).remove(0);
    let lines = fs::read_to_string(&file).unwrap();
    fs::write(&file, lines.split_inclusive('\n').take(15).collect::<String>()).unwrap();
    // As after a kill: nothing speaks for the last checkpoint, that of an orderly close.
    let copies = folder.path().join("checkpoints-n1.jsonl");
    let text = fs::read_to_string(&copies).unwrap();
    let kept = text.trim_end().rfind('\n').unwrap() + 1;
    fs::write(&copies, &text[..kept]).unwrap();
    // All that the journal has left is the record before it.
    let journal = folder.path().join("journal-n1");
    let mut bytes = fs::read(&journal).unwrap();
    let stop = u64::try_from(lines.lines().count() - 1).unwrap().to_le_bytes();
    for at in (4096..bytes.len() - 16).step_by(8) {
        if bytes[at..].starts_with(b"RGe\x01") && bytes[at + 8..at + 16] != stop {
            bytes[at] = 0;
        }
    }
    fs::write(&journal, bytes).unwrap();
    write(settings(), 1);
    let verify = || {
        let paths = vec![folder.path().to_owned()];
        verify(&VerifyRequest { paths, ..VerifyRequest::default() }).unwrap()
    };
    let report = verify();
    let finding = Finding { file, line: 16, sequence: Some(16), what: What::AnchorDiffers };
    assert_eq!(report.nodes[0].findings, [finding]);
    assert!(report.nodes[0].lost > 10 && report.nodes[0].anchors_met > 0);
    // As where power went off before the first of those checkpoints was copied.
    fs::remove_file(copies).unwrap();
    assert!(verify().is_intact());
}

#[test]
fn records_of_another_node_are_told() {
    let made = Made::new(10, |_| {});
    let other = Made::new(10, |settings| settings.node = "n2".into());
    let foreign = fs::read(files(other.path()).remove(0)).unwrap();
    let line = foreign.split_inclusive(|b| *b == b'\n').nth(8).unwrap().to_vec();
    let file = files(made.path()).remove(0);
    let report = made.tampered(&file, |lines| lines.insert(3, line));
    assert_eq!(
        (first(&report).line, first(&report).what),
        (4, What::OtherNode { node: "n2".into() })
    );
}

#[test]
fn a_file_beside_the_ledgers_own_is_looked_at_too() {
    let made = Made::new(10, |_| {});
    let file = files(made.path()).remove(0);
    let text = fs::read_to_string(&file).unwrap();
    let beside = made.path().join("ledger-n1-000000000001.copy.jsonl");
    for text in [text.clone(), text.replace("alice", "carol")] {
        fs::write(&beside, text).unwrap();
        let report = made.verify();
        assert!(!report.is_intact() && first(&report).file == beside, "{report:?}");
    }
    fs::remove_file(beside).unwrap();
    // Another form of the same file, as a crash leaves it, is that file.
    let packed = zstd::encode_all(text.as_bytes(), 1).unwrap();
    fs::write(made.path().join("ledger-n1-000000000001.jsonl.zst"), packed).unwrap();
    assert!(made.verify().is_intact());
}

#[test]
fn a_rotated_key_is_followed_from_the_old_one() {
    let folder = tempfile::tempdir().unwrap();
    let settings = LedgerSettings::new(folder.path(), "n1");
    let old = keygen(&settings.key_file).unwrap();
    write(settings.clone(), 5);
    let (from, to) = rotate_key(&settings.key_file).unwrap();
    assert_eq!(from, old);
    write(settings.clone(), 5);
    write(settings, 5);
    let paths: Vec<PathBuf> = vec![folder.path().to_owned()];
    let report = verify(&VerifyRequest { paths, public_key: Some(old), anchors: vec![] }).unwrap();
    assert!(report.is_intact(), "{:?}", report.findings().collect::<Vec<_>>());
    assert_eq!(report.nodes[0].key.as_deref(), Some(to.to_hex().as_str()));
    let rotations = records(folder.path()).into_iter().filter(|r| r["event"] == "key_rotated");
    assert_eq!(rotations.count(), 1);
}

#[test]
fn the_newest_key_leads_back_to_those_before_it_and_no_further() {
    let folder = tempfile::tempdir().unwrap();
    let settings = LedgerSettings::new(folder.path(), "n1");
    let first = keygen(&settings.key_file).unwrap();
    let of_first = fs::read(&settings.key_file).unwrap();
    write(settings.clone(), 5);
    rotate_key(&settings.key_file).unwrap();
    write(settings.clone(), 5);
    let (_, newest) = rotate_key(&settings.key_file).unwrap();
    write(settings.clone(), 5);
    let check = |key| {
        let paths = vec![folder.path().to_owned()];
        verify(&VerifyRequest { paths, public_key: Some(key), anchors: vec![] }).unwrap()
    };
    let report = check(newest);
    assert!(report.is_intact(), "{:?}", report.findings().collect::<Vec<_>>());
    assert!(report.nodes[0].key_trusted);
    let nobodys = keygen(&folder.path().join("another.key")).unwrap();
    let of_nobody = check(nobodys);
    assert_eq!(of_nobody.findings().count(), 5, "three checkpoints, two rotations");

    // Who has stolen a key that was given up can't go on with it.
    let end = records(folder.path()).len() as u64;
    fs::write(&settings.key_file, of_first).unwrap();
    write(settings, 5);
    for trusted in [first, newest] {
        let report = check(trusted);
        let found: Vec<_> = report.findings().collect();
        assert!(
            matches!(found[..], [Finding { what: What::UntrustedKey { .. }, .. }]),
            "{found:?}"
        );
        assert!(found[0].sequence > Some(end));
    }
}

#[test]
fn a_rotation_by_root_leaves_the_new_key_and_what_leads_to_it_to_the_daemons_account() {
    let folder = tempfile::tempdir().unwrap();
    let settings = LedgerSettings::new(folder.path(), "n1");
    let key_file = &settings.key_file;
    keygen(key_file).unwrap();
    // Without root's rights both belong to whoever runs this.
    let _ = chown(key_file, Some(4242), Some(4243));
    let owner = |path: &Path| fs::metadata(path).map(|found| (found.uid(), found.gid())).unwrap();
    let before = owner(key_file);
    rotate_key(key_file).unwrap();
    assert_eq!(owner(key_file), before);
    let leads = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let leads: Vec<PathBuf> =
        leads.filter(|path| path != key_file && path.extension() != Some("pub".as_ref())).collect();
    assert_eq!(leads.len(), 1, "{leads:?}");
    assert_eq!(owner(&leads[0]), before);
    // As if it could not be read: the new key must not sign without it.
    fs::remove_file(&leads[0]).unwrap();
    fs::create_dir(&leads[0]).unwrap();
    assert!(Ledger::open(settings).is_err());
}

#[test]
fn a_key_that_others_may_use_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let settings = LedgerSettings::new(folder.path(), "n1");
    let redaction_key_file = Some(folder.path().join("redaction.key"));
    let settings = LedgerSettings { redaction_key_file: redaction_key_file.clone(), ..settings };
    Ledger::open(settings.clone()).unwrap().close("test").unwrap();
    for key in [&settings.key_file, redaction_key_file.as_ref().unwrap()] {
        fs::set_permissions(key, fs::Permissions::from_mode(0o644)).unwrap();
        let refused = Ledger::open(settings.clone()).err().unwrap().to_string();
        assert!(refused.contains(&format!("chmod 600 {}", key.display())), "{refused}");
        fs::set_permissions(key, fs::Permissions::from_mode(0o600)).unwrap();
    }
    Ledger::open(settings).unwrap().close("test").unwrap();
}

#[test]
fn a_rotation_that_was_cut_short_leaves_the_key_in_force_and_can_be_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let settings = LedgerSettings::new(folder.path(), "n1");
    let key_file = &settings.key_file;
    let old = keygen(key_file).unwrap();
    write(settings.clone(), 5);
    // As it stands before the new private key takes the place of the old one.
    let private = fs::read(key_file).unwrap();
    rotate_key(key_file).unwrap();
    fs::rename(key_file, key_file.with_extension("new")).unwrap();
    fs::write(key_file, private).unwrap();
    fs::set_permissions(key_file, fs::Permissions::from_mode(0o600)).unwrap();
    write(settings.clone(), 5);
    let (from, to) = rotate_key(key_file).unwrap();
    assert_eq!(from, old);
    assert!(rotate_key(key_file).is_err(), "one at a time");
    let of_a_folder = rotate_key(folder.path()).unwrap_err().to_string();
    assert!(of_a_folder.contains("name the key's file in it"), "{of_a_folder}");
    let public = fs::read_to_string(key_file.with_extension("pub")).unwrap();
    assert_eq!(public.trim(), to.to_hex());
    write(settings, 5);
    let paths: Vec<PathBuf> = vec![folder.path().to_owned()];
    let report = verify(&VerifyRequest { paths, public_key: Some(old), anchors: vec![] }).unwrap();
    assert!(report.is_intact(), "{:?}", report.findings().collect::<Vec<_>>());
    assert_eq!(report.nodes[0].key.as_deref(), Some(to.to_hex().as_str()));
}

#[test]
fn a_ledger_in_use_is_intact_up_to_its_last_line() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(LedgerSettings::new(folder.path(), "n1")).unwrap();
    let tag = ledger.tag(&who(1));
    let intent = ledger.intent(&tag, &query(b"SELECT 1")).wait().unwrap();
    while ledger.health().written_sequence < intent.sequence() {
        std::thread::yield_now();
    }
    let paths = vec![folder.path().to_owned()];
    let report = verify(&VerifyRequest { paths, ..VerifyRequest::default() }).unwrap();
    assert!(report.is_intact());
    assert!(!report.nodes[0].closed && !report.nodes[0].key_trusted);
    assert_eq!(report.nodes[0].after_last_checkpoint, 1);
    drop(intent);
    ledger.close("test").unwrap();
}
