//! Stored users with real clients: what becomes of their credentials, whom they may be, and
//! from where.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use access::store::{Author, IdentityStore};
use access::{
    Alteration, Change, CredentialId, CredentialPolicy, Identity, Password, SourceSet, Timestamp,
    UserName, UserStatus,
};
use readgate::identity::SqliteStore;
use readgate_tests::config::{make_operators, set};
use readgate_tests::place::wait_for;
use readgate_tests::raw::{Login, RawClient};
use readgate_tests::readgate::{Readgate, run};
use readgate_tests::stage::{Stage, login_at, try_login_at};
use toml::{Table, Value};

use crate::clients::{Target, command_line};
use crate::ops::post;
use crate::reloads::{reload, written};

pub(crate) const GIVEN: &str = "Xk3-handed.over_Once,by-an.operator_44-letters";
const CHOSEN: &str = "Vk7-quiet.Lantern_2x,over-the.harbour_at-9pm'";
pub(crate) const POLICY: CredentialPolicy = CredentialPolicy {
    collect_within: Duration::from_secs(14 * 86_400),
    valid_for: Some(Duration::from_secs(30 * 86_400)),
    warn_before: Duration::from_secs(86_400),
    overlap: Duration::ZERO,
};

pub(crate) fn name(user: &str) -> UserName {
    UserName::new(user).unwrap()
}

fn days_ago(days: u64) -> Timestamp {
    Timestamp::now().checked_sub(Duration::from_secs(days * 86_400)).unwrap()
}

/// Everybody may read that much in a day.
fn limit_day(config: &mut Table, bytes: &str) {
    let role: Table = format!("name = 'default'\nbytes_per_day = '{bytes}'").parse().unwrap();
    set(config, "role", vec![Value::Table(role)]);
}

fn apply(store: &dyn IdentityStore, change: &Change, at: Timestamp) {
    let author = Author::new("os:tester", "a test").unwrap();
    store.apply(change, &author, &POLICY, at).unwrap();
}

/// Lets a user in, or no more, from now on.
pub(crate) fn set_status(store: &dyn IdentityStore, user: &str, status: UserStatus) {
    apply(store, &Change::Alter(name(user), Alteration::Status(status)), Timestamp::now());
}

/// A user whose credential was issued so many days ago.
pub(crate) fn add(store: &dyn IdentityStore, user: Identity, days: u64) {
    let name = user.name.clone();
    apply(store, &Change::Add(Box::new(user)), days_ago(days));
    apply(store, &Change::Issue(name, Password::new(GIVEN)), days_ago(days));
}

pub(crate) fn with_store(stage: &Stage, test: &str) -> (std::path::PathBuf, Table, SqliteStore) {
    let (directory, mut config) = stage.own_config(test);
    let file = directory.join("identities.sqlite");
    set(&mut config, "identities.file", file.display().to_string());
    set(&mut config, "identities.refresh", "200ms");
    let store = SqliteStore::open(&file, Duration::from_secs(5)).unwrap();
    (directory, config, store)
}

fn refusal(stage: &Stage, port: u16, user: &str, password: &str) -> (u16, String) {
    let login = Login::user(user, password);
    let error = try_login_at(port, &stage.ca_file(), &login).expect_err("nobody is let in");
    (error.code, error.to_string())
}

/// What a real client prints when it is not let in, or not.
fn printed(
    client: &str,
    stage: &Stage,
    port: u16,
    user: &'static str,
    sql: &str,
) -> (bool, String) {
    let target = Target { port, user, password: GIVEN };
    let mut command = command_line(client, stage, &target);
    let output = command.args(["--batch", "--execute", sql]).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

fn holds(directory: &Path, secret: &str) -> bool {
    let mut waiting = vec![directory.to_owned()];
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if std::fs::read(&path)
            .unwrap()
            .windows(secret.len())
            .any(|part| part == secret.as_bytes())
        {
            return true;
        }
    }
    false
}

