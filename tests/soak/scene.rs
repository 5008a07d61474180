//! A replica, the daemon before it, and rounds of clients.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use readgate_tests::config::{for_server, make_operators, set};
use readgate_tests::dice::Dice;
use readgate_tests::failing_disk::FailingDisk;
use readgate_tests::place::{scratch_of, wait_until_ok};
use readgate_tests::readgate::{Footprint, Readgate};
use readgate_tests::server::{Flavour, Server};
use readgate_tests::stage::users;
use serde_json::Value;

use crate::client::{Client, Round};
use crate::meddling::Disk;
use crate::office::{self, Office};
use crate::people::OPERATOR_AT;
use crate::records::Witness;
use crate::said::Told;
use crate::trouble::{LONGEST_STOP, Parts, Trouble};

/// Clients at a time.
const CLIENTS: usize = 16;
/// From one change of the users to the next.
const BETWEEN_CHANGES: Duration = Duration::from_millis(500);
/// Connections that may wait at the replica: each client's, on two workers, in two forms of results.
const MOST_WARM: u64 = 2 * 2 * CLIENTS as u64;
/// Connections that the daemon may have there for itself.
const OWN: u64 = 3;
/// Bytes that the daemon may have grown by since its first three quiet rounds, beside a quarter.
const SLACK: u64 = 16 << 20;
/// Files that it may have open at one time and not at another: of the ledger, of a reload.
const MORE_FILES: u64 = 8;
/// Threads that may still wait for orders to block at one time and not at another.
const MORE_THREADS: u64 = 8;

pub(crate) struct Scene {
    replica: Server,
    daemon: Readgate,
    disk: Option<Disk>,
    calls: FailingDisk,
    office: Office,
    witness: Witness,
    lends: bool,
    /// Tables and written transactions as they were.
    data: String,
    /// Of the daemon's process, which has this id, after each quiet round.
    sizes: (u32, Vec<Footprint>),
}

/// Ends a round when it is dropped.
struct End<'r>(&'r AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Tables and what was ever written to them.
fn data(replica: &Server) -> String {
    let executed = match replica.flavour {
        Flavour::MariaDb => "SELECT @@global.gtid_current_pos",
        Flavour::MySql => "SELECT @@global.gtid_executed",
    };
    replica.sql(&format!(
        "CHECKSUM TABLE clinical.subjects, clinical.visits, clinical.sites, clinical.studies; {executed}"
    ))
}

impl Scene {
    pub(crate) fn start(flavour: Flavour, lends: bool) -> Self {
        Disk::let_go_of_old();
        let directory = scratch_of("soak").join(flavour.name());
        let replica = Server::start(flavour, &directory.join("server"));
        replica.load_sample();
        let own = directory.join("readgate");
        std::fs::create_dir_all(&own).expect("the folder can be made");
        let ledger = own.join("ledger");
        let disk = Disk::mount(&ledger);
        let mut config = for_server(&replica, &own, &users());
        set(&mut config, "ledger.file_bytes", "2MiB");
        set(&mut config, "replica.warm_connections", 4);
        set(&mut config, "functions.sleep_max", "1s");
        // A busy machine is no trouble.
        set(&mut config, "limits.replica_timeout", "30s");
        set(&mut config, "limits.login_timeout", "60s");
        make_operators(&mut config, &[OPERATOR_AT]);
        if lends {
            set(&mut config, "replica.share_idle", "10ms");
        }
        office::configure(&mut config, &own);
        let office = Office::open(&own, &config, replica.ca_file());
        let calls = FailingDisk::of(&own).below(&ledger);
        let daemon = Readgate::start_with(&own, config, &calls.environment);
        let witness = Witness::new(ledger, replica.directory.join("general.log"));
        let data = data(&replica);
        Self { replica, daemon, disk, calls, office, witness, lends, data, sizes: (0, Vec::new()) }
    }

    /// No client meets an error that isn't its own doing, though users come and change.
    pub(crate) fn quiet_round(&mut self, number: u64, lasts: Duration, dice: &mut Dice) {
        let end = Instant::now() + lasts;
        let told = self.round(number, false, dice, |scene, dice| {
            while Instant::now() < end {
                scene.office.change_somebody(scene.daemon.port, dice);
                thread::sleep(BETWEEN_CHANGES);
            }
        });
        let records = self.witness.hear(&told, false).len();
        let size = self.size();
        println!("round {number}: {told}, {records} records, {size:?}");
        self.has_not_grown(size);
    }

