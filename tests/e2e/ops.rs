//! What operators see over HTTP.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use readgate_tests::config::{make_operators, set};
use readgate_tests::place::wait_for;
use readgate_tests::raw::Login;
use readgate_tests::readgate::{Readgate, exchange};
use readgate_tests::stage::{USER_PASSWORD, try_login_at};

/// The value of a series, labels included as written.
fn series(metrics: &str, name: &str) -> f64 {
    let matching = metrics.lines().filter(|line| line.starts_with(name));
    matching.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

on_both! {
    fn idle_connections_to_the_ops_address_give_way(stage) {
        let (directory, config) = stage.own_config("guests");
        let readgate = Readgate::start(&directory, config);
        let mut idle: Vec<TcpStream> = (0..400)
            .map(|_| {
                let mut stream = TcpStream::connect(("127.0.0.1", readgate.ops_port)).unwrap();
                stream.write_all(b"GET /health").unwrap();
                stream
            })
            .collect();
        assert_eq!(readgate.http("/readyz").unwrap().0, 200);
        // One that came before the last few hundred: the daemon has closed it.
        let oldest = &mut idle[0];
        oldest.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let left = oldest.read(&mut [0; 64]);
        let is_waiting = |error: &std::io::Error| error.kind() == std::io::ErrorKind::WouldBlock;
        assert!(!left.as_ref().is_err_and(is_waiting) && left.unwrap_or(0) == 0, "it is let go");
        let folder = format!("/proc/{}/fd", readgate.id());
        wait_for("few of its files are theirs", Duration::from_secs(10), || {
            (std::fs::read_dir(&folder).unwrap().count() < 380).then_some(())
        });
        // The newest are served when they have something to say.
        let newest = idle.last_mut().unwrap();
        newest.write_all(b"z HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        newest.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.0 200") && answer.ends_with("ok\n"), "{answer}");
    }

    fn is_healthy_and_ready(stage) {
        assert_eq!(stage.readgate.http("/healthz").unwrap().0, 200);
        assert_eq!(stage.readgate.http("/readyz").unwrap().0, 200);
        assert_eq!(stage.readgate.http("/no_such_page").unwrap().0, 404);
    }

    fn counts_logins_statements_and_refusals(stage) {
        let page = || stage.readgate.http("/metrics").unwrap().1;
        let before = page();
        let mut alice = stage.alice();
        for _ in 0..5 {
            alice.query("SELECT 1").expect_ok();
            alice.query("DELETE FROM clinical.forms").expect_error();
        }
        let after = page();
        // Other tests run at the same time, so each count has grown by at least ours.
        for (name, at_least) in [
            ("readgate_logins_total{result=\"ok\"}", 1.0),
            ("readgate_statements_total{", 10.0),
            ("readgate_refusals_total{", 5.0),
            ("readgate_statement_duration_seconds_count", 5.0),
        ] {
            let grown = series(&after, name) - series(&before, name);
            assert!(grown >= at_least, "{name} grew by {grown}");
        }
        for name in ["readgate_connections_open", "readgate_replica_up", "readgate_ledger_up"] {
            assert!(series(&after, name) >= 1.0, "{name}");
        }
        assert!(after.contains("# TYPE readgate_client_bytes_total counter"), "{after}");
    }

    fn names_no_text_in_metrics(stage) {
        stage.alice().query("SELECT 'not for the metrics'").expect_ok();
        let page = stage.readgate.http("/metrics").unwrap().1;
        assert!(!page.contains("not for the metrics"));
    }

    fn the_status_tells_of_sessions_and_refusals_with_reasons(stage) {
        let mut alice = stage.alice();
        alice.query("DELETE FROM clinical.forms WHERE 'shown on the page'").expect_error();
        let (code, text) = stage.readgate.http("/status.json").unwrap();
        assert_eq!(code, 200, "{text}");
        let status: serde_json::Value = serde_json::from_str(&text).unwrap();
        let listed = |list: &str, key: &str, wanted: &str| {
            status[list].as_array().unwrap().iter().any(|one| one[key] == wanted)
        };
        assert!(listed("sessions", "user", "alice"), "{status}");
        assert!(listed("refusals", "user", "alice") && listed("refusals", "kind", "write"));
        assert!(listed("certificates", "what", "listener"), "{status}");
        assert_eq!(status["ledger"]["is_ok"], true);
        assert_eq!(status["replica"]["is_up"], true);
        assert!(status["statements"]["refused"].as_f64().unwrap() >= 1.0);
        let refusals = status["refusals"].as_array().unwrap();
        assert!(refusals.iter().any(|one| one["reason"].is_string()), "{status}");
    }

    fn the_status_tells_no_reason_where_it_might_hold_what_is_redacted(stage) {
        let (directory, mut config) = stage.own_config("ops_redacted");
        set(&mut config, "ledger.text", "redacted");
        let readgate = Readgate::start(&directory, config);
        let mut alice = stage.enter(&readgate, "alice");
        alice.query("SELECT * FROM clinical.forms WHERE 1 = 'redacted' FOR UPDATE").expect_error();
        let (_, text) = readgate.http("/status.json").unwrap();
        let status: serde_json::Value = serde_json::from_str(&text).unwrap();
        let refusal = &status["refusals"][0];
        assert_eq!((&refusal["user"], &refusal["reason"]), (&"alice".into(), &serde_json::Value::Null));
    }
}

