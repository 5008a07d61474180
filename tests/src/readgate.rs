//! The daemon under test: the real program, started with a configuration of its own, and what
//! it leaves behind: ledger, metrics, log.

use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use toml::Table;

use crate::config::set;
use crate::keeper::Kept;
use crate::place::{free_port, target, wait_for};

/// The program: `READGATE_BIN`, or the one beside this test program.
pub fn program() -> PathBuf {
    let program = std::env::var_os("READGATE_BIN")
        .map_or_else(|| target().join("debug/readgate"), PathBuf::from);
    assert!(program.exists(), "{} is missing: cargo build -p readgate", program.display());
    program
}

/// Runs one of its subcommands to the end, with `input` on standard input.
pub fn run(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(program())
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("readgate starts");
    // A program that ends without reading its input is no fault of the test.
    let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
    child.wait_with_output().expect("readgate ends")
}

/// What a process holds.
#[derive(Debug, Clone, Copy)]
pub struct Footprint {
    /// Files and sockets that are open.
    pub descriptors: usize,
    /// Bytes of memory in use.
    pub resident: u64,
    /// Threads.
    pub threads: u64,
}

/// A running daemon.
#[derive(Debug)]
pub struct Readgate {
    /// Port of its first listener.
    pub port: u16,
    /// Port of `/metrics`, `/healthz`, `/readyz`.
    pub ops_port: u16,
    /// Its folder: configuration, log, ledger.
    pub directory: PathBuf,
    process: Kept,
    environment: Vec<(&'static str, String)>,
}

impl Readgate {
    /// Starts it with free ports and waits until it is ready.
    pub fn start(directory: &Path, config: Table) -> Self {
        Self::start_with(directory, config, &[])
    }

