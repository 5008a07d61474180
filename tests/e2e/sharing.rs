//! Idle sessions that lend their connection to the replica (`replica.share_idle`): their users
//! can't tell, more of them are in than there are connections, and whoever must reach a
//! session does, with a connection or without.

use std::time::Duration;

use readgate_tests::config::set;
use readgate_tests::place::wait_for;
use readgate_tests::protocol::capability::{DEPRECATE_EOF, MULTI_STATEMENTS, SESSION_TRACK};
use readgate_tests::raw::{Login, RawClient, ServerError};
use readgate_tests::readgate::Readgate;
use readgate_tests::server::{SHARED_PASSWORD, Server};
use readgate_tests::stage::{DRIVER_PASSWORD, Stage, USER_PASSWORD, login_at};

const SOON: Duration = Duration::from_secs(10);

/// The user's own tools, by which sessions are told apart.
fn logins() -> [Login; 3] {
    let login = |user, password| {
        let login = Login::user(user, password);
        Login { capabilities: login.capabilities | MULTI_STATEMENTS, ..login }
    };
    let [alice, olga, dora] =
        [("alice", USER_PASSWORD), ("olga", USER_PASSWORD), ("dora", DRIVER_PASSWORD)]
            .map(|(user, password)| login(user, password));
    // Another form of results, and changes of the session told beside them.
    let capabilities = olga.capabilities ^ (DEPRECATE_EOF | SESSION_TRACK);
    [alice, Login { capabilities, ..olga }, dora]
}

fn alice() -> Login {
    Login::user("alice", USER_PASSWORD)
}

fn sharing(stage: &Stage, name: &str, connections: i64) -> Readgate {
    let (directory, mut config) = stage.own_config(name);
    set(&mut config, "replica.share_idle", "10ms");
    set(&mut config, "replica.connections", connections);
    Readgate::start(&directory, config)
}

/// Waits until so many sessions have lent their connection.
fn until_lent(readgate: &Readgate, sessions: u64) {
    wait_for("sessions that have lent their connection", SOON, || {
        (readgate.metric("readgate_sessions_without_connection")? == sessions).then_some(())
    });
}

/// One session through readgate and its twin straight at the server.
struct Twins {
    ours: RawClient,
    direct: RawClient,
    /// What CONNECTION_ID() said the first time.
    id: Option<String>,
    said: Vec<String>,
}

impl Twins {
    fn enter(stage: &Stage, readgate: &Readgate, login: &Login) -> Self {
        let ours = login_at(readgate.port, &stage.ca_file(), login);
        let mut shared = login.clone();
        shared.user = "readonly_shared".to_owned();
        shared.password = SHARED_PASSWORD.to_owned();
        shared.plugin = None;
        let mut direct = login_at(stage.server.port, &stage.ca_file(), &shared);
        direct.query("SET SESSION TRANSACTION READ ONLY").expect_ok();
        let mut twins = Self { ours, direct, id: None, said: Vec::new() };
        twins.say("SELECT COUNT(*) FROM clinical.subjects");
        twins
    }

    /// Says the same to both, who answer the same.
    fn say(&mut self, what: &str) {
        self.said.push(what.to_owned());
        let (ours, direct) = match what {
            "PING" => (vec![self.ours.simple(14, b"")], vec![self.direct.simple(14, b"")]),
            "INIT_DB" => {
                (vec![self.ours.simple(2, b"clinical")], vec![self.direct.simple(2, b"clinical")])
            }
            "RESET" => {
                self.id = None;
                let ours = vec![self.ours.simple(31, b"")];
                let direct = vec![self.direct.simple(31, b"")];
                self.direct.query("SET SESSION TRANSACTION READ ONLY").expect_ok();
                (ours, direct)
            }
            "PREPARED" => (prepared(&mut self.ours), prepared(&mut self.direct)),
            "SELECT CONNECTION_ID()" => {
                let now = self.ours.query(what).value();
                let before = self.id.get_or_insert_with(|| now.clone());
                assert_eq!(*before, now, "{:#?}", self.said);
                self.direct.query(what);
                return;
            }
            sql => (self.ours.query(sql).payloads, self.direct.query(sql).payloads),
        };
        let text = |payloads: &[Vec<u8>]| -> Vec<String> {
            payloads.iter().map(|payload| payload.escape_ascii().to_string()).collect()
        };
        assert_eq!(text(&ours), text(&direct), "{:#?}", self.said);
    }
}

