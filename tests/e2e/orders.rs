//! Orders to a session (KILL, a user who is disabled, the end of its time) reach it whatever its
//! client does: reads slowly, reads nothing, sends ahead.

use std::io::ErrorKind::{ConnectionReset, UnexpectedEof};
use std::thread;
use std::time::Duration;

use readgate_tests::config::set;
use readgate_tests::place::wait_for;
use readgate_tests::raw::{Login, RawClient};
use readgate_tests::readgate::Readgate;
use readgate_tests::server::Server;
use readgate_tests::stage::{Stage, USER_PASSWORD, login_at};

use crate::failover::lists;

/// Some four thousand million bytes.
const ENDLESS: &str = "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 900) \
                       SELECT REPEAT('endless', 700) FROM n a, n b";
/// What may be on its way when a session is killed: the buffers of both sockets.
const ON_ITS_WAY: usize = 64 << 20;
/// A command that nobody knows: answered by readgate itself.
const UNKNOWN_COMMAND: &[u8] = &[1, 0, 0, 0, 0x1f];

fn kill(stage: &Stage, victim: &RawClient) -> u32 {
    let id = victim.greeting.connection_id;
    stage.alice().query(format!("KILL CONNECTION {id}")).expect_ok();
    id
}

fn is_recorded_as_killed(stage: &Stage, id: u32) {
    stage
        .readgate
        .record("disconnect", |record| record["session"] == id && record["reason"] == "killed");
}

