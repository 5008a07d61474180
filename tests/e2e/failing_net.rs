//! A network and a resolver that fail now and then: what clients hear is true or breaks off, all of
//! it is recorded, nobody is let in who may not be, and once all is well again so is the daemon.
//!
//! READGATE_NET_ROUNDS and READGATE_NET_SEED make it longer, or another one.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use readgate_tests::config::set;
use readgate_tests::dice::Dice;
use readgate_tests::failing_net::{CALLS, FailingNet, PIECES};
use readgate_tests::place::{free_port, wait_for, wait_until_ok, wanted};
use readgate_tests::raw::{Login, RawClient};
use readgate_tests::readgate::{Readgate, run};
use readgate_tests::stage::{Stage, USER_PASSWORD};
use serde_json::Value;
use toml::Table;

const SOON: Duration = Duration::from_secs(20);
/// Clients at a time, and what each does while the network fails.
const GUESTS: usize = 4;
const THINGS: usize = 30;
/// Connections that the pool may keep beside those that it had at first.
const MORE_FILES: usize = 16;
/// Rows of a long answer, and the letters in each.
const ROWS: usize = 500;
const LETTERS: usize = 300;
/// EAI_NONAME, EAI_AGAIN, EAI_FAIL and EAI_MEMORY: see getaddrinfo(3) and netdb.h.
pub(crate) const ERRORS_OF_NAMES: [i32; 4] = [-2, -3, -4, -10];
const ELSEWHERE: &str = "name = 'elsewhere'\nnetworks = ['192.0.2.0/24']\nowner = 'nobody'\n\
                         reason = 'not this machine'\nallow_private = true";
/// Nobody listens there.
pub(crate) const NOBODY: &str = "127.0.0.99";
pub(crate) const HERE: &str = "127.0.0.1";

/// A statement with a mark that no other has.
struct Said {
    mark: String,
    user: &'static str,
    /// Rows of an answer that came to its end.
    answered: Option<usize>,
}

struct Scene {
    stage: &'static Stage,
    net: FailingNet,
    readgate: Readgate,
    /// A door that is open to nobody here.
    closed_port: u16,
    seed: u64,
    round: u64,
    dice: Dice,
    said: Vec<Said>,
    /// The most that may be open when nobody is there.
    files: usize,
}

/// Somebody who comes, asks and goes.
struct Guest {
    user: &'static str,
    port: u16,
    ca_file: PathBuf,
    name: String,
    dice: Dice,
    session: Option<RawClient>,
    said: Vec<Said>,
}

impl Scene {
    fn start(stage: &'static Stage, seed: u64) -> Self {
        let (directory, mut config) = stage.own_config(&format!("failing_net_{seed}"));
        let closed_port = free_port();
        let mut closed = config["listener"][0].as_table().expect("a table").clone();
        set(&mut closed, "name", "closed");
        set(&mut closed, "address", format!("127.0.0.1:{closed_port}"));
        set(&mut closed, "sources", vec!["elsewhere".to_owned()]);
        config["listener"].as_array_mut().expect("listeners").push(closed.into());
        let elsewhere: Table = ELSEWHERE.parse().expect("TOML");
        config["source"].as_array_mut().expect("sources").push(elsewhere.into());
        set(&mut config, "replica.address", format!("replica.test:{}", stage.server.port));
        set(&mut config, "limits.replica_timeout", "1s");
        set(&mut config, "ledger.compress", false);
        set(&mut config, "functions.sleep_max", "60s");
        let mut dice = Dice::new(seed);
        if dice.roll(2) == 0 {
            set(&mut config, "replica.share_idle", "10ms");
        }
        let net = FailingNet::of(&directory);
        net.lead_to(&[HERE]);
        let readgate = Readgate::start_with(&directory, config, &net.environment);
        let mut scene = Self {
            stage,
            net,
            readgate,
            closed_port,
            seed,
            round: 0,
            dice,
            said: Vec::new(),
            files: usize::MAX,
        };
        let mut guests = scene.guests();
        for guest in &mut guests {
            assert!(guest.comes());
        }
        drop(guests);
        scene.wait_until_all_have_left();
        scene.files = scene.readgate.footprint().descriptors + MORE_FILES;
        scene
    }

