//! Reload, stop and restart under load: nobody sees an error that isn't theirs.

use std::fs;
use std::io::Write;
use std::net::TcpListener;

use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use readgate_tests::config::set;
use readgate_tests::keeper::Kept;
use readgate_tests::place::wait_for;
use readgate_tests::protocol::Login;
use readgate_tests::raw::{RawClient, ServerError};
use readgate_tests::readgate::{Readgate, program};
use readgate_tests::stage::{Stage, USER_PASSWORD, login_at};

/// Opening a pipe that nobody reads fails, in place of waiting.
const O_NONBLOCK: i32 = 0o4000;
const LONG: Duration = Duration::from_secs(60);
/// Many packets, so that an answer could be cut.
const READ: &str = "SELECT a.*, b.* FROM clinical.subjects a JOIN clinical.subjects b LIMIT 400";

/// Clients that go on until told, and what they count.
struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    fn start(
        count: usize,
        client: impl Fn(&AtomicBool, &AtomicUsize) + Clone + Send + 'static,
    ) -> Self {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let clients = (0..count)
            .map(|_| {
                let (stop, done, client) = (stop.clone(), done.clone(), client.clone());
                thread::spawn(move || client(&stop, &done))
            })
            .collect();
        Self { stop, done, clients }
    }

    /// Waits until so many more things have been done.
    fn go_on(&self, more: usize) {
        let enough = self.done.load(Ordering::Relaxed) + more;
        wait_for("the load goes on", LONG, || {
            let stuck = self.clients.iter().all(JoinHandle::is_finished);
            assert!(!stuck, "all clients have ended");
            (self.done.load(Ordering::Relaxed) >= enough).then_some(())
        });
    }

    fn end(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.join().expect("no client panicked");
        }
        self.done.load(Ordering::Relaxed)
    }
}

fn alice(port: u16, ca_file: &Path) -> RawClient {
    login_at(port, ca_file, &Login::user("alice", USER_PASSWORD))
}

fn reloads(daemon: &Readgate, result: &str) -> usize {
    let page = daemon.http("/metrics").unwrap().1;
    let name = format!("readgate_config_reloads_total{{result=\"{result}\"}} ");
    let found = page.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok());
    found.unwrap_or(0)
}

fn write(daemon: &Readgate, config: &toml::Table) {
    fs::write(daemon.directory.join("proxy.toml"), config.to_string()).unwrap();
}

