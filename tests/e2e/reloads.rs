//! What a reload says is so: keys that count at once do, and of those that wait for the next
//! start nobody is told that they are in force.

use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use access::store::{Author, IdentityStore};
use access::{Change, CredentialPolicy, Identity, Password, Sha2Verifier, Timestamp, UserName};
use readgate::identity::SqliteStore;
use readgate_tests::config::{make_operators, set};
use readgate_tests::place::{free_port, script, wait_for};
use readgate_tests::protocol::Login;
use readgate_tests::raw::RawClient;
use readgate_tests::readgate::Readgate;
use readgate_tests::server::Flavour;
use readgate_tests::stage::{DRIVER_PASSWORD, Stage, USER_PASSWORD, login_at, try_login_at};
use serde_json::{Value, json};
use toml::Table;

/// Opening a pipe that nobody reads fails, in place of waiting.
const O_NONBLOCK: i32 = 0o4000;
pub(crate) const LONG: Duration = Duration::from_secs(30);
pub(crate) const IN_FORCE: &str = "in force, 0 sessions ended";

/// A configuration that is read again when the daemon is told to; olga is an operator.
fn operated(stage: &Stage, name: &str) -> (PathBuf, Table) {
    let (directory, mut config) = stage.own_config(name);
    set(&mut config, "reload.watch", "0s");
    make_operators(&mut config, &[1]);
    (directory, config)
}

/// The configuration as the daemon was started with it.
pub(crate) fn written(readgate: &Readgate) -> Table {
    std::fs::read_to_string(readgate.directory.join("proxy.toml")).unwrap().parse().unwrap()
}

pub(crate) fn start(stage: &Stage, name: &str) -> (Readgate, Table) {
    let (directory, config) = operated(stage, name);
    let readgate = Readgate::start(&directory, config);
    let config = written(&readgate);
    (readgate, config)
}

/// Has a configuration read, and returns the record of it.
pub(crate) fn reload(readgate: &Readgate, config: &Table) -> Value {
    let loads = || readgate.reloads();
    let before = loads().len();
    std::fs::write(readgate.directory.join("proxy.toml"), config.to_string()).unwrap();
    readgate.signal("HUP");
    wait_for("the reload", LONG, || loads().into_iter().nth(before))
}

/// How many keys wait, as the metrics say.
fn waiting(readgate: &Readgate) -> usize {
    let page = readgate.http("/metrics").unwrap().1;
    let value =
        page.lines().find_map(|line| line.strip_prefix("readgate_config_pending_keys ")).unwrap();
    value.parse().unwrap()
}

/// How often the log has warned of exactly these keys.
fn warnings(readgate: &Readgate, keys: &str) -> usize {
    let warns = |line: &&str| {
        line.contains("count from the next start, not yet") && line.contains(&format!("\"{keys}\""))
    };
    readgate.log().lines().filter(warns).count()
}

fn shown(readgate: &Readgate) -> Value {
    let status: Value = serde_json::from_str(&readgate.http("/status.json").unwrap().1).unwrap();
    status["config_pending"].clone()
}

