//! The commands beside plain statements, and those that must not exist.

use readgate_tests::config::set;
use readgate_tests::protocol::ok_status;
use readgate_tests::raw::{Login, Prepared, RawClient, ServerError, capability as c};
use readgate_tests::readgate::Readgate;
use readgate_tests::server::SHARED_PASSWORD;
use readgate_tests::stage::{USER_PASSWORD, login_at};
use serde_json::{Value, json};

/// Status flag: what has changed in the session follows.
const STATE_CHANGED: u16 = 1 << 14;

/// Every command byte that readgate does not serve, with an argument that would do harm.
const UNSERVED: &[(u8, &[u8])] = &[
    (0x00, b""),                                                                     // SLEEP
    (0x05, b"created_by_command"),                                                   // CREATE_DB
    (0x06, b"clinical"),                                                             // DROP_DB
    (0x07, b"\x01"),                                                                 // REFRESH
    (0x08, b"\x00"),                                                                 // SHUTDOWN
    (0x0a, b""),                                                                     // PROCESS_INFO
    (0x0b, b""),                                                                     // CONNECT
    (0x0c, b"\x01\x00\x00\x00"),                                                     // PROCESS_KILL
    (0x0d, b""),                                                                     // DEBUG
    (0x0f, b""),                                                                     // TIME
    (0x10, b"DELETE FROM t"),                            // DELAYED_INSERT
    (0x12, b"\x04\x00\x00\x00\x00\x00\x63\x00\x00\x00"), // BINLOG_DUMP
    (0x13, b""),                                         // TABLE_DUMP
    (0x14, b""),                                         // CONNECT_OUT
    (0x15, b"\x63\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), // REGISTER_REPLICA
    (0x1d, b""),                                                                     // DAEMON
    (0x1e, b""), // BINLOG_DUMP_GTID
    (0x20, b""), // CLONE
    (0x21, b""),
    (0xfa, b""), // MariaDB's bulk execution
    (0xff, b""),
];

/// All payloads up to the one that ends a list of definitions.
fn field_list(client: &mut RawClient, table: &str) -> Vec<Vec<u8>> {
    let argument = [table.as_bytes(), &[0]].concat();
    client.send_command(0x04, &argument).expect("the server reads");
    let mut payloads = Vec::new();
    loop {
        let payload = client.receive().expect("the command is answered");
        let last = matches!(payload[0], 0xff | 0xfe) && payload.len() < 100;
        payloads.push(payload);
        if last {
            return payloads;
        }
    }
}

on_both! {
    fn answers_other_commands_1047_and_forwards_none(stage) {
        let mut alice = stage.alice();
        for (command, argument) in UNSERVED {
            let answer = alice.simple(*command, argument);
            let error = ServerError::parse(&answer).unwrap_or_else(|| panic!("{command:#x}: {answer:?}"));
            assert_eq!((error.code, error.state.as_str()), (1047, "08S01"), "{command:#x}: {error}");
            assert_eq!(alice.query("SELECT 1").value(), "1", "after {command:#x}");
        }
        let log = stage.server.general_log();
        for name in ["\tShutdown", "\tRefresh", "\tDebug", "\tBinlog Dump", "\tRegister", "\tKill", "\tCreate DB", "\tDrop DB"] {
            assert!(!log.contains(name), "the replica has seen{name}");
        }
    }

    fn pings(stage) {
        assert_eq!(stage.alice().simple(0x0e, b"")[0], 0);
    }

    fn changes_the_schema(stage) {
        let mut alice = stage.alice();
        assert_eq!(alice.simple(0x02, b"clinical")[0], 0);
        assert_eq!(alice.query("SELECT DATABASE()").value(), "clinical");
        alice.query("USE information_schema").expect_ok();
        assert_eq!(alice.query("SELECT DATABASE()").value(), "information_schema");
        let error = ServerError::parse(&alice.simple(0x02, b"no_such_schema")).expect("an ERR");
        assert_eq!((error.code, error.state.as_str()), (1049, "42000"));
    }

    fn what_was_wrong_with_a_name_can_be_asked_for(stage) {
        let mut both = [stage.alice(), stage.direct()];
        both.iter_mut().for_each(|one| drop(one.query("USE clinical")));
        for failing in [
            "USE no_such_schema",
            "DEALLOCATE PREPARE none",
            "PREPARE s FROM 'SELECT no_such_column'",
        ] {
            let left = both.each_mut().map(|one| {
                one.query(failing).expect_error();
                let told = one.query("SHOW WARNINGS").rows();
                (told, one.query("SELECT DATABASE()").value())
            });
            assert_eq!(left[0], left[1], "{failing}");
            assert_eq!(left[0].0.len(), 1, "{failing}");
        }
    }

    fn an_error_of_readgates_own_can_be_asked_for(stage) {
        let mut alice = stage.alice();
        for failing in [
            "DELETE FROM clinical.subjects WHERE term = 'it''s \\ \u{e9}'",
            "KILL 999999",
            "SET NAMES utf8mb4, sql_mode = 'no_such_mode'",
        ] {
            alice.query("SELECT CAST('x' AS SIGNED) FROM clinical.subjects LIMIT 3").expect_ok();
            let error = alice.query(failing).expect_error();
            assert_eq!(alice.query("SELECT ROW_COUNT()").value(), "-1", "{failing}");
            let error_again = alice.query(failing).expect_error();
            assert_eq!(error.to_string(), error_again.to_string());
            for _ in 0..2 {
                let rows = alice.query("SHOW WARNINGS").rows();
                let told: String = error.message.chars().take(128).collect();
                let row = ["Error", &error.code.to_string(), &told].map(|told| Some(told.as_bytes().to_vec()));
                assert_eq!(rows, [row], "{failing}");
            }
        }
        alice.query("DELETE FROM clinical.subjects").expect_error();
        alice.query("SELECT COUNT(*) FROM clinical.subjects").expect_ok();
        assert!(alice.query("SHOW WARNINGS").rows().is_empty(), "what was refused is past");
        alice.query("DELETE FROM clinical.subjects").expect_error();
        alice.query("UNLOCK TABLES").expect_ok();
        assert!(alice.query("SHOW WARNINGS").rows().is_empty(), "answered OK since");
    }

    fn lists_fields_as_the_replica_does(stage) {
        let (mut alice, mut direct) = (stage.alice(), stage.direct());
        for client in [&mut alice, &mut direct] {
            client.query("USE clinical").expect_ok();
        }
        for table in ["subjects", "enrolment", "no_such_table"] {
            let ours = field_list(&mut alice, table);
            assert!(ours == field_list(&mut direct, table), "{table}: {ours:?}");
        }
        let named = |outcome: &Value| outcome["tables"] == json!(["clinical.enrolment"]);
        let of_alice = |intent: &Value| intent["command"] == "field_list";
        let intent = stage.readgate.record("intent", |one| {
            of_alice(one) && one["text"].as_str().is_some_and(|text| text.starts_with("enrolment"))
        });
        let outcome = stage.readgate.record("outcome", |one| one["intent"] == intent["seq"]);
        assert!(named(&outcome), "{outcome}");
    }

    fn gives_statistics(stage) {
        let answer = stage.alice().simple(0x09, b"");
        let text = String::from_utf8_lossy(&answer).into_owned();
        assert!(text.starts_with("Uptime: "), "{text}");
    }

    fn resets_a_connection_and_its_state(stage) {
        let mut alice = stage.alice();
        alice.query("SET @mine = 7").expect_ok();
        assert_eq!(alice.query("SELECT @mine").value(), "7");
        assert_eq!(alice.simple(0x1f, b"")[0], 0);
        assert_eq!(alice.query("SELECT @mine IS NULL").value(), "1");
    }

    fn takes_long_data_in_pieces(stage) {
        let mut alice = stage.alice();
        let statement = alice.prepare("SELECT LENGTH(?)").unwrap();
        assert_eq!(statement.parameters, 1);
        for _ in 0..3 {
            let piece = [&statement.id.to_le_bytes()[..], &[0, 0], &vec![b'x'; 1 << 20]].concat();
            alice.send_command(0x18, &piece).unwrap();
        }
        // Not NULL, types follow: BLOB; its value has been sent already.
        let response = alice.execute(&statement, 0, &[0, 1, 252, 0]);
        response.expect_ok();
        let row = &response.payloads[response.payloads.len() - 2];
        let length = u32::from_le_bytes(row[2..6].try_into().unwrap());
        assert_eq!(length, 3 << 20);
    }

    fn the_texts_of_a_sessions_prepared_statements_have_a_limit_together(stage) {
        let (directory, mut config) = stage.own_config("prepared_texts");
        set(&mut config, "limits.max_payload", "64KiB");
        let readgate = Readgate::start(&directory, config);
        let mut alice = stage.enter(&readgate, "alice");
        let filling = "x".repeat(20 << 10);
        let texts = [
            format!("SELECT '{filling}'"),
            // One of those that the replica never hears of.
            format!("SET SESSION TRANSACTION READ WRITE /* {filling} */"),
        ];
        let kept: Vec<_> = texts.iter().map(|text| alice.prepare(text).unwrap()).collect();
        alice.prepare(&texts[0]).unwrap();
        for text in &texts {
            let error = alice.prepare(text).unwrap_err();
            assert!(error.code == 1461 && error.to_string().contains("max_payload"), "{error}");
            readgate.record("refusal", |one| one["rule"] == "max_payload" && one["text"] == **text);
        }
        assert_eq!(alice.query("SELECT 1").value(), "1");
        for (text, statement) in texts.iter().zip(kept) {
            alice.send_command(0x19, &statement.id.to_le_bytes()).unwrap();
            alice.prepare(text).unwrap();
        }
    }

    fn long_data_of_a_refused_execution_is_not_the_next_ones(stage) {
        let (directory, mut config) = stage.own_config("long_data");
        set(&mut config, "limits.max_payload", "1MiB");
        let readgate = Readgate::start(&directory, config);
        let mut alice = stage.enter(&readgate, "alice");
        let statement = alice.prepare("SELECT LENGTH(?)").unwrap();
        for _ in 0..3 {
            let piece = [&statement.id.to_le_bytes()[..], &[0, 0], &vec![b'x'; 700 << 10]].concat();
            alice.send_command(0x18, &piece).unwrap();
        }
        let error = alice.execute(&statement, 0, &[0, 1, 252, 0]).expect_error();
        assert_eq!(error.code, 1153, "{error}");
        // The value comes with the execution: "abc".
        let response = alice.execute(&statement, 0, b"\0\x01\xfc\0\x03abc");
        response.expect_ok();
        let row = &response.payloads[response.payloads.len() - 2];
        assert_eq!(u32::from_le_bytes(row[2..6].try_into().unwrap()), 3);
        let intent = readgate.record("intent", |record| record["command"] == "execute");
        assert_eq!(intent["binds"][0]["value"], "abc", "{intent}");
    }

    fn what_is_executed_has_the_values_that_are_recorded(stage) {
        let mut alice = stage.enter(&stage.readgate, "alice");
        let send_ahead = |alice: &mut RawClient, statement: &Prepared, parameter: u16| {
            let piece = [&statement.id.to_le_bytes()[..], &parameter.to_le_bytes(), b"ahead"].concat();
            alice.send_command(0x18, &piece).unwrap();
        };
        // A cursor, whose last row would have the server forget what was sent ahead since.
        let statement = alice.prepare("SELECT ? FROM (SELECT 1 UNION SELECT 2) AS two").unwrap();
        alice.execute(&statement, 1, b"\0\x01\xfd\0\x03abc").expect_ok();
        send_ahead(&mut alice, &statement, 0);
        let answer = alice.fetch(&statement, 1000);
        assert_eq!((answer.len(), &answer[0][..3]), (1, &[0xff, 0xba, 0x04][..]), "1210");
        stage.readgate.record("refusal", |one| one["rule"] == "long_data" && one["command"] == "fetch");
        // Long data of a parameter that isn't there: the types of this execution count nowhere.
        let statement = alice.prepare("SELECT ?").unwrap();
        alice.execute(&statement, 0, b"\0\x01\xfd\0\x07aabcdef").expect_ok();
        send_ahead(&mut alice, &statement, 9);
        let error = alice.execute(&statement, 0, b"\0\x01\x08\0\x07aabcdef").expect_error();
        assert_eq!(error.code, 1210, "{error}");
        let untyped = [&statement.id.to_le_bytes()[..], &[0, 1, 0, 0, 0], b"\0\0\x07aabcdef"].concat();
        alice.send_command(0x17, &untyped).unwrap();
        let error = alice.read_response().unwrap().expect_error();
        assert_eq!(error.code, 1835, "{error}");
    }

    fn the_long_data_of_a_sessions_prepared_statements_has_a_limit_together(stage) {
        let (directory, mut config) = stage.own_config("long_data_together");
        set(&mut config, "limits.max_payload", "64KiB");
        let readgate = Readgate::start(&directory, config);
        let mut alice = stage.enter(&readgate, "alice");
        let mut prepare = |marks: usize| alice.prepare(&format!("SELECT 0{}", ", ?".repeat(marks))).unwrap();
        let (one, other, many) = (prepare(1), prepare(1), prepare(200));
        let mut send_ahead = |statement: &Prepared, parameter: u16, bytes: usize| {
            let id = statement.id.to_le_bytes();
            let piece = [&id[..], &parameter.to_le_bytes(), &vec![b'x'; bytes]].concat();
            alice.send_command(0x18, &piece).unwrap();
        };
        send_ahead(&one, 0, 40 << 10);
        send_ahead(&other, 0, 40 << 10);
        // Each takes room, however short it is.
        (0..200).for_each(|parameter| send_ahead(&many, parameter, 1));
        let blobs = |marks: usize| [vec![0; marks.div_ceil(8)], vec![1], [252, 0].repeat(marks)].concat();
        for (statement, marks) in [(&other, 1), (&many, 200)] {
            let error = alice.execute(statement, 0, &blobs(marks)).expect_error();
            assert_eq!(error.code, 1153, "{error}");
        }
        alice.execute(&one, 0, &blobs(1)).expect_ok();
    }

    fn long_data_that_is_cut_short_shifts_no_answer(stage) {
        let mut alice = stage.alice();
        let statement = alice.prepare("SELECT LENGTH(?)").unwrap();
        // MySQL answers this one, before or after it has the next command.
        alice.send_command(0x18, &statement.id.to_le_bytes()).unwrap();
        for number in ["1", "2", "3"] {
            let Ok(response) = alice.try_query(format!("SELECT {number}")) else { break };
            match response.error() {
                Some(error) => assert_eq!(error.code, 1835, "{error}"),
                None => assert_eq!(response.value(), number),
            }
        }
        assert!(alice.is_closed());
    }

    fn closes_and_resets_prepared_statements(stage) {
        let mut alice = stage.alice();
        let statement = alice.prepare("SELECT 42").unwrap();
        assert_eq!(alice.simple(0x1a, &statement.id.to_le_bytes())[0], 0, "COM_STMT_RESET");
        alice.execute(&statement, 0, &[]).expect_ok();
        // COM_STMT_CLOSE has no answer: the next command's answer is the next thing to come.
        alice.send_command(0x19, &statement.id.to_le_bytes()).unwrap();
        assert_eq!(alice.query("SELECT 1").value(), "1");
        let error = alice.execute(&statement, 0, &[]).expect_error();
        assert_eq!((error.code, error.state.as_str()), (1243, "HY000"), "{error}");
        let id = alice.query("SELECT CONNECTION_ID()").value();
        let closed = |line: &str| line.contains(&format!("{id} Close stmt"));
        assert!(stage.server.general_log().lines().any(closed), "the replica forgets it too");
    }

    fn what_was_prepared_last_is_nothing_behind_a_refused_preparation(stage) {
        // As MariaDB's clients name what they prepared last, and send both at once.
        let last = |mut one: Prepared| {
            one.id = u32::MAX;
            one
        };
        let mut alice = stage.alice();
        let statement = last(alice.prepare("SELECT 'prepared before'").expect("prepared"));
        alice.execute(&statement, 0, b"").expect_ok();
        alice.prepare("DELETE FROM clinical.subjects").expect_err("refused");
        assert_eq!(alice.execute(&statement, 0, b"").expect_error().code, 1243);
    }

    fn keeps_statement_ids_of_sessions_apart(stage) {
        let (mut one, mut two) = (stage.alice(), stage.alice());
        let mine = one.prepare("SELECT 'mine'").unwrap();
        let error = two.execute(&mine, 0, &[]).expect_error();
        assert_eq!(error.code, 1243, "{error}");
        one.execute(&mine, 0, &[]).expect_ok();
    }

    fn a_client_that_takes_one_statement_at_a_time_gets_no_second(stage) {
        let mut alice = stage.alice();
        let mut several = || alice.query("SELECT 'the first'; SELECT 'the second'");
        several().expect_error();
        assert_eq!(several().payloads.len(), 1, "neither has run");
        // COM_SET_OPTION: from now on, and no longer.
        for (option, rows) in [(b"\0\0", 2), (b"\x01\0", 0)] {
            alice.simple(0x1b, option);
            let response = alice.query("SELECT 'the first'; SELECT 'the second'");
            assert_eq!((response.error().is_none(), response.row_count()), (rows > 0, rows));
        }
    }

    fn no_statement_of_a_text_runs_behind_one_that_failed(stage) {
        let several = Login::user("alice", USER_PASSWORD).with(c::MULTI_STATEMENTS);
        let mut alice = login_at(stage.readgate.port, &stage.ca_file(), &several);
        let response = alice.query("SELECT 1; SELECT no_such_column FROM clinical.sites; SELECT 'behind it'");
        assert_eq!(response.expect_error().code, 1054);
        assert_eq!(alice.query("SELECT 2").value(), "2", "the next answer is the next one's");
        assert!(!stage.server.general_log().contains("'behind it'"));
    }

    fn sets_an_option_as_the_server_does(stage) {
        for capabilities in [0, c::DEPRECATE_EOF, c::DEPRECATE_EOF | c::SESSION_TRACK] {
            let wishes = |login: Login| login.with(c::MULTI_STATEMENTS | capabilities);
            let (user, account) = (Login::user("alice", USER_PASSWORD), Login::user("readonly_shared", SHARED_PASSWORD));
            let mut ours = login_at(stage.readgate.port, &stage.ca_file(), &wishes(user));
            let mut theirs = login_at(stage.server.port, &stage.ca_file(), &wishes(account));
            for option in [b"\0\0", b"\x01\0"] {
                assert_eq!(ours.simple(0x1b, option), theirs.simple(0x1b, option), "{capabilities:#x}");
            }
        }
    }

    fn an_ok_of_readgates_own_says_nothing_of_the_statement_before(stage) {
        let login = Login::user("alice", USER_PASSWORD).with(c::SESSION_TRACK);
        let mut alice = login_at(stage.readgate.port, &stage.ca_file(), &login);
        // Changes what clients are told of: the names of the changes follow in the same packet.
        let told = alice.simple(0x03, b"USE clinical");
        assert!(ok_status(&told) & STATE_CHANGED != 0 && told.len() > 7, "{told:?}");
        for absorbed in ["SET SESSION TRANSACTION READ WRITE", "SET SESSION TRANSACTION READ ONLY"] {
            let ok = alice.simple(0x03, absorbed.as_bytes());
            assert_eq!((ok_status(&ok) & STATE_CHANGED, ok.len()), (0, 7), "{absorbed}: {ok:?}");
        }
    }

    fn what_readgate_answers_itself_is_recorded_as_the_command_that_it_was(stage) {
        let mut alice = stage.alice();
        let id = alice.greeting.connection_id;
        let text = format!("SET SESSION TRANSACTION READ WRITE /* {id} */");
        let statement = alice.prepare(&text).unwrap();
        alice.execute(&statement, 0, &[]).expect_ok();
        alice.query(&text).expect_ok();
        for command in ["execute", "query"] {
            let record = stage.readgate.record("refusal", |record| record["text"] == text && record["command"] == command);
            assert_eq!(record["verdict"], "absorbed");
        }
    }

    fn ends_a_connection_on_quit(stage) {
        let mut alice = stage.alice();
        alice.send_command(0x01, b"").unwrap();
        assert!(alice.is_closed());
    }

    fn ends_a_connection_whose_packets_are_out_of_order(stage) {
        let mut alice = stage.alice();
        // A query with sequence id 5, where a command starts with 0.
        alice.send_raw(&[9, 0, 0, 5, 3]).unwrap();
        alice.send_raw(b"SELECT 1").unwrap();
        if let Ok(answer) = alice.receive() {
            let error = ServerError::parse(&answer).expect("an ERR if anything");
            assert_eq!((error.code, error.state.as_str()), (1156, "08S01"), "{error}");
        }
        assert!(alice.is_closed());
    }
}
