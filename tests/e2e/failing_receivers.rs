//! Names that hang or move, of all that a daemon tells something to: a start, a reload and an end wait
//! for none of them, and what they were to get comes once they lead somewhere.
//!
//! One flavour is enough: no server has a part in it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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

/// What a receiver does with who comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Manner {
    Well,
    SaysNothing,
    Closes,
    BreaksOff,
    Repeats,
    Drips,
}

/// Those that take long come last: the others are tried again soon.
const MANNERS: [Manner; 5] =
    [Manner::Closes, Manner::BreaksOff, Manner::Repeats, Manner::SaysNothing, Manner::Drips];

/// A receiver of mail, or of requests, until it is told to be well.
struct Receiving {
    port: u16,
    is_well: Arc<AtomicBool>,
}

impl Receiving {
    fn of(takes_mail: bool, manner: Manner) -> Self {
        let listener = TcpListener::bind((HERE, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let is_well = Arc::<AtomicBool>::default();
        let told = Arc::clone(&is_well);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let told = Arc::clone(&told);
                // Who goes away meanwhile is no fault.
                thread::spawn(move || drop(receive(stream, takes_mail, manner, &told)));
            }
        });
        Self { port, is_well }
    }
}

fn receive(
    mut stream: TcpStream,
    takes_mail: bool,
    manner: Manner,
    is_well: &AtomicBool,
) -> io::Result<()> {
    let is_over = || is_well.load(Ordering::SeqCst);
    let manner = if is_over() { Manner::Well } else { manner };
    if manner == Manner::Closes {
        return Ok(());
    }
    if takes_mail && manner == Manner::Well {
        return take_mail(stream);
    }
    let mut room = [0; 4096];
    let read = if takes_mail { 0 } else { stream.read(&mut room)? };
    match (manner, takes_mail) {
        (Manner::Well, _) => stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n"),
        (Manner::BreaksOff, false) => stream.write_all(b"HTTP/1.1 2"),
        (Manner::BreaksOff, true) => stream.write_all(b"220 mail.test\r\n250-"),
        (Manner::Repeats, false) => stream.write_all(&room[..read]),
        (Manner::Repeats, true) => stream.write_all(&[0xff; 4096]),
        (Manner::Drips, _) => {
            while !is_over() {
                stream.write_all(b"2")?;
                thread::sleep(Duration::from_millis(50));
            }
            Ok(())
        }
        (Manner::SaysNothing | Manner::Closes, _) => {
            while !is_over() {
                thread::sleep(Duration::from_millis(50));
            }
            Ok(())
        }
    }
}

/// As short as a server can be.
fn take_mail(mut stream: TcpStream) -> io::Result<()> {
    stream.write_all(b"220 mail.test ESMTP\r\n")?;
    let (mut is_text, lines) = (false, BufReader::new(stream.try_clone()?).lines());
    for line in lines {
        let line = line?;
        let answer: &[u8] = match line.split(' ').next().unwrap_or_default() {
            "." => b"250 taken\r\n",
            _ if is_text => continue,
            "DATA" => b"354 go on\r\n",
            "QUIT" => b"221 bye\r\n",
            _ => b"250 fine\r\n",
        };
        is_text = line == "DATA";
        stream.write_all(answer)?;
    }
    Ok(())
}

#[test]
fn receivers_that_misbehave_are_told_of_hold_nothing_and_get_all_once_they_are_well() {
    let stage = stage(Flavour::MariaDb);
    let (directory, mut config) = stage.own_config("misbehaving");
    let anchors = Receiving::of(false, Manner::Drips);
    set(&mut config, "ledger.anchor_webhook", format!("http://{HERE}:{}/", anchors.port));
    let mut receivers = vec![("anchors".to_owned(), anchors)];
    let mut notices = String::new();
    for (takes_mail, manner) in MANNERS.into_iter().flat_map(|one| [(false, one), (true, one)]) {
        let (name, receiver) =
            (format!("{manner:?}-{takes_mail}"), Receiving::of(takes_mail, manner));
        let port = receiver.port;
        let way = if takes_mail {
            format!(
                "smtp = '{HERE}:{port}'\nsmtp_tls = 'none'\nfrom = 'a@b.test'\nto = ['c@d.test']"
            )
        } else {
            format!("webhook = 'http://{HERE}:{port}/topsecret'")
        };
        notices.push_str(&format!(
            "[[notice]]\nname = '{name}'\nsettle = '0s'\nevents = ['config_rejected']\n{way}\n"
        ));
        receivers.push((name, receiver));
    }
    let notices: Table = notices.parse().unwrap();
    set(&mut config, "notice", notices["notice"].clone());
    let mut readgate = Readgate::start(&directory, config);
    let before = readgate.footprint();
    let sound = written(&readgate);
    let mut wrong = sound.clone();
    set(&mut wrong, "limits.workers", "many");
    reload(&readgate, &wrong);
    let (_, notices) = receivers.split_first().unwrap();
    for (name, receiver) in notices {
        let told = format!("a notice can't be sent; tried again notice=\"{name}\"");
        wait_for(&told, 3 * SOON, || readgate.log().contains(&told).then_some(()));
        receiver.is_well.store(true, Ordering::SeqCst);
    }
    assert!(!readgate.log().contains("topsecret"));
    assert_eq!(readgate.http("/readyz").expect("an answer").0, 200);
    for (name, _) in notices {
        readgate.record("notice", |record| {
            record["notice"] == name.as_str() && record["result"] == "sent"
        });
    }
    wait_for("nothing is left behind", 2 * SOON, || {
        let now = readgate.footprint();
        let is_so = now.descriptors <= before.descriptors + 2 && now.threads <= before.threads + 2;
        is_so.then_some(())
    });
    for (_, receiver) in &receivers {
        receiver.is_well.store(false, Ordering::SeqCst);
    }
    reload(&readgate, &sound);
    // With letters and the last checkpoint on their way.
    assert!(readgate.stop(SOON).success());
    let told = "the ledger has ended before all of it had gone out thread=\"anchor\"";
    assert!(readgate.log().contains(told), "{}", readgate.log());
}
