//! Operators while the network, or the disk and the making of threads, fail now and then, with users
//! in a file or in a server that nodes share: what the console answered is so and on record, nothing is
//! done that it recorded nobody's wish for, and once all is well again users are who the store says.
//!
//! READGATE_CONSOLE_ROUNDS and READGATE_CONSOLE_SEED make it longer, or another one.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use access::store::{HistoryEntry, IdentityStore};
use access::{Identity, UserStatus};
use readgate_tests::config::{let_guess, make_operators, set};
use readgate_tests::dice::Dice;
use readgate_tests::failing_disk::FailingDisk;
use readgate_tests::failing_net::{CALLS, FailingNet, PIECES};
use readgate_tests::place::{wait_for, wanted};
use readgate_tests::raw::{Login, RawClient, ServerError};
use readgate_tests::readgate::Readgate;
use readgate_tests::server::Server;
use readgate_tests::stage::{DRIVER_PASSWORD, Stage, USER_PASSWORD};
use serde_json::Value;
use toml::Table;

use crate::failing_net::{not_late, number, of, try_enter, verified, wait_until_all_have_left};
use crate::fleet::{node_config, open_store, start_store};
use crate::people::{GIVEN, add, name, with_store};

const SOON: Duration = Duration::from_secs(20);
const OPERATORS: [(&str, &str); 2] = [("olga", USER_PASSWORD), ("dora", DRIVER_PASSWORD)];
/// What each operator does while things fail.
const THINGS: usize = 15;
const GUESTS: [&str; 4] = ["guest0", "guest1", "guest2", "guest3"];
/// Sessions that each operator may kill.
const VICTIMS: usize = 4;

/// What fails.
enum Failing {
    Net(FailingNet),
    Disk(FailingDisk),
}

impl Failing {
    fn begin(&self, dice: &mut Dice) {
        let one = dice.roll(CALLS.len());
        match self {
            Self::Net(net) => match dice.roll(3) {
                0 => net.fail(50, PIECES),
                1 => net.fail([1, 5][dice.roll(2)], &format!("{CALLS}{PIECES}")),
                _ => net.fail([10, 40][dice.roll(2)], &CALLS[one..=one]),
            },
            Self::Disk(disk) => disk.fail_with_threads([2, 10, 30, 60][dice.roll(4)]),
        }
    }

    fn end(&self) {
        match self {
            Self::Net(net) => net.serve(),
            Self::Disk(disk) => disk.serve(),
        }
    }
}

/// What came of a statement, as its operator heard it.
#[derive(Debug)]
enum Heard {
    Ok,
    Error(ServerError),
    /// The connection broke.
    Nothing,
}

#[derive(Debug, Clone, Copy)]
enum Wish {
    Set,
    Kill(u32),
    Other,
}

/// A statement with a mark that no other has.
#[derive(Debug)]
struct Said {
    mark: String,
    user: &'static str,
    wish: Wish,
    heard: Heard,
}

/// What fails, and where users are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Net,
    Disk,
    /// The network, and users are behind it.
    Store,
}

struct Scene {
    stage: &'static Stage,
    failing: Failing,
    store: Box<dyn IdentityStore>,
    /// Where the store is, if it is in one.
    _server: Option<Server>,
    readgate: Readgate,
    round: u64,
    dice: Dice,
    said: Vec<Said>,
}

struct Operator {
    login: (&'static str, &'static str),
    port: u16,
    ca_file: PathBuf,
    name: String,
    dice: Dice,
    victims: Vec<RawClient>,
    session: Option<RawClient>,
    said: Vec<Said>,
}

impl Scene {
    fn start(stage: &'static Stage, way: Way, seed: u64) -> Self {
        let test = format!("failing_console_{way:?}_{seed}");
        let (directory, mut config, store, server) = place(stage, way, &test);
        make_operators(&mut config, &[1, 3]);
        let_guess(&mut config);
        set(&mut config, "ledger.compress", false);
        set(&mut config, "limits.replica_timeout", "1s");
        let (failing, environment) = if way == Way::Disk {
            let disk = FailingDisk::of(&directory).below(&directory);
            let environment = disk.environment.clone();
            (Failing::Disk(disk), environment)
        } else {
            let net = FailingNet::of(&directory);
            let environment = net.environment.clone();
            (Failing::Net(net), environment)
        };
        for guest in GUESTS {
            add(store.as_ref(), Identity::new(name(guest), guest, "default"), 0);
        }
        let readgate = Readgate::start_with(&directory, config, &environment);
        let (round, dice, said) = (0, Dice::new(seed), Vec::new());
        Self { stage, failing, store, _server: server, readgate, round, dice, said }
    }

