//! A network to the shared store of users that fails now and then: who was disabled there is let in no
//! longer than `identities.stale_after`, a chosen password counts if and only if that was said, and
//! neither here nor there do connections pile up.
//!
//! READGATE_STALE_ROUNDS and READGATE_STALE_SEED make it longer, or another one.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use access::{Identity, UserStatus};
use readgate::identity::MySqlStore;
use readgate_tests::config::{let_guess, set};
use readgate_tests::dice::Dice;
use readgate_tests::failing_net::{CALLS, FailingNet, PIECES};
use readgate_tests::place::{wait_for, wait_until_ok, wanted};
use readgate_tests::raw::{Login, RawClient};
use readgate_tests::readgate::Readgate;
use readgate_tests::server::Server;
use readgate_tests::stage::Stage;

use crate::failing_fleet::administrator;
use crate::failing_net::{HERE, NOBODY, try_enter};
use crate::fleet::{node_config, open_store, start_store};
use crate::people::{GIVEN, add, name, set_status};

const SOON: Duration = Duration::from_secs(30);
/// As the nodes of these tests have it.
const STALE: Duration = Duration::from_secs(1);
const GUESTS: usize = 4;
/// What happens while calls fail.
const THINGS: usize = 15;

struct Guest {
    name: String,
    /// Since when the store has them disabled, if it has.
    out_since: Option<Instant>,
    /// Those that may count.
    passwords: Vec<String>,
}

struct Scene {
    net: FailingNet,
    server: Server,
    admin: RawClient,
    store: MySqlStore,
    readgate: Readgate,
    ca_file: PathBuf,
    guests: Vec<Guest>,
    chosen: usize,
    dice: Dice,
}

impl Scene {
    fn start(stage: &Stage, seed: u64) -> Self {
        let test = format!("stale_{seed}");
        let server = start_store(stage, &test);
        let (directory, mut config) = node_config(stage, &server, &test);
        set(&mut config, "credentials.self_service", true);
        let_guess(&mut config);
        let place = format!("mysql://readgate@store.test:{}/ids", server.port);
        set(&mut config, "identities.url", place);
        let net = FailingNet::of(&directory);
        net.lead_to(&[HERE]);
        let admin = administrator(&server);
        let store = open_store(&server);
        let guests = (0..GUESTS).map(|number| {
            let guest = format!("guest{number}");
            add(&store, Identity::new(name(&guest), &guest, "default"), 0);
            Guest { name: guest, out_since: None, passwords: vec![GIVEN.to_owned()] }
        });
        let guests = guests.collect();
        let readgate = Readgate::start_with(&directory, config, &net.environment);
        let (ca_file, chosen, dice) = (stage.ca_file(), 0, Dice::new(seed));
        Self { net, server, admin, store, readgate, ca_file, guests, chosen, dice }
    }

    fn fail_for_a_while(&mut self) {
        let before = self.readgate.footprint();
        let is_cut = self.dice.roll(2) == 0;
        if is_cut {
            self.cut_off();
        }
        let one = self.dice.roll(CALLS.len());
        match self.dice.roll(4) {
            _ if is_cut => self.net.fail(1, CALLS),
            0 => self.net.fail(50, PIECES),
            1 => self.net.fail([1, 5][self.dice.roll(2)], &format!("{CALLS}{PIECES}")),
            // No connection to the store is made anew.
            2 => self.net.fail(100, "c"),
            _ => self.net.fail([10, 40][self.dice.roll(2)], &CALLS[one..=one]),
        }
        for _ in 0..THINGS {
            let at = self.dice.roll(GUESTS);
            match self.dice.roll(4) {
                0 => self.goes_or_comes_back(at),
                1 => self.chooses(at),
                _ => drop(self.tries(at)),
            }
        }
        if is_cut {
            self.stays_out(self.chosen % GUESTS);
        }
        self.net.lead_to(&[HERE]);
        self.net.serve();
        self.readgate.wait_until_ready();
        self.users_are_who_the_store_says();
        wait_until_ok("nothing is left behind", SOON, || {
            let open = self.readgate.footprint().descriptors;
            // Connections to the replica are kept.
            let is_so = open <= before.descriptors + 16;
            if is_so { Ok(()) } else { Err(format!("{open} of {before:?}")) }
        });
        wait_until_ok("one connection to the store", SOON, || {
            let listed = "SELECT COUNT(*) FROM information_schema.processlist \
                          WHERE user = 'readgate'";
            let open = self.server.sql(listed);
            // The daemon's and the test's.
            if ["1", "2"].contains(&open.trim()) { Ok(()) } else { Err(open) }
        });
    }