    fn guests(&mut self) -> Vec<Guest> {
        let guest = |number: usize| Guest {
            user: ["alice", "olga"][number % 2],
            port: self.readgate.port,
            ca_file: self.stage.ca_file(),
            name: format!("net{}x{}x{number}", self.seed, self.round),
            dice: self.dice.another(),
            session: None,
            said: Vec::new(),
        };
        (0..GUESTS).map(guest).collect()
    }

    fn fail_for_a_while(&mut self) {
        self.round += 1;
        let mut guests = self.guests();
        for guest in &mut guests {
            if guest.dice.roll(2) == 0 {
                wait_for("they are let in", SOON, || guest.comes().then_some(()));
            }
        }
        self.calls_fail();
        self.names_fail();
        let closed_port = self.closed_port;
        thread::scope(|scope| {
            for guest in &mut guests {
                scope.spawn(|| guest.stays());
            }
            scope.spawn(|| (0..THINGS).for_each(|_| nobody_is_let_in(closed_port)));
        });
        self.net.lead_to(&[HERE]);
        self.net.serve();
        self.readgate.wait_until_ready();
        for guest in &mut guests {
            wait_for("they are let in again", SOON, || guest.comes().then_some(()));
            guest.asks(ROWS).expect("an answer");
        }
        self.said.extend(guests.into_iter().flat_map(|guest| guest.said));
        self.wait_until_all_have_left();
        self.wait_until_it_rests();
    }

    fn calls_fail(&mut self) {
        let one = self.dice.roll(CALLS.len());
        let (percent, calls) = match self.dice.roll(4) {
            0 => (50, PIECES.to_owned()),
            1 => ([1, 2, 5][self.dice.roll(3)], CALLS.to_owned()),
            2 => ([1, 5][self.dice.roll(2)], format!("{CALLS}{PIECES}")),
            _ => ([2, 10, 40][self.dice.roll(3)], CALLS[one..=one].to_owned()),
        };
        self.net.fail(percent, &calls);
    }

    fn names_fail(&mut self) {
        match self.dice.roll(6) {
            0 => self.net.hang_names(),
            1 => self.net.fail_names(ERRORS_OF_NAMES[self.dice.roll(ERRORS_OF_NAMES.len())]),
            2 => self.net.lead_to(&[]),
            3 => self.net.lead_to(&[NOBODY, HERE, HERE]),
            _ => {}
        }
    }

    fn wait_until_all_have_left(&self) {
        wait_until_all_have_left(&self.readgate, self.files);
    }

    /// Nothing turns round and round.
    fn wait_until_it_rests(&self) {
        let used = || {
            let stat =
                fs::read_to_string(format!("/proc/{}/stat", self.readgate.id())).expect("it runs");
            let fields: Vec<&str> = stat.rsplit_once(") ").expect("a name").1.split(' ').collect();
            fields[11].parse::<u64>().expect("ticks") + fields[12].parse::<u64>().expect("ticks")
        };
        wait_for("it rests", SOON, || {
            let before = used();
            thread::sleep(Duration::from_millis(300));
            (used() - before < 6).then_some(())
        });
    }

