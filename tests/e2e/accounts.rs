//! Several accounts on one replica: a role's sessions run under its own, and what one is told
//! stays with it.

use std::path::PathBuf;
use std::time::Duration;

use readgate_tests::config::{set, set_roles};
use readgate_tests::place::wait_for;
use readgate_tests::raw::{Login, RawClient};
use readgate_tests::readgate::Readgate;
use readgate_tests::server::SHARED_PASSWORD;
use readgate_tests::stage::{DRIVER_PASSWORD, Stage, USER_PASSWORD, login_at, try_login_at};
use toml::Table;

/// ER_TABLEACCESS_DENIED_ERROR, which readgate itself never says.
const TABLE_DENIED: u16 = 1142;
/// Who is told to go is gone within this time.
const SOON: Duration = Duration::from_secs(5);
const SECRET: &str = "SELECT COUNT(*) FROM clinical.subjects";
const OPEN: &str = "SELECT COUNT(*) FROM clinical.sites";
const ROLES: &str = "[[role]]\nname = \"blinded\"\naccount = \"blinded\"\nresult_rows = 100\n\
                     [[role]]\nname = \"operator\"\noperator = true\n";

/// Alice under the replica's own account, olga under one that sees less, dora at the console.
struct Blinding {
    directory: PathBuf,
    config: Table,
    user: String,
}

/// Each test has an account of its own on the replica, so that none counts another's.
fn blinding(stage: &Stage, name: &str) -> Blinding {
    let user = format!("ro_{name}");
    stage.server.sql(&format!(
        "CREATE USER {user} IDENTIFIED BY '{SHARED_PASSWORD}';
         GRANT SELECT ON clinical.sites TO {user};
         GRANT SELECT ON clinical.lab_results TO {user};"
    ));
    let (directory, mut config) = stage.own_config(&format!("accounts_{name}"));
    let mut account = Table::new();
    account.insert("name".into(), "blinded".into());
    account.insert("user".into(), user.clone().into());
    account.insert("password_file".into(), config["replica"]["account"]["password_file"].clone());
    set(&mut config, "replica.role_account", vec![account]);
    set_roles(&mut config, ROLES);
    set(&mut config, "user.1.role", "blinded");
    set(&mut config, "user.3.role", "operator");
    set(&mut config, "functions.sleep_max", "60s");
    set(&mut config, "limits.statement_timeout", "2m");
    Blinding { directory, config, user }
}

fn try_enter(stage: &Stage, readgate: &Readgate, user: &str) -> Result<RawClient, (u16, String)> {
    let login = Login::user(user, USER_PASSWORD);
    try_login_at(readgate.port, &stage.ca_file(), &login)
        .map_err(|error| (error.code, error.message))
}

/// Writes the configuration with the daemon's ports and has it read.
fn reload(readgate: &Readgate, mut changed: Blinding) {
    set(&mut changed.config, "listener.0.address", format!("127.0.0.1:{}", readgate.port));
    set(&mut changed.config, "ops.address", format!("127.0.0.1:{}", readgate.ops_port));
    let loads = || readgate.reloads().len();
    let before = loads();
    std::fs::write(changed.directory.join("proxy.toml"), changed.config.to_string()).unwrap();
    readgate.signal("HUP");
    wait_for("the reload", Duration::from_secs(10), || (loads() > before).then_some(()));
}

fn running(stage: &Stage, mark: &str) -> bool {
    let sql = format!(
        "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP%{mark}%'"
    );
    stage.server.sql(&sql).trim() != "0"
}

