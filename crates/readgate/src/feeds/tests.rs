//! What files in a folder amount to: real archives, cut, changed and replaced.
use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use config::{FeedFiles, FileForm};

use super::check::{Verdict, check};
use super::folder::{Checks, look};
use super::standing::Seen;

/// A deflated and a stored entry, by Python 3.11.
const PLAIN: &str = "\
    UEsDBBQAAAAIAAAgalzx7L7dEQAAAJABAAAJAAAAZm9ybXMuY3N2y0zRScwrLk8t4socZQ0CFgBQSwMEFAAAAAAAAC\
    BqXGV40VoPAAAADwAAAAkAAABub3Rlcy50eHRzdG9yZWQgYXMgaXQgaXNQSwECFAMUAAAACAAAIGpc8ey+3REAAACQ\
    AQAACQAAAAAAAAAAAAAAgAEAAAAAZm9ybXMuY3N2UEsBAhQDFAAAAAAAACBqXGV40VoPAAAADwAAAAkAAAAAAAAAAA\
    AAAIABOAAAAG5vdGVzLnR4dFBLBQYAAAAAAgACAG4AAABuAAAAAAA=";
/// Written to a pipe: lengths stand behind the data.
const STREAMED: &str = "\
    UEsDBC0ACAAIAAAgalwAAAAA//////////8HABQAYmlnLmNzdgEAEAAAAAAAAAAAAAAAAAAAAAAAq9Cp5KoYBhgAUE\
    sHCKDerX0JAAAAAAAAAMgAAAAAAAAAUEsBAi0DLQAIAAgAACBqXKDerX0JAAAAyAAAAAcAAAAAAAAAAAAAAIABAAAA\
    AGJpZy5jc3ZQSwUGAAAAAAEAAQA1AAAAWgAAAAAA";
/// All numbers in their 64-bit places.
const WIDE: &str = "\
    UEsDBC0AAAAIAAAgalw3CYsF//////////8IABQAd2lkZS5jc3YBABAAeAAAAAAAAAAJAAAAAAAAAEvUSeJKHAAMAF\
    BLAQItAy0AAAAIAAAgalw3CYsF//////////8IABQAAAAAAAAAAACAAQAAAAB3aWRlLmNzdgEAEAB4AAAAAAAAAAkA\
    AAAAAAAAUEsGBiwAAAAAAAAALQAtAAAAAAAAAAAAAQAAAAAAAAABAAAAAAAAAEoAAAAAAAAAQwAAAAAAAABQSwYHAA\
    AAAI0AAAAAAAAAAQAAAFBLBQYAAAAAAQABAEoAAABDAAAAAAA=";

fn archive(text: &str) -> Vec<u8> {
    STANDARD.decode(text).unwrap()
}

fn files(folder: &Path, verify: FileForm, checksum: bool) -> FeedFiles {
    FeedFiles {
        folder: folder.to_owned(),
        pattern: "lab-*.zip".into(),
        min_size: 1,
        stable_for: Duration::from_secs(60),
        verify,
        checksum,
        longest_check: Duration::from_secs(60),
    }
}

fn verdict(content: &[u8], verify: FileForm) -> Verdict {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lab-1.zip");
    fs::write(&path, content).unwrap();
    check(&path, &files(folder.path(), verify, false))
}

fn is_malformed(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Malformed(_))
}

#[test]
fn whole_archives_are_whole_whoever_wrote_them() {
    for text in [PLAIN, STREAMED, WIDE] {
        assert_eq!(verdict(&archive(text), FileForm::Zip), Verdict::Whole);
    }
    let behind_a_program = [b"#!/bin/sh\n".to_vec(), archive(PLAIN)].concat();
    assert_eq!(verdict(&behind_a_program, FileForm::Zip), Verdict::Whole);
}

#[test]
fn every_cut_of_an_archive_is_malformed() {
    for text in [PLAIN, STREAMED, WIDE] {
        let whole = archive(text);
        for length in 0..whole.len() {
            let found = verdict(&whole[..length], FileForm::Zip);
            assert!(is_malformed(&found), "cut at {length}: {found:?}");
        }
    }
}

#[test]
fn a_changed_byte_of_content_is_found_and_none_anywhere_breaks_the_check() {
    let whole = archive(PLAIN);
    // Behind the first local header (30 bytes and "forms.csv").
    for at in 0..whole.len() {
        for change in [0x01, 0x80, 0xff] {
            let mut changed = whole.clone();
            changed[at] ^= change;
            let found = verdict(&changed, FileForm::Zip);
            let is_content = (39..45).contains(&at);
            assert!(!is_content || is_malformed(&found), "byte {at}: {found:?}");
            assert!(!matches!(found, Verdict::Failed(_)), "byte {at}: {found:?}");
        }
    }
}

#[test]
fn gzip_must_be_whole_too() {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(&b"id,answer\n".repeat(50)).unwrap();
    let whole = writer.finish().unwrap();
    assert_eq!(verdict(&whole, FileForm::Gzip), Verdict::Whole);
    for length in 0..whole.len() {
        assert!(is_malformed(&verdict(&whole[..length], FileForm::Gzip)), "cut at {length}");
    }
    let mut changed = whole.clone();
    changed[12] ^= 0x10;
    assert!(is_malformed(&verdict(&changed, FileForm::Gzip)));
}

