//! The ops address while calls on sockets fail, and with browsers and scrapers that hang, drip or go
//! away: whoever tries a password is on record, health checks are answered, and nothing is left behind.
//!
//! READGATE_OPS_ROUNDS and READGATE_OPS_SEED make it longer, or another one. One flavour is enough: no
//! server has a part in it.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use readgate_tests::config::{let_guess, make_operators, set};
use readgate_tests::dice::Dice;
use readgate_tests::failing_net::{CALLS, FailingNet, PIECES};
use readgate_tests::place::{wait_for, wait_until_ok, wanted};
use readgate_tests::readgate::Readgate;
use readgate_tests::server::Flavour;
use readgate_tests::stage::{USER_PASSWORD, stage};
use serde_json::{Value, json};

use crate::failing_net::{of, verified};
use crate::fleet::write_private;

const SOON: Duration = Duration::from_secs(30);
/// Browsers at a time, and what each does while calls fail.
const BROWSERS: usize = 4;
const THINGS: usize = 12;
/// Scrapers that ask and don't listen.
const DEAF: usize = 40;
const SHARED: &str = "let me see";

/// Somebody at the status page.
struct Browser {
    port: u16,
    name: String,
    dice: Dice,
    tries: usize,
    cookie: Option<String>,
    /// Guesses that were answered, or whose maker went away once they were sent.
    answered: Vec<String>,
    /// Logins by name and logouts that were answered well.
    logins: usize,
    logouts: usize,
}

/// Sends a request; the answer, if it comes whole.
fn ask(port: u16, request: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(SOON)).ok()?;
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer);
    let is_late = |error: &std::io::Error| error.kind() == std::io::ErrorKind::WouldBlock;
    assert!(!read.as_ref().is_err_and(is_late), "no answer to {request}");
    (read.is_ok() && answer.contains("\r\n\r\n")).then_some(answer)
}

fn post(path: &str, head: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.0\r\nHost: localhost\r\nX-Readgate: 1\r\n{head}\
         Content-Length: {length}\r\n\r\n{body}"
    )
}

fn login(user: &str, password: &str) -> String {
    post("/login", "", &json!({ "user": user, "password": password }).to_string())
}

fn code(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_default()
}

impl Browser {
    fn stays(&mut self) {
        for _ in 0..THINGS {
            match self.dice.roll(6) {
                0 | 1 => self.guesses(),
                2 => self.logs_in(),
                3 => self.logs_out(),
                4 => drop(ask(self.port, "GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n")),
                _ => self.looks(),
            }
        }
    }

    /// By a name that no other guess has.
    fn guesses(&mut self) {
        self.tries += 1;
        let name = format!("{}x{}", self.name, self.tries);
        if ask(self.port, &login(&name, "guess")).is_some_and(|answer| code(&answer) == "403") {
            self.answered.push(name);
        }
    }

    fn logs_in(&mut self) {
        let Some(answer) = ask(self.port, &login("olga", USER_PASSWORD)) else { return };
        assert!(["204", "503"].contains(&code(&answer)), "{answer}");
        if let Some(cookie) = answer.split("set-cookie: ").nth(1) {
            self.logins += 1;
            self.cookie = cookie.split(';').next().map(str::to_owned);
        }
    }

    fn logs_out(&mut self) {
        let Some(cookie) = self.cookie.take() else { return };
        let request = post("/logout", &format!("Cookie: {cookie}\r\n"), "");
        if ask(self.port, &request).is_some_and(|answer| code(&answer) == "204") {
            self.logouts += 1;
            assert_ne!(self.status(&cookie).as_deref(), Some("200"), "it has ended");
        }
    }

    fn status(&self, cookie: &str) -> Option<String> {
        let head = format!("Host: localhost\r\nCookie: {cookie}\r\n");
        let answer = ask(self.port, &format!("GET /status.json HTTP/1.0\r\n{head}\r\n"))?;
        Some(code(&answer).to_owned())
    }

    fn looks(&mut self) {
        let wrong = self.status("readgate_status=guess");
        assert!(wrong.is_none_or(|code| code == "401"));
        let Some(cookie) = &self.cookie else { return };
        assert!(self.status(cookie).is_none_or(|code| code == "200"));
    }
}

struct Scene {
    net: FailingNet,
    readgate: Readgate,
    round: u64,
    dice: Dice,
    answered: Vec<String>,
    logins: usize,
    logouts: usize,
}

impl Scene {
    fn start(seed: u64) -> Self {
        let (directory, mut config) = stage(Flavour::MariaDb).own_config(&format!("ops_{seed}"));
        let file = directory.join("ops.password");
        write_private(&file, SHARED);
        set(&mut config, "ops.password_file", file.display().to_string());
        set(&mut config, "ops.operators", true);
        set(&mut config, "ledger.compress", false);
        make_operators(&mut config, &[1]);
        let_guess(&mut config);
        let net = FailingNet::of(&directory);
        let readgate = Readgate::start_with(&directory, config, &net.environment);
        let (round, dice, answered) = (0, Dice::new(seed), Vec::new());
        Self { net, readgate, round, dice, answered, logins: 0, logouts: 0 }
    }

