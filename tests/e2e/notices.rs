//! People are told when something is wrong and when it is over, by HTTP and by mail.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime};

use readgate_tests::config::set;
use readgate_tests::place::wait_for;
use readgate_tests::raw::Login;
use readgate_tests::readgate::Readgate;
use readgate_tests::server::{Flavour, Server};
use readgate_tests::stage::{DRIVER_PASSWORD, Stage, login_at, stage, try_login_at};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;
use toml::Table;

const SOON: Duration = Duration::from_secs(30);
const SECRET: &str = "topsecret-of-the-receiver";

/// What a receiver has got so far: heads and bodies of requests, or whole mails.
type Received = Arc<Mutex<Vec<(String, String)>>>;

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

/// Takes HTTP requests, with `tls` over TLS; the first is answered with an error.
fn http_receiver(tls: Option<Arc<ServerConfig>>) -> (u16, Received) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let received = Received::default();
    let all = Arc::clone(&received);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            let mut stream: Box<dyn ReadWrite> = match tls.clone().map(ServerConnection::new) {
                Some(connection) => Box::new(StreamOwned::new(connection.unwrap(), stream)),
                None => Box::new(stream),
            };
            let mut text = String::new();
            let mut room = [0; 4096];
            let head = loop {
                // One who doesn't trust the certificate goes away.
                let read = stream.read(&mut room).unwrap_or_default();
                if read == 0 {
                    break 0;
                }
                text.push_str(std::str::from_utf8(&room[..read]).unwrap());
                let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
                if body.len() >= length.unwrap().parse().unwrap() {
                    break head.len();
                }
            };
            if head == 0 {
                continue;
            }
            let mut all = all.lock().unwrap();
            let answer = if all.is_empty() { "500 Not Now" } else { "204 No Content" };
            all.push((text[..head].to_owned(), text[head + 4..].to_owned()));
            write!(stream, "HTTP/1.1 {answer}\r\n\r\n").unwrap();
        }
    });
    (port, received)
}

fn server_tls(certs: &Path) -> Arc<ServerConfig> {
    let chain = CertificateDer::pem_file_iter(certs.join("readgate.crt")).unwrap();
    let key = PrivateKeyDer::from_pem_file(certs.join("readgate.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain.map(Result::unwrap).collect(), key)
        .unwrap();
    Arc::new(config)
}

/// Speaks SMTP over TLS, from the start or after STARTTLS, and wants a login.
fn mail_receiver(certs: &Path, starts_plain: bool) -> (u16, Received) {
    let config = server_tls(certs);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let received = Received::default();
    let all = Arc::clone(&received);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            if starts_plain {
                stream.write_all(b"220 mail.test ESMTP\r\n").unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                assert!(line.starts_with("EHLO"), "{line}");
                stream.write_all(b"250-mail.test\r\n250 STARTTLS\r\n").unwrap();
                line.clear();
                reader.read_line(&mut line).unwrap();
                assert_eq!(line, "STARTTLS\r\n");
                stream.write_all(b"220 go on\r\n").unwrap();
            }
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            take_mail(StreamOwned::new(connection, stream), !starts_plain, &all);
        }
    });
    (port, received)
}

fn take_mail(
    mut stream: StreamOwned<ServerConnection, TcpStream>,
    greets: bool,
    all: &Received,
) -> Option<()> {
    if greets {
        stream.write_all(b"220 mail.test ESMTP\r\n").ok()?;
    }
    let mut envelope = String::new();
    loop {
        let line = line_of(&mut stream)?;
        let answer = match line.split(' ').next().unwrap_or_default() {
            "EHLO" => "250-mail.test\r\n250 AUTH PLAIN\r\n",
            "DATA" => "354 go on\r\n",
            "QUIT" => return stream.write_all(b"221 bye\r\n").ok(),
            _ => "250 fine\r\n",
        };
        let answer = if line.starts_with("AUTH") { "235 welcome\r\n" } else { answer };
        stream.write_all(answer.as_bytes()).ok()?;
        envelope.push_str(&line);
        envelope.push('\n');
        if line == "DATA" {
            let mut mail = String::new();
            loop {
                let line = line_of(&mut stream)?;
                if line == "." {
                    break;
                }
                mail.push_str(&line);
                mail.push('\n');
            }
            all.lock().unwrap().push((std::mem::take(&mut envelope), mail));
            stream.write_all(b"250 taken\r\n").ok()?;
        }
    }
}