    fn fail_for_a_while(&mut self) {
        self.round += 1;
        let mut operators: Vec<Operator> =
            OPERATORS.into_iter().map(|login| self.operator(login)).collect();
        self.failing.begin(&mut self.dice);
        thread::scope(|scope| {
            for operator in &mut operators {
                scope.spawn(|| operator.stays());
            }
        });
        self.failing.end();
        self.readgate.wait_until_ready();
        for operator in operators {
            let said = operator.wait_for_the_killed();
            self.said.extend(said);
        }
        self.users_are_who_the_store_says();
        wait_until_all_have_left(&self.readgate, usize::MAX);
    }

    fn operator(&mut self, login: (&'static str, &'static str)) -> Operator {
        let victim = |_| self.stage.enter(&self.readgate, "alice");
        Operator {
            login,
            port: self.readgate.port,
            ca_file: self.stage.ca_file(),
            name: format!("order{}x{}", login.0, self.round),
            victims: (0..VICTIMS).map(victim).collect(),
            dice: self.dice.another(),
            session: None,
            said: Vec::new(),
        }
    }

    /// The store is asked each time: a change whose session got no thread for it may be made late.
    fn users_are_who_the_store_says(&self) {
        let (port, ca_file) = (self.readgate.port, self.stage.ca_file());
        for guest in GUESTS {
            let login = Login::user(guest, GIVEN);
            wait_for("they are who the store says", SOON, || {
                let stored = self.store.load().expect("the store can be read").identities;
                let identity = stored.iter().find(|one| one.name.as_str() == guest);
                let is_enabled = identity.expect("stored").status == UserStatus::Enabled;
                let enters = try_enter(port, &ca_file, &login).is_some();
                (enters == is_enabled).then_some(())
            });
        }
    }

    fn all_is_so_and_recorded(mut self) {
        let history = self.store.history(None).expect("a history");
        wait_for("all changes are recorded", SOON, || {
            let records = self.readgate.ledger();
            (of(&records, "access_change").count() >= history.len()).then_some(())
        });
        assert!(self.readgate.stop(SOON).success());
        let records = verified(&self.readgate);
        let recorded = Recorded::of(&records);
        let made = changes(&history);
        let told: Vec<u64> =
            of(&records, "access_change").map(|record| number(&record["number"])).collect();
        let numbers: Vec<u64> = history.iter().map(|change| change.number).collect();
        assert_eq!(told, numbers, "each change is recorded once");
        for said in &self.said {
            recorded.holds(said);
            let was_made = made.contains(said.mark.as_str());
            match (&said.wish, &said.heard) {
                (Wish::Set, Heard::Ok) => assert!(was_made, "{said:?} isn't so"),
                (Wish::Set, Heard::Error(error)) if error.message.contains("tried again") => {
                    assert!(was_made, "{said:?} isn't so");
                }
                // It says that nobody knows.
                (Wish::Set, Heard::Error(error)) if error.message.contains("access history") => {}
                (Wish::Set, Heard::Error(_)) => assert!(!was_made, "{said:?} is so"),
                (Wish::Set, Heard::Nothing) => {
                    let is_known = recorded.intents.contains_key(said.mark.as_str());
                    assert!(!was_made || is_known, "{said:?} has no intent");
                }
                (Wish::Kill(id), Heard::Ok) => assert!(recorded.kills.contains(id), "{said:?}"),
                (Wish::Kill(_) | Wish::Other, _) => {}
            }
        }
    }
}

/// Folder, configuration and store.
fn place(
    stage: &Stage,
    way: Way,
    test: &str,
) -> (PathBuf, Table, Box<dyn IdentityStore>, Option<Server>) {
    if way != Way::Store {
        let (directory, config, store) = with_store(stage, test);
        return (directory, config, Box::new(store), None);
    }
    let server = start_store(stage, test);
    let (directory, config) = node_config(stage, &server, test);
    (directory, config, Box::new(open_store(&server)), Some(server))
}

/// Marks of the changes that were made, each once.
fn changes(history: &[HistoryEntry]) -> HashSet<&str> {
    let mut made = HashSet::new();
    for change in history.iter().filter(|change| change.by.starts_with("operator:")) {
        assert!(made.insert(change.reason.as_str()), "twice: {change:?}");
    }
    made
}

/// What the ledger says.
struct Recorded<'r> {
    intents: HashMap<&'r str, &'r Value>,
    outcomes: HashMap<u64, &'r Value>,
    kills: HashSet<u32>,
}