    /// The store is out of reach, and who isn't in need of it is not concerned.
    fn cut_off(&mut self) {
        self.net.lead_to(&[NOBODY]);
        let listed = "SELECT id FROM information_schema.processlist WHERE user = 'readgate'";
        for connection in self.server.sql(listed).lines() {
            // One that has ended by then is no fault; the test's own is opened anew.
            self.admin.query(format!("KILL {connection}"));
        }
    }

    /// Somebody who is disabled where the daemon can't see it.
    fn stays_out(&mut self, at: usize) {
        if self.guests.get(at).is_some_and(|guest| guest.out_since.is_none()) {
            self.goes_or_comes_back(at);
        }
        let until = Instant::now() + 2 * STALE;
        while Instant::now() < until {
            self.tries(at);
        }
    }

    fn goes_or_comes_back(&mut self, at: usize) {
        let Some(guest) = self.guests.get_mut(at) else { return };
        if guest.out_since.take().is_some() {
            set_status(&self.store, &guest.name, UserStatus::Enabled);
        } else {
            set_status(&self.store, &guest.name, UserStatus::Disabled);
            guest.out_since = Some(Instant::now());
        }
    }

    /// Who was disabled so long ago is not let in, whatever fails.
    fn tries(&self, at: usize) -> Option<(RawClient, String)> {
        let guest = self.guests.get(at)?;
        let is_out = guest.out_since.is_some_and(|since| since.elapsed() > STALE);
        let entered = guest.passwords.iter().find_map(|password| {
            let login = Login::user(&guest.name, password);
            let session = try_enter(self.readgate.port, &self.ca_file, &login)?;
            Some((session, password.clone()))
        });
        assert!(!is_out || entered.is_none(), "{} was let in", guest.name);
        entered
    }

    fn chooses(&mut self, at: usize) {
        let Some((mut session, _)) = self.tries(at) else { return };
        session.set_patience(Duration::from_secs(90));
        self.chosen += 1;
        let chosen = format!("Vk7-quiet.Lantern_2x,over-the.harbour_at-{}pm", self.chosen);
        let heard = session.try_query(format!("SET PASSWORD = '{chosen}'"));
        let Some(guest) = self.guests.get_mut(at) else { return };
        match heard.map(|answer| answer.error()) {
            Ok(None) => guest.passwords = vec![chosen],
            Ok(Some(error)) if error.message.contains("the store of users can't be used") => {}
            // Nobody knows.
            Ok(Some(_)) | Err(_) => guest.passwords.push(chosen),
        }
    }

    fn users_are_who_the_store_says(&mut self) {
        for at in 0..GUESTS {
            if self.guests.get(at).is_some_and(|guest| guest.out_since.is_some()) {
                wait_for("they are out", SOON, || self.tries(at).is_none().then_some(()));
                continue;
            }
            let (_, counts) = wait_for("they are let in", SOON, || self.tries(at));
            // One counts, and goes on counting.
            let Some(guest) = self.guests.get_mut(at) else { continue };
            guest.passwords = vec![counts];
        }
    }
}

on_both! {
    fn who_is_disabled_stays_out_through_a_failing_way_to_the_store(stage) {
        let mut scene = Scene::start(stage, wanted("READGATE_STALE_SEED").unwrap_or(1));
        for _ in 0..wanted("READGATE_STALE_ROUNDS").unwrap_or(3) {
            scene.fail_for_a_while();
        }
        assert!(scene.readgate.stop(SOON).success());
    }
}
