//! What tools say: the statements of tests/conversations, said again as each tool's driver says
//! them, through readgate and straight at the replica. What reads gets the same answer, byte by
//! byte; what doesn't is refused, never reaches the replica, and the session goes on.

use std::fs;
use std::time::Duration;

use readgate_tests::config::set;
use readgate_tests::conversation::{Line, conversation, version};
use readgate_tests::place::{repository, wait_for};
use readgate_tests::protocol::{LAST_ROW_SENT, lenenc_number, lenenc_text, text_row};
use readgate_tests::raw::{Login, RawClient, Response, ServerError, capability as c};
use readgate_tests::readgate::Readgate;
use readgate_tests::server::SHARED_PASSWORD;
use readgate_tests::stage::Stage;

/// Two connections that are told the same.
struct Pair {
    through: RawClient,
    direct: RawClient,
    /// Whether statements and executions carry query attributes.
    attributes: bool,
}

/// Logs in with those of the wishes that the server offers, as drivers do.
fn log_in(port: u16, stage: &Stage, form: &Login) -> RawClient {
    let mut client = RawClient::connect(port).expect("a greeting");
    let mut login = form.clone();
    login.capabilities &= client.greeting.offered | c::LOCAL_FILES;
    client.start_tls(&stage.ca_file(), &login).expect("TLS");
    client.login(&login).unwrap_or_else(|error| panic!("{} is let in: {error}", login.user));
    client
}

impl Pair {
    fn log_in(stage: &Stage, form: &Login) -> Self {
        let through = log_in(stage.readgate.port, stage, form);
        let account = Login {
            user: "readonly_shared".to_owned(),
            password: SHARED_PASSWORD.to_owned(),
            ..form.clone()
        };
        let direct = log_in(stage.server.port, stage, &account);
        let wished = |bit| form.capabilities & through.greeting.offered & bit != 0;
        let differ = (through.greeting.offered ^ direct.greeting.offered) & c::QUERY_ATTRIBUTES;
        assert_eq!(differ, 0, "both sides know query attributes or neither does");
        let attributes = wished(c::QUERY_ATTRIBUTES);
        let mut pair = Self { through, direct, attributes };
        // The guard of readgate's own sessions, so that status flags can be the same.
        let guard = pair.query_text("SET SESSION TRANSACTION READ ONLY");
        pair.direct.query(guard).expect_ok();
        pair
    }

    /// The body of COM_QUERY: no attributes in one set, if there could be some.
    fn query_text(&self, sql: &str) -> Vec<u8> {
        let before: &[u8] = if self.attributes { &[0, 1] } else { &[] };
        [before, sql.as_bytes()].concat()
    }

    fn query(&mut self, sql: &str) -> [Response; 2] {
        let text = self.query_text(sql);
        [self.through.query(&text), self.direct.query(&text)]
    }

    fn each<T>(&mut self, mut ask: impl FnMut(&mut RawClient) -> T) -> [T; 2] {
        [ask(&mut self.through), ask(&mut self.direct)]
    }
}

/// Says one line on both sides.
fn say(stage: &Stage, pair: &mut Pair, line: &Line, mark: &str) -> Result<(), String> {
    match line.how.as_str() {
        "same" => {
            let [ours, theirs] = pair.query(&line.text);
            works(&theirs)?;
            equal(&ours.payloads, &theirs.payloads)
        }
        "like" => {
            let [ours, theirs] = pair.query(&line.text);
            works(&theirs)?;
            works(&ours)?;
            equal(&definitions(&ours), &definitions(&theirs))
        }
        "own" => {
            let [ours, theirs] = pair.query(&line.text);
            works(&ours).and(works(&theirs))?;
            equal(&names(&ours), &names(&theirs))
        }
        "denied" => {
            let [ours, theirs] = pair.query(&line.text);
            theirs.error().ok_or("the replica does not refuse it")?;
            equal(&ours.payloads, &theirs.payloads)
        }
        "absorb" => {
            let ours = pair.through.query(pair.query_text(&marked(&line.text, mark)));
            works(&ours)?;
            never_seen(stage, mark)
        }
        "refuse" => refused(stage, pair, line, mark),
        // The judge refuses it today and should not: harmless, and counted.
        "pending" => match refused(stage, pair, line, mark) {
            Ok(()) => Ok(()),
            Err(_) => {
                let [ours, theirs] = pair.query(&line.text);
                equal(&ours.payloads, &theirs.payloads)
            }
        },
        "prepare" => prepare(pair, &line.text),
        "execute" => execute(pair, &line.text),
        "cursor" => cursor(pair, &line.text),
        "command" => command(pair, &line.text),
        other => Err(format!("no way of saying things is called {other}")),
    }
}

fn marked(sql: &str, mark: &str) -> String {
    format!("{} /* {mark} */", sql.trim_end_matches(';'))
}