fn line_of(stream: &mut impl Read) -> Option<String> {
    let mut line = Vec::new();
    let mut byte = [0];
    while !line.ends_with(b"\r\n") {
        stream.read_exact(&mut byte).ok()?;
        line.push(byte[0]);
    }
    Some(String::from_utf8_lossy(&line).trim_end().to_owned())
}

fn notice(config: &mut Table, keys: &str) {
    let table: Table = format!("[[notice]]\nsettle = \"0s\"\n{keys}").parse().unwrap();
    let known = config.get("notice").and_then(|notices| notices.as_array().cloned());
    let mut notices = known.unwrap_or_default();
    notices.extend(table["notice"].as_array().unwrap().iter().cloned());
    set(config, "notice", notices);
}

fn secret_file(directory: &Path, content: &str) -> String {
    use std::os::unix::fs::PermissionsExt;
    let path = directory.join("receiver.secret");
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path.display().to_string()
}

/// The first one that is like that, waited for.
fn got(received: &Received, what: &str, is_it: impl Fn(&str) -> bool) -> (String, String) {
    wait_for(what, SOON, || received.lock().unwrap().iter().find(|(_, body)| is_it(body)).cloned())
}

fn is_about(body: &str, event: &str, phase: &str) -> bool {
    let body: Value = serde_json::from_str(body).unwrap();
    body["event"] == event && body["phase"] == phase
}

on_both! {
    fn a_webhook_is_told_that_the_replica_is_gone_and_that_it_is_back(stage) {
        let mut server = Server::start(stage.server.flavour, &stage.own_directory("notice_server"));
        server.load_sample();
        let (directory, mut config) = stage.own_config_for(&server, "notice_webhook");
        let (port, received) = http_receiver(None);
        let header = secret_file(&directory, &format!("Bearer {SECRET}\n"));
        set(&mut config, "ledger.node", "node-7");
        notice(&mut config, &format!(
            "name = \"pager\"\nwebhook = \"http://127.0.0.1:{port}/{SECRET}?a=b\"\n\
             webhook_header = \"Authorization\"\nwebhook_header_file = {header:?}\n\
             events = [\"replica_down\"]\n"
        ));
        let daemon = Readgate::start(&directory, config);
        server.kill();
        let begins = |body: &str| is_about(body, "replica_down", "begins");
        let (head, body) = got(&received, "the beginning", begins);
        assert!(head.starts_with(&format!("POST /{SECRET}?a=b HTTP/1.1\r\n")), "{head}");
        let authorization = format!("Authorization: Bearer {SECRET}");
        assert!(head.lines().any(|line| line == authorization), "{head}");
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((&body["node"], &body["subject"]), (&"node-7".into(), &"clinical".into()));
        assert!(body["text"].as_str().unwrap().contains("no session can be opened"), "{body}");
        // The first try was answered with an error, so there is a second.
        daemon.record("notice", |r| r["about"] == "replica_down" && r["phase"] == "begins" && r["result"] == "sent");
        assert_eq!(received.lock().unwrap().iter().filter(|(_, body)| begins(body)).count(), 2);

        server.restart();
        got(&received, "the end", |body| is_about(body, "replica_down", "ends"));
        daemon.record("notice", |record| record["phase"] == "ends");
        assert_eq!(received.lock().unwrap().len(), 3, "one at the start and one at the end");
        let metrics = daemon.http("/metrics").unwrap().1;
        assert!(metrics.contains("readgate_notices_total{notice=\"pager\",result=\"sent\"} 2\n"), "{metrics}");
        let records = format!("{:?}", daemon.ledger());
        for (place, text) in [("log", daemon.log()), ("ledger", records), ("metrics", metrics)] {
            assert!(!text.contains(SECRET), "the {place} holds the secret");
        }
    }
}

