//! What disks and other hands do to the ledger. Nothing is answered meanwhile that isn't recorded,
//! the daemon goes on by itself, and the ledger stays whole.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use readgate_tests::place::wait_for;
use readgate_tests::readgate::Readgate;

/// What the ledger may grow to.
const SIZE: &str = "size=1g";
/// What it still has when its disk is about to be full.
const LEFT_KIB: u64 = 64;
/// How long a full disk stays full.
const FULL: Duration = Duration::from_secs(1);
/// Within this the daemon has put a file back.
const SOON: Duration = Duration::from_secs(20);
/// What mounts are named after, with the id of this process.
const NAME: &str = "readgate-soak-";

/// A disk of its own for the ledger, which can be full: a tmpfs. A failed run leaves it mounted, to
/// be looked at; the next one lets it go.
#[derive(Debug)]
pub(crate) struct Disk(PathBuf);

impl Disk {
    /// `None` where nothing may be mounted.
    pub(crate) fn mount(at: &Path) -> Option<Self> {
        fs::create_dir_all(at).expect("the folder can be made");
        let name = format!("{NAME}{}", std::process::id());
        let path = at.display().to_string();
        let is_mounted = run("mount", &["-t", "tmpfs", "-o", SIZE, &name, &path]);
        is_mounted.then(|| Self(at.to_owned()))
    }

    /// Unmounts what ended runs have left.
    pub(crate) fn let_go_of_old() {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        for line in mounts.lines() {
            let Some((id, rest)) = line.strip_prefix(NAME).and_then(|rest| rest.split_once(' '))
            else {
                continue;
            };
            if !Path::new("/proc").join(id).exists() {
                run("umount", &["--lazy", rest.split(' ').next().expect("a place")]);
            }
        }
    }

    /// Has no more room, and then has again.
    pub(crate) fn fill(&self, daemon: &Readgate) {
        // It may have got more meanwhile than would be left.
        while !self.remount(&format!("size={}k", self.used() + LEFT_KIB)) {}
        // It may be so short of work, or of the processor, that it doesn't notice.
        let is_unwell = || daemon.http("/readyz").is_none_or(|(status, _)| status != 200);
        for _ in 0..50 {
            if is_unwell() {
                break;
            }
            thread::sleep(Duration::from_millis(50));
        }
        thread::sleep(FULL);
        assert!(self.remount(SIZE), "a disk can grow");
        daemon.wait_until_ready();
    }

    fn remount(&self, size: &str) -> bool {
        run("mount", &["-o", &format!("remount,{size}"), &self.0.display().to_string()])
    }

    fn used(&self) -> u64 {
        let path = self.0.display().to_string();
        let output = Command::new("df").args(["-k", "--output=used", &path]).output();
        let output = output.expect("df runs").stdout;
        let text = String::from_utf8_lossy(&output);
        text.lines().last().and_then(|line| line.trim().parse().ok()).expect("a number")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if !thread::panicking() {
            run("umount", &["--lazy", &self.0.display().to_string()]);
        }
    }
}

/// Another hand takes the newest file away. The daemon puts it back and tells of it: its name.
/// `None` where it was closed at that moment, and so was missed by nobody before it was back.
pub(crate) fn take_newest(ledger: &Path) -> Option<String> {
    let newest = || files(ledger).pop();
    let taken = newest().expect("a ledger has files");
    let aside = ledger.join("taken-by-another-hand");
    fs::hard_link(&taken, &aside).expect("it can have another name");
    fs::remove_file(&taken).expect("it can be removed");
    let mut is_missed = true;
    wait_for("a file is put back", SOON, || {
        let is_there = taken.exists() || packed(&taken).exists();
        if !is_there && newest() > Some(taken.clone()) {
            fs::rename(&aside, &taken).expect("it can be put back");
            is_missed = false;
        }
        is_there.then_some(())
    });
    // It is gone where it was put back by us.
    let _ = fs::remove_file(&aside);
    is_missed.then(|| taken.file_name().expect("a name").to_string_lossy().into_owned())
}

/// Another hand takes a closed file away in which none of these records stands, and puts it back when
/// `look` has looked, which is told what is to be found. Nothing happens while there are too few.
pub(crate) fn without_a_closed_file(ledger: &Path, needed: &[u64], look: impl FnOnce(&str)) {
    let all = files(ledger);
    let is_packed = |path: &Path| {
        path.extension().is_some_and(|end| end == "zst") && !path.with_extension("").exists()
    };
    let has_none = |from: u64, to: u64| !needed.iter().any(|needed| (from..=to).contains(needed));
    // Not the first: what is missing before that may have been removed in good order.
    let taken = all.windows(2).skip(1).find_map(|both| {
        let (from, to) = (first_of(&both[0]), first_of(&both[1]) - 1);
        (is_packed(&both[0]) && has_none(from, to)).then(|| (&both[0], from, to))
    });
    let Some((taken, from, to)) = taken else { return };
    let aside = ledger.join("taken-by-another-hand");
    fs::rename(taken, &aside).expect("it can be renamed");
    look(&format!("records {from} to {to} are missing before"));
    fs::rename(&aside, taken).expect("it can be put back");
}

/// The sequence that a file's name tells.
fn first_of(file: &Path) -> u64 {
    let name = file.file_name().expect("a name").to_string_lossy();
    let end = name.rsplit('-').next().expect("a number");
    end.split('.').next().and_then(|number| number.parse().ok()).expect("a number")
}

fn packed(file: &Path) -> PathBuf {
    file.with_extension("jsonl.zst")
}

/// Those of records, compressed or not, in order.
fn files(ledger: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(ledger).expect("the ledger's folder is there");
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    let is_ledger = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("ledger-") && (name.ends_with(".jsonl") || name.ends_with(".jsonl.zst"))
    };
    files.retain(|path| is_ledger(path));
    files.sort();
    files
}

/// `readgate ledger rotate-key`: what the daemon signs by from its next start on.
pub(crate) fn rotate_key(ledger: &Path) {
    let key = ledger.join("signing.key").display().to_string();
    let output = readgate_tests::readgate::run(&["ledger", "rotate-key", &key], "");
    assert!(output.status.success(), "{output:?}");
}

fn run(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
}
