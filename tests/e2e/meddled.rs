//! Peers that send what nobody expects there: a replica whose answer breaks off within a row or is
//! followed by more, one that answers late, a client that sends compressed commands ahead.
//! MariaDB's protocol stands for both: what is sent is made up here.

use std::time::Duration;

use readgate_tests::config::{set, set_roles};
use readgate_tests::meddler::Meddler;
use readgate_tests::place::wait_for;
use readgate_tests::raw::{Login, RawClient, capability as c};
use readgate_tests::readgate::Readgate;
use readgate_tests::server::{Flavour, SHARED_PASSWORD};
use readgate_tests::stage::{Stage, USER_PASSWORD, login_at, stage};
use serde_json::Value;
use toml::Table;

use crate::reloads::{reload, written};

/// How a row of text ends in which a packet of EOF follows.
const LAST: [u8; 2] = *b"xx";
/// A row that is read in many pieces.
const WIDE: &str = "SELECT REPEAT('x', 300000)";
/// An OK that nobody asked for: as a packet, and within a compressed one.
const STRAY: &[u8] = &[7, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0];
const SQUEEZED_STRAY: &[u8] = &[11, 0, 0, 1, 0, 0, 0, 7, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0];

/// A configuration in front of a replica that is reached in the clear through a meddler.
fn meddled(stage: &Stage, name: &str, meddler: &Meddler) -> (std::path::PathBuf, Table) {
    stage.server.sql(&format!(
        "CREATE USER IF NOT EXISTS meddled IDENTIFIED BY '{SHARED_PASSWORD}';
         GRANT SELECT, PROCESS, SHOW DATABASES, REPLICATION CLIENT ON *.* TO meddled"
    ));
    let (directory, mut config) = stage.own_config(name);
    set(&mut config, "replica.address", format!("127.0.0.1:{}", meddler.port));
    set(&mut config, "replica.account.user", "meddled");
    set(&mut config, "replica.tls", "insecure_plaintext = true".parse::<Table>().expect("TOML"));
    (directory, config)
}