on_both! {
    fn a_file_that_does_not_answer_holds_up_neither_sessions_nor_the_stop(stage) {
        let (directory, mut config) = operated(stage, "hung");
        set(&mut config, "limits.workers", 1);
        set(&mut config, "limits.drain", "1s");
        let mut daemon = Readgate::start(&directory, config);
        let mut reader = stage.enter(&daemon, "alice");
        let mut operator = stage.enter(&daemon, "olga");
        let password = directory.join("replica.password");
        std::fs::remove_file(&password).unwrap();
        // Whoever opens it for reading waits for what never comes.
        let made = Command::new("mkfifo").args(["-m", "600"]).arg(&password).status();
        assert!(made.unwrap().success());
        operator.send_command(3, b"RELOAD").unwrap();
        let _held = wait_for("the password is asked for", LONG, || {
            let mut options = std::fs::OpenOptions::new();
            options.write(true).custom_flags(O_NONBLOCK).open(&password).ok()
        });
        reader.query("SELECT COUNT(*) FROM clinical.subjects").expect_ok();
        daemon.signal("HUP");
        wait_for("it is heard", LONG, || daemon.log().contains("SIGHUP").then_some(()));
        wait_for("it is told", LONG, || daemon.log().contains("a reload takes long").then_some(()));
        let page = daemon.http("/metrics").unwrap().1;
        assert!(page.contains("readgate_config_last_reload_ok 0\n"), "{page}");
        let status = daemon.stop(LONG);
        assert!(status.success(), "{status}");
        daemon.record("stop", |_| true);
    }

    fn whoever_becomes_an_operator_or_ceases_to_be_one_logs_in_anew(stage) {
        let (readgate, first) = start(stage, "operators");
        let mut alice = stage.enter(&readgate, "alice");
        let mut olga = stage.enter(&readgate, "olga");
        let mut config = first.clone();
        set(&mut config, "user.0.role", "operator");
        set(&mut config, "user.1.role", "default");
        let load = reload(&readgate, &config);
        assert_eq!(load["result"], "in force, 2 sessions ended", "{load}");
        assert!(olga.is_sent_away(LONG), "who is no operator any more has no console");
        assert!(alice.is_sent_away(LONG), "operators see no data");
        stage.enter(&readgate, "alice").query("SELECT user FROM sessions").expect_ok();
        stage.enter(&readgate, "olga").query("SELECT COUNT(*) FROM clinical.studies").expect_ok();
    }

    fn sessions_end_with_the_verifier_that_they_were_proven_by(stage) {
        let (readgate, first) = start(stage, "other_verifier");
        let mut alice = stage.enter(&readgate, "alice");
        let mut dora = login_at(readgate.port, &stage.ca_file(), &Login::user("dora", DRIVER_PASSWORD));
        let (mut config, chosen) = (first.clone(), "another password");
        let verifier = Sha2Verifier::from_password(&Password::new(chosen)).to_text();
        set(&mut config, "user.0.caching_sha2_verifier", verifier.as_str());
        let load = reload(&readgate, &config);
        assert_eq!(load["result"], "in force, 1 sessions ended", "{load}");
        assert!(alice.is_sent_away(LONG), "whoever knew the former password stayed");
        dora.query("SELECT 1").expect_ok();
        let mut again = login_at(readgate.port, &stage.ca_file(), &Login::user("alice", chosen));
        assert_eq!(reload(&readgate, &config)["result"], IN_FORCE);
        again.query("SELECT 1").expect_ok();
    }

    fn a_key_that_waits_for_the_next_start_is_said_to_wait_until_it_does_not(stage) {
        let (mut readgate, first) = start(stage, "pending");
        let mut config = first.clone();
        set(&mut config, "limits.idle_timeout", "7m");
        let load = reload(&readgate, &config);
        assert_eq!((&load["result"], &load["pending"]), (&json!(IN_FORCE), &Value::Null), "{load}");
        assert_eq!(waiting(&readgate), 0);

        set(&mut config, "replica.longest_wait", "11s");
        set(&mut config, "limits.workers", 3);
        let keys = json!(["limits.workers", "replica.longest_wait"]);
        let load = reload(&readgate, &config);
        assert_eq!(load["pending"], keys, "{load}");
        assert_ne!(load["result"], IN_FORCE, "{load}");
        assert_eq!((waiting(&readgate), shown(&readgate)), (2, keys.clone()));
        assert_eq!(warnings(&readgate, "limits.workers, replica.longest_wait"), 1, "{}", readgate.log());
        let asked = "SELECT name, value FROM config WHERE pending ORDER BY name";
        let rows = stage.enter(&readgate, "olga").query(asked).rows().len();
        assert_eq!(rows, 2);

        // It goes on waiting, whatever else is changed.
        set(&mut config, "limits.idle_timeout", "8m");
        let load = reload(&readgate, &config);
        assert_eq!(load["pending"], keys, "{load}");
        assert_eq!(load["differences"].as_array().unwrap().len(), 1, "{load}");
        assert_eq!(warnings(&readgate, "limits.workers, replica.longest_wait"), 2);

        // A configuration that is refused leaves what waits as it was.
        let mut wrong = first.clone();
        set(&mut wrong, "limits.idle_timeout", "a while");
        let load = reload(&readgate, &wrong);
        assert_eq!((&load["pending"], waiting(&readgate)), (&keys, 2), "{load}");

        let load = reload(&readgate, &first);
        assert_eq!((&load["result"], &load["pending"]), (&json!(IN_FORCE), &Value::Null), "{load}");
        assert_eq!((waiting(&readgate), shown(&readgate)), (0, json!([])));

        reload(&readgate, &config);
        assert_eq!(waiting(&readgate), 2);
        readgate.kill();
        readgate.restart();
        wait_for("it is ready", LONG, || (readgate.http("/readyz")?.0 == 200).then_some(()));
        assert_eq!(waiting(&readgate), 0);
        assert_eq!(reload(&readgate, &config)["pending"], Value::Null);
    }

    fn thousands_of_new_users_are_on_record_each_and_so_is_why_as_many_were_refused(stage) {
        let (readgate, mut config) = start(stage, "thousands");
        let users = config["user"].as_array_mut().unwrap();
        for number in 0..7000 {
            let mut user = users[0].as_table().unwrap().clone();
            user.insert("name".into(), format!("member{number}").into());
            user.insert("full_name".into(), "n".repeat(800).into());
            users.push(user.into());
        }
        let load = reload(&readgate, &config);
        let result = load["result"].as_str().unwrap();
        let parts = result.strip_prefix("in force, 0 sessions ended; differences 1 of ").unwrap();
        let last = format!("in force, 0 sessions ended; differences {parts} of {parts}");
        readgate.reloaded(|load| load["result"] == last);
        let loads = readgate.reloads().into_iter();
        let told = loads.flat_map(|load| load["differences"].as_array().unwrap().clone());
        let names = told.filter(|one| one[0].as_str().unwrap().ends_with("].full_name")).count();
        assert_eq!(names, 7000);

        for user in config["user"].as_array_mut().unwrap() {
            user.as_table_mut().unwrap().insert("role".into(), "none such".into());
        }
        let hash = load["config_hash"].clone();
        std::fs::write(readgate.directory.join("proxy.toml"), config.to_string()).unwrap();
        readgate.signal("HUP");
        let refused =
            readgate.reloaded(|load| load["result"].as_str().unwrap().contains("none such"));
        assert_eq!(refused["config_hash"], hash, "{refused}");
    }

    fn the_replicas_authority_is_the_one_in_its_file_at_the_last_reload(stage) {
        let (directory, mut config) = operated(stage, "replicas_authority");
        let ca_file = directory.join("replica-ca.crt");
        std::fs::copy(stage.ca_file(), &ca_file).unwrap();
        set(&mut config, "replica.tls.ca_file", ca_file.to_str().unwrap());
        set(&mut config, "replica.warm_connections", 0);
        let readgate = Readgate::start(&directory, config);
        let config = written(&readgate);
        stage.enter(&readgate, "alice").query("SELECT 1").expect_ok();

        let strange = directory.join("strange");
        let made = Command::new(script("certificates.sh")).arg(&strange).status().unwrap();
        assert!(made.success());
        std::fs::copy(strange.join("ca.crt"), &ca_file).unwrap();
        assert_eq!(reload(&readgate, &config)["result"], IN_FORCE);
        let login = Login::user("alice", USER_PASSWORD);
        let error = try_login_at(readgate.port, &stage.ca_file(), &login).unwrap_err();
        assert_eq!((error.code, error.message.contains("certificate")), (3168, true), "{error}");

        // One that can't be read changes nothing.
        std::fs::write(&ca_file, "no certificate").unwrap();
        let load = reload(&readgate, &config);
        assert!(load["result"].as_str().unwrap().contains("replica-ca.crt"), "{load}");

        std::fs::copy(stage.ca_file(), &ca_file).unwrap();
        assert_eq!(reload(&readgate, &config)["result"], IN_FORCE);
        stage.enter(&readgate, "alice").query("SELECT 1").expect_ok();
    }

    fn a_listener_that_is_new_or_gone_waits(stage) {
        let (readgate, first) = start(stage, "pending_listener");
        let mut config = first.clone();
        let mut further = first["listener"][0].as_table().unwrap().clone();
        let port = free_port();
        further.insert("name".into(), "further".into());
        further.insert("address".into(), format!("127.0.0.1:{port}").into());
        config["listener"].as_array_mut().unwrap().push(further.into());
        let load = reload(&readgate, &config);
        assert_eq!(load["pending"], json!(["listener[further].address", "listener[further].name"]));
        assert!(RawClient::connect(port).is_err(), "it listens");
        stage.enter(&readgate, "alice").query("SELECT 1").expect_ok();

        // Its socket stays, and lets nobody in; who came in by it is sent away.
        let mut came_by_it = stage.enter(&readgate, "alice");
        config["listener"].as_array_mut().unwrap().remove(0);
        let load = reload(&readgate, &config);
        assert!(came_by_it.is_sent_away(Duration::from_secs(30)), "{load}");
        let waits = load["pending"].as_array().unwrap();
        assert_eq!(waits.len(), 4, "{load}");
        let error = RawClient::connect(readgate.port).expect_err("refused");
        assert!(error.to_string().contains("is not allowed to connect"), "{error}");
        let page = readgate.http("/metrics").unwrap().1;
        let series = |name: &str| page.lines().filter(|line| line.starts_with(name)).count();
        assert_eq!(series("readgate_config_info{"), 1, "the one in force alone");
        let of_listeners = "readgate_certificate_expiry_timestamp_seconds{name=\"main\"";
        assert_eq!(series(of_listeners), 0, "{page}");

        assert_eq!(reload(&readgate, &first)["pending"], Value::Null);
        stage.enter(&readgate, "alice").query("SELECT 1").expect_ok();
    }

    fn limits_that_the_replica_keeps_count_for_logins_after_a_reload(stage) {
        let (readgate, mut config) = start(stage, "new_guard");
        let statement_timeout = match stage.server.flavour {
            Flavour::MariaDb => "SELECT ROUND(@@max_statement_time * 1000)",
            Flavour::MySql => "SELECT @@max_execution_time",
        };
        let limits = |client: &mut RawClient| {
            let lock_wait = client.query("SELECT @@lock_wait_timeout").value();
            (client.query(statement_timeout).value(), lock_wait)
        };
        let mut stays = stage.enter(&readgate, "alice");
        let before = limits(&mut stays);
        // Connections that wait were guarded for their next session under the limits of before.
        let warm = || {
            let page = readgate.http("/metrics").unwrap().1;
            let ready = page.lines().find_map(|line| {
                line.strip_prefix("readgate_pool_connections{state=\"warm\"} ")
            });
            ready.is_some_and(|count| count != "0").then_some(())
        };
        for _ in 0..4 {
            limits(&mut stage.enter(&readgate, "alice"));
        }
        wait_for("connections wait", LONG, warm);

        set(&mut config, "limits.statement_timeout", "77s");
        set(&mut config, "limits.lock_wait_timeout", "7s");
        set(&mut config, "limits.replica_timeout", "9s");
        let load = reload(&readgate, &config);
        assert_eq!((&load["result"], &load["pending"]), (&json!(IN_FORCE), &Value::Null), "{load}");
        for _ in 0..6 {
            let now = limits(&mut stage.enter(&readgate, "alice"));
            assert_eq!(now, ("77000".to_owned(), "7".to_owned()));
        }
        assert_eq!(limits(&mut stays), before, "a session keeps what it began with");
        // A longer time than the one that counts now is taken for a wish, and not set.
        let longer = match stage.server.flavour {
            Flavour::MariaDb => "SET max_statement_time = 78",
            Flavour::MySql => "SET max_execution_time = 78000",
        };
        let mut alice = stage.enter(&readgate, "alice");
        alice.query(longer).expect_ok();
        assert_eq!(limits(&mut alice).0, "77000");
        let console = "SELECT value FROM limits WHERE name = 'statement_timeout'";
        assert_eq!(stage.enter(&readgate, "olga").query(console).value(), "77");
    }
    fn a_drain_that_the_consoles_reload_brings_counts(stage) {
        let (directory, mut config) = operated(stage, "new_drain");
        set(&mut config, "limits.drain", "1h");
        set(&mut config, "functions.sleep_max", "1h");
        let mut readgate = Readgate::start(&directory, config);
        let mut config = written(&readgate);
        let mut alice = stage.enter(&readgate, "alice");
        alice.send_command(3, b"SELECT SLEEP(600)").unwrap();
        readgate.record("intent", |record| record["text"] == "SELECT SLEEP(600)");
        set(&mut config, "limits.drain", "0s");
        std::fs::write(directory.join("proxy.toml"), config.to_string()).unwrap();
        stage.enter(&readgate, "olga").query("RELOAD").expect_ok();
        assert!(readgate.stop(LONG).success());
    }

    fn rules_for_credentials_count_at_a_reload_for_what_users_do_by_themselves(stage) {
        let (directory, mut config) = stage.own_config("new_policy");
        let file = directory.join("identities.sqlite");
        set(&mut config, "reload.watch", "0s");
        set(&mut config, "identities.file", file.display().to_string());
        set(&mut config, "identities.refresh", "200ms");
        set(&mut config, "credentials.valid_for", "90d");
        let readgate = Readgate::start(&directory, config);
        let store = SqliteStore::open(&file, LONG).unwrap();
        let bob = UserName::new("bob").unwrap();
        let password = "Xk3-handed.over_Once,by-an.operator_44-letters";
        let policy = CredentialPolicy {
            collect_within: Duration::from_secs(14 * 86_400),
            valid_for: Some(Duration::from_secs(90 * 86_400)),
            warn_before: Duration::from_secs(86_400),
            overlap: Duration::ZERO,
        };
        for change in [
            Change::Add(Box::new(Identity::new(bob.clone(), "Bob Builder", "default"))),
            Change::Issue(bob, Password::new(password)),
        ] {
            let author = Author::new("os:tester", "a test").unwrap();
            store.apply(&change, &author, &policy, Timestamp::now()).unwrap();
        }
        readgate.record("access_change", |change| change["change"].to_string().contains("issued"));

        let mut config = written(&readgate);
        set(&mut config, "credentials.valid_for", "3650d");
        reload(&readgate, &config);
        login_at(readgate.port, &stage.ca_file(), &Login::user("bob", password))
            .query("SELECT 1")
            .expect_ok();
        let collected = |change: &Value| change["differences"].to_string().contains("in use until");
        let change = readgate.record("access_change", collected);
        let in_years = Timestamp::now().checked_add(Duration::from_secs(3649 * 86_400)).unwrap();
        let year = in_years.to_string()[..4].to_owned();
        let text = change["differences"][0][2].as_str().unwrap();
        let until = text.strip_prefix("in use until ").unwrap();
        assert!(until[..4] >= *year, "{change}");
    }
}
