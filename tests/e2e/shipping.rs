//! Records on their way to a collector over TLS: whole lines in their order, to a receiver
//! whose certificate the named authority has signed, and to no other.

use std::collections::BTreeSet;
use std::fs;
use std::io::{ErrorKind, Read};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use readgate_tests::config::set;
use readgate_tests::keeper::Kept;
use readgate_tests::place::{free_port, wait_for};
use readgate_tests::protocol::Login;
use readgate_tests::readgate::{self, Readgate};
use readgate_tests::server::Flavour;
use readgate_tests::stage::{Stage, USER_PASSWORD, login_at, stage};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use crate::reloads::{self, IN_FORCE};

const LIMIT: Duration = Duration::from_secs(20);

/// A daemon that ships to a receiver on `port`, and a statement made there.
fn shipping_to(stage: &Stage, name: &str, port: u16) -> Readgate {
    let (directory, mut config) = stage.own_config(name);
    set(&mut config, "ledger.ship_to", format!("tls://localhost:{port}"));
    set(&mut config, "ledger.ship_ca_file", stage.ca_file().display().to_string());
    let daemon = Readgate::start(&directory, config);
    stage.enter(&daemon, "alice").query("SELECT 'shipped in TLS'").expect_ok();
    daemon
}

/// A TLS server with a certificate of `directory`, which has `name` there.
fn tls_server(directory: &Path, name: &str) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let certificate = CertificateDer::from_pem_file(directory.join(format!("{name}.crt"))).unwrap();
    let key = PrivateKeyDer::from_pem_file(directory.join(format!("{name}.key"))).unwrap();
    Arc::new(builder.with_single_cert(vec![certificate], key).unwrap())
}

/// Takes the octet-counted message that `bytes` begin with: its text, and what follows.
fn message(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let blank = bytes.iter().position(|byte| *byte == b' ')?;
    let length: usize = std::str::from_utf8(&bytes[..blank]).unwrap().parse().unwrap();
    let (message, rest) = bytes[blank + 1..].split_at_checked(length)?;
    Some((std::str::from_utf8(message).unwrap(), rest))
}

/// Takes the records of all whole messages, as they are written.
fn take_lines(bytes: &mut Vec<u8>) -> Vec<String> {
    let mut lines = Vec::new();
    while let Some((message, rest)) = message(bytes) {
        let (head, line) = message.split_once(" - {").unwrap();
        assert!(head.starts_with("<110>1 2"), "{head}");
        lines.push(format!("{{{line}"));
        *bytes = rest.to_vec();
    }
    lines
}

