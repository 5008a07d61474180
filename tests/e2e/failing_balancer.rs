//! PROXY headers that are cut, wrong, or come byte by byte, over a network that fails now and then: who
//! is let in, refused and recorded is who a whole header names, and nobody else.
//!
//! READGATE_BALANCER_ROUNDS and READGATE_BALANCER_SEED make it longer, or another one.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use readgate_tests::config::set;
use readgate_tests::dice::Dice;
use readgate_tests::failing_net::{CALLS, FailingNet, PIECES};
use readgate_tests::place::wanted;
use readgate_tests::raw::{Login, RawClient};
use readgate_tests::readgate::Readgate;
use readgate_tests::stage::{Stage, USER_PASSWORD};
use serde_json::Value;
use toml::Table;

use crate::failing_net::{not_late, number, verified, wait_until_all_have_left};

const SOON: Duration = Duration::from_secs(20);
/// Balancers at a time, and whom each passes on while the network fails.
const BALANCERS: u16 = 4;
const VISITS: usize = 40;
const OFFICE: &str = "name = 'office'\nnetworks = ['198.51.100.0/24']\nowner = 'somebody'\n\
                      reason = 'a test'\nallow_private = true";
const BALANCER: &str = "127.0.0.1";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    /// A whole header of somebody who may come in.
    Guest,
    /// One of somebody who may not.
    Stranger,
    /// A header that ends too early.
    Cut,
    /// What is no header.
    Wrong,
    /// The balancer's own connection.
    Check,
}

#[derive(Debug)]
struct Visit {
    what: What,
    /// Whom the header names.
    source: String,
    port: u16,
    /// The connection's own port.
    own_port: u16,
    /// Nothing failed.
    is_calm: bool,
    /// Somebody was answered, or heard a refusal.
    is_heard: bool,
}

/// A balancer, and whom it has passed on.
struct Balancer {
    port: u16,
    ca_file: PathBuf,
    is_calm: bool,
    dice: Dice,
    /// The next that a header names: no two are alike.
    next: u16,
    visits: Vec<Visit>,
}

impl Balancer {
    fn works(&mut self) {
        for _ in 0..VISITS {
            if let Err(error) = self.passes_on() {
                assert!(!self.is_calm, "{error}");
                not_late(Some(error));
            }
        }
    }

