//! A store of users that is held up or out of reach: who was disabled stays out, what was told of a
//! change is so, and nothing piles up here or there.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;

use access::store::{Author, IdentityStore};
use access::{Alteration, Change, Identity, StoreError, Timestamp, UserStatus};
use readgate_tests::config::{make_operators, set};
use readgate_tests::place::{free_port, wait_for, wait_until_ok};
use readgate_tests::raw::{Login, RawClient};
use readgate_tests::readgate::Readgate;
use readgate_tests::server::{Flavour, Server};
use readgate_tests::stage::{login_at, stage, try_login_at};

use crate::fleet::{BOBS, add_bob, node_config, start_store};
use crate::people::{GIVEN, POLICY, add, name, with_store};

const SOON: Duration = Duration::from_secs(20);
const CHOSEN: &str = "Vk7-quiet.Lantern_2x,over-the.harbour_at-9pm";

/// A session of the store's own administrator.
pub(crate) fn administrator(store: &Server) -> RawClient {
    store.sql("CREATE USER admin IDENTIFIED BY 'of the store'; GRANT ALL ON *.* TO admin");
    login_at(store.port, &store.ca_file(), &Login::user("admin", "of the store"))
}

/// Connections that nodes have to the store.
fn connections(store: &Server) -> u32 {
    let listed = "SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'readgate'";
    store.sql(listed).trim().parse().expect("a number")
}

/// A file that holds up who reads it.
struct Slow {
    file: PathBuf,
    text: Vec<u8>,
}

impl Slow {
    fn of(file: PathBuf) -> Self {
        let text = fs::read(&file).expect("it is there");
        fs::remove_file(&file).expect("it is ours");
        assert!(Command::new("mkfifo").arg(&file).status().expect("it runs").success());
        Self { file, text }
    }

    /// Waits until somebody reads it, and lets them go on behind what is done meanwhile.
    fn meanwhile(self, done: impl FnOnce()) {
        let mut held = fs::OpenOptions::new().write(true).open(&self.file).expect("a reader");
        done();
        let whole = self.file.with_extension("whole");
        fs::write(&whole, &self.text).expect("it can be written");
        fs::rename(whole, &self.file).expect("it is ours");
        held.write_all(&self.text).expect("a reader");
    }
}

/// One flavour is enough: no server has a part in it.
#[test]
fn who_is_locked_while_a_file_holds_up_a_reload_stays_locked() {
    let stage = stage(Flavour::MariaDb);
    let (directory, mut config, store) = with_store(stage, "locked_at_reload");
    let authority = directory.join("siem-ca.crt");
    fs::copy(stage.ca_file(), &authority).expect("it can be copied");
    set(&mut config, "ledger.ship_to", format!("tls://localhost:{}", free_port()));
    set(&mut config, "ledger.ship_ca_file", authority.display().to_string());
    set(&mut config, "identities.refresh", "1m");
    set(&mut config, "identities.stale_after", "1h");
    set(&mut config, "reload.watch", "0s");
    make_operators(&mut config, &[1]);
    add(&store, Identity::new(name("guest"), "Guest", "default"), 0);
    let readgate = Readgate::start(&directory, config);
    let login = Login::user("guest", GIVEN);
    login_at(readgate.port, &stage.ca_file(), &login);
    let (mut one, mut other) = (stage.enter(&readgate, "olga"), stage.enter(&readgate, "olga"));
    let slow = Slow::of(authority);
    thread::scope(|scope| {
        scope.spawn(|| one.query("RELOAD").expect_ok());
        slow.meanwhile(|| other.query("LOCK USER guest REASON 'left'").expect_ok());
    });
    let refused = try_login_at(readgate.port, &stage.ca_file(), &login).expect_err("locked");
    assert_eq!(refused.code, 1045, "{refused}");
}

on_both! {
    fn a_store_whose_tables_are_locked_says_so_and_loses_no_connections(stage) {
        let store = start_store(stage, "locked");
        add_bob(&store);
        let (directory, config) = node_config(stage, &store, "locked");
        let readgate = Readgate::start(&directory, config);
        let bob = Login::user("bob", BOBS);
        let comes = || try_login_at(readgate.port, &stage.ca_file(), &bob);
        wait_until_ok("bob is let in", SOON, comes);
        let mut admin = administrator(&store);
        let known = connections(&store);
        let files = readgate.footprint().descriptors;
        admin.query("LOCK TABLES ids.rg_store WRITE, ids.rg_user WRITE").expect_ok();
        wait_for("the log says so", SOON, || {
            readgate.log().contains("is locked by another process").then_some(())
        });
        wait_for("bob is refused", SOON, || comes().err());
        assert!(connections(&store) <= known + 1);
        assert!(readgate.footprint().descriptors <= files + 1);
        admin.query("UNLOCK TABLES").expect_ok();
        wait_until_ok("bob is let in again", SOON, comes);
    }
}

/// A store that is about to be saved: no COMMIT is answered until that is over.
fn backed_up(store: &Server) -> RawClient {
    let mut backup = administrator(store);
    backup.query("BACKUP STAGE START").expect_ok();
    backup.query("BACKUP STAGE BLOCK_COMMIT").expect_ok();
    backup
}

/// One flavour is enough: both let nobody wait for longer than that.
#[test]
fn a_change_that_a_backup_holds_up_is_not_made_later() {
    let server = start_store(stage(Flavour::MariaDb), "commits");
    let store = add_bob(&server);
    let before = store.revision().unwrap();
    let mut backup = backed_up(&server);
    let change = Change::Alter(name("bob"), Alteration::Status(UserStatus::Disabled));
    let author = Author::new("os:tester", "a test").unwrap();
    let error = store.apply(&change, &author, &POLICY, Timestamp::now()).expect_err("held up");
    assert!(matches!(error, StoreError::Busy { .. }), "{error}");
    backup.query("BACKUP STAGE END").expect_ok();
    store.apply(&change, &author, &POLICY, Timestamp::now()).unwrap();
    assert_eq!(store.revision().unwrap(), before + 1);
}

/// It is made, or not: as the server has noticed or not that nobody waits. One flavour is enough: both
/// hang alike.
#[test]
fn a_password_whose_commit_is_not_answered_may_be_the_new_one() {
    let stage = stage(Flavour::MariaDb);
    let store = start_store(stage, "unsure");
    add_bob(&store);
    let (directory, mut config) = node_config(stage, &store, "unsure");
    set(&mut config, "credentials.self_service", true);
    let readgate = Readgate::start(&directory, config);
    let bob = Login::user("bob", BOBS);
    let comes = || try_login_at(readgate.port, &stage.ca_file(), &bob);
    wait_until_ok("bob is let in", SOON, comes);
    let mut session = login_at(readgate.port, &stage.ca_file(), &bob);
    session.set_patience(2 * SOON);
    let _backup = backed_up(&store);
    thread::scope(|scope| {
        let choosing = scope.spawn(|| session.query(format!("SET PASSWORD = '{CHOSEN}'")).error());
        wait_for("it commits", SOON, || {
            let commits = "SELECT COUNT(*) FROM information_schema.processlist \
                           WHERE user = 'readgate' AND info = 'COMMIT'";
            (store.sql(commits).trim() == "1").then_some(())
        });
        store.signal("STOP");
        let told = choosing.join().unwrap().expect("no answer");
        assert_eq!(told.code, 1105, "{told}");
        assert!(told.message.contains("did not say whether your password is changed"), "{told}");
    });
    store.signal("CONT");
    readgate.record("refusal", |record| {
        record["rule"] == "password"
            && record["reason"].as_str().unwrap().contains("access history")
    });
}
