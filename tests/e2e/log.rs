//! The log is no evidence, the ledger is: whatever becomes of the one, the other and all that is
//! promised go on.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use access::{Identity, UserStatus};
use readgate::identity::SqliteStore;
use readgate_tests::config::set;
use readgate_tests::keeper::Kept;
use readgate_tests::place::wait_for;
use readgate_tests::raw::Login;
use readgate_tests::readgate::{Readgate, program};
use readgate_tests::server::Flavour;
use readgate_tests::stage::{Stage, login_at, stage};

use crate::people::{GIVEN, add, name, set_status, with_store};

const SOON: Duration = Duration::from_secs(20);
/// Neither reading an empty pipe nor writing to a full one waits.
const O_NONBLOCK: i32 = 0o4000;
/// Each leaves a line in the log: more than a pipe holds.
const MANY: usize = 1000;

/// Makes a pipe, and holds both its ends.
fn pipe_at(path: &Path) -> File {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    OpenOptions::new().read(true).write(true).custom_flags(O_NONBLOCK).open(path).unwrap()
}

/// Sessions are recorded, users followed, and the replica is watched.
fn all_goes_on(stage: &Stage, readgate: &Readgate, store: &SqliteStore) {
    for number in 0..3 {
        let mut alice = stage.enter(readgate, "alice");
        let text = format!("SELECT 'logged {number}'");
        assert_eq!(alice.query(&text).value(), format!("logged {number}"));
        drop(alice);
        let intent = readgate.record("intent", |record| record["text"] == text);
        readgate.record("disconnect", |record| record["session"] == intent["session"]);
    }
    let login = Login::user("bob", GIVEN);
    let mut bob = login_at(readgate.port, &stage.ca_file(), &login);
    assert_eq!(bob.query("SELECT 1").value(), "1");
    set_status(store, "bob", UserStatus::Disabled);
    assert!(bob.is_sent_away(SOON), "users are followed");
    readgate.record("access_change", |record| record["user"] == "bob");
}

#[test]
fn a_log_that_takes_nothing_ends_nothing() {
    let stage = stage(Flavour::MariaDb);
    let (directory, config, store) = with_store(stage, "log_full");
    add(&store, Identity::new(name("bob"), "Bob Builder", "default"), 0);
    symlink("/dev/full", directory.join("log")).unwrap();
    let mut readgate = Readgate::start(&directory, config);
    all_goes_on(stage, &readgate, &store);
    assert!(readgate.metric("readgate_log_lost_lines_total").unwrap() > 0);
    assert!(readgate.stop(SOON).success());
}

#[test]
fn nothing_waits_for_a_log_that_nobody_reads() {
    let stage = stage(Flavour::MariaDb);
    let (directory, config, store) = with_store(stage, "log_hangs");
    add(&store, Identity::new(name("bob"), "Bob Builder", "default"), 0);
    let mut reader = pipe_at(&directory.join("log"));
    let mut readgate = Readgate::start(&directory, config);
    for _ in 0..MANY {
        let address = SocketAddr::from(([127, 0, 0, 1], readgate.port));
        TcpStream::connect_timeout(&address, SOON).expect("it takes whoever comes");
    }
    all_goes_on(stage, &readgate, &store);
    let lost = wait_for("it is read again", SOON, || {
        let mut told = [0; 1 << 16];
        let length = reader.read(&mut told).ok()?;
        let told = String::from_utf8_lossy(&told[..length]).into_owned();
        told.contains("bob").then_some(told)
    });
    assert!(!lost.contains("panicked"), "{lost}");
    assert!(readgate.stop(SOON).success());
}

#[test]
fn a_start_that_fails_does_not_wait_for_who_is_told_why() {
    let stage = stage(Flavour::MariaDb);
    let (directory, mut config) = stage.own_config("log_full_start");
    let (pipe, file) = (directory.join("full"), directory.join("proxy.toml"));
    let mut full = pipe_at(&pipe);
    while full.write(&[0]).is_ok() {}
    set(&mut config, "listener.0.address", format!("127.0.0.1:{}", stage.readgate.port));
    for (config, status) in [("listener = 0", 78), (&config.to_string(), 69)] {
        fs::write(&file, config).unwrap();
        let mut command = Command::new(program());
        command.args(["serve", "--config"]).arg(&file);
        let mut readgate = Kept::start(&command, &pipe);
        let ended = wait_for("its end", SOON, || readgate.ended());
        assert_eq!(ended.code(), Some(status));
    }
}
