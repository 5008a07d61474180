//! A replica that is too far behind is served, warned of or refused, as config says.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use readgate_tests::config::{make_operators, set};
use readgate_tests::place::{script, wait_for};
use readgate_tests::protocol::Login;
use readgate_tests::readgate::Readgate;
use readgate_tests::server::{ADMIN_PASSWORD, Flavour, Server, must};
use readgate_tests::stage::{USER_PASSWORD, login_at, try_login_at};

/// Longer than readgate takes to look again.
const SOON: Duration = Duration::from_secs(20);

fn set_lag(server: &Server, seconds: &str) {
    let heartbeat = format!(
        "CREATE TABLE IF NOT EXISTS clinical.heartbeat (behind DOUBLE);
         DELETE FROM clinical.heartbeat; INSERT INTO clinical.heartbeat VALUES ({seconds});"
    );
    server.sql(&heartbeat);
}

/// A replica that really follows a primary; both hold the sample.
fn pair(flavour: Flavour, directory: &Path) -> (Server, Server) {
    let primary = Server::start_writable(flavour, &directory.join("primary"));
    let replica = Server::start(flavour, &directory.join("replica"));
    // Each server has an authority of its own; the replica must know the primary's too.
    let known = [&replica, &primary].map(|server| std::fs::read(server.ca_file()).unwrap());
    std::fs::write(replica.ca_file(), known.concat()).unwrap();
    let script = || {
        let mut command = Command::new(script("replication.sh"));
        command.env("REPLICATION_PASSWORD", "password of the tests");
        command
    };
    let (from, to) = (&primary.directory, &replica.directory);
    must(script().args(["join", flavour.name()]).arg(from).arg(primary.port.to_string()).arg(to));
    primary.load_sample();
    must(script().args(["wait", flavour.name()]).arg(from).arg(to));
    (primary, replica)
}

