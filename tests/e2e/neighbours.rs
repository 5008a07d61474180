//! What one client can take away from all others: nobody's report stands behind what somebody else
//! sends too much of.

use std::sync::mpsc::{Sender, channel};
use std::thread;

use readgate_tests::config::set;
use readgate_tests::protocol::ServerError;
use readgate_tests::raw::{Login, RawClient, capability};
use readgate_tests::readgate::Readgate;
use readgate_tests::squeezed::Algorithm;
use readgate_tests::stage::{Stage, USER_PASSWORD, login_at};
use serde_json::Value;

/// A packet as large as packets are.
const FULL: usize = 0xff_ffff;
/// Too many long statements, or large commands.
const TRY_AGAIN: u16 = 3168;

fn enter_with(stage: &Stage, readgate: &Readgate, user: &str, capabilities: u32) -> RawClient {
    let login = Login::user(user, USER_PASSWORD).with(capabilities);
    login_at(readgate.port, &stage.ca_file(), &login)
}

/// Says who has got an answer.
fn tell_of_answer(mut client: RawClient, name: &'static str, tell: Sender<&'static str>) {
    thread::spawn(move || {
        let answer = client.receive().expect("an answer");
        let error = ServerError::parse(&answer).expect("it is refused");
        assert_eq!(error.code, 1290, "{name}: {error:?}");
        tell.send(name).expect("the test listens");
    });
}

/// A command in its packets.
fn packets(command: &[u8]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(command.len() + 64);
    for (number, packet) in command.chunks(FULL).enumerate() {
        let len = u32::try_from(packet.len()).unwrap().to_le_bytes();
        wire.extend([len[0], len[1], len[2], u8::try_from(number).unwrap()]);
        wire.extend(packet);
    }
    wire
}

on_both! {
    fn a_statement_that_is_absorbed_is_recorded_without_what_stands_beside_it(stage) {
        let (directory, config) = stage.own_config("absorbed_beside");
        let readgate = Readgate::start(&directory, config);
        let mut alice = enter_with(stage, &readgate, "alice", capability::MULTI_STATEMENTS);
        let text = format!("UNLOCK TABLES; UNLOCK TABLES /* b */; SELECT 7 /*{}*/", "x".repeat(9000));
        assert_eq!(alice.query(text).value(), "7");
        readgate.record("outcome", |record| record["rows"] == 1);
        let is_absorbed = |record: &Value| record["verdict"] == "absorbed";
        let records = readgate.ledger();
        let texts: Vec<&str> = records
            .iter()
            .filter(|record| is_absorbed(record))
            .map(|record| record["text"].as_str().expect("a text"))
            .collect();
        assert_eq!(texts, ["UNLOCK TABLES", " UNLOCK TABLES /* b */"]);
    }

    fn one_users_long_texts_wait_for_each_other_and_not_before_another_users(stage) {
        let (directory, mut config) = stage.own_config("turns");
        set(&mut config, "limits.workers", 1);
        let readgate = Readgate::start(&directory, config);
        let mut watcher = stage.enter(&readgate, "olga");
        // The rule that refuses it looks at all of it.
        let text = |names: usize| format!("SELECT a{} FROM clinical.studies FOR UPDATE", ",a".repeat(names));
        let huge = text(4 << 20);
        let (tell, told) = channel();
        for _ in 0..4 {
            let mut alice = stage.enter(&readgate, "alice");
            alice.send_command(3, huge.as_bytes()).expect("sent");
            tell_of_answer(alice, "alice", tell.clone());
        }
        // By then they are there: one is looked at, the others wait.
        for _ in 0..100 {
            assert_eq!(watcher.query("SELECT 1").value(), "1");
        }
        for (name, text) in [("huge", &huge), ("long", &text(30_000))] {
            let mut olga = stage.enter(&readgate, "olga");
            olga.send_command(3, text.as_bytes()).expect("sent");
            tell_of_answer(olga, name, tell.clone());
        }
        let order: Vec<&str> = told.iter().take(6).collect();
        assert_eq!(order, ["long", "huge", "alice", "alice", "alice", "alice"]);
    }

    fn one_users_large_commands_leave_room_for_another_users(stage) {
        let (directory, config) = stage.own_config("room");
        let readgate = Readgate::start(&directory, config);
        // Eight of them are within half of 1 GiB, nine are beyond it.
        let command = [b"\x03SELECT 7 /*".as_slice(), &b" ".repeat(60 << 20), b"*/"].concat();
        let wire = packets(&command);
        let (begun, rest) = wire.split_at(wire.len() - 2);
        let enter = |user| {
            let mut client = enter_with(stage, &readgate, user, capability::COMPRESS);
            client.compress(Algorithm::Zlib);
            client
        };
        let mut alices: Vec<RawClient> = (0..9).map(|_| enter("alice")).collect();
        for alice in &mut alices {
            alice.send_raw(begun).expect("sent");
        }
        let refused = readgate.record("disconnect", |record| record["user"] == "alice");
        let why = "over_limit: no room for large commands";
        assert_eq!(refused["reason"], why);
        let large = format!("SELECT 7 /*{}*/", " ".repeat(2 << 20));
        assert_eq!(enter("olga").query(large).value(), "7");
        let (out, mut within): (Vec<_>, Vec<_>) = alices
            .into_iter()
            .partition(|alice| refused["session"] == alice.greeting.connection_id);
        for mut alice in out {
            let words = alice.receive().expect("last words");
            assert_eq!(ServerError::parse(&words).map(|error| error.code), Some(TRY_AGAIN));
        }
        // What one held is free for another when it has run.
        let mut goes_on = within.pop().expect("eight of them");
        goes_on.send_raw(rest).expect("sent");
        assert_eq!(goes_on.read_response().expect("an answer").value(), "7");
        assert_eq!(goes_on.query("SELECT 8").value(), "8");
        assert_eq!(enter("alice").query(&command[1..]).value(), "7");
        // With the seven that are held still it fits once, and twice it wouldn't.
        let text = std::str::from_utf8(&command[1..]).expect("a text");
        enter("alice").prepare(text).expect("there is room");
    }
}
