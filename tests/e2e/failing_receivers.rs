//! Names that hang or move, of all that a daemon tells something to: a start, a reload and an end wait
//! for none of them, and what they were to get comes once they lead somewhere.
//!
//! One flavour is enough: no server has a part in it.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use readgate_tests::config::set;
use readgate_tests::failing_net::FailingNet;
use readgate_tests::place::wait_for;
use readgate_tests::readgate::Readgate;
use readgate_tests::server::Flavour;
use readgate_tests::stage::stage;
use toml::Table;

use crate::failing_net::{ERRORS_OF_NAMES, HERE, NOBODY};
use crate::reloads::{IN_FORCE, reload, written};

const SOON: Duration = Duration::from_secs(20);

/// A port of somebody who listens, and what comes first by each connection.
fn receiver() -> (u16, Receiver<String>) {
    let listener = TcpListener::bind((HERE, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, told) = channel();
    thread::spawn(move || {
        let mut streams = Vec::new();
        for mut stream in listener.incoming().flatten() {
            let (mut text, mut room) = (String::new(), [0; 4096]);
            while !text.contains('}') {
                let read = stream.read(&mut room).unwrap_or_default();
                if read == 0 {
                    break;
                }
                text.push_str(&String::from_utf8_lossy(&room[..read]));
            }
            if text.starts_with("POST") {
                let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n");
            }
            let _ = tell.send(text);
            streams.push(stream);
        }
    });
    (port, told)
}

#[test]
fn names_of_receivers_that_hang_hold_up_neither_start_nor_reload_nor_end() {
    let stage = stage(Flavour::MariaDb);
    let (directory, mut config) = stage.own_config("receivers");
    let (collector, records) = receiver();
    let (pager, notices) = receiver();
    set(&mut config, "ledger.ship_to", format!("tcp://collector.test:{collector}"));
    set(&mut config, "ledger.anchor_webhook", format!("http://anchors.test:{pager}/"));
    let notice: Table = format!(
        "[[notice]]\nname = 'pager'\nsettle = '0s'\nwebhook = 'http://pager.test:{pager}/'\n\
         events = ['config_rejected']"
    )
    .parse()
    .unwrap();
    set(&mut config, "notice", notice["notice"].clone());
    let net = FailingNet::of(&directory);
    net.hang_names();
    let mut readgate = Readgate::start_with(&directory, config, &net.environment);
    assert_eq!(stage.enter(&readgate, "alice").query("SELECT 'meanwhile'").value(), "meanwhile");
    let sound = written(&readgate);
    let mut config = sound.clone();
    set(&mut config, "limits.workers", "many");
    reload(&readgate, &config);
    wait_for("both hang", SOON, || (net.hanging() >= 2).then_some(()));
    config = sound;
    set(&mut config, "ledger.ship_to", format!("tcp://other.test:{collector}"));
    assert_eq!(reload(&readgate, &config)["result"], IN_FORCE);
    assert!(readgate.stop(SOON).success());

    readgate.restart();
    readgate.wait_until_ready();
    net.lead_to(&[NOBODY, HERE]);
    let shipped = records.recv_timeout(SOON).unwrap();
    assert!(shipped.contains("readgate - start - {"), "{shipped}");
    set(&mut config, "limits.workers", "many");
    reload(&readgate, &config);
    let begins = notices.iter().find(|body| body.contains("config_rejected")).unwrap();
    assert!(begins.contains("begins"), "{begins}");
    // They move, and one of them is gone.
    net.fail_names(ERRORS_OF_NAMES[0]);
    assert!(readgate.stop(SOON).success());
}