on_both! {
    fn a_role_reads_through_its_own_account(stage) {
        let Blinding { directory, config, user } = blinding(stage, "reads");
        let readgate = Readgate::start(&directory, config);
        // Connections go from one account to the other and back.
        for _ in 0..4 {
            let mut alice = stage.enter(&readgate, "alice");
            alice.query(SECRET).expect_ok();
            drop(alice);
            let mut olga = stage.enter(&readgate, "olga");
            olga.query(OPEN).expect_ok();
            let error = olga.query(SECRET).expect_error();
            assert_eq!((error.code, error.state.as_str()), (TABLE_DENIED, "42000"), "{error}");
            assert!(!error.message.contains("readgate"), "the replica says it: {error}");
            let seen = olga.query("SELECT CURRENT_USER()").value();
            assert_eq!(seen, format!("{user}@%"));
            let id = olga.query("SELECT CONNECTION_ID()").value();
            // The session of the turn before may still be on its way out.
            let own = olga.query("SHOW PROCESSLIST");
            assert!(own.rows().iter().any(|row| row[0].as_deref() == Some(id.as_bytes())));
        }
        let account_of = |who: &str| {
            let intent = readgate.record("intent", |record| record["user"] == who);
            readgate.told(&intent, "account")
        };
        assert_eq!(account_of("alice"), "readonly_shared");
        assert_eq!(account_of("olga"), user.as_str());
        assert_eq!(readgate.record("login", |login| login["user"] == "olga")["account"], user.as_str());
        let log = stage.server.general_log();
        let refused = log.lines().find(|line| line.contains(&user) && line.contains("TLS"));
        assert!(refused.is_some(), "the replica has seen {user} log in");

        let mut olga = stage.enter(&readgate, "olga");
        let mut dora = login_at(
            readgate.port,
            &stage.ca_file(),
            &Login::user("dora", readgate_tests::stage::DRIVER_PASSWORD),
        );
        let shown = dora.query("SELECT DISTINCT account FROM sessions WHERE user = 'olga'").value();
        assert_eq!(shown, user);
        let shown = dora.query("SELECT account FROM replicas").value();
        assert_eq!(shown, format!("readonly_shared, {user}"));
        olga.query(OPEN).expect_ok();
    }

    fn who_names_no_schema_gets_the_default_one_if_the_role_may_have_it(stage) {
        let Blinding { directory, mut config, .. } = blinding(stage, "default_schema");
        let narrow = "[[role]]\nname = \"narrow\"\nschemas = [\"information_schema\"]\n";
        set_roles(&mut config, &format!("{ROLES}{narrow}"));
        set(&mut config, "user.3.role", "narrow");
        set(&mut config, "replica.default_schema", "clinical");
        let own = |readgate: &Readgate, user, password| {
            let login = Login::user(user, password);
            let mut client = login_at(readgate.port, &stage.ca_file(), &login);
            client.query("SELECT COALESCE(DATABASE(), 'none')").value()
        };
        let readgate = Readgate::start(&directory, config.clone());
        assert_eq!(own(&readgate, "alice", USER_PASSWORD), "clinical");
        assert_eq!(own(&readgate, "olga", USER_PASSWORD), "clinical", "her account has none of its own");
        assert_eq!(own(&readgate, "dora", DRIVER_PASSWORD), "none", "it isn't one of her role's");
        set(&mut config, "replica.role_account.0.default_schema", "information_schema");
        let changed = Blinding { directory, config, user: String::new() };
        reload(&readgate, changed);
        assert_eq!(own(&readgate, "alice", USER_PASSWORD), "clinical");
        assert_eq!(own(&readgate, "olga", USER_PASSWORD), "information_schema");
    }

    fn statements_end_under_the_account_that_they_run_under(stage) {
        let Blinding { directory, config, .. } = blinding(stage, "kills");
        let readgate = Readgate::start(&directory, config);
        let mut killer = stage.enter(&readgate, "olga");
        std::thread::scope(|scope| {
            let mut victim = stage.enter(&readgate, "olga");
            let id = victim.query("SELECT CONNECTION_ID()").value();
            let slept = scope.spawn(move || victim.query("SELECT SLEEP(50), 'by KILL'"));
            wait_for("it runs", Duration::from_secs(30), || running(stage, "by KILL").then_some(()));
            killer.query(format!("KILL QUERY {id}")).expect_ok();
            slept.join().expect("it ends");
        });
        assert!(!running(stage, "by KILL"));

        let mut gone = stage.enter(&readgate, "olga");
        gone.send_command(0x03, b"SELECT SLEEP(50), 'by leaving'").unwrap();
        let up = || running(stage, "by leaving").then_some(());
        wait_for("it runs", Duration::from_secs(30), up);
        drop(gone);
        let down = || (!running(stage, "by leaving")).then_some(());
        wait_for("it is gone", Duration::from_secs(30), down);

        let error = killer.query("SELECT * FROM clinical.lab_results").expect_error();
        assert_eq!(error.code, 1226, "{error}");
        killer.query(OPEN).expect_ok();
    }

    fn a_reload_that_changes_an_account_ends_the_sessions_of_the_former(stage) {
        let Blinding { directory, config, user } = blinding(stage, "reloads");
        let blinding = |config: &Table| Blinding {
            directory: directory.clone(),
            config: config.clone(),
            user: user.clone(),
        };
        let readgate = Readgate::start(&directory, config.clone());
        let mut alice = stage.enter(&readgate, "alice");
        let mut olga = stage.enter(&readgate, "olga");

        // An account that isn't there: nothing changes for anybody.
        let mut wrong = config.clone();
        set(&mut wrong, "role.0.account", "blinder");
        reload(&readgate, blinding(&wrong));
        let refused = readgate.reloaded(|_| true);
        assert!(refused["result"].to_string().contains("did you mean \\\"blinded\\\"?"), "{refused}");
        olga.query(OPEN).expect_ok();

        let mut blind = config.clone();
        set(&mut blind, "user.0.role", "blinded");
        reload(&readgate, blinding(&blind));
        assert!(alice.is_sent_away(SOON), "she would go on seeing what she should not");
        olga.query(OPEN).expect_ok();
        let mut alice = stage.enter(&readgate, "alice");
        assert_eq!(alice.query(SECRET).expect_error().code, TABLE_DENIED);

        // Another account under the same name.
        stage.server.sql(&format!(
            "CREATE USER {user}_2 IDENTIFIED BY '{SHARED_PASSWORD}';
             GRANT SELECT ON clinical.sites TO {user}_2;"
        ));
        set(&mut blind, "replica.role_account.0.user", format!("{user}_2"));
        reload(&readgate, blinding(&blind));
        assert!(alice.is_sent_away(SOON) && olga.is_sent_away(SOON));
        let mut alice = wait_for("the account is checked", Duration::from_secs(10), || {
            try_enter(stage, &readgate, "alice").ok()
        });
        assert_eq!(alice.query("SELECT CURRENT_USER()").value(), format!("{user}_2@%"));
    }

    fn a_replica_that_refuses_one_roles_account_is_not_down(stage) {
        let Blinding { directory, mut config, user } = blinding(stage, "refused");
        // With `refuse` the same holds until the next look at the accounts.
        set(&mut config, "replica.excess_rights", "warn");
        stage.server.sql(&format!("ALTER USER {user} IDENTIFIED BY 'a new password'"));
        let readgate = Readgate::start(&directory, config);
        let (code, message) = try_enter(stage, &readgate, "olga").expect_err("no session");
        assert_eq!(code, 3168, "{message}");
        let page = readgate.http("/metrics").unwrap().1;
        assert!(page.contains("readgate_replica_up 1\n"), "{page}");
        assert_eq!(readgate.http("/readyz").unwrap().0, 200);
        stage.enter(&readgate, "alice").query(SECRET).expect_ok();
    }

    fn an_account_that_can_do_more_than_read_has_no_service_alone(stage) {
        let Blinding { directory, config, user } = blinding(stage, "writes");
        stage.server.sql(&format!("GRANT INSERT ON clinical.sites TO {user}"));
        let readgate = Readgate::start(&directory, config);
        let (code, message) = try_enter(stage, &readgate, "olga").expect_err("no service");
        assert_eq!(code, 3168, "{message}");
        assert!(message.contains("the role's account can do more than read"), "{message}");
        stage.enter(&readgate, "alice").query(SECRET).expect_ok();
        let (status, said) = readgate.http("/readyz").unwrap();
        assert_eq!(status, 200, "{said}");
        assert!(said.contains("check: the account 'blinded' can do more than read: INSERT"), "{said}");
        readgate.record("replica_check", |check| check["result"].to_string().contains("blinded"));
    }
}