on_both! {
    fn forty_reloads_under_load_disturb_nobody(stage) {
        let (directory, mut config) = stage.own_config("reloads");
        set(&mut config, "reload.watch", "0s");
        set(&mut config, "listener.0.name", "main");
        let daemon = Readgate::start(&directory, config);
        // The harness has put its ports into the file.
        let mut config: toml::Table =
            fs::read_to_string(directory.join("proxy.toml")).unwrap().parse().unwrap();
        let (port, ca_file) = (daemon.port, stage.ca_file());
        let load = Load::start(3, move |stop, done| {
            while !stop.load(Ordering::Relaxed) {
                let mut one = alice(port, &ca_file);
                for _ in 0..20 {
                    one.query("SELECT COUNT(*) FROM clinical.subjects").expect_ok();
                    done.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        for number in 1..=40 {
            set(&mut config, "limits.idle_timeout", format!("{number}m"));
            write(&daemon, &config);
            daemon.signal("HUP");
            wait_for("the reload", LONG, || (reloads(&daemon, "ok") == number).then_some(()));
            load.go_on(10);
        }
        assert!(load.end() >= 400);
        assert_eq!(reloads(&daemon, "refused"), 0);
    }

    fn an_order_to_reload_while_it_starts_is_carried_out_afterwards(stage) {
        let (directory, config) = stage.own_config("early_reload");
        let mut daemon = Readgate::start(&directory, config);
        daemon.kill();
        // A password that somebody has yet to write holds the start up.
        let password = directory.join("replica.password");
        let text = fs::read(&password).unwrap();
        fs::remove_file(&password).unwrap();
        let made = Command::new("mkfifo").args(["-m", "600"]).arg(&password).status();
        assert!(made.unwrap().success());
        let reader = || {
            wait_for("the password is asked for", LONG, || {
                let mut options = fs::OpenOptions::new();
                options.write(true).custom_flags(O_NONBLOCK).open(&password).ok()
            })
        };
        let mut serve = Command::new(program());
        serve.arg("serve").arg("--config").arg(directory.join("proxy.toml"));
        let mut started = Kept::start(&serve, &directory.join("log"));
        let mut way = reader();
        started.signal("HUP");
        way.write_all(&text).unwrap();
        drop(way);
        wait_for("it listens", LONG, || daemon.http("/healthz"));
        // The reload asks for the password again.
        reader().write_all(&text).unwrap();
        wait_for("the reload", LONG, || (reloads(&daemon, "ok") == 1).then_some(()));
        assert!(started.ended().is_none());
    }

    fn a_changed_file_is_read_again_and_a_wrong_one_changes_nothing(stage) {
        let (directory, mut config) = stage.own_config("watched");
        set(&mut config, "reload.watch", "100ms");
        let daemon = Readgate::start(&directory, config);
        let path = directory.join("proxy.toml");
        let mut config: toml::Table = fs::read_to_string(&path).unwrap().parse().unwrap();
        set(&mut config, "limits.idle_timeout", "7m");
        write(&daemon, &config);
        wait_for("the change counts", LONG, || (reloads(&daemon, "ok") == 1).then_some(()));
        daemon.reloaded(|record| record["differences"][0][0] == "limits.idle_timeout");

        fs::write(&path, "nonsense").unwrap();
        wait_for("the change is refused", LONG, || (reloads(&daemon, "refused") == 1).then_some(()));
        let page = daemon.http("/metrics").unwrap().1;
        assert!(page.contains("readgate_config_last_reload_ok 0\n"), "{page}");
        assert!(page.contains("readgate_config_generation 2\n"), "{page}");
        alice(daemon.port, &stage.ca_file()).query("SELECT 1").expect_ok();

        write(&daemon, &config);
        wait_for("it is right again", LONG, || (reloads(&daemon, "ok") == 2).then_some(()));
    }

    fn a_file_that_a_refused_configuration_lacked_is_waited_for(stage) {
        let (directory, mut config) = stage.own_config("lacking");
        set(&mut config, "reload.watch", "100ms");
        let daemon = Readgate::start(&directory, config);
        let path = directory.join("proxy.toml");
        let mut config: toml::Table = fs::read_to_string(&path).unwrap().parse().unwrap();
        let former = config["listener"][0]["tls"]["certificate_file"].as_str().unwrap().to_owned();
        set(&mut config, "listener.0.tls.certificate_file", "next.crt");
        write(&daemon, &config);
        wait_for("it is refused", LONG, || (reloads(&daemon, "refused") == 1).then_some(()));
        fs::copy(directory.join(former), directory.join("next.crt")).unwrap();
        wait_for("it is in force", LONG, || (reloads(&daemon, "ok") == 1).then_some(()));
    }

    fn sigterm_under_load_cuts_no_result(stage) {
        let (directory, config) = stage.own_config("drained");
        let mut daemon = Readgate::start(&directory, config);
        let (port, ca_file) = (daemon.port, stage.ca_file());
        let load = Load::start(4, move |_, done| {
            let mut one = alice(port, &ca_file);
            let whole = { one.query(READ).rows().len() };
            assert!(whole > 50, "{whole}");
            loop {
                one.received.clear();
                let answer = one.try_query(READ);
                let is_error = |payload: &[u8]| payload.first() == Some(&0xff);
                match answer {
                    Ok(answer) if answer.error().is_none() => assert_eq!(answer.rows().len(), whole),
                    Ok(answer) => {
                        assert_eq!(answer.expect_error().code, 1053);
                        assert_eq!(answer.payloads.len(), 1, "an error in the middle of an answer");
                        return;
                    }
                    Err(error) => {
                        let cut = one.received.iter().any(|(_, payload)| !is_error(payload));
                        assert!(!cut, "an answer was cut: {error}");
                        return;
                    }
                }
                done.fetch_add(1, Ordering::Relaxed);
            }
        });
        load.go_on(20);
        let begun = Instant::now();
        let status = daemon.stop(LONG);
        assert!(status.success(), "{status}");
        assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
        assert!(load.end() >= 20);
        daemon.record("stop", |_| true);
    }

    fn what_a_stop_cuts_ends_at_the_replica_too(stage) {
        let (directory, mut config) = stage.own_config("cut_statements");
        set(&mut config, "limits.drain", "0s");
        set(&mut config, "limits.statement_timeout", "2m");
        set(&mut config, "replica.warm_connections", 0);
        let mut daemon = Readgate::start(&directory, config);
        let text = "SELECT 'cut', COUNT(*) FROM information_schema.columns a, \
                    information_schema.columns b, information_schema.columns c";
        let mut clients: Vec<_> = (0..5).map(|_| stage.enter(&daemon, "alice")).collect();
        clients.iter_mut().for_each(|client| client.send_command(3, text.as_bytes()).expect("sent"));
        let running = "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'SELECT \\'cut%'";
        let run = |count: &str| (stage.server.sql(running).trim() == count).then_some(());
        wait_for("they run", LONG, || run("5"));
        daemon.stop(LONG);
        wait_for("they are gone", Duration::from_secs(10), || run("0"));
    }

    fn the_drain_has_a_limit_and_a_second_sigterm_ends_at_once(stage) {
        for (name, limit, signals) in [("drain_limit", "1s", 1), ("second_sigterm", "1h", 2)] {
            let (directory, mut config) = stage.own_config(name);
            set(&mut config, "limits.drain", limit);
            set(&mut config, "functions.sleep_max", "1h");
            let mut daemon = Readgate::start(&directory, config);
            let mut one = alice(daemon.port, &stage.ca_file());
            one.send_command(3, b"SELECT SLEEP(600)").unwrap();
            daemon.record("intent", |record| record["text"] == "SELECT SLEEP(600)");
            for _ in 0..signals {
                daemon.signal("TERM");
                // Two signals at the same moment are one.
                wait_for("it is heard", LONG, || daemon.log().contains("stopping").then_some(()));
            }
            let status = wait_for("readgate ends", Duration::from_secs(20), || daemon.ended());
            assert!(status.success(), "{status}");
            let error = one.receive().ok().map(|payload| ServerError::parse(&payload));
            assert_eq!(error.flatten().map(|error| error.code), Some(1053));
            daemon.record("outcome", |record| record["end"] == "killed");
        }
    }
}

/// A service manager: it holds the listening socket and starts the daemon with it.
struct Manager {
    socket: TcpListener,
    directory: std::path::PathBuf,
}

impl Manager {
    /// `LISTEN_PID` must be the daemon's own id, so a shell sets it and becomes the daemon.
    fn start(&self) -> Child {
        let log =
            fs::File::options().create(true).append(true).open(self.directory.join("log")).unwrap();
        let become_daemon = "exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" \"$@\"";
        Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--", "sh", "-c", become_daemon])
            .arg(program())
            .args(["serve", "--config"])
            .arg(self.directory.join("proxy.toml"))
            .stdin(Stdio::from(OwnedFd::from(self.socket.try_clone().unwrap())))
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap()
    }
}

fn restarts(stage: &Stage, times: usize) -> (usize, usize) {
    let (directory, mut config) = stage.own_config("activated");
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    set(&mut config, "listener.0.address", format!("127.0.0.1:{port}"));
    config.remove("ops");
    fs::write(directory.join("proxy.toml"), config.to_string()).unwrap();
    let manager = Manager { socket, directory };
    let mut daemon = manager.start();
    let ca_file = stage.ca_file();
    let refused = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&refused);
    let load = Load::start(3, move |stop, done| {
        let login = Login::user("alice", USER_PASSWORD);
        while !stop.load(Ordering::Relaxed) {
            // Refused: no connection, or no greeting.
            let Ok(mut one) = RawClient::connect(port) else {
                counted.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            // Who comes at the very end is told so, and comes again. Who comes at the very
            // beginning waits until the replica has been looked at.
            let let_in = one.start_tls(&ca_file, &login).is_ok()
                && one
                    .login(&login)
                    .map_err(|error| {
                        counted.fetch_add(usize::from(error.code == 3168), Ordering::Relaxed)
                    })
                    .is_ok();
            let answered =
                let_in && one.try_query("SELECT 1").is_ok_and(|answer| answer.error().is_none());
            done.fetch_add(usize::from(answered), Ordering::Relaxed);
        }
    });
    for _ in 0..times {
        load.go_on(5);
        let id = daemon.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        assert!(daemon.wait().unwrap().success());
        daemon = manager.start();
    }
    load.go_on(5);
    let done = load.end();
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    (done, refused.load(Ordering::Relaxed))
}

/// One flavour is enough: the server has no part in it.
#[test]
fn ten_restarts_by_socket_activation_refuse_no_connection_to_mariadb() {
    let stage = readgate_tests::stage::stage(readgate_tests::server::Flavour::MariaDb);
    let (done, refused) = restarts(stage, 10);
    assert_eq!(refused, 0, "of {done}");
}

/// What a service manager has been told, until `wanted` is.
fn told(manager: &UnixDatagram, wanted: &str) -> String {
    let mut room = [0; 256];
    loop {
        let length = manager.recv(&mut room).unwrap_or_else(|error| panic!("no {wanted}: {error}"));
        let said = String::from_utf8_lossy(&room[..length]).into_owned();
        if said.starts_with(wanted) {
            return said;
        }
        assert!(said == "WATCHDOG=1", "{said} before {wanted}");
    }
}

#[test]
fn a_service_manager_is_told_of_each_step_before_mariadb() {
    let stage = readgate_tests::stage::stage(readgate_tests::server::Flavour::MariaDb);
    let (directory, mut config) = stage.own_config("notified");
    config.remove("ops");
    let port = readgate_tests::place::free_port();
    set(&mut config, "listener.0.address", format!("127.0.0.1:{port}"));
    set(&mut config, "reload.watch", "0s");
    fs::write(directory.join("proxy.toml"), config.to_string()).unwrap();
    let socket = directory.join("notify");
    let _ = fs::remove_file(&socket);
    let manager = UnixDatagram::bind(&socket).unwrap();
    manager.set_read_timeout(Some(LONG)).unwrap();
    let mut command = Command::new(program());
    command.args(["serve", "--config"]).arg(directory.join("proxy.toml"));
    command.env("NOTIFY_SOCKET", &socket).env("WATCHDOG_USEC", "400000");
    let mut daemon = Kept::start(&command, &directory.join("log"));
    told(&manager, "READY=1");
    assert!(RawClient::connect(port).is_ok(), "ready and not listening");
    told(&manager, "WATCHDOG=1");
    daemon.signal("HUP");
    assert!(told(&manager, "RELOADING=1").contains("MONOTONIC_USEC="));
    told(&manager, "READY=1");
    daemon.signal("TERM");
    told(&manager, "STOPPING=1");
    assert!(wait_for("readgate ends", LONG, || daemon.ended()).success());
}

/// Otherwise a daemon that serves would be ended for one that never began to.
#[test]
fn a_service_manager_that_could_not_be_told_is_told_later_before_mariadb() {
    let stage = readgate_tests::stage::stage(readgate_tests::server::Flavour::MariaDb);
    let (directory, config) = stage.own_config("notified_later");
    let socket = directory.join("notify");
    let environment = [("NOTIFY_SOCKET", socket.display().to_string())];
    let mut readgate = Readgate::start_with(&directory, config, &environment);
    assert_eq!(stage.enter(&readgate, "alice").query("SELECT 1").value(), "1");
    let manager = UnixDatagram::bind(&socket).unwrap();
    manager.set_read_timeout(Some(LONG)).unwrap();
    told(&manager, "READY=1");
    assert!(readgate.stop(LONG).success());
    told(&manager, "STOPPING=1");
}
