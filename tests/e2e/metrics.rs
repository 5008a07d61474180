//! Metrics are true: after a load they say what the ledger says, in a form that Prometheus'
//! own tools take.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use readgate_tests::config::set;
use readgate_tests::keeper::Kept;
use readgate_tests::place::{free_port, wait_for};
use readgate_tests::protocol::Login;
use readgate_tests::readgate::Readgate;
use readgate_tests::stage::{Stage, USER_PASSWORD, login_at, try_login_at};
use serde_json::Value;

/// Sums of all series of a metric, by the value of one label.
fn by_label(page: &str, metric: &str, label: &str) -> BTreeMap<String, f64> {
    let mut sums = BTreeMap::new();
    for line in page.lines().filter_map(|line| line.strip_prefix(&format!("{metric}{{"))) {
        let (labels, value) = line.rsplit_once("} ").unwrap();
        let part = labels.split(&format!("{label}=\"")).nth(1).unwrap();
        let name = part.split('"').next().unwrap();
        *sums.entry(name.to_owned()).or_insert(0.0) += value.parse::<f64>().unwrap();
    }
    sums
}

fn number(page: &str, series: &str) -> f64 {
    let line = page.lines().find_map(|line| line.strip_prefix(&format!("{series} ")));
    line.unwrap_or_else(|| panic!("no {series} in\n{page}")).parse().unwrap()
}

/// How many of the records there are, by a member's value.
fn count(records: &[Value], event: &str, member: &str) -> BTreeMap<String, f64> {
    let mut counts = BTreeMap::new();
    for record in records.iter().filter(|record| record["event"] == event) {
        *counts.entry(record[member].as_str().unwrap().to_owned()).or_insert(0.0) += 1.0;
    }
    counts
}

fn sum(records: &[Value], event: &str, member: &str) -> f64 {
    let found = records.iter().filter(|record| record["event"] == event);
    found.filter_map(|record| record[member].as_f64()).sum()
}

/// Reads, refusals, errors and absorbed statements, by two users at a time.
fn load(stage: &Stage, daemon: &Readgate) {
    let clients: Vec<_> = (0..4)
        .map(|client| {
            let (name, password) = match client % 2 {
                0 => ("alice", USER_PASSWORD),
                _ => ("dora", readgate_tests::stage::DRIVER_PASSWORD),
            };
            let (port, ca_file) = (daemon.port, stage.ca_file());
            thread::spawn(move || {
                for _ in 0..5 {
                    let mut one = login_at(port, &ca_file, &Login::user(name, password));
                    for _ in 0..20 {
                        one.query("SELECT * FROM clinical.subjects LIMIT 7").expect_ok();
                        one.query("SHOW TABLES FROM clinical").expect_ok();
                        one.query("SELECT * FROM clinical.none").expect_error();
                        one.query("DELETE FROM clinical.forms").expect_error();
                        one.query("SELECT 1 FOR UPDATE").expect_error();
                        one.query("SET SESSION TRANSACTION READ WRITE").payloads.clear();
                        let statement = one.prepare("SELECT 5").unwrap();
                        one.execute(&statement, 0, b"").expect_ok();
                    }
                    one.send_command(1, b"").unwrap();
                    assert!(one.is_closed());
                }
            })
        })
        .collect();
    for client in clients {
        client.join().expect("no client panicked");
    }
}

fn fail_to_log_in(stage: &Stage, daemon: &Readgate) {
    let login = Login::user("alice", "wrong");
    try_login_at(daemon.port, &stage.ca_file(), &login).expect_err("a wrong password");
}