impl<'r> Recorded<'r> {
    fn of(records: &'r [Value]) -> Self {
        let outcomes = of(records, "outcome").map(|record| (number(&record["intent"]), record));
        let outcomes: HashMap<u64, &Value> = outcomes.collect();
        let mut intents = HashMap::new();
        for intent in of(records, "intent") {
            assert!(outcomes.contains_key(&number(&intent["seq"])), "no outcome: {intent}");
            if let Some(mark) = mark_in(intent["text"].as_str().expect("a text")) {
                assert!(intents.insert(mark, intent).is_none(), "twice: {intent}");
            }
        }
        let target = |record: &Value| u32::try_from(number(&record["target"])).expect("an id");
        Self { intents, outcomes, kills: of(records, "kill").map(target).collect() }
    }

    /// What was answered is what was recorded.
    fn holds(&self, said: &Said) {
        let intent = self.intents.get(said.mark.as_str());
        let end = match &said.heard {
            Heard::Nothing => return,
            Heard::Ok => "ok",
            Heard::Error(error) if error.message.contains("the ledger can't record it") => {
                assert!(intent.is_none(), "{said:?}");
                return;
            }
            Heard::Error(_) => "error",
        };
        let intent = intent.unwrap_or_else(|| panic!("{said:?} has no intent"));
        assert_eq!((&intent["user"], &intent["kind"]), (&said.user.into(), &"console".into()));
        let outcome = self.outcomes[&number(&intent["seq"])];
        assert_eq!(outcome["end"], end, "{said:?}, but {outcome}");
    }
}

fn mark_in(text: &str) -> Option<&str> {
    let rest = text.get(text.find("order")?..)?;
    rest.split(|c: char| !c.is_ascii_alphanumeric()).next()
}

impl Operator {
    fn stays(&mut self) {
        for _ in 0..THINGS {
            if self.session.is_some() || self.comes() {
                self.orders();
            }
        }
        self.session = None;
    }

    fn comes(&mut self) -> bool {
        let login = Login::user(self.login.0, self.login.1);
        self.session = try_enter(self.port, &self.ca_file, &login);
        if let Some(session) = &mut self.session {
            session.set_patience(Duration::from_secs(30));
        }
        self.session.is_some()
    }

    fn orders(&mut self) {
        let mark = format!("{}x{}", self.name, self.said.len());
        let guest = GUESTS[self.dice.roll(GUESTS.len())];
        let victim = &self.victims[self.dice.roll(VICTIMS)];
        let id = victim.greeting.connection_id;
        let (text, wish) = match self.dice.roll(8) {
            0..=2 => (format!("LOCK USER {guest} REASON '{mark}'"), Wish::Set),
            3 => (format!("UNLOCK USER {guest} REASON '{mark}'"), Wish::Set),
            4 => (format!("KILL {id} /* {mark} */"), Wish::Kill(id)),
            5 => (format!("KILL QUERY {id} /* {mark} */"), Wish::Other),
            6 => (format!("RELOAD /* {mark} */"), Wish::Other),
            _ => (format!("SELECT '{mark}', COUNT(*) FROM sessions"), Wish::Other),
        };
        let Some(session) = &mut self.session else { return };
        let heard = match session.try_query(&text) {
            Ok(answer) => answer.error().map_or(Heard::Ok, Heard::Error),
            Err(error) => {
                not_late(Some(error));
                self.session = None;
                Heard::Nothing
            }
        };
        self.said.push(Said { mark, user: self.login.0, wish, heard });
    }

    /// Whose end was answered OK are gone.
    fn wait_for_the_killed(mut self) -> Vec<Said> {
        for said in &self.said {
            let Said { wish: Wish::Kill(id), heard: Heard::Ok, .. } = said else { continue };
            let is_it = |client: &&mut RawClient| client.greeting.connection_id == *id;
            let victim = self.victims.iter_mut().find(is_it).expect("one of them");
            assert!(victim.is_sent_away(SOON), "{said:?} isn't so");
        }
        self.said
    }
}

on_both! {
    fn what_operators_hear_is_so_and_recorded_through_a_failing_network(stage) {
        play(stage, Way::Net);
    }

    fn what_operators_hear_is_so_and_recorded_through_a_failing_disk(stage) {
        play(stage, Way::Disk);
    }

    fn what_operators_hear_is_so_and_recorded_through_a_failing_way_to_the_store(stage) {
        play(stage, Way::Store);
    }
}

fn play(stage: &'static Stage, way: Way) {
    let mut scene = Scene::start(stage, way, wanted("READGATE_CONSOLE_SEED").unwrap_or(1));
    for _ in 0..wanted("READGATE_CONSOLE_ROUNDS").unwrap_or(2) {
        scene.fail_for_a_while();
    }
    scene.all_is_so_and_recorded();
}
