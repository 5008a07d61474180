//! A disk that refuses for a while to take what the kernel holds for it, or to give it back: nothing
//! that was answered goes without its records.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use readgate_tests::config::set;
use readgate_tests::failing_disk::FailingDisk;
use readgate_tests::place::wait_for;
use readgate_tests::readgate::{Readgate, program, run};
use readgate_tests::server::Flavour;
use readgate_tests::stage::stage;
use toml::Table;

const SOON: Duration = Duration::from_secs(20);

/// One flavour is enough: no server has a part in it.
fn what_the_disk_refused_is_written_again(sync: &str) {
    let stage = stage(Flavour::MariaDb);
    let (directory, mut config): (PathBuf, Table) = stage.own_config(&format!("disk_{sync}"));
    set(&mut config, "ledger.sync", sync);
    set(&mut config, "ledger.compress", false);
    let disk = FailingDisk::of(&directory);
    let mut readgate = Readgate::start_with(&directory, config, &disk.environment);
    let mut alice = stage.enter(&readgate, "alice");
    alice.query("SELECT 'recorded before'").expect_ok();
    readgate.record("intent", |record| record["text"] == "SELECT 'recorded before'");

    disk.fail("syncs");
    let error = wait_for("a refusal", SOON, || alice.query("SELECT 'meanwhile'").error());
    assert_eq!((error.code, error.state.as_str()), (1290, "HY000"), "{error}");
    assert!(error.message.starts_with("readgate: refused, the ledger can't record it"), "{error}");
    disk.wait_for_failures(10);
    let (code, told) = readgate.http("/readyz").expect("an answer");
    assert!(code == 503 && told.contains("ledger"), "{code} {told}");
    let logged = |what: &str| {
        wait_for(what, SOON, || readgate.log().contains(what).then_some(()));
    };
    logged("the ledger takes no records: nothing is forwarded why=");
    disk.serve();

    wait_for("it answers again", SOON, || {
        alice.query("SELECT 'recorded after'").error().is_none().then_some(())
    });
    logged("the ledger takes records again");
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
    assert_eq!(files, 2, "one is begun, and not one for each try");
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

/// A start on that disk, ended after so many seconds if it comes to anything.
pub(crate) fn start_for(seconds: &str, directory: &Path, disk: &FailingDisk) -> Output {
    let mut start = Command::new("timeout");
    start.arg(seconds).arg(program()).args(["serve", "--config"]).arg(directory.join("proxy.toml"));
    start.envs(disk.environment.iter().cloned()).output().expect("it runs")
}

/// What a killed daemon had on its way into the files is not given up where it can't be read.
#[test]
fn a_journal_that_cannot_be_read_is_kept_for_the_next_start() {
    let stage = stage(Flavour::MariaDb);
    let (directory, config) = stage.own_config("disk_journal");
    let disk = FailingDisk::of(&directory);
    let mut readgate = Readgate::start_with(&directory, config, &disk.environment);
    let mut alice = stage.enter(&readgate, "alice");
    disk.fail("writes");
    alice.query("SELECT 'only in the journal'").expect_ok();
    disk.wait_for_failures(10);
    readgate.kill();
    let output = start_for("20", &directory, &disk);
    let told = String::from_utf8_lossy(&output.stderr);
    // A service manager tries again, the disk may come.
    assert_eq!(output.status.code(), Some(69), "{told}");
    assert!(told.contains("ledger: can't read") && told.contains("journal-"), "{told}");
    disk.serve();
    readgate.restart();
    let intent =
        readgate.record("intent", |record| record["text"] == "SELECT 'only in the journal'");
    readgate.record("outcome", |record| record["intent"] == intent["seq"] && record["end"] == "ok");
}

/// Exit status 78 would mean that it needn't be tried again.
#[test]
fn a_start_from_a_file_that_the_disk_does_not_give_is_to_be_tried_again() {
    let stage = stage(Flavour::MariaDb);
    let (directory, config) = stage.own_config("disk_start");
    let certificate = stage.ca_file().with_file_name("readgate.crt");
    drop(Readgate::start(&directory, config));
    for file in [&directory.join("proxy.toml"), &directory.join("replica.password"), &certificate] {
        let disk = FailingDisk::of(&directory).below(file);
        disk.fail_at_random(100);
        let output = start_for("20", &directory, &disk);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(69), "{told}");
        assert!(told.contains(&format!("{}: Input/output error", file.display())), "{told}");
    }
}
