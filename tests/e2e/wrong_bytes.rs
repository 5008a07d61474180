//! Wrong bytes anywhere: whole conversations with bytes flipped, cut, doubled and made up, before
//! and inside TLS. The daemon answers with an error or closes, and serves the next one.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use readgate_tests::config::let_guess;
use readgate_tests::dice::Dice;
use readgate_tests::place::wait_for;
use readgate_tests::raw::{Login, RawClient};
use readgate_tests::readgate::Readgate;
use readgate_tests::stage::{Stage, USER_PASSWORD, login_at};

fn any_byte(dice: &mut Dice) -> u8 {
    u8::try_from(dice.roll(256)).expect("a byte")
}

/// Does one wrong thing to the bytes.
fn spoil(dice: &mut Dice, bytes: &mut Vec<u8>) {
    let at = dice.roll(bytes.len().max(1));
    match dice.roll(6) {
        0 => bytes.truncate(at),
        1 => bytes.insert(at.min(bytes.len()), any_byte(dice)),
        2 => bytes.extend_from_within(at..),
        3 => bytes.extend((0..at).map(|_| any_byte(dice)).collect::<Vec<_>>()),
        4 => bytes.iter_mut().skip(at).take(8).for_each(|byte| *byte = 0xff),
        _ => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = any_byte(dice);
            }
        }
    }
}

fn packet(sequence_id: u8, payload: &[u8]) -> Vec<u8> {
    let [a, b, c, _] = u32::try_from(payload.len()).expect("short").to_le_bytes();
    [&[a, b, c, sequence_id], payload].concat()
}

/// Reads whatever comes until the other side is silent or gone.
fn drain(stream: &mut TcpStream) -> io::Result<usize> {
    stream.set_read_timeout(Some(Duration::from_millis(20)))?;
    let mut all = Vec::new();
    match stream.read_to_end(&mut all) {
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
        _ => Ok(all.len()),
    }
}

fn own_readgate(stage: &Stage, name: &str) -> Readgate {
    let (directory, mut config) = stage.own_config(name);
    // So many wrong logins would block the source; that is another test's claim.
    let_guess(&mut config);
    Readgate::start(&directory, config)
}

/// The daemon lives, has not panicked anywhere, and lets the next one in.
fn unharmed(stage: &Stage, readgate: &mut Readgate) {
    assert_eq!(readgate.ended(), None);
    let log = readgate.log();
    assert!(!log.contains("panicked"), "{log}");
    let mut alice = stage.enter(readgate, "alice");
    assert_eq!(alice.query("SELECT 'unharmed'").value(), "unharmed");
}

/// Each of so many connections has left one of these records.
fn recorded(readgate: &Readgate, events: &[&str], connections: usize) {
    wait_for("a record of every connection", Duration::from_secs(30), || {
        let is_one = |record: &serde_json::Value| {
            record["event"].as_str().is_some_and(|event| events.contains(&event))
        };
        (readgate.ledger().iter().filter(|record| is_one(record)).count() >= connections)
            .then_some(())
    });
}

/// Commands as drivers send them, statement ids and parameters included.
fn commands(statement: u32) -> Vec<Vec<u8>> {
    let id = statement.to_le_bytes();
    let run = [&[0x17][..], &id, &[0, 1, 0, 0, 0, 0, 1, 0xfd, 0, 2, b'1', b'7']].concat();
    vec![
        b"\x03SELECT * FROM clinical.studies".to_vec(),
        b"\x02clinical".to_vec(),
        b"\x0e".to_vec(),
        b"\x09".to_vec(),
        b"\x16SELECT * FROM clinical.visits WHERE visit_id = ?".to_vec(),
        run,
        [&[0x18][..], &id, &[0, 0, b'1', b'8']].concat(),
        [&[0x1a][..], &id].concat(),
        [&[0x1c][..], &id, &[10, 0, 0, 0]].concat(),
        [&[0x19][..], &id].concat(),
        b"\x1b\x00\x00".to_vec(),
        b"\x04subjects\x00".to_vec(),
        b"\x11alice\x00\x20abcdefghijklmnopqrstuvwxyz012345clinical\x00\x2d\x00caching_sha2_password\x00".to_vec(),
        b"\x1f".to_vec(),
    ]
}

on_both! {
    fn wrong_bytes_before_tls_end_the_connection(stage) {
        let mut readgate = own_readgate(stage, "wrong_bytes_before_tls");
        let mut dice = Dice::new(0x5eed_0001);
        let login = Login::user("alice", USER_PASSWORD);
        for round in 0..150 {
            let mut stream = TcpStream::connect(("127.0.0.1", readgate.port)).expect("it listens");
            let hello = b"\x16\x03\x01\x00\x2f\x01\x00\x00\x2b\x03\x03".to_vec();
            let mut bytes = [packet(1, &login.head(true)), hello].concat();
            for _ in 0..=round % 3 {
                spoil(&mut dice, &mut bytes);
            }
            // A peer that is gone already is an answer too.
            let _ = stream.write_all(&bytes);
            let _ = drain(&mut stream);
        }
        unharmed(stage, &mut readgate);
        recorded(&readgate, &["login_failed"], 150);
    }

    fn wrong_bytes_in_a_login_end_the_connection(stage) {
        let mut readgate = own_readgate(stage, "wrong_bytes_in_login");
        let mut dice = Dice::new(0x5eed_0002);
        let login = Login::user("alice", USER_PASSWORD).in_schema("clinical");
        for round in 0..60 {
            let mut client = RawClient::connect(readgate.port).expect("a greeting");
            client.start_tls(&stage.ca_file(), &login).expect("TLS");
            client.set_patience(Duration::from_millis(50));
            let mut bytes = packet(2, &login.response(true, &client.greeting));
            for _ in 0..=round % 3 {
                spoil(&mut dice, &mut bytes);
            }
            let _ = client.send_raw(&bytes);
            while let Ok(payload) = client.receive() {
                // OK, ERR, and what a login asks further: nothing else may come.
                assert!(matches!(payload.first(), Some(0 | 1 | 0xfe | 0xff)), "{payload:?}");
            }
        }
        unharmed(stage, &mut readgate);
        recorded(&readgate, &["login", "login_failed"], 60);
    }

    fn wrong_bytes_in_a_session_are_answered_or_end_it(stage) {
        let mut readgate = own_readgate(stage, "wrong_bytes_in_session");
        let mut dice = Dice::new(0x5eed_0003);
        let login = Login::user("alice", USER_PASSWORD);
        let mut ended = 0;
        for _ in 0..40 {
            let mut client = login_at(readgate.port, &stage.ca_file(), &login);
            let statement = client.prepare("SELECT * FROM clinical.visits WHERE visit_id = ?");
            let commands = commands(statement.expect("a read").id);
            client.set_patience(Duration::from_millis(50));
            for _ in 0..6 {
                let mut bytes = packet(0, &commands[dice.roll(commands.len())]);
                spoil(&mut dice, &mut bytes);
                if client.send_raw(&bytes).is_err() {
                    break;
                }
                while client.receive().is_ok() {}
            }
            ended += usize::from(client.send_raw(&packet(0, b"\x0e")).is_err() || client.is_closed());
        }
        assert!(ended > 0, "no wrong bytes ended a session");
        unharmed(stage, &mut readgate);
        recorded(&readgate, &["disconnect"], 40);
    }
}
