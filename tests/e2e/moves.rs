//! A name of the replica that leads elsewhere from one moment to the next: nobody stays at a server that
//! isn't as it should be, nobody is refused who could read where the name leads now, and records say
//! where each has read.
//!
//! READGATE_MOVES_SEED makes it another one.

use std::collections::HashMap;
use std::net::TcpListener;
use std::path::Path;
use std::thread;
use std::time::Duration;

use readgate_tests::config::set;
use readgate_tests::dice::Dice;
use readgate_tests::failing_net::FailingNet;
use readgate_tests::meddler::Meddler;
use readgate_tests::place::{free_port, wait_for, wanted};
use readgate_tests::raw::{Login, RawClient};
use readgate_tests::readgate::Readgate;
use readgate_tests::server::Server;
use readgate_tests::stage::{Stage, USER_PASSWORD, login_at};
use serde_json::Value;
use toml::Table;

use crate::failing_net::{
    ERRORS_OF_NAMES, NOBODY, not_late, number, of, try_enter, verified, wait_until_all_have_left,
};

const SOON: Duration = Duration::from_secs(20);
/// Where each of the servers is, by the resolver.
pub(crate) const PLACES: [&str; 2] = ["127.0.0.2", "127.0.0.3"];
/// Somebody listens there, and says nothing.
const SILENT: &str = "127.0.0.4";
/// Who read at a time, and how often each.
const GUESTS: usize = 3;
const THINGS: usize = 30;

/// Two servers of one port, each at its place, and the ways there.
pub(crate) struct Servers {
    pub(crate) servers: [Server; 2],
    _ways: [Meddler; 2],
    port: u16,
}

impl Servers {
    pub(crate) fn start(stage: &Stage, test: &str) -> Self {
        let servers = PLACES.map(|place| {
            let directory = stage.own_directory(&format!("{test}_{place}"));
            let server = Server::start(stage.server.flavour, &directory);
            server.load_sample();
            server
        });
        let port = free_port();
        let way = |at: usize| Meddler::honest_at(PLACES[at], port, servers[at].port);
        Self { _ways: [way(0), way(1)], servers, port }
    }

    /// A daemon before whichever of them the name leads to.
    pub(crate) fn configure(&self, config: &mut Table, directory: &Path) {
        let authorities = self.servers.each_ref().map(|server| std::fs::read(server.ca_file()));
        let both = directory.join("both.crt");
        std::fs::write(&both, authorities.map(Result::unwrap).concat()).unwrap();
        set(config, "replica.address", format!("replica.test:{}", self.port));
        set(config, "replica.tls.ca_file", both.display().to_string());
    }
}

/// Somebody who comes, reads and goes, while the name moves.
struct Guest<'a> {
    readgate: &'a Readgate,
    ca_file: &'a Path,
    net: &'a FailingNet,
    name: usize,
    dice: Dice,
    session: Option<RawClient>,
    /// A mark that no other statement has, and the port of the server that answered it.
    said: Vec<(String, Option<u16>)>,
}

impl Guest<'_> {
    fn stays(&mut self) {
        for _ in 0..THINGS {
            match self.dice.roll(6) {
                0..=2 if self.name == 0 => self.moves_the_name(),
                3 => self.session = None,
                _ => self.reads(),
            }
        }
        self.session = None;
    }

    fn moves_the_name(&mut self) {
        let [one, other] = PLACES;
        match self.dice.roll(9) {
            0 => self.net.hang_names(),
            1 => self.net.fail_names(ERRORS_OF_NAMES[self.dice.roll(ERRORS_OF_NAMES.len())]),
            2 => self.net.lead_to(&[]),
            3 => self.net.lead_to(&[NOBODY, other, one]),
            4 => self.net.lead_to(&[SILENT, one]),
            5 => self.net.lead_to(&[SILENT]),
            6 => self.net.lead_to(&[other]),
            _ => self.net.lead_to(&[one]),
        }
    }

    fn reads(&mut self) {
        if self.session.is_none() {
            let login = Login::user("alice", USER_PASSWORD);
            self.session = try_enter(self.readgate.port, self.ca_file, &login);
        }
        let Some(session) = &mut self.session else { return };
        session.set_patience(Duration::from_secs(30));
        let mark = format!("moved{}x{}", self.name, self.said.len());
        let answer = session.try_query(format!("SELECT @@port -- {mark}"));
        let port = match answer {
            Ok(answer) if answer.error().is_none() => answer.value().parse().ok(),
            Ok(_) => None,
            Err(error) => {
                not_late(Some(error));
                self.session = None;
                None
            }
        };
        self.said.push((mark, port));
    }
}

fn mark_in(text: &str) -> Option<&str> {
    text.split_once("SELECT @@port -- ")?.1.split_whitespace().next()
}

/// Whose statements a server has run: by its port and their marks, the ids of their connections.
fn run_at(server: &Server) -> HashMap<(u16, String), u64> {
    let log = server.general_log();
    let ran = log.lines().filter_map(|line| {
        let (head, text) = line.split_once(" Query\t")?;
        let id = head.split_whitespace().next_back()?.parse().ok()?;
        Some(((server.port, mark_in(text)?.to_owned()), id))
    });
    ran.collect()
}