on_both! {
    fn replication_itself_is_asked_and_refused_when_it_stops(stage) {
        let flavour = stage.server.flavour;
        let (_primary, replica) = pair(flavour, &stage.own_directory("pair"));
        let (directory, mut config) = stage.own_config_for(&replica, "following");
        set(&mut config, "replica.max_lag", "60s");
        set(&mut config, "replica.when_behind", "refuse");
        let daemon = Readgate::start(&directory, config);
        let login = Login::user("alice", USER_PASSWORD);
        let mut alice = login_at(daemon.port, &replica.ca_file(), &login);
        alice.query("SELECT COUNT(*) FROM clinical.subjects").expect_ok();
        let page = wait_for("nothing is missing", SOON, || {
            let none = "readgate_replica_lag_seconds{replica=\"clinical\"} 0\n";
            Some(daemon.http("/metrics")?.1).filter(|page| page.contains(none))
        });
        assert!(page.contains("readgate_replica_behind 0\n"), "{page}");

        replica.sql(match flavour {
            Flavour::MariaDb => "STOP SLAVE",
            Flavour::MySql => "STOP REPLICA",
        });
        let error = wait_for("a refusal", SOON, || alice.query("SELECT 1").error());
        assert!(error.to_string().contains("replication is not running"), "{error}");
    }

    fn refuses_statements_while_the_replica_is_too_far_behind(stage) {
        let mut server = Server::start(stage.server.flavour, &stage.own_directory("lagging_server"));
        server.load_sample();
        set_lag(&server, "3");
        let (directory, mut config) = stage.own_config_for(&server, "lagging");
        set(&mut config, "replica.max_lag", "60s");
        set(&mut config, "replica.when_behind", "refuse");
        set(&mut config, "replica.heartbeat_query", "SELECT MAX(behind) FROM clinical.heartbeat");
        make_operators(&mut config, &[1]);
        let daemon = Readgate::start(&directory, config);
        let login = Login::user("alice", USER_PASSWORD);
        let mut alice = login_at(daemon.port, &server.ca_file(), &login);
        let statement = alice.prepare("SELECT 1").unwrap();
        alice.query("SELECT 1").expect_ok();
        let page = daemon.http("/metrics").unwrap().1;
        assert!(page.contains("readgate_replica_lag_seconds{replica=\"clinical\"} 3\n"), "{page}");

        set_lag(&server, "61");
        let error = wait_for("a refusal", SOON, || alice.query("SELECT 1").error());
        assert_eq!(error.code, 1290, "{error}");
        assert!(error.to_string().contains("more than 60 s behind"), "{error}");
        assert!(alice.execute(&statement, 0, b"").error().is_some());
        daemon.record("refusal", |record| record["rule"] == "replica_behind");
        let olga = Login::user("olga", USER_PASSWORD);
        let seen = "SELECT COUNT(*) > 1 FROM refusals WHERE user = 'alice' AND rule = 'replica_behind'";
        assert_eq!(login_at(daemon.port, &server.ca_file(), &olga).query(seen).value(), "1");
        daemon.record("replica_check", |r| r["result"].as_str().unwrap().contains("60 s behind"));
        let (status, said) = daemon.http("/readyz").unwrap();
        assert!(status == 503 && said.contains("60 s behind"), "{status} {said}");
        let refused = try_login_at(daemon.port, &server.ca_file(), &login).expect_err("no service");
        assert!(refused.to_string().contains("more than 60 s behind"), "{refused}");

        set_lag(&server, "NULL");
        wait_for("a lag that nobody knows is named", SOON, || {
            daemon.http("/readyz")?.1.contains("not known").then_some(())
        });
        assert!(alice.query("SELECT 1").error().is_some());

        set_lag(&server, "0");
        wait_for("service again", SOON, || alice.query("SELECT 1").error().is_none().then_some(()));
        assert_eq!(daemon.http("/readyz").unwrap().0, 200);
        server.kill();
    }

    fn a_lag_that_is_not_told_for_longer_than_it_may_be_is_too_far(stage) {
        let mut server = Server::start(stage.server.flavour, &stage.own_directory("silent_server"));
        server.load_sample();
        set_lag(&server, "0");
        let (directory, mut config) = stage.own_config_for(&server, "silent");
        set(&mut config, "replica.max_lag", "8s");
        set(&mut config, "replica.when_behind", "refuse");
        set(&mut config, "replica.heartbeat_query", "SELECT MAX(behind) FROM clinical.heartbeat");
        set(&mut config, "limits.replica_timeout", "1s");
        let daemon = Readgate::start(&directory, config);
        let login = Login::user("alice", USER_PASSWORD);
        let mut alice = login_at(daemon.port, &server.ca_file(), &login);
        alice.query("SELECT 1").expect_ok();

        // Whoever writes the heartbeat holds its table, and the question waits.
        let admin = Login::user("admin", ADMIN_PASSWORD);
        let mut holder = login_at(server.port, &server.ca_file(), &admin);
        holder.query("LOCK TABLES clinical.heartbeat WRITE").expect_ok();
        let error = wait_for("a refusal", SOON, || alice.query("SELECT 1").error());
        assert_eq!(error.code, 1290, "{error}");
        assert!(["not known", "no answer"].iter().all(|part| error.message.contains(part)), "{error}");
        let page = daemon.http("/metrics").unwrap().1;
        assert!(page.contains("readgate_replica_behind 1\n"), "{page}");
        assert!(!page.contains("readgate_replica_lag_seconds{"), "{page}");
        holder.query("UNLOCK TABLES").expect_ok();
        wait_for("service again", SOON, || alice.query("SELECT 1").error().is_none().then_some(()));
        server.kill();
    }

    fn warns_when_replication_cannot_be_asked(stage) {
        let (directory, mut config) = stage.own_config("no_replication");
        set(&mut config, "replica.max_lag", "60s");
        let daemon = Readgate::start(&directory, config);
        stage.enter(&daemon, "alice").query("SELECT 1").expect_ok();
        let said = wait_for("a warning", SOON, || {
            Some(daemon.http("/readyz")?.1).filter(|said| said.contains("check: how far"))
        });
        // Neither of the test servers is a replica, which both say to who may ask.
        let why = ["the server is no replica", "error 1227"];
        assert!(why.iter().any(|why| said.contains(why)), "{said}");
        assert!(daemon.http("/metrics").unwrap().1.contains("readgate_replica_behind 1\n"));
    }
}