    /// The same with these variables in its environment.
    pub fn start_with(
        directory: &Path,
        config: Table,
        environment: &[(&'static str, String)],
    ) -> Self {
        let started = Self::start_listening(directory, config, environment);
        started.wait_until_ready();
        started
    }

    /// Waits until it serves: it listens before it has looked at the replica.
    pub fn wait_until_ready(&self) {
        wait_for("readgate is ready", Duration::from_secs(20), || {
            (self.http("/readyz")?.0 == 200).then_some(())
        });
    }

    /// Starts it and waits until it listens, ready or not.
    pub fn start_unready(directory: &Path, config: Table) -> Self {
        Self::start_listening(directory, config, &[])
    }

    fn start_listening(
        directory: &Path,
        mut config: Table,
        environment: &[(&'static str, String)],
    ) -> Self {
        fs::create_dir_all(directory).expect("the daemon's folder can be made");
        let (port, ops_port) = (free_port(), free_port());
        set(&mut config, "listener.0.address", format!("127.0.0.1:{port}"));
        set(&mut config, "ops.address", format!("127.0.0.1:{ops_port}"));
        fs::write(directory.join("proxy.toml"), config.to_string()).expect("can be written");
        let environment = environment.to_vec();
        let process = serve(directory, &environment);
        let directory = directory.to_owned();
        let mut started = Self { port, ops_port, directory, process, environment };
        started.wait_until_listening();
        started
    }

    /// Process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// A named signal, such as `TERM`.
    pub fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// SIGTERM, and its exit status: it must end within that time.
    pub fn stop(&mut self, limit: Duration) -> ExitStatus {
        self.signal("TERM");
        wait_for("readgate ends", limit, || self.ended())
    }

    /// What the kernel says of it now.
    pub fn footprint(&self) -> Footprint {
        let folder = PathBuf::from("/proc").join(self.id().to_string());
        let descriptors = fs::read_dir(folder.join("fd")).expect("the process runs").count();
        let status = fs::read_to_string(folder.join("status")).expect("the process runs");
        let number = |name: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
            line.split_whitespace().next().expect("a number").parse().expect("a number")
        };
        Footprint { descriptors, resident: number("VmRSS:") << 10, threads: number("Threads:") }
    }

    /// From now on it may have so many files and sockets open; how many it might have before. Those that
    /// are open stay so.
    pub fn open_files(&self, most: u64) -> u64 {
        let id = self.id().to_string();
        let prlimit = |arguments: &[&str]| {
            let output = Command::new("prlimit").args(["--pid", &id]).args(arguments).output();
            let output = output.expect("prlimit runs");
            assert!(output.status.success(), "{output:?}");
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        };
        let before = prlimit(&["--nofile", "--noheadings", "--raw", "--output", "SOFT"]);
        prlimit(&[&format!("--nofile={most}:")]);
        before.parse().expect("a number")
    }

    /// The value of a series of its metrics, a whole number; `None` while there is none.
    pub fn metric(&self, series: &str) -> Option<u64> {
        let (_, metrics) = self.http("/metrics")?;
        let value =
            metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
        value.parse().ok()
    }

    /// Its exit status, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.process.ended()
    }

    /// Starts it again after [`Readgate::kill`], with the same configuration and ports.
    pub fn restart(&mut self) {
        self.process = serve(&self.directory, &self.environment);
        self.wait_until_listening();
    }

    /// Status code and body of a page, `None` while nobody answers.
    pub fn http(&self, path: &str) -> Option<(u16, String)> {
        get(self.ops_port, path)
    }

    /// Every record that the ledger's files hold now; the last line may be torn.
    pub fn ledger(&self) -> Vec<Value> {
        let mut files: Vec<PathBuf> = fs::read_dir(self.directory.join("ledger"))
            .map(|entries| entries.filter_map(|entry| Some(entry.ok()?.path())).collect())
            .unwrap_or_default();
        let is_ledger = |path: &PathBuf| {
            let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
            name.starts_with("ledger-") && name.ends_with(".jsonl")
        };
        files.retain(is_ledger);
        files.sort();
        let text: String = files.iter().filter_map(|path| fs::read_to_string(path).ok()).collect();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The first record of `event` that `matches`, waited for: files follow the journal.
    pub fn record(&self, event: &str, matches: impl Fn(&Value) -> bool) -> Value {
        wait_for(&format!("a record of {event}"), Duration::from_secs(30), || {
            self.ledger().into_iter().find(|record| record["event"] == event && matches(record))
        })
    }

    /// Records of reloads so far; those of what a start put in force are left out.
    pub fn reloads(&self) -> Vec<Value> {
        let is_reload = |record: &Value| {
            let result = record["result"].as_str().unwrap_or_default();
            record["event"] == "config_load" && !result.starts_with("in force by a start")
        };
        self.ledger().into_iter().filter(is_reload).collect()
    }

    /// The first of them that `matches`, waited for.
    pub fn reloaded(&self, matches: impl Fn(&Value) -> bool) -> Value {
        wait_for("a reload", Duration::from_secs(30), || self.reloads().into_iter().find(&matches))
    }

    /// A member of a record of a session: its own, or else what the login that it refers to
    /// tells.
    pub fn told(&self, record: &Value, member: &str) -> Value {
        let own = record.get(member).cloned();
        own.unwrap_or_else(|| {
            let login = self.record("login", |login| login["seq"] == record["login"]);
            assert_eq!(login["session"], record["session"], "{record} refers to another's login");
            login[member].clone()
        })
    }

    /// What it logged, its first 64 MiB: it may be a device that has no end.
    pub fn log(&self) -> String {
        let mut log = Vec::new();
        let file = fs::File::open(self.directory.join("log"));
        let _ = file.and_then(|file| file.take(64 << 20).read_to_end(&mut log));
        String::from_utf8_lossy(&log).into_owned()
    }

    fn wait_until_listening(&mut self) {
        wait_for("readgate listens", Duration::from_secs(20), || {
            if let Some(status) = self.process.ended() {
                panic!("readgate ended with {status}:\n{}", self.log());
            }
            TcpStream::connect(("127.0.0.1", self.port)).ok().map(drop)
        });
    }
}

/// A test that passed leaves all but the journal: each takes 16 MB of the disk.
impl Drop for Readgate {
    fn drop(&mut self) {
        self.process.kill();
        if std::thread::panicking() {
            return;
        }
        let ledger = fs::read_dir(self.directory.join("ledger")).into_iter().flatten().flatten();
        let is_journal = |name: &OsStr| name.to_string_lossy().starts_with("journal-");
        for journal in ledger.filter(|entry| is_journal(&entry.file_name())) {
            // What can't be removed is removed by the next run.
            let _ = fs::remove_file(journal.path());
        }
    }
}

/// Status code and body of a page at a port, `None` while nobody answers.
pub fn get(port: u16, path: &str) -> Option<(u16, String)> {
    let answer = exchange(port, &format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n"))?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split_whitespace().nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}

/// The whole answer to an HTTP request as written, `None` while nobody answers.
pub fn exchange(port: u16, request: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

fn serve(directory: &Path, environment: &[(&'static str, String)]) -> Kept {
    let mut command = Command::new(program());
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    command.args(["serve", "--config"]).arg(directory.join("proxy.toml"));
    Kept::start(&command, &directory.join("log"))
}