on_both! {
    fn a_user_chooses_a_password_that_counts_at_once(stage) {
        let (directory, mut config, store) = with_store(stage, "chooses");
        set(&mut config, "credentials.self_service", true);
        add(&store, Identity::new(name("bob"), "Bob Builder", "default"), 0);
        let readgate = Readgate::start(&directory, config);
        let mut bob = login_at(readgate.port, &stage.ca_file(), &Login::user("bob", GIVEN));
        for (statement, code) in [
            (String::from("ALTER USER USER() IDENTIFIED BY 'too short'"), 1819),
            (format!("SET PASSWORD = '{}'", "aA1-".repeat(12)), 1819),
            (format!("ALTER USER USER() IDENTIFIED BY '{GIVEN}'"), 3638),
            // Not one of the forms: the judge refuses it as ever.
            (format!("ALTER USER bob IDENTIFIED BY '{GIVEN}'"), 1290),
        ] {
            assert_eq!(bob.query(&statement).expect_error().code, code, "{statement}");
        }
        let quoted = CHOSEN.replace('\'', "''");
        bob.query(format!("ALTER USER USER() IDENTIFIED BY '{quoted}'")).expect_ok();
        assert_eq!(bob.query("SELECT 1").value(), "1", "the session goes on");
        let mut again = login_at(readgate.port, &stage.ca_file(), &Login::user("bob", CHOSEN));
        assert_eq!(again.query("SELECT 1").value(), "1");
        assert_eq!(refusal(stage, readgate.port, "bob", GIVEN).0, 1045);
        readgate.record("access_change", |record| record["change"] == "password_chosen");
        readgate.record("refusal", |record| record["rule"] == "password" && record["verdict"] == "absorbed");
        assert!(!holds(&directory, CHOSEN) && !holds(&directory, &quoted), "a file holds the password");
        assert!(!stage.server.general_log().contains(&quoted), "the replica has seen the password");
        // A user of the configuration has it there.
        let error = stage_alice(stage, readgate.port).query(format!("SET PASSWORD = '{quoted}'")).expect_error();
        assert!(error.to_string().contains("kept in the configuration"), "{error}");
    }

    fn nobody_chooses_a_password_where_that_is_not_allowed(stage) {
        let (directory, config, store) = with_store(stage, "no-choice");
        add(&store, Identity::new(name("bob"), "Bob Builder", "default"), 0);
        let readgate = Readgate::start(&directory, config);
        let mut bob = login_at(readgate.port, &stage.ca_file(), &Login::user("bob", GIVEN));
        let quoted = CHOSEN.replace('\'', "''");
        let error = bob.query(format!("SET PASSWORD = '{quoted}'")).expect_error();
        assert_eq!(error.code, 1290, "{error}");
        assert!(!holds(&directory, &quoted), "a file holds the password");
    }

    fn changes_made_while_no_daemon_runs_are_recorded_once_at_the_next_start(stage) {
        let (directory, config, store) = with_store(stage, "offline-changes");
        add(&store, Identity::new(name("bob"), "Bob Builder", "default"), 3);
        let mut readgate = Readgate::start(&directory, config);
        let numbers = |readgate: &Readgate, last: u64| {
            readgate.record("access_change", |change| change["number"] == last);
            let records = readgate.ledger().into_iter();
            let numbers = records.filter_map(|record| record["number"].as_u64());
            numbers.collect::<Vec<_>>()
        };
        assert_eq!(numbers(&readgate, 2), [1, 2]);
        let added = readgate.record("access_change", |change| change["number"] == 1);
        assert!(added["made_at"].as_str() < added["time"].as_str(), "{added}");
        assert_eq!((&added["user"], &added["by"]), (&"bob".into(), &"os:tester".into()));

        readgate.kill();
        let file = directory.join("proxy.toml");
        let disable = ["user", "disable", "bob", "--reason", "while nobody looked", "--config"];
        let output = run(&[&disable[..], &[file.to_str().unwrap()]].concat(), "");
        assert!(output.status.success(), "{output:?}");
        for _ in 0..2 {
            readgate.restart();
            assert_eq!(numbers(&readgate, 3), [1, 2, 3]);
            readgate.kill();
        }
        readgate.restart();
        apply(&store, &Change::Issue(name("bob"), Password::new(CHOSEN)), Timestamp::now());
        assert_eq!(numbers(&readgate, 4), [1, 2, 3, 4]);
    }

    fn a_session_ends_when_its_credential_expires(stage) {
        let (directory, config, store) = with_store(stage, "expires");
        add(&store, Identity::new(name("bob"), "Bob Builder", "default"), 31);
        let readgate = Readgate::start(&directory, config);
        let end = Timestamp::now().checked_add(Duration::from_secs(3)).unwrap();
        let collected = end.checked_sub(POLICY.valid_for.unwrap()).unwrap();
        apply(&store, &Change::Collect(name("bob"), CredentialId(1)), collected);
        let mut bob = wait_for("bob is let in", Duration::from_secs(3), || {
            let login = Login::user("bob", GIVEN);
            let mut bob = RawClient::connect(readgate.port).ok()?;
            bob.start_tls(&stage.ca_file(), &login).ok()?;
            bob.login(&login).ok().map(|()| bob)
        });
        let mut alice = stage_alice(stage, readgate.port);
        bob.query("SELECT 1").expect_ok();
        assert!(bob.is_sent_away(Duration::from_secs(30)));
        let late = Timestamp::now().duration_since(end).as_secs_f64();
        assert!((0.0..1.5).contains(&late), "{late} s after the end");
        alice.query("SELECT 1").expect_ok();
        let left = readgate.record("disconnect", |record| record["user"] == "bob");
        assert_eq!(left["reason"], "revoked");
    }

    fn a_file_of_users_that_is_not_in_its_place_is_out_of_reach(stage) {
        let (directory, mut config, store) = with_store(stage, "moved");
        set(&mut config, "identities.stale_after", "1s");
        make_operators(&mut config, &[]);
        set(&mut config, "ops.operators", true);
        add(&store, Identity::new(name("bob"), "Bob Builder", "default"), 0);
        add(&store, Identity::new(name("opal"), "Opal Operator", "operator"), 0);
        drop(store);
        let readgate = Readgate::start(&directory, config);
        let mut bob = login_at(readgate.port, &stage.ca_file(), &Login::user("bob", GIVEN));
        let file = directory.join("identities.sqlite");
        let aside = directory.join("aside.sqlite");
        let comes_in = || {
            let login = Login::user("bob", GIVEN);
            let came = try_login_at(readgate.port, &stage.ca_file(), &login);
            came.map(drop).map_err(|error| error.code)
        };
        let soon = Duration::from_secs(10);
        std::fs::rename(&file, &aside).unwrap();
        wait_for("a file that is gone is noticed", soon, || (comes_in() == Err(1105)).then_some(()));
        let form = serde_json::json!({ "user": "opal", "password": GIVEN }).to_string();
        let answer = post(&readgate, "/login", "X-Readgate: 1\r\n", &form);
        assert!(answer.starts_with("HTTP/1.0 503"), "{answer}");
        readgate.record("login_failed", |record| {
            let reason = record["reason"].as_str().unwrap();
            record["user"] == "opal" && record["listener"] == "ops" && reason.contains("the identity store")
        });
        bob.query("SELECT 1").expect_ok();
        stage_alice(stage, readgate.port).query("SELECT 1").expect_ok();
        std::fs::rename(&aside, &file).unwrap();
        wait_for("it is back", soon, || comes_in().ok());
    }

    fn a_lockout_counts_after_a_backup_of_the_store_too(stage) {
        let (directory, config, store) = with_store(stage, "backed-up");
        add(&store, Identity::new(name("bob"), "Bob Builder", "default"), 0);
        drop(store);
        let readgate = Readgate::start(&directory, config);
        let mut bob = login_at(readgate.port, &stage.ca_file(), &Login::user("bob", GIVEN));
        // What the sqlite3 program's `.backup` does. Whoever closes the store last removes its log.
        let backup = "import sqlite3, sys; here, there = map(sqlite3.connect, sys.argv[1:])
here.backup(there); here.close()";
        let (from, to) = (directory.join("identities.sqlite"), directory.join("copy.sqlite"));
        by_hand(backup, &[from.as_os_str(), to.as_os_str()]);
        disable_bob(&directory);
        assert!(bob.is_sent_away(Duration::from_secs(30)), "the session ends");
        assert_eq!(refusal(stage, readgate.port, "bob", GIVEN).0, 1045);
    }

    fn a_lockout_counts_where_the_store_has_lost_its_blocks(stage) {
        let (directory, config, store) = with_store(stage, "no-blocks");
        add(&store, Identity::new(name("bob"), "Bob Builder", "default"), 0);
        let readgate = Readgate::start(&directory, config);
        let mut bob = login_at(readgate.port, &stage.ca_file(), &Login::user("bob", GIVEN));
        change_store_by_hand(&directory, "ALTER TABLE block RENAME TO elsewhere");
        disable_bob(&directory);
        assert!(bob.is_sent_away(Duration::from_secs(30)), "the session ends");
        assert_eq!(refusal(stage, readgate.port, "bob", GIVEN).0, 1045);
        readgate.record("access_change", |change| change["change"] == "user_altered");
    }

    fn a_revoked_credential_s_sessions_end_also_if_it_was_replaced_before(stage) {
        let (directory, config, store) = with_store(stage, "replaced_and_revoked");
        add(&store, Identity::new(name("bob"), "Bob Builder", "default"), 0);
        let readgate = Readgate::start(&directory, config);
        let mut bob = login_at(readgate.port, &stage.ca_file(), &Login::user("bob", GIVEN));
        apply(&store, &Change::Issue(name("bob"), Password::new(CHOSEN)), Timestamp::now());
        readgate.record("access_change", |change| change["change"] == "credential_issued" && change["number"] == 4);
        bob.query("SELECT 1").expect_ok();
        apply(&store, &Change::Revoke(name("bob"), CredentialId(1)), Timestamp::now());
        assert!(bob.is_sent_away(Duration::from_secs(30)), "the session ends");
    }

    fn stored_users_whom_a_reload_leaves_without_role_are_named(stage) {
        let (directory, mut config, store) = with_store(stage, "role_gone");
        let role: Table = "name = 'analyst'".parse().unwrap();
        set(&mut config, "role", vec![Value::Table(role)]);
        add(&store, Identity::new(name("bob"), "Bob Builder", "analyst"), 0);
        let mut readgate = Readgate::start(&directory, config);
        let mut config = written(&readgate);
        config.remove("role");
        reload(&readgate, &config);
        let named = || readgate.log().matches("stored user bob has the role").count();
        assert_eq!(named(), 1, "{}", readgate.log());
        readgate.kill();
        readgate.restart();
        assert_eq!(readgate.log().matches("stored user bob has the role").count(), 1, "the log begins anew");
    }

    fn stored_users_wait_where_the_store_can_not_be_read_whole(stage) {
        let (directory, mut config, store) = with_store(stage, "damaged-row");
        set(&mut config, "identities.stale_after", "1s");
        add(&store, Identity::new(name("bob"), "Bob Builder", "default"), 0);
        let readgate = Readgate::start(&directory, config);
        let mut bob = login_at(readgate.port, &stage.ca_file(), &Login::user("bob", GIVEN));
        change_store_by_hand(
            &directory,
            "INSERT INTO user (name, full_name, role, status, valid_until, plugins)
             VALUES ('eve', 'Eve', 'default', 'enabled', 'some day', 'caching_sha2_password')",
        );
        // It can be written, and yet nobody learns of it.
        disable_bob(&directory);
        wait_for("bob is kept out", Duration::from_secs(10), || {
            let login = Login::user("bob", GIVEN);
            try_login_at(readgate.port, &stage.ca_file(), &login).is_err_and(|error| error.code == 1105).then_some(())
        });
        bob.query("SELECT 1").expect_ok();
        change_store_by_hand(&directory, "UPDATE user SET valid_until = NULL WHERE name = 'eve'");
        assert!(bob.is_sent_away(Duration::from_secs(30)), "what has waited counts");
    }

    fn real_clients_show_why_nobody_is_let_in(stage) {
        let (directory, mut config, store) = with_store(stage, "refused");
        let elsewhere: Table = "name = 'elsewhere'\nnetworks = ['127.0.0.9/32']\nowner = 'o'\nreason = 'r'\nallow_private = true".parse().unwrap();
        config["source"].as_array_mut().unwrap().push(Value::Table(elsewhere));
        add(&store, Identity::new(name("bob"), "Bob Builder", "default"), 1);
        add(&store, Identity::new(name("late"), "Larry Late", "default"), 15);
        add(&store, Identity::new(name("old"), "Ole Old", "default"), 40);
        apply(&store, &Change::Collect(name("old"), CredentialId(1)), days_ago(39));
        let away = SourceSet::from_iter(["elsewhere"]);
        add(&store, Identity { sources: Some(away), ..Identity::new(name("away"), "Ava Away", "default") }, 0);
        let readgate = Readgate::start(&directory, config);
        for client in ["mysql", "mariadb"] {
            let (let_in, text) = printed(client, stage, readgate.port, "bob", "SELECT 'bob is in'");
            assert!(let_in && text.contains("bob is in"), "{client}: {text}");
            for (user, code, words) in [
                ("late", "1045", "not collected in time and is void; ask for a new one"),
                ("old", "1045", "has expired; ask for a new one"),
                ("away", "1045", "Access denied for user 'away'"),
                ("nobody", "1045", "Access denied for user 'nobody'"),
                ("carol", "1045", "Access denied for user 'carol'"),
            ] {
                let (let_in, text) = printed(client, stage, readgate.port, user, "SELECT 1");
                assert!(!let_in && text.contains(code) && text.contains(words), "{client}, {user}: {text}");
            }
        }
        readgate.record("login_failed", |record| {
            record["user"] == "away" && record["reason"].as_str().unwrap().contains("source_not_for_user")
        });
    }

    fn the_bytes_of_a_day_outlive_the_daemon(stage) {
        let (directory, mut config) = stage.own_config("bytes-per-day");
        limit_day(&mut config, "64KiB");
        let mut readgate = Readgate::start(&directory, config);
        let mut alice = stage_alice(stage, readgate.port);
        alice.query("SELECT REPEAT('x', 40000)").expect_ok();
        readgate.record("outcome", |record| record["bytes"].as_u64() > Some(40_000));
        readgate.kill();
        readgate.restart();
        wait_for("readgate is ready", Duration::from_secs(20), || {
            (readgate.http("/readyz")?.0 == 200).then_some(())
        });
        let mut alice = stage_alice(stage, readgate.port);
        let error = alice.query("SELECT REPEAT('x', 40000)").expect_error();
        assert_eq!(error.code, 1226, "{error}");
        assert!(error.to_string().contains("bytes_per_day"), "{error}");
        assert_eq!(alice.query("SELECT 1").value(), "1", "what is left of the day can be read");
    }

    fn bytes_read_before_a_limit_came_count(stage) {
        let (directory, config) = stage.own_config("bytes-before-limit");
        let mut readgate = Readgate::start(&directory, config);
        let unlimited = written(&readgate);
        let limited = |limit: &str| {
            let mut config = unlimited.clone();
            limit_day(&mut config, limit);
            config
        };
        let read = |readgate: &Readgate, bytes: u32| {
            stage_alice(stage, readgate.port).query(format!("SELECT REPEAT('x', {bytes})"))
        };
        read(&readgate, 40_000).expect_ok();
        reload(&readgate, &limited("64KiB"));
        assert_eq!(read(&readgate, 40_000).expect_error().code, 1226, "read before the reload");
        reload(&readgate, &unlimited);
        read(&readgate, 60_000).expect_ok();
        readgate.record("outcome", |record| record["bytes"].as_u64() > Some(60_000));
        readgate.kill();
        std::fs::write(directory.join("proxy.toml"), limited("120KiB").to_string()).unwrap();
        readgate.restart();
        readgate.wait_until_ready();
        assert_eq!(read(&readgate, 40_000).expect_error().code, 1226, "read without a limit");
    }

    fn the_bytes_of_a_day_outlive_the_daemon_where_files_are_encrypted(stage) {
        let (directory, mut config) = stage.own_config("bytes-encrypted");
        limit_day(&mut config, "2MiB");
        set(&mut config, "ledger.file_bytes", "1MiB");
        set(
            &mut config,
            "ledger.encrypt_to",
            "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj",
        );
        let mut readgate = Readgate::start(&directory, config);
        let mut alice = stage_alice(stage, readgate.port);
        alice.query("SELECT REPEAT('x', 1900000)").expect_ok();
        for number in 0..40 {
            let text = format!("{number:03}").repeat(16_000);
            alice.query(format!("SELECT LENGTH('{text}')")).expect_ok();
        }
        wait_for("a file is encrypted", Duration::from_secs(60), || {
            let files = std::fs::read_dir(directory.join("ledger")).unwrap();
            let is_sealed = |path: &Path| path.extension().is_some_and(|end| end == "age");
            files.map(|entry| entry.unwrap().path()).any(|path| is_sealed(&path)).then_some(())
        });
        readgate.stop(Duration::from_secs(20));
        readgate.restart();
        wait_for("readgate is ready", Duration::from_secs(20), || {
            (readgate.http("/readyz")?.0 == 200).then_some(())
        });
        let mut alice = stage_alice(stage, readgate.port);
        let error = alice.query("SELECT REPEAT('x', 400000)").expect_error();
        assert_eq!(error.code, 1226, "{error}");
    }

    fn real_clients_show_that_their_source_is_not_listed(stage) {
        let (directory, mut config) = stage.own_config("unlisted");
        set(&mut config, "source.0.networks", vec!["127.0.0.9/32"]);
        let readgate = Readgate::start(&directory, config);
        for client in ["mysql", "mariadb"] {
            let (let_in, text) = printed(client, stage, readgate.port, "alice", "SELECT 1");
            assert!(!let_in && text.contains("1130"), "{client}: {text}");
        }
        let series = "readgate_sources_denied_total{network=\"127.0.0.0/24\"} ";
        let page = readgate.http("/metrics").unwrap().1;
        let counted = page.lines().find_map(|line| line.strip_prefix(series)).expect("a count");
        assert!(counted.parse::<u32>().unwrap() >= 2, "{page}");
        // The ledger has each of them, and so the command line.
        let config = directory.join("proxy.toml").display().to_string();
        let row = format!("127.0.0.0/24\t{counted}\t");
        wait_for(&row, Duration::from_secs(30), || {
            let denied = run(&["sources", "denied", "--config", &config], "");
            String::from_utf8(denied.stdout).unwrap().contains(&row).then_some(())
        });
        assert_eq!(readgate.log().matches("connections refused").count(), 1, "{}", readgate.log());
    }
}

/// What somebody does to the file with the sqlite3 program.
fn change_store_by_hand(directory: &Path, sql: &str) {
    let program = "import sqlite3, sys; store = sqlite3.connect(sys.argv[1], timeout=20)
store.execute(sys.argv[2]); store.commit(); store.close()";
    by_hand(program, &[directory.join("identities.sqlite").as_os_str(), sql.as_ref()]);
}

fn by_hand(program: &str, arguments: &[&OsStr]) {
    let python = std::env::var_os("READGATE_TEST_PYTHON").unwrap_or_else(|| "python3".into());
    let done = Command::new(python).args(["-c", program]).args(arguments).status();
    assert!(done.unwrap().success());
}

fn disable_bob(directory: &Path) {
    let file = directory.join("proxy.toml").display().to_string();
    let disabled = run(&["user", "disable", "bob", "--reason", "gone", "--config", &file], "");
    assert!(disabled.status.success(), "{disabled:?}");
}

fn stage_alice(stage: &Stage, port: u16) -> RawClient {
    let login = Login::user("alice", readgate_tests::stage::USER_PASSWORD);
    login_at(port, &stage.ca_file(), &login)
}
