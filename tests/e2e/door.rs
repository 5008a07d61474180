//! Who is let in, and what everybody else is told.

use std::ffi::OsStr;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::Duration;

use readgate_tests::config::set;
use readgate_tests::place::wait_for;
use readgate_tests::raw::{Login, RawClient, ServerError, capability, tls_config};
use readgate_tests::readgate::Readgate;
use readgate_tests::server::Flavour;
use readgate_tests::stage::{Stage, USER_PASSWORD, login_at, try_login_at};
use serde_json::Value;
use toml::value::Datetime;

use crate::clients::{Target, command_line};
use crate::reloads::written;

/// Everything the server said in a login that must fail, with names and nonces blanked out.
fn failed_login(stage: &Stage, user: &str, login: Login) -> Vec<(u8, String)> {
    let mut client = RawClient::connect(stage.readgate.port).expect("a greeting");
    client.start_tls(&stage.ca_file(), &login).expect("TLS");
    let error = client.login(&login).expect_err("the login fails");
    assert_eq!((error.code, error.state.as_str()), (1045, "28000"), "{error}");
    assert!(client.is_closed(), "the connection ends after a failed login");
    let blanked = client.received.iter().map(|(sequence_id, payload)| {
        let shown = if payload.first() == Some(&0xfe) {
            // An auth switch: the plugin is compared, the nonce is random.
            let end = payload.iter().position(|byte| *byte == 0).expect("a plugin name");
            format!(
                "switch to {} and {} more bytes",
                payload[1..end].escape_ascii(),
                payload.len() - end
            )
        } else {
            payload.escape_ascii().to_string().replace(user, "USER")
        };
        (*sequence_id, shown)
    });
    blanked.collect()
}

