//! A thread that ends by a panic would leave half a daemon, which goes on as if it were whole: it
//! takes the daemon with it, the log says why, and nothing that anybody has seen is lost.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use readgate_tests::place::wait_for;
use readgate_tests::preloaded::library;
use readgate_tests::readgate::{Readgate, run};
use readgate_tests::server::Flavour;
use readgate_tests::stage::stage;
use toml::Table;

use crate::feeds::feed;

const SOON: Duration = Duration::from_secs(20);
const SIGABRT: i32 = 6;

/// A daemon behind a library that makes it panic, and the file that tells when.
fn start_with(
    directory: &Path,
    config: Table,
    name: &str,
    variable: &'static str,
) -> (Readgate, PathBuf) {
    fs::create_dir_all(directory).unwrap();
    let order = directory.join("order");
    let preload = library(directory, name).display().to_string();
    let environment = [("LD_PRELOAD", preload), (variable, order.display().to_string())];
    (Readgate::start_with(directory, config, &environment), order)
}

#[test]
fn a_thread_that_panics_takes_the_daemon_with_it() {
    let stage = stage(Flavour::MariaDb);
    let (directory, config) = stage.own_config("panics");
    let (mut readgate, order) = start_with(&directory, config, "failing_clock", "CLOCK_FAILS");
    for thread in ["worker-0", "ledger", "ledger-keeper"] {
        let text = format!("SELECT 'before {thread}'");
        let mut alice = stage.enter(&readgate, "alice");
        assert_eq!(alice.query(&text).value(), format!("before {thread}"));
        drop(alice);
        let status = wait_for("the end of the daemon", SOON, || {
            // A session's task may have taken the last one: it ends alone.
            if !order.exists() {
                fs::write(&order, thread).unwrap();
            }
            readgate.ended()
        });
        let _ = fs::remove_file(&order);
        assert_eq!(status.signal(), Some(SIGABRT), "{thread}");
        let log = readgate.log();
        let told = log.lines().any(|line| {
            line.contains("panicked") && line.contains(&format!("thread=\"{thread}\""))
        });
        assert!(told, "{thread}: {log}");
        readgate.restart();
        readgate.wait_until_ready();
        readgate.record("intent", |record| record["text"] == text);
    }
    assert!(readgate.stop(SOON).success());
    let verified = run(&["ledger", "verify", &directory.join("ledger").display().to_string()], "");
    assert!(verified.status.success(), "{verified:?}");
}

/// A state that nobody looks after would stay as it was, and so would what is let through by it.
#[test]
fn a_feed_that_nobody_looks_after_takes_the_daemon_with_it() {
    let stage = stage(Flavour::MariaDb);
    let (directory, mut config) = stage.own_config("panics_feed");
    let folder = directory.join("feed");
    fs::create_dir_all(&folder).unwrap();
    let keys = format!("name = 'lab'\nfolder = {folder:?}\npattern = '*'\nmax_age = '26h'");
    feed(&mut config, &keys);
    let (mut readgate, order) = start_with(&directory, config, "failing_threads", "THREADS_FAIL");
    // A thread looks at its folder each second.
    fs::write(&order, "").unwrap();
    let status = wait_for("the end of the daemon", SOON, || readgate.ended());
    assert_eq!(status.signal(), Some(SIGABRT));
}