/// All bytes up to the end of the connection.
fn all(client: &mut RawClient) -> Vec<u8> {
    let (mut bytes, mut byte) = (Vec::new(), [0]);
    while client.receive_raw(&mut byte).is_ok() {
        bytes.extend(byte);
    }
    bytes
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// What a client gets of a wide row when its last piece is changed so. Where what is wrong comes
/// alone, the row is whole by then: it is asked for again.
fn left_of_a_wide_row(name: &str, change: fn(&mut Vec<u8>)) -> Vec<u8> {
    let stage = stage(Flavour::MariaDb);
    let meddler = Meddler::start(stage.server.port, &[WIDE], move |answer| {
        let is_whole = answer.len() > 300_000 && !answer.ends_with(&LAST);
        if is_whole {
            change(answer);
        }
        is_whole
    });
    let (directory, config) = meddled(stage, name, &meddler);
    let readgate = Readgate::start(&directory, config);
    let ask = || {
        let mut alice = stage.enter(&readgate, "alice");
        alice.send_command(3, WIDE.as_bytes()).expect("sent");
        all(&mut alice)
    };
    let within_it = (0..50).map(|_| ask()).find(|bytes| bytes.len() < 300_000);
    let outcome = readgate.record("outcome", |outcome| outcome["end"] == "replica_gone");
    assert!(outcome["bytes"].as_u64().is_some_and(|bytes| bytes > 0), "{outcome}");
    within_it.expect("one of fifty answers breaks off within its row")
}

#[test]
fn an_answer_that_breaks_off_within_a_row_ends_without_words_in_it() {
    let bytes = left_of_a_wide_row("out_of_order", |answer| {
        let end = answer.len() - 9;
        answer[end + 3] ^= 0x55;
    });
    assert!(!holds(&bytes, "readgate"), "{} bytes", bytes.len());
    let bytes = left_of_a_wide_row("behind_the_end", |answer| answer.extend(STRAY));
    assert!(!holds(&bytes, "readgate"), "{} bytes", bytes.len());
}

#[test]
fn what_follows_a_compressed_answer_is_not_the_answer_to_the_next_statement() {
    let stage = stage(Flavour::MariaDb);
    let meddler = Meddler::start(stage.server.port, &["SELECT 'one'"], |answer| {
        answer.extend(SQUEEZED_STRAY);
        true
    });
    let (directory, mut config) = meddled(stage, "squeezed_stray", &meddler);
    set(&mut config, "replica.compression", "zlib");
    let readgate = Readgate::start(&directory, config);
    let mut alice = stage.enter(&readgate, "alice");
    alice.send_command(3, b"SELECT 'one'").expect("sent");
    alice.send_command(3, b"SELECT 'two'").expect("sent");
    let error = alice.read_response().expect("an answer").expect_error();
    assert_eq!((error.code, error.state.as_str()), (3168, "08S01"), "{error}");
    assert!(alice.is_closed());
}

#[test]
fn a_late_answer_to_readgate_is_not_the_answer_to_a_statement() {
    let stage = stage(Flavour::MariaDb);
    // The question behind a statement that was stopped, answered when it is asked once more.
    let texts = &["'too many rows'", "@@session.sql_mode"];
    let meddler = Meddler::start(stage.server.port, texts, |answer| {
        let question = "@@session.sql_mode";
        answer.windows(question.len()).filter(|window| *window == question.as_bytes()).count() > 1
    });
    let (directory, mut config) = meddled(stage, "late_answer", &meddler);
    set(&mut config, "limits.replica_timeout", "1s");
    set_roles(&mut config, "[[role]]\nname = \"brief\"\nresult_rows = 1");
    set(&mut config, "user.0.role", "brief");
    let readgate = Readgate::start(&directory, config);
    let mut alice = stage.enter(&readgate, "alice");
    let rows = "SELECT 'too many rows' UNION ALL SELECT 'of them' UNION ALL SELECT 'here'";
    alice.send_command(3, rows.as_bytes()).expect("sent");
    alice.send_command(3, b"SELECT 'mine'").expect("sent");
    let error = alice.read_response().expect("an answer").expect_error();
    assert_eq!(error.code, 1226, "{error}");
    let bytes = all(&mut alice);
    assert!(!holds(&bytes, "utf8mb4"), "{bytes:?}");
}

/// As if the judge had misunderstood what the statement sets.
#[test]
fn no_statement_runs_that_was_judged_in_another_mode_than_the_replicas() {
    let stage = stage(Flavour::MariaDb);
    let texts = &["SET sql_mode = 'ANSI_QUOTES'", "@@session.sql_mode"];
    let meddler = Meddler::start(stage.server.port, texts, |answer| {
        let said = answer.windows(11).position(|window| window == b"ANSI_QUOTES");
        if let Some(at) = said {
            answer[at..at + 11].copy_from_slice(b"TRADITIONAL");
        }
        said.is_some()
    });
    let (directory, config) = meddled(stage, "another_mode", &meddler);
    let readgate = Readgate::start(&directory, config);
    let mut alice = stage.enter(&readgate, "alice");
    alice.query(texts[0]).expect_ok();
    let error = alice.query("SELECT 'misread'").expect_error();
    assert_eq!((error.code, error.state.as_str()), (3168, "08S01"), "{error}");
    assert!(error.message.starts_with("readgate: "), "{error}");
    assert!(alice.is_closed());
    assert!(!stage.server.general_log().contains("'misread'"), "it has reached the replica");
    let is_ours =
        |record: &Value| record["reason"].as_str().is_some_and(|r| r.contains("judged by"));
    readgate.record("disconnect", is_ours);
}

/// As by the stop button of the session's user, which comes while readgate asks for its modes.
#[test]
fn a_kill_that_comes_while_readgate_asks_ends_no_session() {
    const INTERRUPTED: &[u8] = b"\xff\x25\x05#70100Query execution was interrupted";
    let stage = stage(Flavour::MariaDb);
    let texts = &["SET sql_mode = 'ANSI_QUOTES'", "@@session.sql_mode"];
    let meddler = Meddler::start(stage.server.port, texts, |answer| {
        let is_answer = holds(answer, "ANSI_QUOTES");
        if is_answer {
            let len = u8::try_from(INTERRUPTED.len()).expect("short");
            *answer = [&[len, 0, 0, 1], INTERRUPTED].concat();
        }
        is_answer
    });
    let (directory, config) = meddled(stage, "interrupted", &meddler);
    let readgate = Readgate::start(&directory, config);
    let mut alice = stage.enter(&readgate, "alice");
    alice.query(texts[0]).expect_ok();
    assert_eq!(alice.query("SELECT 'goes on'").value(), "goes on");
    assert_eq!(alice.query("SELECT @@sql_mode").value(), "ANSI_QUOTES");
}

/// As of two servers behind one name, or of one that begins to count anew.
#[test]
fn two_sessions_with_one_id_are_both_told_to_go() {
    const ID: u32 = 77;
    let stage = stage(Flavour::MariaDb);
    let meddler = Meddler::start(stage.server.port, &[], |greeting| {
        // Behind header, number of the protocol and version.
        let end = greeting[5..].iter().position(|byte| *byte == 0).expect("a version");
        greeting[5 + end + 1..][..4].copy_from_slice(&ID.to_le_bytes());
        true
    });
    let (directory, config) = meddled(stage, "one_id", &meddler);
    let readgate = Readgate::start(&directory, config.clone());
    stage.enter(&readgate, "alice");
    let greeted = || {
        wait_for("a greeting with that id", Duration::from_secs(20), || {
            let client = RawClient::connect(readgate.port).ok()?;
            (client.greeting.connection_id == ID).then_some(client)
        })
    };
    let (mut alice, mut olga) = (greeted(), greeted());
    for (client, user) in [(&mut alice, "alice"), (&mut olga, "olga")] {
        let login = Login::user(user, USER_PASSWORD);
        client.start_tls(&stage.ca_file(), &login).expect("TLS");
        client.login(&login).expect("let in");
    }
    let third = RawClient::connect(readgate.port).expect("a greeting");
    assert_ne!(third.greeting.connection_id, ID, "it is somebody's who is in");
    let mut config = written(&readgate);
    set(&mut config, "user.0.status", "disabled");
    reload(&readgate, &config);
    assert!(alice.is_sent_away(Duration::from_secs(30)), "she may not be in any more");
    assert_eq!(olga.query("SELECT 'still in'").value(), "still in");
    set(&mut config, "user.1.status", "disabled");
    reload(&readgate, &config);
    assert!(olga.is_sent_away(Duration::from_secs(30)));
}

/// The sequence ids of compressed packets up to the OK of a PING, an answer of seven bytes.
fn sequence_ids(client: &mut RawClient) -> Vec<u8> {
    let mut ids = Vec::new();
    loop {
        let mut header = [0; 7];
        client.receive_raw(&mut header).expect("a packet");
        let len =
            usize::from(header[0]) | usize::from(header[1]) << 8 | usize::from(header[2]) << 16;
        client.receive_raw(&mut vec![0; len]).expect("its content");
        ids.push(header[3]);
        if len == 11 && header[4..] == [0; 3] {
            return ids;
        }
    }
}

/// A command in a compressed packet of its own that leaves it as it is.
fn squeezed(command: &[u8]) -> Vec<u8> {
    let len = u8::try_from(command.len()).expect("short");
    [&[len + 4, 0, 0, 0, 0, 0, 0, len, 0, 0, 0], command].concat()
}

on_both! {
    fn compressed_commands_that_are_sent_ahead_are_answered_by_number(stage) {
        const COMPRESS: u32 = 1 << 5;
        let as_alice = Login::user("alice", USER_PASSWORD).with(COMPRESS | c::LONG_FLAG);
        let direct = Login { user: "readonly_shared".to_owned(), password: SHARED_PASSWORD.to_owned(), ..as_alice.clone() };
        let wide = b"\x03SELECT * FROM clinical.lab_results LIMIT 20000";
        for (port, login) in [(stage.server.port, direct), (stage.readgate.port, as_alice)] {
            let mut client = login_at(port, &stage.ca_file(), &login);
            let ahead = [squeezed(wide), squeezed(b"\x0e"), squeezed(b"\x0e")].concat();
            client.send_raw(&ahead).expect("sent");
            let ids = sequence_ids(&mut client);
            let (last, rows) = ids.split_last().expect("some");
            let counted = rows.iter().zip(1_u8..=255).all(|(id, due)| *id == due);
            assert!(counted && rows.len() > 1, "the rows are counted from 1 on: {rows:?}");
            assert_eq!(*last, 1, "the answer to the next command begins at 1");
            assert_eq!(sequence_ids(&mut client), [1]);
        }
    }
}