on_both! {
    fn lets_a_named_user_in_over_tls(stage) {
        let mut alice = stage.alice();
        assert_eq!(alice.query("SELECT COUNT(*) FROM clinical.lab_results").value(), "144000");
        stage.readgate.record("login", |record| record["user"] == "alice");
    }

    fn listens_on_all_of_ipv6_beside_a_listener_on_ipv4(stage) {
        if TcpListener::bind("[::1]:0").is_err() {
            return;
        }
        let (directory, config) = stage.own_config("both_families");
        let mut readgate = Readgate::start(&directory, config);
        let mut config = written(&readgate);
        let mut six = config["listener"][0].as_table().unwrap().clone();
        six.insert("name".into(), "six".into());
        six.insert("address".into(), format!("[::]:{}", readgate.port).into());
        config["listener"].as_array_mut().unwrap().insert(0, six.into());
        readgate.kill();
        std::fs::write(directory.join("proxy.toml"), config.to_string()).unwrap();
        readgate.restart();
        let mut greeting = [0; 5];
        TcpStream::connect(("::1", readgate.port)).unwrap().read_exact(&mut greeting).unwrap();
        let is_it = |record: &Value| record["listener"] == "six" && record["source"] == "::1";
        readgate.record("login_failed", is_it);
        stage.enter(&readgate, "alice").query("SELECT 1").expect_ok();
        readgate.record("login", |record| record["listener"] == "main");
    }

    fn a_client_that_comes_again_resumes_its_tls_session(stage) {
        let config = tls_config(&stage.ca_file(), None);
        let login = Login::user("alice", USER_PASSWORD);
        let resumed = [(); 3].map(|()| {
            let mut client = RawClient::connect(stage.readgate.port).expect("a greeting");
            let resumed = client.start_tls_with(Arc::clone(&config), &login).expect("TLS");
            client.login(&login).expect("the login");
            assert_eq!(client.query("SELECT 1").value(), "1");
            resumed
        });
        assert_eq!(resumed, [false, true, true]);
        let of_alice = |record: &Value| record["user"] == "alice" && !record["tls_version"].is_null();
        let record = stage.readgate.record("login", of_alice);
        assert_eq!(record["tls_version"], "TLSv1.3");
        assert_eq!(record["tls_cipher"], "TLS13_AES_128_GCM_SHA256");
    }

    fn runs_every_session_under_the_shared_account(stage) {
        let user = stage.alice().query("SELECT CURRENT_USER()").value();
        assert_eq!(user, "readonly_shared@%");
    }

    fn nobody_names_themselves_to_the_replica(stage) {
        if stage.server.sql("SELECT @@performance_schema").trim() == "0" {
            return;
        }
        let own = |name: &str| (name.to_owned(), String::from("somebody else"));
        let login = Login::user("alice", USER_PASSWORD).with(capability::CONNECT_ATTRS);
        let login = Login { attributes: vec![own("readgate_user"), own("program_name")], ..login };
        let mut alice = login_at(stage.readgate.port, &stage.ca_file(), &login);
        let id = alice.query("SELECT CONNECTION_ID()").value();
        let told = stage.server.sql(&format!(
            "SELECT GROUP_CONCAT(attr_value) FROM performance_schema.session_connect_attrs
             WHERE processlist_id = {id} AND attr_name IN ('readgate_user', 'program_name')
             GROUP BY attr_name ORDER BY attr_name DESC"
        ));
        assert_eq!(told, "alice\nsomebody else\n");
    }

    fn greets_with_the_version_of_the_replica(stage) {
        let ours = RawClient::connect(stage.readgate.port).expect("a greeting").greeting;
        let theirs = RawClient::connect(stage.server.port).expect("a greeting").greeting;
        assert_eq!(ours.version, theirs.version);
        assert_eq!(ours.collation, theirs.collation);
    }

    fn never_offers_local_files(stage) {
        let greeting = RawClient::connect(stage.readgate.port).expect("a greeting").greeting;
        assert_eq!(greeting.offered & capability::LOCAL_FILES, 0);
    }

    fn what_was_not_offered_is_not_spoken(stage) {
        const OPTIONAL_METADATA: u32 = 1 << 25;
        let wishes = capability::QUERY_ATTRIBUTES | OPTIONAL_METADATA | capability::LOCAL_FILES;
        let offered = RawClient::connect(stage.readgate.port).expect("a greeting").greeting.offered;
        let login = Login::user("alice", USER_PASSWORD).with(wishes & !offered);
        let mut alice = login_at(stage.readgate.port, &stage.ca_file(), &login);
        assert_eq!(alice.query("SELECT 1").value(), "1");
    }

    fn starts_in_the_schema_of_the_login(stage) {
        let login = Login::user("alice", USER_PASSWORD).in_schema("clinical");
        let mut alice = login_at(stage.readgate.port, &stage.ca_file(), &login);
        assert_eq!(alice.query("SELECT DATABASE()").value(), "clinical");
    }

    fn says_that_the_schema_of_the_login_is_unknown(stage) {
        let login = Login::user("alice", USER_PASSWORD).in_schema("no_such_schema");
        let error = try_login_at(stage.readgate.port, &stage.ca_file(), &login).expect_err("the login fails");
        // The shared account may see every schema, so the server says that there is none.
        assert_eq!((error.code, error.state.as_str()), (1049, "42000"), "{error}");
    }

    fn says_that_no_client_speaks_the_character_set_of_the_login(stage) {
        // ucs2, utf16, utf32.
        for collation in [35, 54, 60] {
            let login = Login::user("alice", USER_PASSWORD).in_collation(collation);
            let error = try_login_at(stage.readgate.port, &stage.ca_file(), &login).expect_err("the login fails");
            assert_eq!((error.code, error.state.as_str()), (1231, "42000"), "{error}");
            assert!(error.message.contains("character_set_client"), "{error}");
        }
    }

    fn switches_a_client_that_proposes_the_old_plugin(stage) {
        let login = Login::user("alice", USER_PASSWORD).proposing("mysql_native_password");
        let mut alice = login_at(stage.readgate.port, &stage.ca_file(), &login);
        assert_eq!(alice.query("SELECT 1").value(), "1");
        let switched = alice.received.iter().any(|(_, payload)| payload.starts_with(b"\xfecaching_sha2_password"));
        assert!(switched, "alice has no native verifier");
    }

    fn lets_an_old_driver_in_with_the_native_plugin(stage) {
        let login = Login::user("olga", USER_PASSWORD).proposing("mysql_native_password");
        let mut olga = login_at(stage.readgate.port, &stage.ca_file(), &login);
        assert_eq!(olga.query("SELECT 1").value(), "1");
        let sha2 = Login::user("olga", USER_PASSWORD).proposing("caching_sha2_password");
        let mut olga = login_at(stage.readgate.port, &stage.ca_file(), &sha2);
        assert_eq!(olga.query("SELECT 1").value(), "1");
    }

    fn lets_a_client_in_that_is_set_to_the_native_plugin(stage) {
        for (password, gets_in) in [(USER_PASSWORD, true), ("wrong", false), ("", false)] {
            let target = Target { port: stage.readgate.port, user: "olga", password };
            let mut client = command_line("mariadb", stage, &target);
            client.args(["--default-auth=mysql_native_password", "--execute=SELECT 1"]);
            let output = client.output().unwrap();
            assert_eq!(output.status.success(), gets_in, "{password:?}: {output:?}");
        }
    }

    fn lets_a_driver_in_that_knows_no_plugins(stage) {
        let login = Login::user("olga", USER_PASSWORD).without_plugins();
        let mut olga = login_at(stage.readgate.port, &stage.ca_file(), &login);
        let switched = olga.received.iter().any(|(_, payload)| payload.starts_with(b"\xfe"));
        assert!(!switched, "it doesn't know what a switch is");
        assert_eq!(olga.query("SELECT 1").value(), "1");
        let wrong = Login::user("olga", "wrong").without_plugins();
        failed_login(stage, "olga", wrong);
    }

    fn refuses_wrong_passwords_unknown_and_disabled_users_alike(stage) {
        for plugin in ["caching_sha2_password", "mysql_native_password"] {
            let wrong = failed_login(stage, "alice", Login::user("alice", "wrong").proposing(plugin));
            let unknown = failed_login(stage, "bobby", Login::user("bobby", "wrong").proposing(plugin));
            let disabled = failed_login(stage, "carol", Login::user("carol", USER_PASSWORD).proposing(plugin));
            let disabled_wrong = failed_login(stage, "carol", Login::user("carol", "wrong").proposing(plugin));
            assert_eq!(unknown, wrong, "{plugin}: an unknown user can be told from a wrong password");
            assert_eq!(disabled, wrong, "{plugin}: a disabled user can be told from a wrong password");
            assert_eq!(disabled_wrong, wrong, "{plugin}: a disabled user can be told from a wrong password");
        }
        stage.readgate.record("login_failed", |record| record["user"] == "bobby");
    }

    fn refuses_an_empty_password_like_a_wrong_one(stage) {
        let known = failed_login(stage, "alice", Login::user("alice", ""));
        let unknown = failed_login(stage, "bobby", Login::user("bobby", ""));
        assert_eq!(known, unknown);
    }

    fn refuses_plaintext_login(stage) {
        let mut client = RawClient::connect(stage.readgate.port).expect("a greeting");
        let error = client.login(&Login::user("alice", USER_PASSWORD)).expect_err("no TLS");
        assert_eq!((error.code, error.state.as_str()), (3159, "HY000"), "{error}");
        assert!(client.is_closed());
    }

    fn asks_for_no_password_where_a_client_needs_no_tls(stage) {
        let (directory, mut config) = stage.own_config("no_tls");
        set(&mut config, "listener.0.tls.required", false);
        let readgate = Readgate::start(&directory, config);
        let mut alice = RawClient::connect(readgate.port).expect("a greeting");
        alice.login(&Login::user("alice", USER_PASSWORD)).expect("let in by the scramble");
        assert_eq!(alice.query("SELECT 1").value(), "1");
        let mut guesser = RawClient::connect(readgate.port).expect("a greeting");
        let guess = Login::user("alice", "wrong").response(false, &guesser.greeting);
        guesser.send(&guess).expect("the server reads");
        let error = ServerError::parse(&guesser.receive().expect("an answer"));
        assert_eq!(error.map(|error| error.code), Some(1045), "refused at once");
    }

    fn refuses_an_unlisted_source_in_place_of_the_greeting(stage) {
        let (directory, mut config) = stage.own_config("other_source");
        set(&mut config, "source.0.networks", vec!["127.0.0.9/32"]);
        let readgate = Readgate::start(&directory, config);
        let error = RawClient::connect(readgate.port).expect_err("no greeting").to_string();
        assert!(error.starts_with("ERROR 1130 "), "{error}");
        let record = readgate.record("source_denied", |_| true);
        assert_eq!(record["source"], "127.0.0.1");
        assert_eq!(record["listener"], "main");
    }

    fn a_source_whose_last_day_is_over_is_told_from_one_that_nobody_listed(stage) {
        let (directory, mut config) = stage.own_config("ended_source");
        let day: Datetime = "2026-01-31".parse().expect("a day");
        set(&mut config, "source.0.expires_on", day);
        let readgate = Readgate::start(&directory, config);
        let error = RawClient::connect(readgate.port).expect_err("no greeting").to_string();
        assert!(error.starts_with("ERROR 1130 "), "{error}");
        let record = readgate.record("source_denied", |_| true);
        assert_eq!(record["reason"], "source \"this-host\" is not valid today");
        assert!(readgate.log().contains("source \"this-host\" is not valid today"));
    }

    fn strangers_are_in_the_ledger_one_by_one_and_in_the_log_once_a_minute(stage) {
        let (directory, mut config) = stage.own_config("strangers");
        set(&mut config, "listener.0.sources", Vec::<String>::new());
        let mut readgate = Readgate::start(&directory, config);
        for _ in 0..20 {
            RawClient::connect(readgate.port).expect_err("no greeting");
        }
        readgate.stop(Duration::from_secs(20));
        let denied = readgate.ledger().into_iter().filter(|one| one["event"] == "source_denied");
        // One more looked whether the daemon listens.
        assert_eq!(denied.count(), 21);
        let log = readgate.log();
        let lines = log.lines().filter(|line| line.contains("127.0.0."));
        let of_strangers: Vec<&str> = lines.filter(|line| !line.contains("listening")).collect();
        assert_eq!(of_strangers.len(), 1, "{log}");
        assert!(of_strangers[0].contains("source not listed"), "{log}");
        assert!(log.contains(&format!("address=127.0.0.1:{}", readgate.port)), "{log}");
    }

    fn lets_nobody_in_when_the_list_of_sources_is_empty(stage) {
        let (directory, mut config) = stage.own_config("no_source");
        set(&mut config, "listener.0.sources", Vec::<String>::new());
        let readgate = Readgate::start(&directory, config);
        let error = RawClient::connect(readgate.port).expect_err("no greeting").to_string();
        assert!(error.starts_with("ERROR 1130 "), "{error}");
    }

    fn lets_a_user_in_whose_client_sends_the_name_in_latin1(stage) {
        let (directory, mut config) = stage.own_config("latin1");
        set(&mut config, "user.0.name", "josé €");
        let readgate = Readgate::start(&directory, config);
        let name = b"jos\xe9 \x80";
        let clients: &[&str] = match stage.server.flavour {
            Flavour::MySql => &["mysql", "mariadb"],
            Flavour::MariaDb => &["mariadb"],
        };
        for client in clients {
            let target = Target { port: readgate.port, user: "", password: USER_PASSWORD };
            let mut command = command_line(client, stage, &target);
            command.arg("--default-character-set=latin1");
            command.arg(OsStr::from_bytes(&[b"--user=", &name[..]].concat()));
            let output = command.args(["-N", "-e", "SELECT 1"]).output().expect("the client starts");
            assert_eq!(output.stdout, b"1\n", "{}", String::from_utf8_lossy(&output.stderr));
        }
        wait_for("their logins", Duration::from_secs(30), || {
            let is_theirs = |one: &Value| one["event"] == "login" && one["user"] == "josé €";
            let count = readgate.ledger().into_iter().filter(is_theirs).count();
            (count == clients.len()).then_some(())
        });
        let login = Login::user("olga", USER_PASSWORD);
        let mut session = login_at(readgate.port, &stage.ca_file(), &login);
        session.change_user_in(name, USER_PASSWORD, 8).expect("let in");
        assert_eq!(session.query("SELECT 2").value(), "2");
        let error = session.change_user_in(name, USER_PASSWORD, 45).expect_err("no UTF-8");
        assert_eq!((error.code, error.state.as_str()), (1045, "28000"), "{error}");
    }
}
