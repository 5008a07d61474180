//! A disk that refuses to take what the kernel holds for it, for a while: what it didn't take is
//! written to it again before anything counts as recorded.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use readgate_tests::config::set;
use readgate_tests::place::wait_for;
use readgate_tests::readgate::{Readgate, run};
use readgate_tests::server::Flavour;
use readgate_tests::stage::stage;
use toml::Table;

const SOON: Duration = Duration::from_secs(20);

/// What stands between the daemon and its disk.
struct Disk {
    /// Bytes that a sync has brought there.
    holds: PathBuf,
    refuses: PathBuf,
    environment: Vec<(&'static str, String)>,
}

impl Disk {
    fn of(directory: &Path) -> Self {
        let (holds, refuses) = (directory.join("disk"), directory.join("refuses"));
        let code = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/refusing_disk.c");
        let library = directory.join("refusing_disk.so");
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(code);
        assert!(compiler.status().expect("a C compiler, which Rust links with").success());
        fs::create_dir(&holds).unwrap();
        let environment = [
            ("LD_PRELOAD", &library),
            ("DISK_OF", &directory.join("ledger")),
            ("DISK_HOLDS", &holds),
            ("DISK_REFUSES", &refuses),
        ];
        let environment = environment.map(|(name, path)| (name, path.display().to_string()));
        Self { holds, refuses, environment: environment.to_vec() }
    }

    fn refused(&self) -> u64 {
        fs::metadata(&self.refuses).map_or(0, |found| found.len())
    }
}

/// One flavour is enough: no server has a part in it.
fn what_the_disk_refused_is_written_again(sync: &str) {
    let stage = stage(Flavour::MariaDb);
    let (directory, mut config): (PathBuf, Table) = stage.own_config(&format!("disk_{sync}"));
    set(&mut config, "ledger.sync", sync);
    set(&mut config, "ledger.compress", false);
    let disk = Disk::of(&directory);
    let mut readgate = Readgate::start_with(&directory, config, &disk.environment);
    let mut alice = stage.enter(&readgate, "alice");
    alice.query("SELECT 'recorded before'").expect_ok();

    fs::write(&disk.refuses, "").unwrap();
    let error = wait_for("a refusal", SOON, || alice.query("SELECT 'meanwhile'").error());
    assert_eq!((error.code, error.state.as_str()), (1290, "HY000"), "{error}");
    assert!(error.message.starts_with("readgate: refused, the ledger can't record it"), "{error}");
    wait_for("it has tried again and again", SOON, || (disk.refused() > 5).then_some(()));
    let (code, told) = readgate.http("/readyz").expect("an answer");
    assert!(code == 503 && told.contains("ledger"), "{code} {told}");
    fs::remove_file(&disk.refuses).unwrap();

    wait_for("it answers again", SOON, || {
        alice.query("SELECT 'recorded after'").error().is_none().then_some(())
    });
    readgate.record("ledger_resumed", |record| {
        record["reason"].as_str().is_some_and(|reason| reason.contains("Input/output error"))
    });
    readgate.stop(SOON);
    let ledger = directory.join("ledger");
    let verified = run(&["ledger", "verify", &ledger.display().to_string()], "");
    assert!(verified.status.success(), "{verified:?}");
    let mut files = 0;
    for entry in fs::read_dir(&ledger).unwrap() {
        let name = entry.unwrap().file_name();
        if name.to_string_lossy().starts_with("ledger-") {
            let on_disk = fs::read(disk.holds.join(&name)).unwrap_or_default();
            assert!(on_disk == fs::read(ledger.join(&name)).unwrap(), "{name:?} isn't on the disk");
            files += 1;
        }
    }
    assert!((2..=3).contains(&files), "{files} files");
}

#[test]
fn what_the_disk_refused_is_written_again_after_each() {
    what_the_disk_refused_is_written_again("each");
}

#[test]
fn what_the_disk_refused_is_written_again_after_a_group() {
    what_the_disk_refused_is_written_again("group");
}

#[test]
fn what_the_disk_refused_is_written_again_after_an_interval() {
    what_the_disk_refused_is_written_again("interval");
}
