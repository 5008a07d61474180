//! A disk that fails now and then under all that a daemon keeps, the store of users too. Once it is
//! well again users are who the store says, what they were told counts, and each change is in the
//! ledger once.
//!
//! READGATE_STORE_ROUNDS and READGATE_STORE_SEED make it longer, or another one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use access::store::IdentityStore;
use access::{Identity, UserStatus};
use readgate::identity::SqliteStore;
use readgate_tests::config::{let_guess, set};
use readgate_tests::dice::Dice;
use readgate_tests::failing_disk::FailingDisk;
use readgate_tests::place::{wait_for, wanted};
use readgate_tests::raw::{Login, RawClient};
use readgate_tests::readgate::{Readgate, run};
use readgate_tests::server::Flavour;
use readgate_tests::stage::{stage, try_enter_at};
use serde_json::Value;

use crate::failing_disk::start_for;
use crate::people::{GIVEN, add, name, set_status, with_store};

const SOON: Duration = Duration::from_secs(20);
/// Things that happen while the disk fails.
const THINGS: usize = 12;

struct Guest {
    name: String,
    is_enabled: bool,
    /// Those that may count: a change whose answer is an error may have been made.
    passwords: Vec<String>,
}

struct Scene {
    directory: PathBuf,
    ca_file: PathBuf,
    store: SqliteStore,
    disk: FailingDisk,
    readgate: Readgate,
    guests: Vec<Guest>,
    chosen: usize,
    dice: Dice,
}

impl Scene {
    fn start(seed: u64) -> Self {
        // One flavour is enough: no server has a part in it.
        let stage = stage(Flavour::MariaDb);
        let (directory, mut config, store) = with_store(stage, &format!("failing_store_{seed}"));
        set(&mut config, "credentials.self_service", true);
        // So that the ledger's files can be read as they are.
        set(&mut config, "ledger.compress", false);
        // Who is refused here fails at the door, where all the others come in too.
        let_guess(&mut config);
        let disk = FailingDisk::of(&directory).below(&directory);
        let readgate = Readgate::start_with(&directory, config, &disk.environment);
        let (ca_file, guests, dice) = (stage.ca_file(), Vec::new(), Dice::new(seed));
        Self { directory, ca_file, store, disk, readgate, guests, chosen: 0, dice }
    }

    fn fail_for_a_while(&mut self) {
        self.disk.fail_with_threads([2, 10, 30, 60][self.dice.roll(4)]);
        for _ in 0..THINGS {
            match self.dice.roll(4) {
                0 => self.comes(),
                1 => self.comes_or_goes_back(),
                _ => self.chooses(),
            }
        }
        if self.dice.roll(3) == 0 {
            self.readgate.kill();
            start_for("4", &self.directory, &self.disk);
            self.disk.serve();
            self.readgate.restart();
        } else {
            self.disk.serve();
        }
        self.readgate.wait_until_ready();
    }

    /// Somebody new.
    fn comes(&mut self) {
        let guest = format!("guest{}", self.guests.len());
        add(&self.store, Identity::new(name(&guest), &guest, "default"), 0);
        let passwords = vec![GIVEN.to_owned()];
        self.guests.push(Guest { name: guest, is_enabled: true, passwords });
    }

    /// Somebody is disabled, or enabled again.
    fn comes_or_goes_back(&mut self) {
        let Some(guest) = any(&mut self.guests, &mut self.dice) else { return };
        guest.is_enabled = !guest.is_enabled;
        let status = if guest.is_enabled { UserStatus::Enabled } else { UserStatus::Disabled };
        set_status(&self.store, &guest.name, status);
    }

    /// Somebody chooses another password, if they are let in.
    fn chooses(&mut self) {
        let (port, ca_file) = (self.readgate.port, &self.ca_file);
        let Some(guest) = any(&mut self.guests, &mut self.dice) else { return };
        let enters = |password: &String| enter(port, ca_file, &guest.name, password);
        let Some(mut session) = guest.passwords.iter().find_map(enters) else { return };
        self.chosen += 1;
        let chosen = format!("Vk7-quiet.Lantern_2x,over-the.harbour_at-{}pm", self.chosen);
        match session.query(format!("SET PASSWORD = '{chosen}'")).error() {
            None => guest.passwords = vec![chosen],
            Some(_) => guest.passwords.push(chosen),
        }
    }

    fn users_are_who_the_store_says(&mut self) {
        let (port, ca_file) = (self.readgate.port, &self.ca_file);
        for Guest { name, is_enabled, passwords } in &mut self.guests {
            let lets_in = |password: &&String| enter(port, ca_file, name, password).is_some();
            if *is_enabled {
                wait_for("they are let in", SOON, || passwords.iter().find(lets_in));
                // One password counts, and goes on counting.
                let counts: Vec<String> = passwords.iter().filter(lets_in).cloned().collect();
                assert_eq!(counts.len(), 1, "{name}");
                *passwords = counts;
            } else {
                wait_for("they are out", SOON, || {
                    (!passwords.iter().any(|password| lets_in(&password))).then_some(())
                });
            }
        }
    }

    fn each_change_is_recorded_once(mut self) {
        let history = self.store.history(None).expect("a history");
        let is_change = |record: &Value| record["event"] == "access_change";
        wait_for("all are recorded", SOON, || {
            let recorded = self.readgate.ledger().into_iter().filter(is_change).count();
            (recorded >= history.len()).then_some(())
        });
        assert!(self.readgate.stop(SOON).success());
        let ledger = self.directory.join("ledger").display().to_string();
        let verified = run(&["ledger", "verify", &ledger], "");
        assert!(verified.status.success(), "{verified:?}");
        let found = run(&["ledger", "search", "--event", "access_change", &ledger], "");
        let found = String::from_utf8(found.stdout).expect("UTF-8");
        let records = found.lines().map(|line| serde_json::from_str(line).expect("a record"));
        let told: Vec<Value> = records
            .map(|record: Value| {
                serde_json::json!([record["number"], record["user"], record["change"]])
            })
            .collect();
        let made: Vec<Value> = history
            .into_iter()
            .map(|change| serde_json::json!([change.number, change.user, change.label]))
            .collect();
        assert_eq!(told, made);
    }
}

fn any<'g>(guests: &'g mut [Guest], dice: &mut Dice) -> Option<&'g mut Guest> {
    let at = dice.roll(guests.len().max(1));
    guests.get_mut(at)
}

/// `None` also where the daemon is too ill to greet.
fn enter(port: u16, ca_file: &Path, user: &str, password: &str) -> Option<RawClient> {
    try_enter_at(port, ca_file, &Login::user(user, password)).ok()
}

#[test]
fn users_are_who_the_store_says_through_a_failing_disk() {
    let mut scene = Scene::start(wanted("READGATE_STORE_SEED").unwrap_or(1));
    for _ in 0..wanted("READGATE_STORE_ROUNDS").unwrap_or(4) {
        scene.fail_for_a_while();
        scene.users_are_who_the_store_says();
    }
    scene.each_change_is_recorded_once();
}
