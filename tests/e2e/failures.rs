//! What goes wrong around readgate: the replica, the ledger, the daemon itself.

use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use readgate_tests::config::set;
use readgate_tests::place::wait_for;
use readgate_tests::raw::{Login, RawClient, ServerError};
use readgate_tests::readgate::Readgate;
use readgate_tests::server::Server;
use readgate_tests::stage::{USER_PASSWORD, login_at, try_login_at};

/// What `alice` is told at `readgate`, which must not take longer than the bar allows.
fn refused_login(ca_file: &Path, readgate: &Readgate) -> ServerError {
    let begun = Instant::now();
    let login = Login::user("alice", USER_PASSWORD);
    let error = try_login_at(readgate.port, ca_file, &login).expect_err("there is no replica");
    assert!(begun.elapsed() < Duration::from_secs(6), "it took {:?}", begun.elapsed());
    error
}

on_both! {
    fn tells_a_client_within_seconds_that_the_replica_is_down(stage) {
        let (directory, mut config) = stage.own_config("replica_down");
        let nobody = readgate_tests::place::free_port();
        set(&mut config, "replica.address", format!("127.0.0.1:{nobody}"));
        let readgate = Readgate::start_unready(&directory, config);
        let (code, told) = wait_for("a look", Duration::from_secs(10), || {
            readgate.http("/readyz").filter(|(_, told)| told.contains("can't connect to it"))
        });
        assert_eq!(code, 503, "{told}");
        assert!(told.contains("replica: no session can be opened: can't connect to it: "), "{told}");
        assert_eq!(readgate.http("/healthz").expect("an answer").0, 200);
        let error = refused_login(&stage.ca_file(), &readgate);
        assert_eq!((error.code, error.state.as_str()), (3168, "08S01"), "{error}");
        let why = "no service: the replica has not been checked yet: it can't be reached";
        assert_eq!(error.message, format!("readgate: {why}"));
        let failed = readgate.record("login_failed", |record| record["user"] == "alice");
        assert_eq!(failed["reason"], format!("replica_fault: {why}"));
    }

    fn tells_a_client_within_seconds_that_the_replica_is_silent(stage) {
        // Connects, as the kernel answers for it, and never says a word.
        let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
        let (directory, mut config) = stage.own_config("replica_silent");
        set(&mut config, "replica.address", silent.local_addr().unwrap().to_string());
        let readgate = Readgate::start_unready(&directory, config);
        let error = refused_login(&stage.ca_file(), &readgate);
        assert_eq!(error.state, "08S01", "{error}");
    }

    fn refuses_a_replica_with_a_foreign_certificate(stage) {
        let (directory, mut config) = stage.own_config("foreign_certificate");
        set(&mut config, "replica.tls.server_name", "other.example.org");
        let readgate = Readgate::start_unready(&directory, config);
        let error = refused_login(&stage.ca_file(), &readgate);
        assert_eq!(error.state, "08S01", "{error}");
        assert!(error.message.ends_with(": its TLS certificate could not be verified"), "{error}");
    }

    fn tells_its_administrator_what_the_replica_said_to_the_account(stage) {
        let (directory, config) = stage.own_config("account_refused");
        std::fs::write(directory.join("replica.password"), "another").expect("it can be written");
        let readgate = Readgate::start_unready(&directory, config);
        let said = "it refused the shared account: error 1045: Access denied for user 'readonly_shared'@";
        let (code, told) = wait_for("a look", Duration::from_secs(10), || {
            readgate.http("/readyz").filter(|(_, told)| told.contains(said))
        });
        assert_eq!(code, 503, "{told}");
        assert!(readgate.log().contains(said), "{}", readgate.log());
        let error = refused_login(&stage.ca_file(), &readgate);
        assert_eq!((error.code, error.state.as_str()), (3168, "08S01"), "{error}");
        assert!(error.message.ends_with(": it refused the shared account"), "{error}");
    }

    fn survives_the_replica_going_and_coming(stage) {
        let mut server = Server::start(stage.server.flavour, &stage.own_directory("coming_server"));
        server.load_sample();
        let (directory, config) = stage.own_config_for(&server, "coming");
        let readgate = Readgate::start(&directory, config);
        let login = Login::user("alice", USER_PASSWORD);
        let mut alice = login_at(readgate.port, &server.ca_file(), &login);
        assert_eq!(alice.query("SELECT 1").value(), "1");

        server.kill();
        let begun = Instant::now();
        if let Ok(response) = alice.try_query("SELECT 1") {
            assert_eq!(response.expect_error().state, "08S01");
        }
        assert!(begun.elapsed() < Duration::from_secs(6), "it took {:?}", begun.elapsed());
        assert_eq!(refused_login(&server.ca_file(), &readgate).state, "08S01");
        let (code, told) = readgate.http("/readyz").expect("an answer");
        assert!(code == 503 && told.contains("replica: no session can be opened"), "{code} {told}");

        server.restart();
        wait_for("a login after the replica is back", Duration::from_secs(10), || {
            let mut client = RawClient::connect(readgate.port).ok()?;
            client.start_tls(&server.ca_file(), &login).ok()?;
            client.login(&login).ok()
        });
    }

    fn loses_no_record_when_killed_under_load(stage) {
        let (directory, config) = stage.own_config("killed");
        let mut readgate = Readgate::start(&directory, config);
        let (seen, enough) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let answered = Arc::new(AtomicUsize::new(0));
        let clients: Vec<_> = (0..4).map(|client| {
            let mut alice = stage.enter(&readgate, "alice");
            let (seen, answered, enough) = (seen.clone(), answered.clone(), enough.clone());
            thread::spawn(move || {
                for number in 0.. {
                    let sql = format!("SELECT 'load {client} {number}'");
                    let Ok(response) = alice.try_query(&sql) else { return };
                    response.expect_ok();
                    seen.lock().unwrap().push(sql);
                    answered.fetch_add(1, Ordering::Relaxed);
                    if enough.load(Ordering::Relaxed) { return }
                }
            })
        }).collect();
        wait_for("load", Duration::from_secs(60), || (answered.load(Ordering::Relaxed) > 2000).then_some(()));
        readgate.kill();
        enough.store(true, Ordering::Relaxed);
        for client in clients {
            client.join().expect("no client panicked");
        }
        // What was recorded may still be in the journal; the next start brings it home.
        readgate.restart();
        readgate.record("start", |_| true);
        let seen = seen.lock().unwrap();
        let texts = wait_for("the ledger holds the load", Duration::from_secs(10), || {
            let intents = readgate.ledger().into_iter().filter(|record| record["event"] == "intent");
            let texts: std::collections::HashSet<String> =
                intents.filter_map(|record| Some(record["text"].as_str()?.to_owned())).collect();
            seen.iter().all(|sql| texts.contains(sql)).then_some(texts)
        });
        assert!(texts.len() >= 2000);
    }

    fn a_statement_whose_client_goes_while_nothing_can_be_recorded_is_ended(stage) {
        let (directory, mut config) = stage.own_config("unrecorded_end");
        set(&mut config, "ledger.sync", "each");
        set(&mut config, "limits.statement_timeout", "2m");
        let readgate = Readgate::start(&directory, config);
        let mut alice = stage.enter(&readgate, "alice");
        let text = "SELECT 'unrecorded', COUNT(*) FROM information_schema.columns a, \
                    information_schema.columns b, information_schema.columns c";
        alice.send_command(3, text.as_bytes()).unwrap();
        let running = "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'SELECT \\'unrecorded%'";
        let runs = |count: &str| (stage.server.sql(running).trim() == count).then_some(());
        wait_for("it runs", Duration::from_secs(10), || runs("1"));
        std::fs::rename(directory.join("ledger"), directory.join("ledger.away")).unwrap();
        std::fs::write(directory.join("ledger"), "").unwrap();
        wait_for("the ledger fails", Duration::from_secs(10), || {
            (readgate.http("/readyz")?.0 != 200).then_some(())
        });
        drop(alice);
        wait_for("it is gone", Duration::from_secs(10), || runs("0"));
    }

    fn refuses_to_start_without_a_ledger(stage) {
        let (directory, mut config) = stage.own_config("no_ledger");
        std::fs::write(directory.join("a_file"), "").unwrap();
        set(&mut config, "ledger.directory", directory.join("a_file").display().to_string());
        std::fs::write(directory.join("proxy.toml"), config.to_string()).unwrap();
        let path = directory.join("proxy.toml").display().to_string();
        let output = readgate_tests::readgate::run(&["serve", "--config", &path], "");
        // Not the configuration's fault: a service manager tries again, the disk may come.
        assert_eq!(output.status.code(), Some(69), "{output:?}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("ledger"), "{said}");
    }

    fn ends_sessions_in_order_on_sigterm(stage) {
        let (directory, config) = stage.own_config("sigterm");
        let mut readgate = Readgate::start(&directory, config);
        let mut alice = stage.enter(&readgate, "alice");
        assert_eq!(alice.query("SELECT 1").value(), "1");
        let status = readgate.stop(Duration::from_secs(60));
        assert!(status.success(), "{status}");
        // Words that nobody asked for would be the answer to the next statement.
        assert!(alice.receive().is_err());
        readgate.record("stop", |_| true);
    }
}