fn refused(stage: &Stage, pair: &mut Pair, line: &Line, mark: &str) -> Result<(), String> {
    let text = pair.query_text(&marked(&line.text, mark));
    let error = pair.through.query(text).error().ok_or("it is not refused")?;
    if (error.code, error.state.as_str()) != (1290, "HY000") {
        return Err(format!("refused with {error}"));
    }
    never_seen(stage, mark)?;
    let text = pair.query_text("SELECT 'still here'");
    equal(&pair.through.query(text).value(), &"still here".to_owned())
}

fn never_seen(stage: &Stage, mark: &str) -> Result<(), String> {
    match stage.server.general_log().contains(mark) {
        true => Err("the replica has seen it".to_owned()),
        false => Ok(()),
    }
}

fn works(response: &Response) -> Result<(), String> {
    response.error().map_or(Ok(()), |error| Err(error.to_string()))
}

fn equal<T: PartialEq + std::fmt::Debug>(ours: &T, theirs: &T) -> Result<(), String> {
    if ours == theirs {
        return Ok(());
    }
    let shown = |value: &T| format!("{value:?}").chars().take(2000).collect::<String>();
    Err(format!("readgate: {}\nreplica:  {}", shown(ours), shown(theirs)))
}

/// Everything before the rows: how many columns, and which.
fn definitions(response: &Response) -> Vec<Vec<u8>> {
    let all = &response.payloads;
    let columns = all.first().map_or(0, |first| usize::from(first[0]));
    all.iter().take(columns + 1).cloned().collect()
}

/// What the columns are called, in any case of letters.
fn names(response: &Response) -> Vec<String> {
    let name = |definition: &Vec<u8>| {
        // Catalogue, schema, table and original table stand before it.
        let name = text_row(&definition[..definition.len() - 13]).swap_remove(4);
        String::from_utf8_lossy(&name.expect("not NULL")).to_lowercase()
    };
    definitions(response).iter().skip(1).map(name).collect()
}

/// COM_STMT_PREPARE alone: the same definitions, whatever the ids.
fn prepare(pair: &mut Pair, sql: &str) -> Result<(), String> {
    let [ours, theirs] = pair.each(|client| {
        let before = client.received.len();
        let prepared = client.prepare(sql).map_err(|error| error.to_string())?;
        Ok::<_, String>((
            prepared.columns,
            prepared.parameters,
            client.received.split_off(before + 1),
        ))
    });
    equal(&ours?, &theirs?)
}

/// Prepared and executed with texts: `STATEMENT <- a | b`.
fn execute(pair: &mut Pair, text: &str) -> Result<(), String> {
    let (sql, values) = text.split_once(" <- ").unwrap_or((text, ""));
    let values: Vec<&str> = values.split('|').map(str::trim).filter(|v| !v.is_empty()).collect();
    let rest = parameters(&values, pair.attributes);
    let [ours, theirs] = pair.each(|client| {
        let prepared = client.prepare(sql).map_err(|error| error.to_string())?;
        let response = client.execute(&prepared, 0, &rest);
        client.send_command(0x19, &prepared.id.to_le_bytes()).expect("closed");
        works(&response).map(|()| response.payloads)
    });
    equal(&ours?, &theirs?)
}

/// What follows the fixed part of an execution: texts, with the names that query attributes
/// bring along.
fn parameters(values: &[&str], attributes: bool) -> Vec<u8> {
    if values.is_empty() {
        return Vec::new();
    }
    let mut rest = if attributes { lenenc_number(values.len()) } else { Vec::new() };
    rest.extend(vec![0; values.len().div_ceil(8)]);
    rest.push(1);
    for _ in values {
        rest.extend([0xfd, 0]);
        rest.extend(attributes.then_some(0));
    }
    rest.extend(values.iter().flat_map(|value| lenenc_text(value)));
    rest
}

/// Executed with a read-only cursor, fetched a thousand rows at a time.
fn cursor(pair: &mut Pair, sql: &str) -> Result<(), String> {
    let [ours, theirs] = pair.each(|client| {
        let prepared = client.prepare(sql).map_err(|error| error.to_string())?;
        works(&client.execute(&prepared, 1, &[]))?;
        let mut rows = Vec::new();
        loop {
            let mut fetched = client.fetch(&prepared, 1000);
            let end = fetched.pop().expect("an end");
            rows.extend(fetched);
            if end[0] == 0xff {
                return Err(ServerError::parse(&end).expect("an ERR").to_string());
            }
            // EOF: warnings, then flags. The OK that stands for it: two counts before them.
            let status = u16::from_le_bytes([end[3], end[4]]);
            if status & LAST_ROW_SENT != 0 {
                return Ok(rows);
            }
        }
    });
    equal(&ours?, &theirs?)
}