/// Executed with a cursor, fetched in parts, closed.
fn prepared(client: &mut RawClient) -> Vec<Vec<u8>> {
    let statement = client.prepare("SELECT subject_id FROM clinical.subjects ORDER BY 1 LIMIT 9");
    let statement = statement.expect("prepared");
    let mut payloads = client.execute(&statement, 1, &[]).payloads;
    payloads.extend(client.fetch(&statement, 4));
    payloads.extend(client.fetch(&statement, 20));
    client.send_command(25, &statement.id.to_le_bytes()).expect("sent");
    payloads
}

/// What can be seen of a session.
const LOOKS: &[&str] = &[
    "SELECT FOUND_ROWS(), ROW_COUNT()",
    "SELECT FOUND_ROWS()",
    "SELECT ROW_COUNT()",
    "SHOW WARNINGS",
    "SHOW ERRORS",
    "SHOW COUNT(*) WARNINGS",
    "SELECT @@warning_count, @@error_count",
    "SELECT DATABASE(), @@character_set_database",
    "SELECT @@sql_mode, @@autocommit, @@time_zone",
    "SELECT @@character_set_client, @@character_set_connection, @@character_set_results, @@collation_connection",
    "SELECT 'Größe', LENGTH('Größe'), CHARSET('x'), COLLATION('x')",
    "SELECT 'a' || 'b'",
    "SELECT 'a\\\\b'",
    "SELECT \"version\"",
    "SHOW TABLES",
    "SELECT 1",
    "PING",
];
/// What changes it, and can be set again.
const RESTORABLE: &[&str] = &[
    "SET NAMES latin1",
    "SET NAMES utf8mb4",
    "SET NAMES utf8mb4 COLLATE utf8mb4_bin",
    "SET character_set_results = NULL",
    "SET sql_mode = ''",
    "SET sql_mode = 'PIPES_AS_CONCAT'",
    "SET SESSION sql_mode = 'ANSI'",
    "SET sql_mode = 'NO_BACKSLASH_ESCAPES'",
    "SET SESSION autocommit = 1",
    "USE clinical",
    "USE information_schema",
    "INIT_DB",
    "SELECT subject_id FROM clinical.subjects LIMIT 13",
    "SELECT subject_id FROM clinical.subjects ORDER BY subject_id LIMIT 120, 7",
    "SELECT subject_id FROM clinical.subjects LIMIT 0",
    "SELECT COUNT(*) FROM clinical.lab_results",
    "SELECT result_id FROM clinical.lab_results LIMIT 2345",
    "BEGIN; SELECT COUNT(*) FROM clinical.subjects; COMMIT",
    "SELECT 1; SELECT 2 UNION SELECT 3",
];
/// What keeps a session its connection, for a while or for good.
const HOLDING: &[&str] = &[
    "SELECT 1/0, CAST('abc' AS SIGNED)",
    "SELECT CAST('abc' AS SIGNED) FROM clinical.subjects LIMIT 2",
    "SELECT * FROM clinical.no_such_table",
    "SELECT no_such_column FROM clinical.subjects",
    "SELECT SQL_CALC_FOUND_ROWS subject_id FROM clinical.subjects LIMIT 3",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "SET autocommit = 0",
    "SET autocommit = 1",
    "PREPARED",
    "RESET",
];
/// What keeps it until it is reset.
const LASTING: &[&str] = &[
    "SET @a = 5",
    "SELECT @a := 7",
    "SELECT @a",
    "SELECT LAST_INSERT_ID(7)",
    "SELECT LAST_INSERT_ID()",
    "SET time_zone = '+02:00'",
    "SET time_zone = SYSTEM",
    "SET CHARACTER SET latin1",
    "SET character_set_results = latin1",
    "SET collation_connection = utf8mb4_general_ci",
    "SELECT CONNECTION_ID()",
    "DO 0",
];

