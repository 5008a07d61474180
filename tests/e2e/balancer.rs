//! Three nodes behind the sample HAProxy, with PROXY v2 and users that they share.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::Command;
use std::time::Duration;

use readgate_tests::config::{make_operators, set};
use readgate_tests::keeper::Kept;
use readgate_tests::place::{free_port, repository, wait_for};
use readgate_tests::raw::{Login, RawClient};
use readgate_tests::readgate::{Readgate, run};
use readgate_tests::stage::{Stage, USER_PASSWORD};
use toml::{Table, Value};

use crate::fleet::{BOBS, add_bob, start_node_with, start_store};

const SOON: Duration = Duration::from_secs(15);

/// A node that believes the balancer and has olga as its operator.
fn configure(config: &mut Table, name: &str) {
    make_operators(config, &[1]);
    set(config, "ledger.node", name);
    // All come from one source: what alice fails at must not make bob wait.
    set(config, "login.free_failures_per_source", 1000);
    let balancer = Value::Array(vec!["127.0.0.1".into()]);
    set(config, "listener.0.proxy_protocol_from", balancer);
}

/// HAProxy with the configuration that is shipped; its port.
fn start_balancer(stage: &Stage, nodes: &[Readgate]) -> (Kept, u16) {
    let port = free_port();
    let mut command = Command::new("haproxy");
    command.args(["-db", "-f"]).arg(repository().join("deploy/haproxy/haproxy.cfg"));
    command.env("READGATE_BIND", format!("127.0.0.1:{port}"));
    for (node, name) in nodes.iter().zip(["ONE", "TWO", "THREE"]) {
        command.env(format!("READGATE_{name}"), format!("127.0.0.1:{}", node.port));
        command.env(format!("READGATE_{name}_OPS"), node.ops_port.to_string());
    }
    let log = stage.own_directory("balancer.log");
    (Kept::start(&command, &log), port)
}

fn try_login(stage: &Stage, port: u16, user: &str, password: &str) -> Result<RawClient, String> {
    let login = Login::user(user, password);
    let mut client = RawClient::connect(port).map_err(|error| error.to_string())?;
    client.start_tls(&stage.ca_file(), &login).map_err(|error| error.to_string())?;
    client.login(&login).map_err(|error| error.to_string())?;
    Ok(client)
}

/// Logged-in sessions of bob's, as many on each node.
fn sessions(stage: &Stage, port: u16, count: usize) -> Vec<RawClient> {
    let enter = |_| wait_for("bob is let in", SOON, || try_login(stage, port, "bob", BOBS).ok());
    (0..count).map(enter).collect()
}

fn logins(node: &Readgate, user: &str) -> usize {
    let ledger = node.ledger();
    ledger.iter().filter(|record| record["event"] == "login" && record["user"] == user).count()
}

/// All that is answered to a connection that begins with these bytes.
fn said_to(port: u16, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("a listener");
    stream.write_all(bytes).expect("room for a header");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok();
    String::from_utf8_lossy(&answer).into_owned()
}