fn command(pair: &mut Pair, text: &str) -> Result<(), String> {
    let (name, argument) = text.split_once(' ').unwrap_or((text, ""));
    let byte = match name {
        "init_db" => 0x02,
        "ping" => 0x0e,
        "statistics" => 0x09,
        "reset_connection" => 0x1f,
        other => return Err(format!("no command {other}")),
    };
    let [ours, theirs] = pair.each(|client| client.simple(byte, argument.as_bytes()));
    match name {
        "statistics" => equal(&ours[..6].to_vec(), &theirs[..6].to_vec()),
        "reset_connection" => {
            let guard = pair.query_text("SET SESSION TRANSACTION READ ONLY");
            pair.direct.query(guard).expect_ok();
            equal(&ours[0], &theirs[0])
        }
        _ => equal(&ours, &theirs),
    }
}

/// Says a whole table; every line that goes wrong is reported.
fn replay(stage: &Stage, tool: &str) {
    let conversation = conversation(tool);
    let mut pair = Pair::log_in(stage, &conversation.login);
    let mut wrong = Vec::new();
    let server = version(&stage.server.sql("SELECT VERSION()"));
    let said = |line: &&Line| {
        line.only.is_none_or(|(only, since)| only == stage.server.flavour && server >= since)
    };
    for line in conversation.lines.iter().filter(said) {
        let mark = format!("mark_{tool}_{}_end", line.number);
        if let Err(how) = say(stage, &mut pair, line, &mark) {
            wrong.push(format!("{tool}.txt:{} {} {}\n  {how}", line.number, line.how, line.text));
        }
    }
    assert!(conversation.lines.len() >= 10, "{tool} says next to nothing");
    assert!(
        wrong.is_empty(),
        "{} of {} lines:\n{}",
        wrong.len(),
        conversation.lines.len(),
        wrong.join("\n")
    );
}

on_both! {
    fn workbench_is_served(stage) { replay(stage, "workbench"); }
    fn connector_j_is_served(stage) { replay(stage, "connector-j"); }
    fn connector_j_8_is_served(stage) { replay(stage, "connector-j-8"); }
    fn connector_odbc_is_served(stage) { replay(stage, "connector-odbc"); }
    fn mariadb_odbc_is_served(stage) { replay(stage, "mariadb-odbc"); }
    fn tableau_is_served(stage) { replay(stage, "tableau"); }
    fn spotfire_is_served(stage) { replay(stage, "spotfire"); }
    fn quicksight_is_served(stage) { replay(stage, "quicksight"); }
    fn crystal_reports_is_served(stage) { replay(stage, "crystal-reports"); }
    fn metabase_is_served(stage) { replay(stage, "metabase"); }
    fn superset_is_served(stage) { replay(stage, "superset"); }
    fn dbeaver_is_served(stage) { replay(stage, "dbeaver"); }
    fn heidisql_is_served(stage) { replay(stage, "heidisql"); }
    fn grafana_is_served(stage) { replay(stage, "grafana"); }
    fn power_bi_is_served(stage) { replay(stage, "power-bi"); }
    fn airbyte_is_served(stage) { replay(stage, "airbyte"); }
    fn debezium_is_served(stage) { replay(stage, "debezium"); }
    fn dumps_are_served(stage) { replay(stage, "dumps"); }
    fn phpmyadmin_is_served(stage) { replay(stage, "phpmyadmin"); }
    fn singer_is_served(stage) { replay(stage, "singer"); }

    fn every_table_is_replayed(_stage) {
        let source = include_str!("conversations.rs");
        for entry in fs::read_dir(repository().join("tests/conversations")).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "txt") {
                let tool = path.file_stem().unwrap().to_string_lossy().into_owned();
                assert!(source.contains(&format!("replay(stage, \"{tool}\")")), "{tool} is not");
            }
        }
    }

    fn a_second_bare_login_cancels_by_either_id(stage) {
        let (directory, mut config) = stage.own_config("cancel");
        set(&mut config, "functions.sleep_max", "60s");
        let readgate = Readgate::start(&directory, config);
        let alice = || stage.enter(&readgate, "alice");
        for (form, by_greeting) in [("KILL QUERY {}", true), ("KILL QUERY {}", false), ("KILL /*!50000 QUERY */ {}", true)] {
            let mut running = alice();
            let announced = running.greeting.connection_id.to_string();
            let asked = running.query("SELECT CONNECTION_ID()").value();
            let id = if by_greeting { announced } else { asked };
            let began = std::time::Instant::now();
            running.send_command(3, b"SELECT SLEEP(50), 'to be cancelled'").expect("sent");
            wait_for("the statement runs", Duration::from_secs(30), || {
                let busy = "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP(50), \\'to be cancelled%'";
                (stage.server.sql(busy).trim() != "0").then_some(())
            });
            alice().query(form.replace("{}", &id)).expect_ok();
            let response = running.read_response().expect("an answer");
            assert!(began.elapsed() < Duration::from_secs(20), "{form}: not cancelled");
            // SLEEP itself ends with 1 on both, or with the error of an interrupted query.
            if let Some(error) = response.error() {
                assert_eq!((error.code, error.state.as_str()), (1317, "70100"), "{error}");
            }
            assert_eq!(running.query("SELECT 'goes on'").value(), "goes on");
        }
    }
}