on_both! {
    fn agree_with_the_ledger_after_a_load(stage) {
        let (directory, config) = stage.own_config("metrics");
        let daemon = Readgate::start(&directory, config);
        load(stage, &daemon);
        fail_to_log_in(stage, &daemon);
        daemon.record("login_failed", |_| true);
        wait_for("all sessions are recorded as ended", Duration::from_secs(10), || {
            let ended = daemon.ledger().iter().filter(|r| r["event"] == "disconnect").count();
            (ended == 20).then_some(())
        });
        let page = daemon.http("/metrics").unwrap().1;
        let records = daemon.ledger();

        let statements: Vec<&str> =
            page.lines().filter(|l| l.starts_with("readgate_statements_total{")).collect();
        let of_verdict = |verdict: &str| {
            let label = format!("verdict=\"{verdict}\"");
            statements.iter().copied().filter(|l| l.contains(&label)).collect::<Vec<_>>().join("\n")
        };
        let metric = "readgate_statements_total";
        let allowed = of_verdict("allowed");
        assert_eq!(by_label(&allowed, metric, "kind"), count(&records, "intent", "kind"));
        assert_eq!(by_label(&allowed, metric, "end"), count(&records, "outcome", "end"));
        let by_rule = by_label(&page, "readgate_refusals_total", "rule");
        let refused = records.iter().filter(|r| r["verdict"] != "absorbed").cloned();
        let refused: Vec<Value> = refused.collect();
        assert_eq!(by_rule, count(&refused, "refusal", "rule"));
        assert!(by_rule.len() >= 2, "{by_rule:?}");
        let verdicts = by_label(&page, metric, "verdict");
        assert_eq!(
            verdicts.get("refused").copied().unwrap_or(0.0) + verdicts.get("absorbed").unwrap_or(&0.0),
            records.iter().filter(|r| r["event"] == "refusal").count() as f64
        );

        let durations = "readgate_statement_duration_seconds_count";
        assert_eq!(by_label(&page, durations, "kind"), count(&records, "intent", "kind"));
        let at_replica = "readgate_statement_replica_duration_seconds";
        assert_eq!(by_label(&page, &format!("{at_replica}_count"), "kind"), by_label(&page, durations, "kind"));
        let sum_of = |metric: &str| by_label(&page, metric, "kind").values().sum::<f64>();
        let whole = sum_of("readgate_statement_duration_seconds_sum");
        assert!(whole > sum_of(&format!("{at_replica}_sum")), "readgate takes no time at all");
        assert!(whole <= sum(&records, "outcome", "duration_us") / 1e6 + 1.0, "{whole}");

        for (metric, member) in
            [("readgate_user_rows_total", "rows"), ("readgate_user_result_bytes_total", "bytes")]
        {
            let all: f64 = by_label(&page, metric, "user").values().sum();
            assert_eq!(all, sum(&records, "outcome", member), "{metric}");
        }
        let by_user = by_label(&page, "readgate_user_statements_total", "user");
        let mut recorded = count(&records, "intent", "user");
        for (user, refusals) in count(&records, "refusal", "user") {
            *recorded.entry(user).or_insert(0.0) += refusals;
        }
        assert_eq!(by_user, recorded);
        let mut logins = by_label(&page, "readgate_logins_total", "result");
        let entered = records.iter().filter(|r| r["event"] == "login").count();
        assert_eq!(logins.remove("ok"), Some(entered as f64));
        let failed = records.iter().filter(|r| r["event"] == "login_failed").count();
        assert_eq!(logins.values().sum::<f64>(), failed as f64, "{logins:?}");
        assert_eq!(logins["login_denied"], 1.0);
        let last = records.iter().filter_map(|record| record["seq"].as_f64()).fold(0.0, f64::max);
        assert_eq!(number(&page, "readgate_ledger_last_sequence"), last);
        assert_eq!(number(&page, "readgate_ledger_open_intents"), 0.0);
    }

    fn name_only_as_many_users_as_config_says(stage) {
        let (directory, mut config) = stage.own_config("few_labels");
        set(&mut config, "ops.user_labels", 1);
        let daemon = Readgate::start(&directory, config);
        let login = |name, password| login_at(daemon.port, &stage.ca_file(), &Login::user(name, password));
        let mut alice = login("alice", USER_PASSWORD);
        let mut dora = login("dora", readgate_tests::stage::DRIVER_PASSWORD);
        alice.query("SELECT 1").expect_ok();
        dora.query("SELECT 1").expect_ok();
        let page = daemon.http("/metrics").unwrap().1;
        let sessions = by_label(&page, "readgate_sessions", "user");
        assert_eq!(sessions, BTreeMap::from([("alice".into(), 1.0), ("other".into(), 1.0)]));
        assert_eq!(by_label(&page, "readgate_user_statements_total", "user"), sessions);
        assert!(!page.contains("dora"), "{page}");
        // One that is being opened to wait warm counts as in use until it is there.
        wait_for("two connections in use", Duration::from_secs(10), || {
            let page = daemon.http("/metrics")?.1;
            let pool = by_label(&page, "readgate_pool_connections", "state");
            (pool["in_use"] == 2.0).then_some(())
        });
        drop(dora);
        wait_for("who has gone counts no more", Duration::from_secs(10), || {
            let page = daemon.http("/metrics")?.1;
            let left = by_label(&page, "readgate_sessions", "user");
            (left == BTreeMap::from([("alice".into(), 1.0)])).then_some(())
        });
    }

    fn tell_what_expires_and_what_is_in_force(stage) {
        let page = stage.readgate.http("/metrics").unwrap().1;
        let ends = by_label(&page, "readgate_certificate_expiry_timestamp_seconds", "use");
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        for used in ["listener", "replica_ca"] {
            assert!(ends[used] > now.as_secs_f64(), "{ends:?}");
        }
        assert_eq!(by_label(&page, "readgate_config_info", "hash").len(), 1);
        assert!(number(&page, "readgate_config_generation") >= 1.0);
        assert_eq!(number(&page, "readgate_config_last_reload_ok"), 1.0);
        assert_eq!(by_label(&page, "readgate_replica_info", "version").len(), 1);
        assert!(number(&page, "process_resident_memory_bytes") > 1e6);
    }
}