    /// Ends while the network fails. Each statement that the replica got has an intent, each intent
    /// an outcome, and each answer one that says so.
    fn all_is_recorded(mut self) {
        let mut guests = self.guests();
        guests.iter_mut().for_each(|guest| assert!(guest.comes()));
        self.net.fail(10, CALLS);
        self.net.hang_names();
        assert!(self.readgate.stop(SOON).success());
        let records = verified(&self.readgate);
        assert!(of(&records, "source_denied").next().is_some());
        let told = of(&records, "outcome").map(|outcome| (number(&outcome["intent"]), outcome));
        let outcomes: HashMap<u64, &Value> = told.collect();
        let mut marked = HashMap::new();
        for intent in of(&records, "intent") {
            let outcome = outcomes.get(&number(&intent["seq"]));
            let outcome = outcome.unwrap_or_else(|| panic!("no outcome: {intent}"));
            if let Some(mark) = self.mark_in(intent["text"].as_str().expect("a text")) {
                assert!(marked.insert(mark, (intent, outcome)).is_none(), "twice: {intent}");
            }
        }
        for mark in self.stage.server.general_log().lines().filter_map(|line| self.mark_in(line)) {
            assert!(marked.contains_key(mark), "{mark} ran without an intent");
        }
        for Said { mark, user, answered } in &self.said {
            if let Some((intent, outcome)) = marked.get(mark.as_str()) {
                assert_eq!(intent["user"], *user, "{intent}");
                let is_so = |rows| outcome["end"] == "ok" && outcome["rows"] == rows;
                assert!(answered.is_none_or(is_so), "{answered:?}, but {outcome}");
            } else {
                assert_eq!(*answered, None, "{mark} has no intent");
            }
        }
    }

    /// The mark in a text, if there is one.
    fn mark_in<'t>(&self, text: &'t str) -> Option<&'t str> {
        let rest = text.get(text.find(&format!("net{}x", self.seed))?..)?;
        rest.split(|c: char| !c.is_ascii_alphanumeric()).next()
    }
}

/// Nobody is there, and no more files than so many are open.
pub(crate) fn wait_until_all_have_left(readgate: &Readgate, files: usize) {
    const GAUGES: [&str; 3] =
        ["connections_open ", "sessions{", "pool_connections{state=\"in_use\"} "];
    let is_one = |line: &&str| {
        let name = line.strip_prefix("readgate_").unwrap_or_default();
        GAUGES.iter().any(|gauge| name.starts_with(gauge))
    };
    wait_until_ok("all have left", SOON, || {
        let (_, metrics) = readgate.http("/metrics").ok_or("no metrics")?;
        let mut gauges = metrics.lines().filter(is_one);
        let is_there = gauges.clone().next().is_some();
        let left = gauges.find(|line| !line.ends_with(" 0")).unwrap_or_default();
        let open = readgate.footprint().descriptors;
        let is_none = is_there && left.is_empty() && open <= files;
        if is_none { Ok(()) } else { Err(format!("{left} {open} files")) }
    });
}

/// All records of a ledger that verifies.
pub(crate) fn verified(readgate: &Readgate) -> Vec<Value> {
    let ledger = readgate.directory.join("ledger").display().to_string();
    let verified = run(&["ledger", "verify", &ledger], "");
    assert!(verified.status.success(), "{verified:?}");
    let found = run(&["ledger", "search", "--with-text", &ledger], "");
    let found = String::from_utf8(found.stdout).expect("UTF-8");
    found.lines().map(|line| serde_json::from_str(line).expect("a record")).collect()
}

pub(crate) fn of<'r>(records: &'r [Value], event: &'static str) -> impl Iterator<Item = &'r Value> {
    records.iter().filter(move |record| record["event"] == event)
}

pub(crate) fn number(value: &Value) -> u64 {
    value.as_u64().expect("a number")
}

fn nobody_is_let_in(port: u16) {
    match RawClient::connect(port) {
        Ok(_) => panic!("a stranger is greeted"),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            let told = error.to_string();
            assert!(
                told.contains("is not allowed to connect") || told.contains("refused"),
                "{told}"
            );
        }
        Err(_) => {}
    }
}

impl Guest {
    fn stays(&mut self) {
        for _ in 0..THINGS {
            let rows = [1, 1, ROWS][self.dice.roll(3)];
            match self.dice.roll(8) {
                0 => self.session = None,
                1 => self.goes_while_asking(),
                2 => self.becomes_another(),
                _ => {
                    if self.session.is_some() || self.comes() {
                        let _ = self.asks(rows);
                    }
                }
            }
        }
        self.session = None;
    }