/// The same, read.
fn take_records(bytes: &mut Vec<u8>) -> Vec<Value> {
    take_lines(bytes).iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// One flavour is enough: no server has a part in it.
#[test]
fn each_record_reaches_a_syslog_receiver_in_tls_as_it_stands_in_the_ledger() {
    let stage = stage(Flavour::MariaDb);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let daemon = shipping_to(stage, "shipping-tls", listener.local_addr().unwrap().port());
    let (socket, _) = listener.accept().unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    let server = tls_server(stage.ca_file().parent().unwrap(), "readgate");
    let mut stream = StreamOwned::new(ServerConnection::new(server).unwrap(), socket);
    let (mut bytes, mut room, mut lines) = (Vec::new(), [0; 4096], Vec::new());
    while !lines.iter().any(|line: &String| line.contains("\"event\":\"outcome\"")) {
        let read = stream.read(&mut room).unwrap();
        assert!(read > 0, "closed after {lines:?}");
        bytes.extend_from_slice(&room[..read]);
        lines.append(&mut take_lines(&mut bytes));
    }
    assert!(lines.iter().any(|line| line.contains("SELECT 'shipped in TLS'")), "{lines:?}");
    let ledger: Vec<_> = daemon.ledger();
    for (line, record) in lines.iter().zip(&ledger) {
        assert_eq!(&serde_json::from_str::<serde_json::Value>(line).unwrap(), record);
    }
}

/// The records that arrive over one connection until there is one of which `last` is true.
fn arrived(socket: &TcpListener, last: impl Fn(&Value) -> bool) -> (Vec<Value>, TcpStream) {
    let (mut stream, _) = socket.accept().unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let (mut bytes, mut room, mut records) = (Vec::new(), [0; 4096], Vec::<Value>::new());
    while !records.iter().any(&last) {
        let read = stream.read(&mut room).unwrap();
        assert!(read > 0, "closed after {records:?}");
        bytes.extend_from_slice(&room[..read]);
        records.append(&mut take_records(&mut bytes));
    }
    (records, stream)
}

/// One flavour is enough: no server has a part in it. Real receivers hang up at a message that is
/// too long for them, each time it comes, or take nothing more over that connection.
#[test]
fn a_record_too_long_for_its_receiver_comes_without_its_text_and_holds_nothing_up() {
    let stage = stage(Flavour::MariaDb);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (directory, mut config) = stage.own_config("shipping-long");
    set(&mut config, "ledger.ship_to", format!("tcp://{}", listener.local_addr().unwrap()));
    let daemon = Readgate::start(&directory, config);
    let login = Login::user("alice", USER_PASSWORD);
    let mut client = login_at(daemon.port, &stage.ca_file(), &login);
    client.query(format!("SELECT LENGTH('{}')", "\u{1}".repeat(20_000))).expect_ok();
    client.query("SELECT 'what follows'").expect_ok();
    let (records, _stream) = arrived(&listener, |record| record["text"] == "SELECT 'what follows'");
    let at = records.iter().position(|record| !record["left_out"].is_null()).unwrap();
    let (short, next) = (&records[at], &records[at + 1]);
    assert_eq!((&short["left_out"], &short["user"]), (&json!(["text"]), &json!("alice")));
    assert!(short["line_bytes"].as_u64() > Some(100_000), "{short}");
    assert_eq!(short["line_sha256"], next["prev"], "the record is in the ledger as a whole");
}

/// One flavour is enough: no server has a part in it.
#[test]
fn a_reload_sends_what_follows_to_another_receiver_and_leaves_nothing_out() {
    let stage = stage(Flavour::MariaDb);
    let receivers = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let address = |receiver: &TcpListener| format!("tcp://{}", receiver.local_addr().unwrap());
    let [former, next] = &receivers;
    let (readgate, without) = reloads::start(stage, "shipping-elsewhere");
    let to = |receiver: Option<&TcpListener>| {
        let mut config = without.clone();
        if let Some(receiver) = receiver {
            set(&mut config, "ledger.ship_to", address(receiver));
        }
        let load = reloads::reload(&readgate, &config);
        assert_eq!((&load["result"], &load["pending"]), (&json!(IN_FORCE), &Value::Null), "{load}");
        load["seq"].clone()
    };
    let mut all = Vec::new();
    // Whoever isn't sent to any more is hung up on.
    let mut goes_on_at = |receiver: &TcpListener, then: Option<&TcpListener>| {
        let load = to(Some(receiver));
        let (mut records, mut stream) = arrived(receiver, |record| record["seq"] == load);
        all.append(&mut records);
        to(then);
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        all.append(&mut take_records(&mut rest));
    };
    goes_on_at(former, None);
    stage.enter(&readgate, "alice").query("SELECT 'shipped by nobody yet'").expect_ok();
    goes_on_at(next, Some(former));
    goes_on_at(former, None);
    let sequences: Vec<u64> = all.iter().map(|record| record["seq"].as_u64().unwrap()).collect();
    assert!(sequences.iter().copied().eq(1..=u64::try_from(all.len()).unwrap()), "{sequences:?}");
    assert!(all.iter().any(|record| record["text"] == "SELECT 'shipped by nobody yet'"));
}

/// One flavour is enough: no server has a part in it.
#[test]
fn what_a_receiver_that_goes_away_had_not_read_is_sent_to_it_once_more() {
    let stage = stage(Flavour::MariaDb);
    let receiver = TcpListener::bind("127.0.0.1:0").unwrap();
    let (readgate, mut config) = reloads::start(stage, "shipping-again");
    set(&mut config, "ledger.ship_to", format!("tcp://{}", receiver.local_addr().unwrap()));
    reloads::reload(&readgate, &config);
    let mut all = BTreeSet::new();
    for round in 0..3 {
        let mut client = stage.enter(&readgate, "alice");
        client.query(format!("SELECT 'before {round}'")).expect_ok();
        let is_it = |record: &Value| record["text"] == format!("SELECT 'before {round}'");
        let (records, stream) = arrived(&receiver, is_it);
        all.extend(records.iter().map(|record| record["seq"].as_u64().unwrap()));
        // Whoever sends learns of this by what it has sent into the void.
        drop(stream);
        client.query("SELECT 'while nobody reads'").expect_ok();
    }
    let (rest, _stream) = arrived(&receiver, |record| record["event"] == "disconnect");
    all.extend(rest.iter().map(|record| record["seq"].as_u64().unwrap()));
    assert!(all.iter().copied().eq(1..=*all.last().unwrap()), "{all:?}");
}

/// One flavour is enough: no server has a part in it.
#[test]
fn metrics_tell_how_far_a_receiver_is_behind_and_whether_it_takes_anything() {
    let stage = stage(Flavour::MariaDb);
    let receiver = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = receiver.local_addr().unwrap();
    drop(receiver);
    let (directory, mut config) = stage.own_config("shipping-behind");
    set(&mut config, "ledger.ship_to", format!("tcp://{address}"));
    let daemon = Readgate::start(&directory, config);
    let is_so = |what: &str, wanted: &dyn Fn(f64, f64, f64) -> bool| {
        wait_for(what, 2 * LIMIT, || {
            let page = daemon.http("/metrics")?.1;
            let value = |metric: &str| -> Option<f64> {
                page.lines().find_map(|line| line.strip_prefix(metric))?.parse().ok()
            };
            let all = value("readgate_ledger_last_sequence ")?;
            let unshipped = value("readgate_shipping_unshipped_records{to=\"syslog\"} ")?;
            let up = value("readgate_shipping_up{to=\"syslog\"} ")?;
            wanted(up, unshipped, all).then_some(page)
        })
    };
    let nothing_came = "readgate_shipping_last_arrival_timestamp_seconds{to=\"syslog\"} 0\n";
    let page = is_so("no receiver", &|up, behind, all| (up, behind) == (0.0, all) && all > 0.0);
    assert!(page.contains(nothing_came), "{page}");
    let receiver = TcpListener::bind(address).unwrap();
    let _stream = arrived(&receiver, |record| record["event"] == "start");
    let page = is_so("all has come", &|up, behind, _| (up, behind) == (1.0, 0.0));
    assert!(!page.contains(nothing_came), "{page}");
}

/// One flavour is enough: no server has a part in it.
#[test]
fn a_node_of_another_name_and_a_new_ledger_are_sent_from_their_beginnings() {
    let stage = stage(Flavour::MariaDb);
    let receiver = TcpListener::bind("127.0.0.1:0").unwrap();
    let (directory, mut config) = stage.own_config("shipping-renamed");
    set(&mut config, "ledger.ship_to", format!("tcp://{}", receiver.local_addr().unwrap()));
    // As a ledger of another node, and one that was taken away, have left it.
    fs::create_dir_all(directory.join("ledger")).unwrap();
    fs::write(directory.join("ledger/shipped-syslog-another"), "1000").unwrap();
    fs::write(directory.join("ledger/shipped-syslog-renamed"), "1000000").unwrap();
    set(&mut config, "ledger.node", "renamed");
    let readgate = Readgate::start(&directory, config);
    stage.enter(&readgate, "alice").query("SELECT 1").expect_ok();
    let (records, _stream) = arrived(&receiver, |record| record["event"] == "outcome");
    assert_eq!((&records[0]["seq"], &records[0]["node"]), (&json!(1), &json!("renamed")));
}

/// One flavour is enough: no server has a part in it.
#[test]
fn the_receivers_authority_is_taken_when_its_file_changes_and_refused_if_it_is_none() {
    let stage = stage(Flavour::MariaDb);
    let (directory, mut config) = stage.own_config("shipping-authority");
    let ca_file = directory.join("siem-ca.crt");
    fs::write(&ca_file, fs::read(stage.ca_file()).unwrap()).unwrap();
    set(&mut config, "ledger.ship_to", format!("tls://localhost:{}", free_port()));
    set(&mut config, "ledger.ship_ca_file", ca_file.display().to_string());
    set(&mut config, "reload.watch", "200ms");
    let readgate = Readgate::start(&directory, config);
    fs::write(&ca_file, "no certificate").unwrap();
    let refused = readgate.reloaded(|_| true);
    assert!(refused["result"].as_str().unwrap().contains("siem-ca.crt"), "{refused}");
    fs::write(&ca_file, fs::read(stage.ca_file()).unwrap()).unwrap();
    readgate.reloaded(|load| load["result"] == IN_FORCE);
}

#[test]
fn a_receiver_with_another_authoritys_certificate_gets_nothing() {
    let stage = stage(Flavour::MariaDb);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    // First: the daemon waits for its receiver's side of TLS no longer than its deadline.
    let strange = stage.own_directory("strange-authority");
    let made =
        Command::new(readgate_tests::place::script("certificates.sh")).arg(&strange).status();
    assert!(made.unwrap().success());
    let daemon = shipping_to(stage, "shipping-stranger", port);
    let (socket, _) = listener.accept().unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    let server = tls_server(&strange, "readgate");
    let mut stream = StreamOwned::new(ServerConnection::new(server).unwrap(), socket);
    let mut got = Vec::new();
    let refused = stream.read_to_end(&mut got).unwrap_err();
    assert!(got.is_empty(), "{}", String::from_utf8_lossy(&got));
    assert_eq!(refused.kind(), ErrorKind::InvalidData, "{refused}");
    // The ledger goes on without it, and the log says why nothing is sent.
    stage.enter(&daemon, "alice").query("SELECT 'not shipped'").expect_ok();
    wait_for("a warning", LIMIT, || daemon.log().contains("certificate").then_some(()));
}

#[test]
fn what_a_real_rsyslog_keeps_can_be_verified() {
    let stage = stage(Flavour::MariaDb);
    let directory = stage.own_directory("rsyslog");
    fs::create_dir_all(&directory).unwrap();
    let (port, kept) = (free_port(), directory.join("ledger-kept-000000000001.jsonl"));
    let certificates = stage.ca_file().parent().unwrap().display().to_string();
    let config = directory.join("rsyslog.conf");
    let text = format!(
        r#"global(workDirectory="{directory}" maxMessageSize="256k"
    parser.escapeControlCharactersOnReceive="off"
    defaultNetstreamDriver="gtls" defaultNetstreamDriverCAFile="{certificates}/ca.crt"
    defaultNetstreamDriverCertFile="{certificates}/readgate.crt"
    defaultNetstreamDriverKeyFile="{certificates}/readgate.key")
module(load="imtcp" streamDriver.name="gtls" streamDriver.mode="1" streamDriver.authMode="anon")
input(type="imtcp" port="{port}" address="127.0.0.1")
template(name="line" type="string" string="%msg%\n")
if $programname == "readgate" then action(type="omfile" file="{kept}" template="line" flushOnTXEnd="on")
"#,
        directory = directory.display(),
        kept = kept.display(),
    );
    fs::write(&config, text).unwrap();
    let mut command = Command::new("rsyslogd");
    command.arg("-n").arg("-f").arg(&config).arg("-i").arg(directory.join("pid"));
    let log = directory.join("rsyslog.log");
    let _rsyslog = Kept::start(&command, &log);
    wait_for("rsyslog", LIMIT, || TcpStream::connect(("127.0.0.1", port)).ok());
    let daemon = shipping_to(stage, "shipping-rsyslog", port);
    let public_key = daemon.directory.join("ledger/signing.pub");
    daemon.signal("TERM");
    let closed = |text: &String| text.ends_with('\n') && text.contains("\"why\":\"close\"");
    wait_for("the last record", LIMIT, || fs::read_to_string(&kept).ok().filter(closed));
    let key = fs::read_to_string(public_key).unwrap();
    let kept = kept.display().to_string();
    let verified = readgate::run(&["ledger", "verify", &kept, "--public-key", key.trim()], "");
    let said = String::from_utf8_lossy(&verified.stdout);
    assert!(verified.status.success(), "{said}");
    assert!(fs::read_to_string(&kept).unwrap().contains("SELECT 'shipped in TLS'"));
}