on_both! {
    fn a_killed_session_gets_no_more_of_its_result_however_slowly_it_reads(stage) {
        let mut victim = stage.alice();
        let mut other = stage.alice();
        victim.send_command(3, ENDLESS.as_bytes()).expect("sent");
        let mut piece = vec![0; 64 << 10];
        victim.receive_raw(&mut piece).expect("it begins");
        let id = kill(stage, &victim);
        let mut bytes = 0;
        while victim.receive_raw(&mut piece).is_ok() {
            bytes += piece.len();
            assert!(bytes < ON_ITS_WAY, "a killed session still gets data");
            // What the replica sends is always there before it is asked for.
            assert_eq!(other.query("SELECT 1").value(), "1");
        }
        is_recorded_as_killed(stage, id);
        let intent = stage.readgate.record("intent", |record| record["text"] == ENDLESS && record["session"] == id);
        let outcome = stage.readgate.record("outcome", |record| record["intent"] == intent["seq"]);
        assert_eq!(outcome["end"], "killed");
    }

    fn a_killed_session_ends_though_its_client_reads_none_of_its_result(stage) {
        let mut victim = stage.alice();
        victim.send_command(3, ENDLESS.as_bytes()).expect("sent");
        let id = kill(stage, &victim);
        is_recorded_as_killed(stage, id);
    }

    fn a_killed_session_that_had_nothing_to_do_is_closed_without_a_word_as_by_the_server(stage) {
        for enter in [Stage::direct, Stage::alice] {
            let (mut victim, mut killer) = (enter(stage), enter(stage));
            killer.query(format!("KILL CONNECTION {}", victim.greeting.connection_id)).expect_ok();
            let said = victim.receive().map_err(|error| error.kind());
            assert!(matches!(said, Err(UnexpectedEof | ConnectionReset)), "{said:?}");
        }
    }

    fn a_session_that_kills_itself_is_told_as_by_the_server(stage) {
        for enter in [Stage::direct, Stage::alice] {
            let mut client = enter(stage);
            let id = client.query("SELECT CONNECTION_ID()").value();
            let error = client.query(format!("KILL QUERY {id}")).expect_error();
            assert_eq!((error.code, error.state.as_str()), (1317, "70100"), "{error}");
            assert_eq!(client.query("SELECT 1").value(), "1", "what follows is not hit");
            let error = client.query(format!("KILL {id}")).expect_error();
            assert!(matches!(error.code, 1317 | 1927), "{error}");
            assert!(client.is_closed());
        }
    }

    fn a_killed_session_ends_though_its_client_sends_ahead_and_reads_no_answer(stage) {
        let mut victim = stage.alice();
        let id = victim.greeting.connection_id;
        let flood = thread::spawn(move || {
            let _ = victim.send_raw(&UNKNOWN_COMMAND.repeat(400_000));
            victim
        });
        stage.alice().query(format!("KILL CONNECTION {id}")).expect_ok();
        is_recorded_as_killed(stage, id);
        drop(flood.join());
    }

    fn a_kill_under_way_hits_nobody_who_comes_after_the_session(stage) {
        let server = Server::start(stage.server.flavour, &stage.own_directory("killed_late_server"));
        server.load_sample();
        let (directory, mut config) = stage.own_config_for(&server, "killed_late");
        set(&mut config, "limits.replica_timeout", "1m");
        let readgate = Readgate::start(&directory, config);
        let enter = || login_at(readgate.port, &server.ca_file(), &Login::user("alice", USER_PASSWORD));
        let (mut quits, mut changes) = (enter(), enter());
        let ids = [&mut quits, &mut changes].map(|client| client.query("SELECT CONNECTION_ID()").value());
        let mut killers = [enter(), enter()];
        server.hang();
        for (killer, id) in killers.iter_mut().zip(&ids) {
            killer.send_command(3, format!("KILL QUERY {id}").as_bytes()).expect("sent");
            let id: u64 = id.parse().expect("a number");
            readgate.record("kill", |record| record["target"] == id);
        }
        quits.send_command(1, b"").expect("sent");
        assert!(quits.is_closed());
        let session = changes.greeting.connection_id;
        let changing = thread::spawn(move || {
            changes.change_user("olga", USER_PASSWORD).expect("let in");
            changes
        });
        readgate.record("disconnect", |record| {
            record["session"] == session && record["reason"] == "change_user"
        });
        server.signal("CONT");
        let mut changed = changing.join().expect("let in");
        assert_ne!(changed.query("SELECT CONNECTION_ID()").value(), ids[1]);
        for killer in &mut killers {
            killer.read_response().expect("answered").expect_ok();
        }
        for id in &ids {
            wait_for("its connection is closed", Duration::from_secs(10), || {
                let left = "SELECT COUNT(*) FROM information_schema.processlist WHERE id = ";
                (server.sql(&format!("{left}{id}")).trim() == "0").then_some(())
            });
        }
    }

    fn who_came_before_the_replicas_clock_was_set_back_is_reached(stage) {
        let server = Server::start(stage.server.flavour, &stage.own_directory("set_back_server"));
        server.load_sample();
        let (directory, mut config) = stage.own_config_for(&server, "set_back");
        set(&mut config, "replica.warm_connections", 0);
        set(&mut config, "functions.sleep_max", "60s");
        let readgate = Readgate::start(&directory, config);
        let enter = || login_at(readgate.port, &server.ca_file(), &Login::user("alice", USER_PASSWORD));
        let mut sleeper = enter();
        // To who comes from here on, the time is one before the server's start.
        server.sql("SET GLOBAL init_connect = 'SET timestamp = 1000000000'");
        let mut killer = enter();
        sleeper.send_command(3, b"SELECT SLEEP(50), 'to be stopped'").expect("sent");
        wait_for("she sees it run", Duration::from_secs(20), || lists(&mut killer, b"to be stopped").then_some(()));
        killer.query(format!("KILL QUERY {}", sleeper.greeting.connection_id)).expect_ok();
        // Both say 1 where SLEEP ends before its time, or that the statement was interrupted.
        let answer = sleeper.read_response().expect("an answer");
        match answer.error() {
            Some(error) => assert_eq!((error.code, error.state.as_str()), (1317, "70100"), "{error}"),
            None => assert_eq!(answer.rows()[0][0].as_deref(), Some(b"1".as_slice())),
        }
        // A server lists a statement for a moment after its answer has gone out.
        wait_for("it is gone", Duration::from_secs(10), || (!lists(&mut killer, b"to be stopped")).then_some(()));
    }
}