#[test]
fn promtool_takes_the_alerts_and_the_scrape_configuration() {
    let folder = readgate_tests::place::repository().join("deploy/prometheus");
    for (what, file) in [("rules", "readgate-alerts.yml"), ("config", "prometheus.yml")] {
        let output =
            Command::new("promtool").args(["check", what]).arg(folder.join(file)).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// Every expression of the dashboard means something to Prometheus: asked at a real one.
fn dashboard_expressions() -> Vec<String> {
    let path = readgate_tests::place::repository().join("deploy/grafana/readgate.json");
    let dashboard: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().unwrap());
    let text = |target: &Value| target["expr"].as_str().unwrap().to_owned();
    let filled = |expr: String| {
        expr.replace("$job", ".*").replace("$instance", ".*").replace("$__rate_interval", "1m")
    };
    targets.map(text).map(filled).collect()
}

/// One flavour is enough: no server has a part in it. `promtool` is of Debian's `prometheus`.
#[test]
fn promtool_finds_nothing_wrong_with_mariadb_metrics() {
    let stage = readgate_tests::stage::stage(readgate_tests::server::Flavour::MariaDb);
    stage.alice().query("SELECT 1").expect_ok();
    let page = stage.readgate.http("/metrics").unwrap().1;
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is there");
    promtool.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}

#[test]
fn a_real_prometheus_scrapes_mariadb_metrics() {
    let stage = readgate_tests::stage::stage(readgate_tests::server::Flavour::MariaDb);
    stage.alice().query("SELECT 1").expect_ok();
    let directory = stage.own_directory("prometheus");
    std::fs::create_dir_all(&directory).unwrap();
    let config = directory.join("prometheus.yml");
    let target = format!("127.0.0.1:{}", stage.readgate.ops_port);
    let text = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n- job_name: readgate\n  \
         static_configs: [{{targets: ['{target}']}}]\n"
    );
    std::fs::write(&config, text).unwrap();
    let port = free_port();
    let mut command = Command::new("prometheus");
    command.arg(format!("--config.file={}", config.display()));
    command.arg(format!("--storage.tsdb.path={}", directory.join("data").display()));
    command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
    let _prometheus = Kept::start(&command, &directory.join("log"));
    let query = "/api/v1/query?query=sum(readgate_statements_total)";
    let answer = wait_for("Prometheus knows a statement", Duration::from_secs(60), || {
        let answer: Value =
            serde_json::from_str(&readgate_tests::readgate::get(port, query)?.1).ok()?;
        let value = answer["data"]["result"][0]["value"][1].as_str()?.parse::<f64>().ok()?;
        (value >= 1.0).then_some(value)
    });
    assert!(answer >= 1.0);
    for expression in dashboard_expressions() {
        let encoded: String = expression.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let query = format!("/api/v1/query?query={encoded}");
        let (code, said) = readgate_tests::readgate::get(port, &query).unwrap();
        assert_eq!(code, 200, "{expression}: {said}");
    }
}
