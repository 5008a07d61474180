//! Names that can't be looked up, and calls on sockets that fail where it takes one in particular:
//! nobody waits for a resolver who needs none, and no half a daemon is left.
//!
//! One flavour is enough: no server has a part in it.

use std::process::Command;
use std::thread;
use std::time::Duration;

use readgate_tests::config::set;
use readgate_tests::failing_net::FailingNet;
use readgate_tests::place::wait_for;
use readgate_tests::raw::{Login, RawClient};
use readgate_tests::readgate::{Readgate, program};
use readgate_tests::server::Flavour;
use readgate_tests::stage::{Stage, USER_PASSWORD, stage, try_login_at};

use crate::failing_net::{ERRORS_OF_NAMES, HERE, NOBODY};
use crate::fleet::{node_config, start_store};

const SOON: Duration = Duration::from_secs(20);

/// A daemon whose replica has a name, in front of a stage's server, and keeps no warm connections.
fn by_name(name: &str) -> (&'static Stage, FailingNet, Readgate) {
    let stage = stage(Flavour::MariaDb);
    let (directory, mut config) = stage.own_config(name);
    set(&mut config, "replica.address", format!("replica.test:{}", stage.server.port));
    set(&mut config, "replica.warm_connections", 0);
    set(&mut config, "limits.replica_timeout", "1s");
    let net = FailingNet::of(&directory);
    net.lead_to(&[HERE]);
    let readgate = Readgate::start_with(&directory, config, &net.environment);
    (stage, net, readgate)
}

#[test]
fn a_name_that_hangs_holds_up_neither_who_is_in_nor_the_end() {
    let (stage, net, mut readgate) = by_name("net_hangs");
    let mut alice = stage.enter(&readgate, "alice");
    net.hang_names();
    let login = Login::user("olga", USER_PASSWORD);
    let refused = || {
        let error = try_login_at(readgate.port, &stage.ca_file(), &login).expect_err("no replica");
        assert!(error.message.contains("it can't be reached"), "{error}");
    };
    thread::scope(|scope| (0..40).for_each(|_| drop(scope.spawn(refused))));
    assert_eq!(net.hanging(), 1, "all wait for the same answer");
    // Long texts are looked at by a thread that may wait.
    let long = format!("SELECT LENGTH('{}')", "x".repeat(40_000));
    assert_eq!(alice.query(long).value(), "40000");
    wait_for("it says so", SOON, || (readgate.http("/readyz")?.0 == 503).then_some(()));
    let before = readgate.reloads().len();
    readgate.signal("HUP");
    wait_for("a reload", SOON, || (readgate.reloads().len() > before).then_some(()));

    net.lead_to(&[NOBODY, HERE]);
    readgate.wait_until_ready();
    assert_eq!(stage.enter(&readgate, "olga").query("SELECT 1").value(), "1");
    net.hang_names();
    refused();
    assert!(readgate.stop(SOON).success());
}

#[test]
fn a_start_waits_for_no_name() {
    let (stage, net, mut readgate) = by_name("net_start");
    readgate.kill();
    net.hang_names();
    readgate.restart();
    assert_eq!(readgate.http("/readyz").expect("an answer").0, 503);
    for error in ERRORS_OF_NAMES {
        net.fail_names(error);
        let login = Login::user("alice", USER_PASSWORD);
        assert!(try_login_at(readgate.port, &stage.ca_file(), &login).is_err());
    }
    net.lead_to(&[HERE]);
    readgate.wait_until_ready();
    assert_eq!(stage.enter(&readgate, "alice").query("SELECT 1").value(), "1");
}

#[test]
fn a_socket_that_no_worker_may_wait_for_is_no_open_connection() {
    let (_, net, readgate) = by_name("net_workers");
    net.fail(50, "e");
    // Every other one of those that stay is for the worker that doesn't listen.
    let clients: Vec<_> = (0..40).map(|_| RawClient::connect(readgate.port)).collect();
    net.wait_for_failures(10);
    net.serve();
    drop(clients);
    wait_for("none is open", SOON, || {
        (readgate.metric("readgate_connections_open")? == 0).then_some(())
    });
}

/// Half a daemon: clients are served, and nobody can see how it is.
#[test]
fn a_start_without_an_ops_address_is_none() {
    let (stage, net, mut readgate) = by_name("net_ops");
    assert_eq!(stage.enter(&readgate, "alice").query("SELECT 1").value(), "1");
    readgate.kill();
    net.fail(100, "n");
    let mut start = Command::new("timeout");
    start.arg("20").arg(program()).args(["serve", "--config"]);
    start.arg(readgate.directory.join("proxy.toml")).envs(net.environment.iter().cloned());
    let output = start.output().expect("it runs");
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(69), "{told}");
    let address = format!("can't listen on 127.0.0.1:{}", readgate.ops_port);
    assert!(told.contains(&address), "{told}");
}

#[test]
fn who_leaves_while_no_connection_opens_leaves_no_statement_behind() {
    let (stage, net, readgate) = by_name("net_left");
    let mut alice = stage.enter(&readgate, "alice");
    // Servers look whether somebody is there while they sleep, not while they count.
    let counts = b"SELECT COUNT(*) FROM clinical.visits a, clinical.visits b, \
        clinical.visits c WHERE a.visit_id + b.visit_id + c.visit_id = -1";
    alice.send_command(3, counts).expect("it is taken");
    let runs = || {
        let running = "SELECT COUNT(*) FROM information_schema.processlist \
                       WHERE info LIKE 'SELECT COUNT(*) FROM clinical.visits a,%'";
        stage.server.sql(running).trim() == "1"
    };
    wait_for("it runs", SOON, || runs().then_some(()));
    net.fail(100, "c");
    drop(alice);
    readgate.record("outcome", |record| record["end"] == "client_gone");
    net.wait_for_failures(1);
    net.serve();
    wait_for("it is ended", SOON, || (!runs()).then_some(()));
}

#[test]
fn tries_to_reach_a_store_whose_name_hangs_do_not_pile_up() {
    let stage = stage(Flavour::MariaDb);
    let mut store = start_store(stage, "net");
    let (directory, mut config) = node_config(stage, &store, "net_store");
    set(&mut config, "identities.url", format!("mysql://readgate@store.test:{}/ids", store.port));
    let net = FailingNet::of(&directory);
    net.lead_to(&[HERE]);
    let mut readgate = Readgate::start_with(&directory, config, &net.environment);
    net.hang_names();
    store.kill();
    // Of each block the other nodes are to be told.
    for user in ["carol", "olga", "dora"] {
        for _ in 0..2 {
            let wrong = Login::user(user, "wrong");
            assert!(try_login_at(readgate.port, &stage.ca_file(), &wrong).is_err());
        }
    }
    wait_for("two tries", 2 * SOON, || {
        let failed = "the other nodes could not be told of a block";
        (readgate.log().matches(failed).count() >= 2).then_some(())
    });
    assert_eq!(net.hanging(), 1);
    assert_eq!(stage.enter(&readgate, "alice").query("SELECT 1").value(), "1");
    assert!(readgate.stop(SOON).success());
}
