//! Many connections: thousands one after the other, a hundred and fifty at once. Nothing of
//! them stays behind, at readgate or at the replica.

use std::process::Command;
use std::sync::Barrier;
use std::sync::mpsc::channel;
use std::time::Duration;

use readgate_tests::config::set;
use readgate_tests::place::wait_for;
use readgate_tests::raw::{Login, RawClient, ServerError, capability};
use readgate_tests::readgate::{Footprint, Readgate};
use readgate_tests::squeezed::Algorithm;
use readgate_tests::stage::{Stage, USER_PASSWORD, login_at};

/// Growth that the bar allows.
const MOST_GROWTH: u64 = 32 << 20;

/// Sessions of this daemon's own account on the replica.
fn replica_sessions(stage: &Stage, account: &str) -> usize {
    let count =
        format!("SELECT COUNT(*) FROM information_schema.processlist WHERE user = '{account}'");
    stage.server.sql(&count).trim().parse().expect("a number")
}

/// Leaves as clients do: COM_QUIT, or just gone.
fn leave(mut client: RawClient, politely: bool) {
    if politely {
        // The other side closes without an answer.
        client.send_command(1, b"").expect("sent");
        assert!(client.is_closed());
    }
}

/// A daemon with an account of its own on the replica, so that its sessions can be counted; the
/// replica takes more sessions than those of all tests at once.
fn counted(stage: &Stage, account: &str) -> Readgate {
    let (directory, mut config) = stage.own_config(account);
    let rights = "SELECT, SHOW VIEW, PROCESS, SHOW DATABASES, REPLICATION CLIENT";
    stage.server.sql(&format!(
        "SET GLOBAL max_connections = 500; CREATE USER IF NOT EXISTS {account} IDENTIFIED BY '{}'; GRANT {rights} ON *.* TO {account}",
        readgate_tests::server::SHARED_PASSWORD
    ));
    set(&mut config, "replica.account.user", account);
    Readgate::start(&directory, config)
}

/// What the daemon and the replica come back to when nobody is connected.
fn comes_back(stage: &Stage, readgate: &Readgate, account: &str, before: &Footprint) {
    // Warm connections, each a descriptor, and the connection that watches the replica.
    let kept = 8;
    let (most, limit) = (before.descriptors + kept, Duration::from_secs(10));
    wait_for("descriptors are given back", limit, || {
        (readgate.footprint().descriptors <= most).then_some(())
    });
    wait_for("the replica's sessions end", limit, || {
        (replica_sessions(stage, account) <= kept).then_some(())
    });
    let after = readgate.footprint();
    let grown = after.resident.saturating_sub(before.resident);
    assert!(grown < MOST_GROWTH, "grown by {} kB: {before:?}, {after:?}", grown >> 10);
}