/// Folder and configuration of a daemon whose feed is late.
fn feed_of_files(stage: &Stage, name: &str) -> (std::path::PathBuf, Table) {
    let (directory, mut config) = stage.own_config(name);
    let folder = directory.join("in");
    fs::create_dir_all(&folder).unwrap();
    deliver(&folder, 2 * 3600);
    let feed: Table = format!(
        "[[feed]]\nname = \"lab\"\nlook_every = \"1s\"\nfolder = {:?}\npattern = \"*.csv\"\n\
         max_age = \"1h\"\n",
        folder.display().to_string()
    )
    .parse()
    .unwrap();
    set(&mut config, "feed", feed["feed"].clone());
    (directory, config)
}

fn deliver(folder: &Path, age: u64) {
    let file = File::create(folder.join("lab.csv")).unwrap();
    (&file).write_all(b"1").unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
}

#[test]
fn check_names_a_secret_of_a_notice_that_others_can_read() {
    use std::os::unix::fs::PermissionsExt;
    let stage = stage(Flavour::MariaDb);
    let (directory, mut config) = stage.own_config("notice_check");
    let token = secret_file(&directory, SECRET);
    fs::set_permissions(&token, fs::Permissions::from_mode(0o644)).unwrap();
    notice(
        &mut config,
        &format!(
            "name = \"pager\"\nwebhook = \"http://127.0.0.1:9/\"\nwebhook_header = \"X-Token\"\n\
         webhook_header_file = {token:?}\n"
        ),
    );
    let path = directory.join("proxy.toml");
    fs::write(&path, config.to_string()).unwrap();
    let output = readgate_tests::readgate::run(&["check", "--config", path.to_str().unwrap()], "");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("notice 'pager': "), "{said}");
    assert!(said.contains("receiver.secret") && !said.contains(SECRET), "{said}");
}

#[test]
fn a_late_delivery_is_mailed_with_reminders_until_it_has_come() {
    let stage = stage(Flavour::MariaDb);
    let (directory, mut config) = feed_of_files(stage, "notice_mail");
    let password = secret_file(&directory, SECRET);
    let certs = stage.server.directory.join("certs");
    let ca_file = stage.ca_file().display().to_string();
    let mut receivers = Vec::new();
    for (tls, starts_plain) in [("starttls", true), ("tls", false)] {
        let (port, received) = mail_receiver(&certs, starts_plain);
        notice(
            &mut config,
            &format!(
                "name = {tls:?}\nsmtp = \"localhost:{port}\"\nsmtp_tls = {tls:?}\nsmtp_user = \"gate\"\n\
             smtp_password_file = {password:?}\nca_file = {ca_file:?}\nfrom = \"gate@example.org\"\n\
             to = [\"ann@example.org\", \"bob@example.org\"]\nrepeat = \"2s\"\n"
            ),
        );
        receivers.push(received);
    }
    let daemon = Readgate::start(&directory, config);
    for received in &receivers {
        for phase in ["begins", "goes on"] {
            let subject = format!("feed_late lab {phase}\n");
            let (envelope, mail) = got(received, phase, |mail| mail.contains(&subject));
            assert!(envelope.contains("MAIL FROM:<gate@example.org>"), "{envelope}");
            for to in ["ann", "bob"] {
                assert!(envelope.contains(&format!("RCPT TO:<{to}@example.org>")), "{envelope}");
            }
            assert!(mail.contains("feed \"lab\" is late since"), "{mail}");
        }
    }
    deliver(&directory.join("in"), 600);
    for received in &receivers {
        got(received, "the end", |mail| mail.contains("feed_late lab ends\n"));
    }
    for notice in ["starttls", "tls"] {
        let record = daemon.record("notice", |r| r["notice"] == notice && r["phase"] == "ends");
        assert_eq!((&record["about"], &record["result"]), (&"feed_late".into(), &"sent".into()));
    }
    assert!(!daemon.log().contains(SECRET));
}