    fn fail_for_a_while(&mut self) {
        self.round += 1;
        let before = self.readgate.footprint();
        let one = self.dice.roll(CALLS.len());
        match self.dice.roll(3) {
            0 => self.net.fail(50, PIECES),
            1 => self.net.fail([1, 5][self.dice.roll(2)], &format!("{CALLS}{PIECES}")),
            _ => self.net.fail([10, 40][self.dice.roll(2)], &CALLS[one..=one]),
        }
        let deaf = self.deaf();
        let mut browsers: Vec<Browser> = (0..BROWSERS).map(|number| self.browser(number)).collect();
        thread::scope(|scope| {
            for browser in &mut browsers {
                scope.spawn(|| browser.stays());
            }
        });
        self.net.serve();
        self.readgate.wait_until_ready();
        drop(deaf);
        for browser in browsers {
            self.answered.extend(browser.answered);
            self.logins += browser.logins;
            self.logouts += browser.logouts;
        }
        wait_until_ok("nothing is left behind", SOON, || {
            let open = self.readgate.footprint().descriptors;
            let is_so = open <= before.descriptors + 2;
            if is_so { Ok(()) } else { Err(format!("{open} of {before:?}")) }
        });
    }

    fn browser(&mut self, number: usize) -> Browser {
        Browser {
            port: self.readgate.ops_port,
            name: format!("guess{}x{number}", self.round),
            dice: self.dice.another(),
            tries: 0,
            cookie: None,
            answered: Vec::new(),
            logins: 0,
            logouts: 0,
        }
    }

    /// Who asks for a page again and again and reads nothing, or doesn't come to the end of asking.
    fn deaf(&mut self) -> Vec<TcpStream> {
        let come = (0..DEAF).filter_map(|number| {
            let mut stream = TcpStream::connect(("127.0.0.1", self.readgate.ops_port)).ok()?;
            let whole = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(50);
            let text = if number % 2 == 0 { whole.as_str() } else { "GET /metr" };
            stream.write_all(text.as_bytes()).ok().map(|()| stream)
        });
        come.collect()
    }

    /// It ends also with those who don't listen.
    fn all_is_recorded(mut self) {
        let _deaf = self.deaf();
        self.net.fail(10, CALLS);
        assert!(self.readgate.stop(SOON).success());
        let records = verified(&self.readgate);
        let at_ops = |record: &&Value| record["listener"] == "ops";
        let failed = of(&records, "login_failed").filter(at_ops);
        let failed: HashSet<&str> = failed.filter_map(|record| record["user"].as_str()).collect();
        for guess in &self.answered {
            assert!(failed.contains(guess.as_str()), "{guess} isn't on record");
        }
        let logins: HashSet<String> = of(&records, "login")
            .filter(at_ops)
            .map(|login| login["session"].to_string())
            .collect();
        assert!(logins.len() >= self.logins, "{} logins are on record", logins.len());
        let is_theirs = |record: &&Value| logins.contains(&record["session"].to_string());
        let ended = of(&records, "disconnect").filter(is_theirs).count();
        assert!(ended >= self.logouts, "{ended} ends are on record");
    }
}

#[test]
fn the_ops_address_answers_records_and_recovers_through_a_failing_network() {
    let mut scene = Scene::start(wanted("READGATE_OPS_SEED").unwrap_or(1));
    for _ in 0..wanted("READGATE_OPS_ROUNDS").unwrap_or(3) {
        scene.fail_for_a_while();
    }
    scene.all_is_recorded();
}

#[test]
fn who_goes_away_before_their_turn_has_tried_a_password_all_the_same() {
    let (directory, mut config) = stage(Flavour::MariaDb).own_config("ops_left");
    let file = directory.join("ops.password");
    write_private(&file, SHARED);
    set(&mut config, "ops.password_file", file.display().to_string());
    set(&mut config, "ops.operators", true);
    make_operators(&mut config, &[1]);
    set(&mut config, "login.free_failures", 0);
    set(&mut config, "login.first_delay", "1s");
    let readgate = Readgate::start(&directory, config);
    let failed = |user: Value| {
        let all = readgate.ledger();
        of(&all, "login_failed").filter(|record| record["user"] == user).count()
    };
    // The next one waits for its turn.
    assert_eq!(code(&ask(readgate.ops_port, &login("olga", "guess")).unwrap()), "403");
    for (user, others) in [(Value::from("olga"), 1), (Value::Null, 0)] {
        let request = login(user.as_str().unwrap_or_default(), "guess");
        wait_for("a guess of who is gone is on record", SOON, || {
            let stream = TcpStream::connect(("127.0.0.1", readgate.ops_port)).ok()?;
            (&stream).write_all(request.as_bytes()).ok()?;
            // It has been read by now, most likely.
            readgate.http("/healthz")?;
            drop(stream);
            (failed(user.clone()) > others).then_some(())
        });
    }
}