    /// Logs in; what another has left behind isn't there.
    fn comes(&mut self) -> bool {
        self.session = enter(self.port, &self.ca_file, self.user);
        self.is_nobody_elses()
    }

    fn is_nobody_elses(&mut self) -> bool {
        let Some(session) = &mut self.session else { return false };
        session.set_patience(Duration::from_secs(30));
        let whose = session.try_query("SELECT @whose");
        match whose {
            Ok(answer) if answer.error().is_none() => {
                assert_eq!(answer.rows(), [[None]], "another's session");
                let set = session.try_query(format!("SET @whose = '{}'", self.user));
                let is_set = set.is_ok_and(|answer| answer.error().is_none());
                if !is_set {
                    self.session = None;
                }
                is_set
            }
            other => {
                not_late(other.err());
                self.session = None;
                false
            }
        }
    }

    fn mark(&mut self) -> String {
        let mark = format!("{}x{}", self.name, self.said.len());
        self.said.push(Said { mark: mark.clone(), user: self.user, answered: None });
        mark
    }

    fn asks(&mut self, rows: usize) -> Result<(), String> {
        let mark = self.mark();
        let Some(session) = &mut self.session else { return Err("no session".into()) };
        let text = format!(
            "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < {rows}) \
             SELECT n, '{mark}', @whose, REPEAT('x', {LETTERS}) FROM r"
        );
        let answer = match session.try_query(text) {
            Ok(answer) => answer,
            Err(error) => {
                let told = error.to_string();
                not_late(Some(error));
                self.session = None;
                return Err(told);
            }
        };
        if let Some(error) = answer.error() {
            return Err(error.to_string());
        }
        let row = |n: usize| {
            let cells = [n.to_string(), mark.clone(), self.user.to_owned(), "x".repeat(LETTERS)];
            cells.map(|cell| Some(cell.into_bytes())).to_vec()
        };
        assert!(
            answer.rows() == (1..=rows).map(row).collect::<Vec<_>>(),
            "{mark}: {:?}",
            answer.rows().len()
        );
        self.said.last_mut().expect("it was said").answered = Some(rows);
        Ok(())
    }

    fn goes_while_asking(&mut self) {
        let mark = self.mark();
        if let Some(mut session) = self.session.take() {
            let _ = session.send_command(3, format!("SELECT '{mark}', SLEEP(1)").as_bytes());
        }
    }

    /// The same user, in a session that begins anew.
    fn becomes_another(&mut self) {
        let Some(session) = &mut self.session else { return };
        match session.try_change_user(self.user, USER_PASSWORD, 45) {
            Ok(Ok(())) => drop(self.is_nobody_elses()),
            other => {
                not_late(other.err());
                self.session = None;
            }
        }
    }
}

/// Whatever fails, a client is answered or hears that it isn't.
pub(crate) fn not_late(error: Option<io::Error>) {
    if let Some(error) = error {
        assert!(
            !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut),
            "{error}"
        );
    }
}

fn enter(port: u16, ca_file: &Path, user: &str) -> Option<RawClient> {
    try_enter(port, ca_file, &Login::user(user, USER_PASSWORD))
}

/// `None` whatever it is that fails.
pub(crate) fn try_enter(port: u16, ca_file: &Path, login: &Login) -> Option<RawClient> {
    let mut client = RawClient::connect(port).ok()?;
    client.start_tls(ca_file, login).ok()?;
    client.try_login(login).ok()?.ok()?;
    Some(client)
}

on_both! {
    fn what_is_heard_is_true_and_recorded_through_a_failing_network(stage) {
        let mut scene = Scene::start(stage, wanted("READGATE_NET_SEED").unwrap_or(1));
        for _ in 0..wanted("READGATE_NET_ROUNDS").unwrap_or(3) {
            scene.fail_for_a_while();
        }
        scene.all_is_recorded();
    }
}