/// What was answered, what ran and what is on record are the same.
fn all_is_recorded(records: &[Value], servers: &[Server; 2], said: &[(String, Option<u16>)]) {
    let logins: HashMap<u64, &Value> =
        of(records, "login").map(|login| (number(&login["seq"]), login)).collect();
    let outcomes: HashMap<u64, &Value> =
        of(records, "outcome").map(|outcome| (number(&outcome["intent"]), outcome)).collect();
    let mut intents = HashMap::new();
    for intent in of(records, "intent") {
        assert!(outcomes.contains_key(&number(&intent["seq"])), "no outcome: {intent}");
        if let Some(mark) = mark_in(intent["text"].as_str().unwrap()) {
            let own = intent.get("replica_session");
            let place =
                own.unwrap_or_else(|| &logins[&number(&intent["login"])]["replica_session"]);
            assert!(intents.insert(mark, place.as_u64()).is_none(), "twice: {intent}");
        }
    }
    let ran: HashMap<_, _> = servers.iter().flat_map(run_at).collect();
    for ((port, mark), id) in &ran {
        let recorded = intents.get(mark.as_str());
        assert_eq!(recorded, Some(&Some(*id)), "{mark} ran at {port}");
    }
    for (mark, port) in said {
        let Some(port) = port else { continue };
        assert!(ran.contains_key(&(*port, mark.clone())), "{mark} didn't run at {port}");
    }
}

/// The server's own port.
fn port_of(session: &mut RawClient) -> u16 {
    session.query("SELECT @@port").value().parse().unwrap()
}

on_both! {
    fn a_server_that_was_promoted_keeps_nobody_when_the_name_moves(stage) {
        let both = Servers::start(stage, "promoted");
        let [one, other] = &both.servers;
        let (directory, mut config) = stage.own_config_for(one, "promoted_moved");
        both.configure(&mut config, &directory);
        set(&mut config, "replica.warm_connections", 6);
        let net = FailingNet::of(&directory);
        net.lead_to(&PLACES[..1]);
        let readgate = Readgate::start_with(&directory, config, &net.environment);
        let alice = Login::user("alice", USER_PASSWORD);
        let enter = || login_at(readgate.port, &one.ca_file(), &alice);
        let mut sessions: Vec<_> = (0..6).map(|_| enter()).collect();
        for session in &mut sessions {
            assert_eq!(port_of(session), one.port);
        }
        let mut stays = sessions.pop().unwrap();
        drop(sessions);
        wait_for("their connections wait", SOON, || {
            (readgate.metric("readgate_pool_connections{state=\"warm\"}")? >= 4).then_some(())
        });
        one.sql("SET GLOBAL read_only = 0");
        net.lead_to(&PLACES[1..]);
        // What was made ready while all was well is lent without a question, once.
        while port_of(&mut enter()) == one.port {}
        assert!(stays.is_sent_away(SOON), "who is in goes at the next look");
        let server = format!(" {} ", one.port);
        readgate.record("replica_check", |record| {
            let result = record["result"].as_str().unwrap();
            result.starts_with("not read-only: another server of its name") && result.contains(&server)
        });
        for mut session in (0..6).map(|_| enter()).collect::<Vec<_>>() {
            assert_eq!(port_of(&mut session), other.port);
        }
    }

    fn records_say_where_each_has_read_while_the_name_moves(stage) {
        let both = Servers::start(stage, "moving");
        let seed = wanted("READGATE_MOVES_SEED").unwrap_or(1);
        let mut dice = Dice::new(seed);
        let (directory, mut config) = stage.own_config_for(&both.servers[0], "moving");
        both.configure(&mut config, &directory);
        set(&mut config, "limits.replica_timeout", "1s");
        set(&mut config, "ledger.compress", false);
        if dice.roll(2) == 0 {
            set(&mut config, "replica.share_idle", "10ms");
        }
        let _silent = TcpListener::bind((SILENT, both.port)).unwrap();
        let net = FailingNet::of(&directory);
        net.lead_to(&PLACES[..1]);
        let mut readgate = Readgate::start_with(&directory, config, &net.environment);
        let ca_file = both.servers[0].ca_file();
        let mut guests = [0; GUESTS].map(|_| dice.another()).into_iter().enumerate().map(
            |(name, dice)| Guest {
                readgate: &readgate,
                ca_file: &ca_file,
                net: &net,
                name,
                dice,
                session: None,
                said: Vec::new(),
            },
        ).collect::<Vec<_>>();
        thread::scope(|scope| {
            for guest in &mut guests {
                scope.spawn(|| guest.stays());
            }
        });
        let said: Vec<_> = guests.into_iter().flat_map(|guest| guest.said).collect();
        net.lead_to(&PLACES[1..]);
        readgate.wait_until_ready();
        wait_for("they are let in again", SOON, || {
            try_enter(readgate.port, &ca_file, &Login::user("alice", USER_PASSWORD))
        });
        wait_until_all_have_left(&readgate, usize::MAX);
        assert!(readgate.stop(SOON).success());
        assert!(said.iter().any(|(_, port)| port.is_some()));
        all_is_recorded(&verified(&readgate), &both.servers, &said);
    }
}