#[test]
fn the_checksum_file_must_agree_in_each_of_its_forms() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lab-1.zip");
    fs::write(&path, "abc").unwrap();
    let sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let says = |text: &str| {
        fs::write(folder.path().join("lab-1.zip.sha256"), text).unwrap();
        check(&path, &files(folder.path(), FileForm::Any, true))
    };
    for right in [
        sum.to_owned(),
        format!("{sum}  lab-1.zip\n"),
        format!("{} *lab-1.zip\n", sum.to_uppercase()),
        format!("{}  lab-0.zip\n{sum}  lab-1.zip\n", "0".repeat(64)),
    ] {
        assert_eq!(says(&right), Verdict::Whole, "{right}");
    }
    for wrong in ["", "abc", &"0".repeat(64), &format!("{sum}0"), "\u{fffd}"] {
        assert!(is_malformed(&says(wrong)), "{wrong}");
    }
}

/// A folder whose files have been changed so many seconds before `now`.
fn look_at(given: &[(&str, &[u8], u64)], files: impl Fn(&Path) -> FeedFiles) -> (Seen, SystemTime) {
    let folder = tempfile::tempdir().unwrap();
    let now = SystemTime::now();
    for (name, content, age) in given {
        let mut file = fs::File::create(folder.path().join(name)).unwrap();
        file.write_all(content).unwrap();
        file.set_modified(now - Duration::from_secs(*age)).unwrap();
    }
    (look(&files(folder.path()), &mut Checks::default(), now), now)
}

fn arrived(now: SystemTime, age: u64, pending: Option<&str>) -> Seen {
    let at = (now - Duration::from_secs(age)).try_into().unwrap();
    Seen::Arrived { at, pending: pending.map(str::to_owned) }
}

#[test]
fn the_newest_file_that_has_settled_counts() {
    let any = |folder: &Path| files(folder, FileForm::Any, false);
    let (seen, now) = look_at(
        &[
            ("lab-1.zip", b"1", 5000),
            ("lab-2.zip", b"2", 100),
            ("lab-3.zip", b"3", 59),
            ("other.zip", b"4", 70),
        ],
        any,
    );
    assert_eq!(seen, arrived(now, 100, Some("\"lab-3.zip\" is still being written")));
    assert_eq!(look_at(&[("other.zip", b"1", 500)], any).0, Seen::Nothing { pending: None });
    let missing = Path::new("/nonexistent/feeds");
    let seen = look(&any(missing), &mut Checks::default(), now);
    assert!(matches!(seen, Seen::Unknown(why) if why.contains("can't be read")));
}

#[test]
fn a_file_too_small_or_damaged_is_malformed_although_an_older_one_is_whole() {
    let whole = archive(PLAIN);
    let zip = |folder: &Path| files(folder, FileForm::Zip, false);
    let given: [(&str, &[u8], u64); 2] =
        [("lab-1.zip", &whole, 5000), ("lab-2.zip", &whole[..200], 100)];
    let (seen, _) = look_at(&given, zip);
    assert!(
        matches!(&seen, Seen::Malformed { why, .. } if why.starts_with("\"lab-2.zip\" ")),
        "{seen:?}"
    );
    let big = |folder: &Path| FeedFiles { min_size: 1000, ..zip(folder) };
    let (seen, _) = look_at(&[("lab-1.zip", &whole, 500)], big);
    assert!(matches!(&seen, Seen::Malformed { why, .. } if why.contains("min_size")), "{seen:?}");
}

#[test]
fn without_its_checksum_file_a_file_has_not_come_yet() {
    let summed = |folder: &Path| files(folder, FileForm::Any, true);
    let (seen, _) = look_at(&[("lab-1.zip", b"abc", 500)], summed);
    let Seen::Nothing { pending: Some(why) } = seen else { panic!("{seen:?}") };
    assert_eq!(why, "\"lab-1.zip\" has no .sha256 file beside it yet");
}

#[test]
fn a_time_in_the_future_does_not_make_a_file_fresh_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let file = fs::File::create(folder.path().join("lab-1.zip")).unwrap();
    let now = SystemTime::now();
    file.set_modified(now + Duration::from_secs(86_400)).unwrap();
    let seen = look(&files(folder.path(), FileForm::Any, false), &mut Checks::default(), now);
    let Seen::Nothing { pending: Some(why) } = seen else { panic!("{seen:?}") };
    assert!(why.contains("lies in the future"), "{why}");
}

#[test]
fn a_content_is_read_once_as_long_as_the_file_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lab-1.zip");
    let now = SystemTime::now();
    let write = |content: &[u8], age: u64| {
        let mut file = fs::File::create(&path).unwrap();
        file.write_all(content).unwrap();
        file.set_modified(now - Duration::from_secs(age)).unwrap();
    };
    let (zip, mut checks) = (files(folder.path(), FileForm::Zip, false), Checks::default());
    let whole = archive(PLAIN);
    write(&whole, 500);
    assert_eq!(look(&zip, &mut checks, now), arrived(now, 500, None));
    // Same size, same time, other content: known, so not read again.
    write(&vec![0; whole.len()], 500);
    assert_eq!(look(&zip, &mut checks, now), arrived(now, 500, None));
    write(&vec![0; whole.len()], 400);
    assert!(matches!(look(&zip, &mut checks, now), Seen::Malformed { .. }));
}