/// The same numbers in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % 1_000_003).expect("fits") % bound
    }

    fn of<'t>(&mut self, all: &[&'t str]) -> &'t str {
        all[self.below(all.len())]
    }
}

on_both! {
    fn one_connection_serves_three_sessions_that_cannot_tell(stage) {
        let readgate = sharing(stage, "sharing_one", 1);
        let mut twins = logins().map(|login| Twins::enter(stage, &readgate, &login));
        let mut dice = Dice(0x5eed_0001);
        // Each waits for the connection that another one has: whoever didn't lend it, or came
        // back with another state, would be seen.
        for _ in 0..150 {
            let one = &mut twins[dice.below(3)];
            match dice.below(3) {
                0 => one.say(dice.of(RESTORABLE)),
                1 => one.say(dice.of(LOOKS)),
                _ => {
                    one.say("SELECT 1/0 FROM clinical.subjects LIMIT 2");
                    one.say(dice.of(LOOKS));
                }
            }
            one.say("SELECT subject_id FROM clinical.subjects LIMIT 11");
        }
        let borrowed = readgate.metric("readgate_connections_borrowed_total").expect("it counts");
        assert!(borrowed >= 80, "{borrowed}");
    }

    fn no_state_is_lost_by_lending(stage) {
        let readgate = sharing(stage, "sharing_state", 3);
        for seed in 1..=6 {
            let mut twins = logins().map(|login| Twins::enter(stage, &readgate, &login));
            let mut dice = Dice(0x5eed_1000 + seed);
            for _ in 0..60 {
                let one = &mut twins[dice.below(3)];
                match dice.below(18) {
                    0..=5 => one.say(dice.of(LOOKS)),
                    6..=10 => one.say(dice.of(RESTORABLE)),
                    11..=13 => one.say("SELECT subject_id FROM clinical.subjects LIMIT 11"),
                    14 => one.say(dice.of(HOLDING)),
                    15 | 16 => one.say("RESET"),
                    _ => one.say(dice.of(LASTING)),
                }
                if one.said.last().is_some_and(|said| said == "RESET") {
                    one.say("SELECT COUNT(*) FROM clinical.subjects");
                }
                // Idle time is what the sessions are given here, whatever becomes of it.
                std::thread::sleep(Duration::from_millis(25));
            }
        }
        let borrowed = readgate.metric("readgate_connections_borrowed_total").expect("it counts");
        assert!(borrowed >= 60, "{borrowed}");
    }

    fn what_a_statement_leaves_is_there_after_idle_time(stage) {
        let readgate = sharing(stage, "sharing_pairs", 1);
        let mut twins = Twins::enter(stage, &readgate, &logins()[0]);
        let left = [
            ("SELECT @a := 7", "SELECT @a"),
            ("SELECT 5 INTO @a", "SELECT @a"),
            ("SELECT CAST('abc' AS SIGNED) FROM clinical.subjects LIMIT 2", "SHOW WARNINGS"),
            ("SELECT CAST('abc' AS SIGNED) FROM clinical.subjects LIMIT 2", "SELECT @@warning_count"),
            ("SELECT * FROM clinical.no_such_table", "SHOW ERRORS"),
            ("SELECT SQL_CALC_FOUND_ROWS subject_id FROM clinical.subjects LIMIT 3", "SELECT FOUND_ROWS()"),
            ("SELECT LAST_INSERT_ID(7)", "SELECT LAST_INSERT_ID()"),
            ("SET time_zone = '+02:00'", "SELECT @@time_zone"),
            ("SET autocommit = 0", "SELECT @@autocommit"),
            ("BEGIN", "PING"),
            ("SELECT CONNECTION_ID()", "SELECT CONNECTION_ID()"),
        ];
        for (leaves, look) in left {
            twins.say("RESET");
            twins.say("SELECT COUNT(*) FROM clinical.subjects");
            twins.say(leaves);
            // Idle time is what the session is given; it must not lend its connection.
            std::thread::sleep(Duration::from_millis(60));
            twins.say(look);
        }
    }

    fn what_is_prepared_and_what_it_warned_of_stays_with_its_session(stage) {
        let readgate = sharing(stage, "sharing_prepared", 3);
        let [alice, _, dora] = logins();
        let enter = |login| login_at(readgate.port, &stage.ca_file(), login);
        let mut alice = enter(&alice);
        let statement = alice.prepare("SELECT COUNT(*) FROM clinical.sites").expect("prepared");
        let clears = "SELECT COUNT(*) FROM clinical.subjects";
        alice.query(clears).expect_ok();
        // She comes later, so that both have been idle for long enough when she has lent hers.
        let mut dora = enter(&dora);
        dora.query(clears).expect_ok();
        until_lent(&readgate, 1);
        alice.execute(&statement, 0, b"").expect_ok();
        let warns = alice.prepare("SELECT CAST('x' AS SIGNED) FROM clinical.sites LIMIT 1").expect("prepared");
        alice.execute(&warns, 0, b"").expect_ok();
        for one in [&statement, &warns] {
            alice.send_command(0x19, &one.id.to_le_bytes()).expect("sent");
        }
        dora.query(clears).expect_ok();
        until_lent(&readgate, 1);
        assert_eq!(alice.query("SHOW WARNINGS").row_count(), 1);
    }

    fn the_id_of_a_lent_connection_leads_to_whoever_has_it_now(stage) {
        let (directory, mut config) = stage.own_config("sharing_ids");
        set(&mut config, "limits.workers", 1);
        set(&mut config, "replica.share_idle", "10ms");
        set(&mut config, "replica.connections", 2);
        set(&mut config, "replica.warm_connections", 0);
        let readgate = Readgate::start(&directory, config);
        let [alice, _, dora] = logins();
        let mut alice = login_at(readgate.port, &stage.ca_file(), &alice);
        alice.query("SELECT 'lent'").expect_ok();
        until_lent(&readgate, 1);
        let intent = readgate.record("intent", |record| record["text"] == "SELECT 'lent'");
        let id = readgate.told(&intent, "replica_session").to_string();
        // By asking for it she keeps it.
        let mut dora = login_at(readgate.port, &stage.ca_file(), &dora);
        assert_eq!(dora.query("SELECT CONNECTION_ID()").value(), id);
        assert_eq!(alice.query(format!("KILL QUERY {id}")).expect_error().code, 1095);
    }

    fn fifty_sessions_share_two_connections(stage) {
        let readgate = sharing(stage, "sharing_fifty", 2);
        let mut sessions = Vec::new();
        for number in 0..50 {
            let mut session = stage.enter(&readgate, "alice");
            if number % 2 == 0 {
                session.query("USE clinical").expect_ok();
            }
            sessions.push(session);
        }
        until_lent(&readgate, 50);
        for (number, session) in sessions.iter_mut().enumerate() {
            let expected = if number % 2 == 0 { "clinical" } else { "none" };
            assert_eq!(session.query("SELECT COALESCE(DATABASE(), 'none')").value(), expected);
        }
        until_lent(&readgate, 50);
        drop(sessions);
        until_lent(&readgate, 0);
    }

    fn a_session_that_gets_no_connection_is_told_and_goes_on(stage) {
        let (directory, mut config) = stage.own_config("sharing_full");
        set(&mut config, "replica.share_idle", "10ms");
        set(&mut config, "replica.connections", 1);
        set(&mut config, "replica.longest_wait", "1s");
        let readgate = Readgate::start(&directory, config);
        let mut first = stage.enter(&readgate, "alice");
        until_lent(&readgate, 1);
        let mut second = stage.enter(&readgate, "alice");
        second.query("SET @kept = 1").expect_ok();
        let error = first.query("SELECT 1").expect_error();
        assert_eq!((error.code, error.state.as_str()), (1040, "08004"), "{error}");
        let refusal = readgate.record("refusal", |record| record["text"] == "SELECT 1");
        assert_eq!((&refusal["rule"], &refusal["user"]), (&"no_connection".into(), &"alice".into()));
        let error = first.simple(2, b"clinical");
        assert_eq!(error[0], 0xff, "{error:?}");
        readgate.record("refusal", |record| record["command"] == "init_db" && record["text"] == "clinical");
        assert_eq!(second.query("SELECT @kept").value(), "1");
        drop(second);
        assert_eq!(first.query("SELECT 2").value(), "2");
    }

    fn a_statement_that_a_stop_finds_without_a_connection_is_on_record(stage) {
        let (directory, mut config) = stage.own_config("sharing_stopped");
        set(&mut config, "replica.share_idle", "10ms");
        set(&mut config, "replica.connections", 1);
        set(&mut config, "replica.longest_wait", "10m");
        set(&mut config, "limits.drain", "1s");
        let mut readgate = Readgate::start(&directory, config);
        let mut first = stage.enter(&readgate, "alice");
        until_lent(&readgate, 1);
        let mut second = stage.enter(&readgate, "alice");
        second.query("SET @kept = 1").expect_ok();
        first.send_command(3, b"SELECT 'unheard'").unwrap();
        wait_for("it waits", SOON, || {
            let page = readgate.http("/metrics")?.1;
            page.contains("\nreadgate_pool_waiting_clients 1\n").then_some(())
        });
        readgate.stop(SOON);
        let error = ServerError::parse(&first.receive().unwrap()).unwrap();
        assert_eq!(error.code, 1053, "{error}");
        let refusal = readgate.record("refusal", |record| record["text"] == "SELECT 'unheard'");
        let told = (&refusal["rule"], &refusal["reason"], &refusal["user"]);
        assert_eq!(told, (&"shutdown".into(), &"readgate is shutting down".into(), &"alice".into()));
    }

    fn a_kill_reaches_a_session_wherever_it_is(stage) {
        let readgate = sharing(stage, "sharing_kill", 2);
        let mut victim = stage.enter(&readgate, "alice");
        let id = victim.greeting.connection_id;
        until_lent(&readgate, 1);
        let mut killer = stage.enter(&readgate, "alice");
        // Nothing runs, so there is nothing to end.
        killer.query(format!("KILL QUERY {id}")).expect_ok();
        assert_eq!(victim.query("SELECT 3").value(), "3");
        // Whoever has asked for the replica's id keeps it, and is found by it.
        let own = victim.query("SELECT CONNECTION_ID()").value();
        until_lent(&readgate, 1);
        killer.query(format!("KILL QUERY {own}")).expect_ok();
        assert_eq!(victim.query("SELECT CONNECTION_ID()").value(), own);
        drop(victim);
        let mut other = stage.enter(&readgate, "alice");
        until_lent(&readgate, 2);
        let mut stranger = login_at(readgate.port, &stage.ca_file(), &logins()[2]);
        let denied = stranger.query(format!("KILL {}", other.greeting.connection_id));
        assert_eq!(denied.expect_error().code, 1095);
        killer.query(format!("KILL {}", other.greeting.connection_id)).expect_ok();
        assert!(other.is_sent_away(SOON));
        // The id of the connection that it had leads nowhere, or to whoever has it now.
        assert_eq!(killer.query("SELECT 4").value(), "4");
    }

    fn a_disabled_user_loses_the_sessions_that_have_no_connection(stage) {
        let (directory, mut config) = stage.own_config("sharing_disabled");
        set(&mut config, "replica.share_idle", "10ms");
        let readgate = Readgate::start(&directory, config.clone());
        let mut session = stage.enter(&readgate, "alice");
        until_lent(&readgate, 1);
        set(&mut config, "listener.0.address", format!("127.0.0.1:{}", readgate.port));
        set(&mut config, "ops.address", format!("127.0.0.1:{}", readgate.ops_port));
        set(&mut config, "user.0.status", "disabled");
        std::fs::write(directory.join("proxy.toml"), config.to_string()).expect("written");
        readgate.signal("HUP");
        assert!(session.is_sent_away(SOON));
        until_lent(&readgate, 0);
    }

    fn the_ledger_names_the_connection_that_each_statement_ran_on(stage) {
        let readgate = sharing(stage, "sharing_ledger", 1);
        let [alice, _, dora] = logins();
        let mut sessions = [alice, dora].map(|login| login_at(readgate.port, &stage.ca_file(), &login));
        for round in 0..3 {
            for session in &mut sessions {
                until_lent(&readgate, 2);
                session.query(format!("SELECT 'round {round}'")).expect_ok();
            }
        }
        let log = stage.server.general_log();
        for round in 0..3 {
            for user in ["alice", "dora"] {
                let text = format!("SELECT 'round {round}'");
                let intent = readgate.record("intent", |r| r["text"] == *text && r["user"] == user);
                assert_eq!(readgate.told(&intent, "account"), "readonly_shared");
                let id = intent["replica_session"].to_string();
                let ran = |line: &&str| line.contains(&text) && line.split_whitespace().any(|w| w == id);
                assert!(log.lines().any(|line| ran(&line)), "{text} of {user} on {id}");
            }
        }
    }

    fn a_session_without_a_connection_outlives_the_replica(stage) {
        let mut server = Server::start(stage.server.flavour, &stage.own_directory("sharing_restart_server"));
        server.load_sample();
        let (directory, mut config) = stage.own_config_for(&server, "sharing_restart");
        set(&mut config, "replica.share_idle", "10ms");
        set(&mut config, "replica.longest_wait", "1s");
        let readgate = Readgate::start(&directory, config);
        let mut session = login_at(readgate.port, &server.ca_file(), &alice());
        session.query("SET NAMES latin1").expect_ok();
        session.query("USE clinical").expect_ok();
        until_lent(&readgate, 1);
        server.kill();
        let error = session.query("SELECT 1").expect_error();
        assert_eq!(error.code, 3168, "{error}");
        server.restart();
        wait_for("an answer", Duration::from_secs(30), || {
            let answer = session.query("SELECT CONCAT(DATABASE(), @@character_set_client)");
            answer.error().is_none().then(|| assert_eq!(answer.value(), "clinicallatin1"))
        });
    }

    fn commands_of_a_session_without_a_connection_are_answered_as_ever(stage) {
        let readgate = sharing(stage, "sharing_change", 1);
        let mut session = stage.enter(&readgate, "alice");
        session.query("SET NAMES latin1").expect_ok();
        until_lent(&readgate, 1);
        session.send_command(25, &7u32.to_le_bytes()).expect("closing nothing is not answered");
        assert_eq!(session.query("SELECT @@character_set_client").value(), "latin1");
        until_lent(&readgate, 1);
        assert_eq!(session.simple(31, b"")[0], 0, "reset");
        assert_ne!(session.query("SELECT @@character_set_client").value(), "latin1");
        until_lent(&readgate, 1);
        session.send_command(1, b"").expect("sent");
        assert!(session.is_closed());
        until_lent(&readgate, 0);
    }
}