on_both! {
    fn where_open_files_are_short_clients_learn_it_and_the_rest_goes_on(stage) {
        let (directory, mut config) = stage.own_config("open_files");
        set(&mut config, "reload.watch", "0s");
        let readgate = Readgate::start(&directory, config);
        let id = readgate.id().to_string();
        let limited = Command::new("prlimit").args(["--pid", &id, "--nofile=128:128"]).status();
        assert!(limited.unwrap().success());
        readgate.signal("HUP");
        readgate.reloaded(|_| true);
        let some: Vec<_> = (0..32).map(|_| stage.enter(&readgate, "alice")).collect();
        let refused = RawClient::connect(readgate.port).map(|_| ()).unwrap_err().to_string();
        assert!(refused.starts_with("ERROR 1040"), "{refused}");
        assert_eq!(readgate.http("/readyz").map(|answer| answer.0), Some(200));
        drop(some);
        wait_for("there is room again", Duration::from_secs(30), || {
            let login = Login::user("alice", USER_PASSWORD);
            let mut client = RawClient::connect(readgate.port).ok()?;
            client.start_tls(&stage.ca_file(), &login).ok()?;
            client.login(&login).ok()
        });
    }

    fn connections_that_come_and_go_leave_nothing_behind(stage) {
        let readgate = counted(stage, "counted_coming");
        leave(stage.enter(&readgate, "alice"), true);
        let before = readgate.footprint();
        // 2,000 that connect and go after the greeting, as probes do.
        for _ in 0..2_000 {
            drop(RawClient::connect(readgate.port).expect("a greeting"));
        }
        for number in 0..200 {
            let mut client = stage.enter(&readgate, "alice");
            assert_eq!(client.query("SELECT 1").value(), "1");
            leave(client, number % 2 == 0);
        }
        comes_back(stage, &readgate, "counted_coming", &before);
    }

    fn a_hundred_and_fifty_log_in_at_once(stage) {
        let readgate = counted(stage, "counted_at_once");
        leave(stage.enter(&readgate, "alice"), true);
        let before = readgate.footprint();
        let start = Barrier::new(150);
        let log_in_with_the_others = |number: usize| {
            start.wait();
            let mut client = stage.enter(&readgate, "alice");
            assert_eq!(client.query(format!("SELECT {number}")).value(), number.to_string());
            client
        };
        let together = &log_in_with_the_others;
        // All are in at the same time before the first one leaves.
        let clients: Vec<RawClient> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..150).map(|number| scope.spawn(move || together(number))).collect();
            threads.into_iter().map(|thread| thread.join().expect("it is let in")).collect()
        });
        for (number, client) in clients.into_iter().enumerate() {
            leave(client, number % 2 == 0);
        }
        comes_back(stage, &readgate, "counted_at_once", &before);
    }

    fn a_long_text_holds_up_no_other_session(stage) {
        let (directory, mut config) = stage.own_config("long_text");
        set(&mut config, "limits.workers", 1);
        let readgate = Readgate::start(&directory, config);
        let (mut long, mut other) = (stage.enter(&readgate, "alice"), stage.enter(&readgate, "alice"));
        let names = ",a".repeat(8 << 20);
        let text = format!("SELECT a{names} FROM clinical.studies FOR UPDATE");
        long.send_command(3, text.as_bytes()).expect("sent");
        for _ in 0..100 {
            assert_eq!(other.query("SELECT 1").value(), "1");
        }
        long.set_patience(Duration::from_millis(1));
        assert!(long.receive().is_err(), "answered before a hundred short ones");
        long.set_patience(Duration::from_secs(60));
        assert_eq!(long.receive().expect("an answer")[0], 0xff);
        assert_eq!(long.query("SELECT 1").value(), "1");
    }

    fn commands_that_need_no_answer_hold_up_no_other_session(stage) {
        const CLOSE_OF_AN_UNKNOWN: &[u8] = b"\x05\0\0\0\x19\xee\xee\xee\0";
        const UNKNOWN: &[u8] = b"\x01\0\0\0\x55";
        let (directory, mut config) = stage.own_config("sent_ahead");
        set(&mut config, "limits.workers", 1);
        let readgate = Readgate::start(&directory, config);
        let login = Login::user("alice", USER_PASSWORD).with(capability::COMPRESS);
        let mut many = login_at(readgate.port, &stage.ca_file(), &login);
        many.compress(Algorithm::Zlib);
        let mut other = stage.enter(&readgate, "alice");
        // All of it is there at once: a few kilobytes.
        let ahead = [&CLOSE_OF_AN_UNKNOWN.repeat(1 << 20)[..], UNKNOWN].concat();
        many.send_raw(&ahead).expect("sent");
        for _ in 0..10 {
            assert_eq!(other.query("SELECT 1").value(), "1");
        }
        many.set_patience(Duration::from_millis(1));
        assert!(many.receive().is_err(), "answered before ten others");
        many.set_patience(Duration::from_secs(60));
        assert_eq!(many.receive().expect("an answer")[1..3], 1047_u16.to_le_bytes());
    }

    fn a_long_text_that_waits_for_another_ends_with_its_session(stage) {
        let (directory, mut config) = stage.own_config("long_texts");
        set(&mut config, "limits.workers", 1);
        let readgate = Readgate::start(&directory, config);
        let mut killer = stage.enter(&readgate, "alice");
        let names = ",a".repeat(8 << 20);
        let text = format!("SELECT a{names} FROM clinical.studies FOR UPDATE");
        let (tell, told) = channel();
        let ids = [(); 2].map(|()| {
            let (mut client, tell) = (stage.enter(&readgate, "alice"), tell.clone());
            let id = client.greeting.connection_id;
            client.send_command(3, text.as_bytes()).expect("sent");
            std::thread::spawn(move || {
                let error = client.receive().ok().as_deref().and_then(ServerError::parse);
                tell.send(error.map(|error| error.code)).expect("the test listens");
            });
            id
        });
        // By then both are there: one is looked at, the other waits.
        for _ in 0..100 {
            assert_eq!(killer.query("SELECT 1").value(), "1");
        }
        for id in ids {
            killer.query(format!("KILL CONNECTION {id}")).expect_ok();
        }
        assert_eq!(told.recv(), Ok(Some(1927)), "who waits goes first");
        let refusal = readgate.record("refusal", |record| record["rule"] == "killed");
        assert!(refusal["text"].as_str().unwrap().starts_with("SELECT a,a"), "{}", refusal["reason"]);
    }
}