    fn passes_on(&mut self) -> io::Result<()> {
        use What::{Check, Cut, Guest, Stranger, Wrong};
        let what = [Guest, Guest, Stranger, Cut, Wrong, Check][self.dice.roll(6)];
        let network = if what == Stranger { "203.0.113" } else { "198.51.100" };
        let (source, port) = (format!("{network}.{}", 1 + self.dice.roll(250)), self.next);
        self.next += 1;
        let mut socket = TcpStream::connect((BALANCER, self.port))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(Duration::from_secs(30)))?;
        let own_port = socket.local_addr()?.port();
        let is_calm = self.is_calm;
        self.visits.push(Visit { what, source, port, own_port, is_calm, is_heard: false });
        let header = self.header();
        match what {
            Guest | Stranger => {
                self.send(&mut socket, &header)?;
                self.follows(socket)
            }
            Cut => {
                let length = self.dice.roll(header.len());
                self.send(&mut socket, &header[..length])?;
                self.hears_nothing(socket)
            }
            Check => {
                self.send(&mut socket, &header)?;
                self.hears_nothing(socket)
            }
            Wrong => {
                // The first wrong byte may end the connection.
                let _ = self.send(&mut socket, &header);
                self.hears_nothing(socket)
            }
        }
    }

    fn last(&mut self) -> &mut Visit {
        self.visits.last_mut().expect("one has come")
    }

    fn header(&mut self) -> Vec<u8> {
        let Visit { what, source, port, .. } = self.visits.last().expect("one has come");
        let (is_second, side) = (self.dice.roll(2) == 0, self.dice.roll(6));
        let address: Vec<u8> =
            source.split('.').map(|part| part.parse().expect("a byte")).collect();
        let block = [&address, &[127, 0, 0, 1][..], &port.to_be_bytes(), &[0, 9]].concat();
        let second = |head: [u8; 2], block: &[u8]| {
            let length = u16::try_from(block.len()).expect("short").to_be_bytes();
            [SIGNATURE, &head, &length, block].concat()
        };
        match (what, is_second) {
            (What::Check, true) => second([0x20, 0], &block[..side]),
            (What::Check, false) => b"PROXY UNKNOWN\r\n".to_vec(),
            // So are some that balancers add: here a NOOP of two bytes.
            (What::Guest | What::Stranger | What::Cut, true) => {
                second([0x21, 0x11], &[&block[..], &[4, 0, 2, 1, 2]].concat())
            }
            (What::Guest | What::Stranger | What::Cut, false) => {
                format!("PROXY TCP4 {source} 127.0.0.1 {port} 9\r\n").into_bytes()
            }
            (What::Wrong, true) => match side {
                0 => second([0x31, 0x11], &block),
                1 => second([0x22, 0x11], &block),
                2 => second([0x21, 0x31], &block),
                3 => second([0x21, 0x21], &block),
                4 => second([0x21, 0x11], &block[..11]),
                _ => [&SIGNATURE[..11], b"x", &block].concat(),
            },
            (What::Wrong, false) => match side {
                0 => format!("PROXY TCP6 {source} 127.0.0.1 {port} 9\r\n").into_bytes(),
                1 => format!("PROXY TCP4 {source} 127.0.0.1 {port}\r\n").into_bytes(),
                2 => format!("PROXY TCP4 {source}.9 127.0.0.1 {port} 9\r\n").into_bytes(),
                3 => format!("PROXY TCP4  {source} 127.0.0.1 {port} 9\r\n").into_bytes(),
                4 => format!("PROXY TCP4 {source} 127.0.0.1 {port}9999 9\r\n").into_bytes(),
                _ => format!("PROXy TCP4 {source} 127.0.0.1 {port} 9\r\n").into_bytes(),
            },
        }
    }

    fn send(&mut self, socket: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
        match self.dice.roll(2) {
            0 => socket.write_all(bytes),
            _ => bytes.iter().try_for_each(|byte| socket.write_all(&[*byte])),
        }
    }

    /// Whoever the header names logs in, or is refused as whom it names.
    fn follows(&mut self, socket: TcpStream) -> io::Result<()> {
        let leaves = self.dice.roll(4) == 0;
        let (is_calm, ca_file) = (self.is_calm, self.ca_file.clone());
        let Visit { what, source, port, is_heard, .. } = self.last();
        let client = RawClient::over(socket);
        if *what == What::Stranger {
            let error = client.expect_err("a stranger is greeted");
            *is_heard = error.kind() == io::ErrorKind::ConnectionRefused;
            let refusal = format!("Host '{source}' is not allowed to connect");
            assert!(error.to_string().contains(&refusal) || !*is_heard, "{error}");
            return if *is_heard { Ok(()) } else { Err(error) };
        }
        let mut client = client?;
        if leaves {
            return Ok(());
        }
        let login = Login::user("alice", USER_PASSWORD);
        client.start_tls(&ca_file, &login)?;
        let let_in = client.try_login(&login)?;
        assert!(let_in.is_ok() || !is_calm, "{let_in:?}");
        let answer = client.try_query(format!("SELECT '{}'", mark(*port)))?;
        *is_heard = let_in.is_ok() && answer.error().is_none();
        Ok(())
    }

    fn hears_nothing(&mut self, mut socket: TcpStream) -> io::Result<()> {
        if self.dice.roll(3) == 0 {
            return Ok(());
        }
        let _ = socket.shutdown(Shutdown::Write);
        let mut said = Vec::new();
        let read = socket.read_to_end(&mut said);
        assert!(said.is_empty(), "{:?}: {}", self.last(), String::from_utf8_lossy(&said));
        // Who closes with something unread resets the connection.
        match read {
            Err(error) if error.kind() != io::ErrorKind::ConnectionReset => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

fn mark(port: u16) -> String {
    format!("passed{port}on")
}

struct Scene {
    stage: &'static Stage,
    net: FailingNet,
    readgate: Readgate,
    dice: Dice,
    next: u16,
    visits: Vec<Visit>,
}

impl Scene {
    fn start(stage: &'static Stage, seed: u64) -> Self {
        let (directory, mut config) = stage.own_config(&format!("failing_balancer_{seed}"));
        let office: Table = OFFICE.parse().expect("TOML");
        config["source"].as_array_mut().expect("sources").push(office.into());
        set(&mut config, "listener.0.sources", vec!["office".to_owned()]);
        set(&mut config, "listener.0.proxy_protocol_from", vec![BALANCER.to_owned()]);
        set(&mut config, "ledger.compress", false);
        set(&mut config, "limits.replica_timeout", "1s");
        let net = FailingNet::of(&directory);
        let readgate = Readgate::start_with(&directory, config, &net.environment);
        Self { stage, net, readgate, dice: Dice::new(seed), next: 1000, visits: Vec::new() }
    }

    fn round(&mut self, is_calm: bool) {
        let balancer = |number| Balancer {
            port: self.readgate.port,
            ca_file: self.stage.ca_file(),
            is_calm,
            dice: self.dice.another(),
            next: self.next + number * 1000,
            visits: Vec::new(),
        };
        let mut balancers: Vec<Balancer> = (0..BALANCERS).map(balancer).collect();
        self.next += u16::try_from(VISITS).expect("some");
        if !is_calm {
            let one = self.dice.roll(CALLS.len());
            match self.dice.roll(3) {
                0 => self.net.fail(50, PIECES),
                1 => self.net.fail([2, 10][self.dice.roll(2)], &format!("{CALLS}{PIECES}")),
                _ => self.net.fail([10, 40][self.dice.roll(2)], &CALLS[one..=one]),
            }
        }
        thread::scope(|scope| {
            for balancer in &mut balancers {
                scope.spawn(|| balancer.works());
            }
        });
        if !is_calm {
            self.net.serve();
        }
        self.readgate.wait_until_ready();
        wait_until_all_have_left(&self.readgate, usize::MAX);
        self.visits.extend(balancers.into_iter().flat_map(|balancer| balancer.visits));
    }

    fn all_is_recorded(mut self) {
        assert!(self.readgate.stop(SOON).success());
        let records = verified(&self.readgate);
        let mut came: HashMap<(&str, u64), Vec<&Value>> = HashMap::new();
        for record in records.iter().filter(|record| record["source_port"].is_u64()) {
            let source = record["source"].as_str().expect("an address");
            came.entry((source, number(&record["source_port"]))).or_default().push(record);
        }
        for visit in &self.visits {
            let named = came.get(&(visit.source.as_str(), visit.port.into()));
            let named = named.map_or(&[][..], Vec::as_slice);
            let own = came.get(&(BALANCER, visit.own_port.into()));
            let own = own.map_or(&[][..], Vec::as_slice);
            // The kernel may have given a port out twice.
            if self.visits.iter().filter(|other| other.own_port == visit.own_port).count() == 1 {
                visit.is_recorded(named, own);
            }
            if visit.is_heard && visit.what == What::Guest {
                let login = named.iter().find(|record| record["event"] == "login");
                let login = login.unwrap_or_else(|| panic!("{visit:?} has no login"));
                let text = format!("SELECT '{}'", mark(visit.port));
                let intent = records.iter().find(|record| record["text"] == text.as_str());
                let intent = intent.unwrap_or_else(|| panic!("{visit:?} has no intent"));
                assert_eq!(
                    (&intent["login"], &intent["source"]),
                    (&login["seq"], &login["source"])
                );
            }
        }
        let named = |source: &str, port: u64| {
            let whole = |visit: &&Visit| matches!(visit.what, What::Guest | What::Stranger);
            let mut whole = self.visits.iter().filter(whole);
            whole.any(|visit| visit.source == source && u64::from(visit.port) == port)
        };
        for (source, port) in came.keys().filter(|(source, _)| *source != BALANCER) {
            assert!(named(source, *port), "{source}:{port} came with no header");
        }
    }
}

impl Visit {
    /// By records of whom the header names, and of the connection itself.
    fn is_recorded(&self, named: &[&Value], own: &[&Value]) {
        let events: Vec<&str> =
            named.iter().filter_map(|record| record["event"].as_str()).collect();
        let is_sure = self.is_calm || self.is_heard;
        let reason = |record: &Value| record["reason"].as_str().unwrap_or_default().to_owned();
        let reasons: Vec<String> = own.iter().map(|record| reason(record)).collect();
        match self.what {
            What::Guest => {
                assert!(!events.contains(&"source_denied"), "{self:?}: {named:?}");
                assert!(!events.is_empty() || !is_sure, "{self:?}");
            }
            What::Stranger => {
                assert!(
                    events.iter().all(|event| *event == "source_denied"),
                    "{self:?}: {named:?}"
                );
                assert!(events.len() == 1 || !is_sure && events.is_empty(), "{self:?}: {named:?}");
            }
            What::Cut | What::Wrong => {
                let is_gone = reasons.iter().any(|reason| reason.starts_with("client_gone"));
                let is_wrong =
                    reasons.iter().any(|reason| reason == "client_fault: malformed PROXY header");
                let is_told = if self.what == What::Cut { is_gone } else { is_wrong };
                assert!(events.is_empty() && (is_told || !is_sure), "{self:?}: {named:?} {own:?}");
            }
            What::Check => {
                assert!(events.is_empty(), "{self:?}: {named:?}");
                assert!(own.is_empty() || !is_sure, "{self:?}: {own:?}");
            }
        }
    }
}

on_both! {
    fn who_comes_is_whom_a_whole_header_names_through_a_failing_network(stage) {
        let mut scene = Scene::start(stage, wanted("READGATE_BALANCER_SEED").unwrap_or(1));
        scene.round(true);
        for _ in 0..wanted("READGATE_BALANCER_ROUNDS").unwrap_or(2) {
            scene.round(false);
        }
        scene.all_is_recorded();
    }
}