on_both! {
    fn who_a_client_is_a_listed_balancer_says_and_nobody_else(stage) {
        let (directory, mut config) = stage.own_config("balancer_listed");
        configure(&mut config, "balancer_listed");
        let listed = Readgate::start(&directory, config);
        // A balancer's own connection, as for its health checks: nothing is said, nothing recorded.
        assert_eq!(said_to(listed.port, b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"), "");
        let addresses = [203, 0, 113, 9, 127, 0, 0, 1, 0, 1, 0, 2];
        let second = [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"[..], &addresses].concat();
        for header in [&b"PROXY TCP4 203.0.113.9 127.0.0.1 1 2\r\n"[..], &second] {
            assert!(said_to(listed.port, header).contains("'203.0.113.9' is not allowed"));
            said_to(stage.readgate.port, header);
        }
        let mut gone = TcpStream::connect(("127.0.0.1", stage.readgate.port)).unwrap();
        gone.write_all(b"P").unwrap();
        gone.shutdown(Shutdown::Write).unwrap();
        let told = |readgate: &Readgate, event: &str, source: &str, reason: &str| {
            let found = readgate.ledger().into_iter().filter(|record| {
                record["event"] == event
                    && record["source"] == source
                    && record["reason"].as_str().is_some_and(|told| told.contains(reason))
            });
            found.count()
        };
        wait_for("both are refused as whom the listed one names", SOON, || {
            (told(&listed, "source_denied", "203.0.113.9", "") == 2).then_some(())
        });
        assert_eq!(told(&listed, "login_failed", "127.0.0.1", "health_check"), 0);
        wait_for("the other's headers are told of", SOON, || {
            let reason = "proxy_protocol_from";
            (told(&stage.readgate, "login_failed", "127.0.0.1", reason) == 2).then_some(())
        });
        let port = gone.local_addr().unwrap().port();
        wait_for("who goes after a byte has gone", SOON, || {
            let ledger = stage.readgate.ledger();
            let of_it = ledger.iter().find(|record| record["source_port"] == port);
            of_it.map(|record| assert_eq!(record["reason"], "client_gone: closed by the peer"))
        });
    }

    fn a_fleet_behind_a_balancer_agrees_and_outlives_a_node(stage) {
        let server = start_store(stage, "balanced");
        add_bob(&server);
        let mut nodes: Vec<Readgate> = ["balanced-one", "balanced-two", "balanced-three"]
            .iter()
            .map(|name| start_node_with(stage, &server, name, |config| configure(config, name)))
            .collect();
        let (_balancer, port) = start_balancer(stage, &nodes);
        let mut bobs = sessions(stage, port, 9);
        for node in &nodes {
            wait_for("each node has its share", SOON, || (logins(node, "bob") >= 2).then_some(()));
            let login = node.record("login", |record| record["user"] == "bob");
            assert_eq!(login["source"], "127.0.0.1", "who the client is, by PROXY");
        }

        // One operator, on whichever node, ends him everywhere.
        let mut olga = wait_for("olga is let in", SOON, || {
            try_login(stage, port, "olga", USER_PASSWORD).ok()
        });
        olga.query("LOCK USER bob REASON 'left'").expect_ok();
        for bob in &mut bobs {
            wait_for("bob's session ends", SOON, || bob.try_query("SELECT 1").is_err().then_some(()));
        }
        // Once alone: several on one node would block him.
        assert!(try_login(stage, port, "bob", BOBS).is_err());
        for node in &nodes {
            node.record("access_change", |record| record["reason"] == "left");
        }
        olga.query("UNLOCK USER bob REASON 'back'").expect_ok();
        for node in &nodes {
            node.record("access_change", |record| record["reason"] == "back");
        }
        // A node with more connections than the others would get no login.
        drop((olga, bobs));

        // A block on one counts on all.
        wait_for("alice is blocked on all nodes", SOON, || {
            let refused = (0..3).all(|_| try_login(stage, port, "alice", "wrong").is_err());
            let blocked = nodes.iter().all(|node| {
                node.ledger().iter().any(|record| {
                    record["event"] == "login_failed" && record["reason"].to_string().contains("block")
                })
            });
            (refused && blocked).then_some(())
        });
        for _ in 0..6 {
            assert!(try_login(stage, port, "alice", USER_PASSWORD).is_err());
        }

        // A node dies: its clients notice, come back, and are served by the others.
        let mut bobs = sessions(stage, port, 9);
        nodes[1].kill();
        let mut lost = 0;
        for bob in &mut bobs {
            bob.set_patience(SOON);
            if bob.try_query("SELECT 1").is_err() {
                lost += 1;
                *bob = wait_for("bob comes back", SOON, || try_login(stage, port, "bob", BOBS).ok());
                assert_eq!(bob.query("SELECT COUNT(*) FROM clinical.studies").rows().len(), 1);
            }
        }
        assert!((1..9).contains(&lost), "{lost} of 9 sessions were on the node");

        nodes[1].restart();
        for node in &mut nodes {
            node.signal("TERM");
        }
        for node in &mut nodes {
            let status = wait_for("the node ends", Duration::from_secs(40), || node.ended());
            assert_eq!(status.code(), Some(0));
            let ledger = node.directory.join("ledger").display().to_string();
            let verified = run(&["ledger", "verify", &ledger], "");
            assert!(verified.status.success(), "{verified:?}");
        }
    }
}