/// Runs a headless browser on the page and returns what it printed.
fn browse(arguments: &[&str], url: &str, directory: &std::path::Path) -> String {
    let output = std::process::Command::new("chromium")
        .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
        .args(["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"])
        .arg(format!("--user-data-dir={}", directory.join("browser").display()))
        .args(arguments)
        .arg(url)
        .output()
        .expect("chromium is there");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// One flavour is enough: no server has a part in it. No name can be resolved: the page
/// needs nothing from elsewhere.
#[test]
fn a_real_browser_shows_the_status_page_of_mariadb() {
    let stage = readgate_tests::stage::stage(readgate_tests::server::Flavour::MariaDb);
    let directory = stage.own_directory("browser");
    std::fs::create_dir_all(&directory).unwrap();
    let mut alice = stage.alice();
    alice.query("DELETE FROM clinical.forms").expect_error();
    let picture = std::env::var_os("READGATE_SCREENSHOT");
    let samples = if picture.is_some() { 5 } else { 2 };
    let url = format!("http://127.0.0.1:{}/", stage.readgate.ops_port);
    // Two samples make a line.
    wait_for("samples for the plots", Duration::from_secs(30), || {
        let status: serde_json::Value =
            serde_json::from_str(&stage.readgate.http("/status.json")?.1).ok()?;
        alice.query("SELECT COUNT(*) FROM clinical.subjects").expect_ok();
        (status["history"]["at"].as_array()?.len() >= samples).then_some(())
    });
    let patience = ["--virtual-time-budget=8000", "--dump-dom"];
    let shown = browse(&patience, &url, &directory);
    assert!(shown.contains("All is well"), "{shown}");
    for part in ["<td>alice</td>", "<td>write</td>", "takes records", "Statements per second"] {
        assert!(shown.contains(part), "no {part} in {shown}");
    }
    assert!(shown.contains("<path class=\"one\" d=\"M"), "{shown}");
    if let Some(picture) = picture {
        let picture = format!("--screenshot={}", std::path::Path::new(&picture).display());
        let size = ["--virtual-time-budget=8000", "--window-size=1240,1250", picture.as_str()];
        browse(&size, &url, &directory);
    }
}

#[test]
fn the_status_page_asks_for_the_operators_password_before_mariadb_is_shown() {
    let stage = readgate_tests::stage::stage(readgate_tests::server::Flavour::MariaDb);
    let (directory, mut config) = stage.own_config("ops_password");
    let file = directory.join("ops.password");
    std::fs::write(&file, "let me see\n").unwrap();
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    readgate_tests::config::set(&mut config, "ops.password_file", file.display().to_string());
    let daemon = Readgate::start(&directory, config);
    assert_eq!(daemon.http("/status.json").unwrap().0, 401);
    let log_in = |head: &str, password: &str| {
        post(&daemon, "/login", head, &format!("{{\"password\":\"{password}\"}}"))
    };
    assert!(log_in("X-Readgate: 1\r\n", "guess").starts_with("HTTP/1.0 403"));
    let failed = daemon.record("login_failed", |record| record["listener"] == "ops");
    assert_eq!((&failed["user"], &failed["source"]), (&().into(), &"127.0.0.1".into()));
    assert!(log_in("", "let me see").starts_with("HTTP/1.0 403"), "a foreign form");
    let answer = log_in("X-Readgate: 1\r\n", "let me see");
    assert_eq!(status_with(&daemon, cookie_of(&answer)), 200);
}

/// The whole answer to a POST at the ops address.
pub(crate) fn post(daemon: &Readgate, path: &str, head: &str, body: &str) -> String {
    let length = body.len();
    let request = format!(
        "POST {path} HTTP/1.0\r\nHost: ops\r\n{head}Content-Length: {length}\r\n\r\n{body}"
    );
    exchange(daemon.ops_port, &request).unwrap()
}

fn cookie_of(answer: &str) -> &str {
    let cookie = answer.split("set-cookie: ").nth(1).unwrap_or_else(|| panic!("{answer}"));
    cookie.split(';').next().unwrap()
}

/// The code that the status is answered with.
fn status_with(daemon: &Readgate, cookie: &str) -> u16 {
    let request = format!("GET /status.json HTTP/1.0\r\nHost: ops\r\nCookie: {cookie}\r\n\r\n");
    let answer = exchange(daemon.ops_port, &request).unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn operators_log_in_to_the_status_page_of_mariadb_by_name_and_are_on_record() {
    let stage = readgate_tests::stage::stage(readgate_tests::server::Flavour::MariaDb);
    let (directory, mut config) = stage.own_config("ops_operators");
    make_operators(&mut config, &[1]);
    set(&mut config, "ops.operators", true);
    let daemon = Readgate::start(&directory, config);
    let (code, ways) = daemon.http("/status.json").unwrap();
    assert_eq!((code, ways.as_str()), (401, "{\"operators\":true,\"password\":false}"));
    let log_in = |head: &str, user: &str, password: &str| {
        let body = serde_json::json!({ "user": user, "password": password }).to_string();
        post(&daemon, "/login", head, &body)
    };
    const OWN: &str = "X-Readgate: 1\r\n";
    for (head, user, password, why) in [
        (OWN, "olga", "guess", "a wrong password"),
        (OWN, "alice", USER_PASSWORD, "no operator"),
        (OWN, "nobody", USER_PASSWORD, "nobody"),
        (OWN, "", USER_PASSWORD, "no name, and no password that all share"),
        ("", "olga", USER_PASSWORD, "a foreign form"),
    ] {
        assert!(log_in(head, user, password).starts_with("HTTP/1.0 403"), "{why}");
    }
    daemon.record("login_failed", |record| {
        record["user"] == "alice"
            && record["listener"] == "ops"
            && record["reason"] == "login_denied: not an operator"
    });
    daemon.record("login_failed", |record| record["user"] == "olga");
    let denials = "SELECT COUNT(*) FROM denials WHERE listener = 'ops'";
    assert_eq!(stage.enter(&daemon, "olga").query(denials).value(), "3");
    let answer = log_in(OWN, "olga", USER_PASSWORD);
    assert!(answer.contains("HttpOnly; SameSite=Strict"), "{answer}");
    let cookie = cookie_of(&answer);
    assert_eq!(status_with(&daemon, cookie), 200);
    assert_eq!(status_with(&daemon, "readgate_status=guess"), 401);
    let login = daemon.record("login", |record| record["listener"] == "ops");
    assert_eq!((&login["user"], &login["role"]), (&"olga".into(), &"operator".into()));
    let ends = |reason: &str| {
        daemon.record("disconnect", |record| record["user"] == "olga" && record["reason"] == reason)
    };
    let with_cookie = format!("{OWN}Cookie: {cookie}\r\n");
    assert!(post(&daemon, "/logout", &with_cookie, "").starts_with("HTTP/1.0 204"));
    assert_eq!(ends("logout")["session"], login["session"]);
    assert_eq!(status_with(&daemon, cookie), 401);
    // Who is no operator any more sees nothing more.
    let answer = log_in(OWN, "olga", USER_PASSWORD);
    assert_eq!(status_with(&daemon, cookie_of(&answer)), 200);
    let file = directory.join("proxy.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("operator = true"));
    std::fs::write(&file, text.replace("operator = true", "operator = false")).unwrap();
    daemon.signal("HUP");
    wait_for("the login has ended", Duration::from_secs(10), || {
        (status_with(&daemon, cookie_of(&answer)) == 401).then_some(())
    });
    ends("revoked");
}

/// One flavour is enough: no server has a part in it.
#[test]
fn tries_at_the_status_page_cost_what_they_cost_at_the_door() {
    const WAIT: Duration = Duration::from_secs(1);
    let stage = readgate_tests::stage::stage(readgate_tests::server::Flavour::MariaDb);
    let (directory, mut config) = stage.own_config("ops_guesses");
    make_operators(&mut config, &[1]);
    set(&mut config, "ops.operators", true);
    set(&mut config, "login.free_failures", 0);
    set(&mut config, "login.first_delay", "1s");
    set(&mut config, "login.longest_delay", "1s");
    set(&mut config, "login.block_after", 3);
    let daemon = Readgate::start(&directory, config);
    let answer_to = |user: &str, password: &str| {
        let body = serde_json::json!({ "user": user, "password": password }).to_string();
        post(&daemon, "/login", "X-Readgate: 1\r\n", &body)
    };
    let begun = Instant::now();
    assert!(answer_to("olga", "guess").starts_with("HTTP/1.0 403"));
    assert!(answer_to("olga", USER_PASSWORD).starts_with("HTTP/1.0 204"));
    assert!(begun.elapsed() >= WAIT, "after {:?}", begun.elapsed());
    // Whose the right password is, and is no operator: it can't be tried for nothing.
    for _ in 0..3 {
        assert!(answer_to("alice", USER_PASSWORD).starts_with("HTTP/1.0 403"));
    }
    let alice = Login::user("alice", USER_PASSWORD);
    let error = try_login_at(daemon.port, &stage.ca_file(), &alice).expect_err("blocked");
    assert_eq!(error.code, 1045, "{error}");
    for password in ["guess", "guess", "guess", USER_PASSWORD] {
        assert!(answer_to("olga", password).starts_with("HTTP/1.0 403"), "blocked");
    }
}