    /// Holds the least of its latest sizes against the most of the same process's first ones: what a
    /// statement of many MiB took, or a thread that waits for another order, goes again.
    fn has_not_grown(&mut self, size: Footprint) {
        if self.sizes.0 != self.daemon.id() {
            self.sizes = (self.daemon.id(), Vec::new());
        }
        self.sizes.1.push(size);
        let (Some(first), Some(latest)) =
            (self.sizes.1.first_chunk::<3>(), self.sizes.1.last_chunk::<3>())
        else {
            return;
        };
        let ends = |of: fn(&Footprint) -> u64| {
            let (most, least) = (first.iter().map(of).max(), latest.iter().map(of).min());
            (most.expect("three"), least.expect("three"))
        };
        let (most_bytes, bytes) = ends(|size| size.resident);
        let (most_files, files) = ends(|size| size.descriptors as u64);
        let (most_threads, threads) = ends(|size| size.threads);
        let is_as_large = bytes <= most_bytes * 5 / 4 + SLACK
            && files <= most_files + MORE_FILES
            && threads <= most_threads + MORE_THREADS;
        assert!(is_as_large, "it grows: {:?}", self.sizes.1);
    }

    /// One trouble after the other.
    pub(crate) fn troubled_round(&mut self, number: u64, lasts: Duration, dice: &mut Dice) {
        let end = Instant::now() + lasts;
        // Seldom, so that a process lives long enough to grow.
        let ends_daemon = number % 20 == 1;
        let (mut happened, mut taken) = (Vec::new(), Vec::new());
        let told = self.round(number, true, dice, |scene, dice| {
            while Instant::now() < end {
                thread::sleep(Duration::from_millis(500));
                let trouble = Trouble::any(dice, ends_daemon);
                happened.push(trouble);
                let (daemon, replica) = (&mut scene.daemon, &mut scene.replica);
                let parts =
                    Parts { daemon, replica, disk: scene.disk.as_ref(), calls: &scene.calls };
                taken.extend(trouble.happen(parts, dice));
            }
        });
        let records = self.witness.hear(&told, true);
        println!("round {number}: {told}, {} records, {happened:?}", records.len());
        for file in taken {
            let names_it =
                |record: &&Value| record["file"].as_str().is_some_and(|f| f.contains(&file));
            let mut troubles = records.iter().filter(|record| record["event"] == "ledger_trouble");
            assert!(
                troubles.any(|record| names_it(&record)),
                "nothing tells that {file} was taken"
            );
        }
        self.witness.verify();
        assert_eq!(data(&self.replica), self.data, "something was written");
        assert!(!self.daemon.log().contains("panicked"), "{}", self.daemon.log());
    }

    fn round(
        &mut self,
        number: u64,
        is_troubled: bool,
        dice: &mut Dice,
        meanwhile: impl FnOnce(&mut Self, &mut Dice),
    ) -> Told {
        let (port, ca_file) = (self.daemon.port, self.replica.ca_file());
        let is_over = AtomicBool::new(false);
        let (flavour, lends) = (self.replica.flavour, self.lends);
        let round = Round { number, flavour, port, ca_file, is_troubled, lends, is_over };
        let told = thread::scope(|scope| {
            let mut clients = Vec::new();
            for client in 0..CLIENTS {
                let client = Client::new(&round, client, dice.another());
                clients.push(scope.spawn(|| client.live()));
            }
            // Also when that panics: clients would go on for ever.
            let end = End(&round.is_over);
            meanwhile(self, dice);
            drop(end);
            Told::of_all(clients.into_iter().map(|client| client.join().expect("no client fails")))
        });
        self.daemon.wait_until_ready();
        told
    }

    /// How many connections to the replica the daemon says it has in this state.
    fn pool(&self, state: &str) -> u64 {
        let series = format!("readgate_pool_connections{{state=\"{state}\"}}");
        self.daemon.metric(&series).expect("the daemon answers")
    }

    /// What the daemon holds once the round's sessions have ended, and their connections.
    fn size(&self) -> Footprint {
        wait_until_ok("connections are given back", Duration::from_secs(60), || {
            let sql = "SELECT ID, COMMAND, TIME, INFO FROM information_schema.PROCESSLIST \
                       WHERE USER = 'readonly_shared'";
            let open = self.replica.sql(sql);
            let (used, warm) = (self.pool("in_use"), self.pool("warm"));
            if used == 0 && warm <= MOST_WARM && open.lines().count() as u64 <= warm + OWN {
                Ok(())
            } else {
                Err(format!("{used} in use, {warm} warm, at the replica:\n{open}"))
            }
        });
        self.daemon.footprint()
    }

    /// The daemon ends in order and leaves an intact ledger.
    pub(crate) fn end(mut self) {
        let status = self.daemon.stop(LONGEST_STOP);
        assert!(status.success(), "it ended with {status}:\n{}", self.daemon.log());
        self.witness.verify();
    }
}