#[test]
fn a_webhook_over_tls_is_told_only_if_its_certificate_is_trusted() {
    let stage = stage(Flavour::MariaDb);
    let (directory, mut config) = feed_of_files(stage, "notice_tls");
    let certs = stage.server.directory.join("certs");
    let (port, received) = http_receiver(Some(server_tls(&certs)));
    let (other_port, from_stranger) = http_receiver(Some(server_tls(&certs)));
    for (name, port, ca) in [("right", port, "ca.crt"), ("wrong", other_port, "replica.crt")] {
        let ca_file = certs.join(ca).display().to_string();
        notice(
            &mut config,
            &format!(
                "name = {name:?}\nwebhook = \"https://localhost:{port}/\"\nca_file = {ca_file:?}\n"
            ),
        );
    }
    let daemon = Readgate::start(&directory, config);
    got(&received, "the notice", |body| is_about(body, "feed_late", "begins"));
    wait_for("the other one is not trusted", SOON, || {
        let log = daemon.log();
        log.lines().any(|l| l.contains("can't be sent") && l.contains("wrong")).then_some(())
    });
    assert!(from_stranger.lock().unwrap().is_empty());
}

#[test]
fn a_receiver_that_hangs_holds_nothing_up_and_what_it_is_told_of_is_chosen() {
    let stage = stage(Flavour::MariaDb);
    let (directory, mut config) = feed_of_files(stage, "notice_chosen");
    // Takes connections and never answers.
    let hanging = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = hanging.local_addr().unwrap().port();
    notice(&mut config, &format!("name = \"hangs\"\nwebhook = \"http://127.0.0.1:{port}/\"\n"));
    let (port, received) = http_receiver(None);
    notice(
        &mut config,
        &format!(
            "name = \"other\"\nwebhook = \"http://127.0.0.1:{port}/\"\n\
         body = '{{\"event\": \"${{event}}\", \"phase\": \"${{phase}}\", \"own\": \"<${{text}}>\"}}'\n\
         events = [\"config_rejected\", \"login_blocked\"]\n"
        ),
    );
    set(&mut config, "login.block_after", 4);
    let daemon = Readgate::start(&directory, config);
    let text = fs::read_to_string(directory.join("proxy.toml")).unwrap();
    fs::write(directory.join("proxy.toml"), "nonsense").unwrap();
    daemon.signal("HUP");
    let (_, body) = got(&received, "the refusal", |b| is_about(b, "config_rejected", "begins"));
    assert!(body.contains("\"<a configuration was refused"), "{body}");

    let wrong = Login::user("alice", "not the password");
    let refused = || {
        assert!(try_login_at(daemon.port, &stage.ca_file(), &wrong).is_err());
    };
    for _ in 0..5 {
        refused();
    }
    let (_, body) = got(&received, "the block", |b| is_about(b, "login_blocked", "begins"));
    assert!(body.contains("failed logins from 127.0.0.1 were blocked"), "{body}");
    assert!(!received.lock().unwrap().iter().any(|(_, body)| body.contains("feed_late")));

    // Told the same way as before, it goes on: that is over, and this not new.
    let mut config: Table = text.parse().unwrap();
    set(&mut config, "notice.1.repeat", "1h");
    fs::write(directory.join("proxy.toml"), config.to_string()).unwrap();
    daemon.signal("HUP");
    got(&received, "the end of the refusal", |b| is_about(b, "config_rejected", "ends"));
    let received = received.lock().unwrap();
    let blocks = received.iter().filter(|(_, body)| is_about(body, "login_blocked", "begins"));
    assert_eq!(blocks.count(), 1);
    let dora = Login::user("dora", DRIVER_PASSWORD);
    login_at(daemon.port, &stage.ca_file(), &dora).query("SELECT 1").expect_ok();
}
