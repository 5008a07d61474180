//! A private MariaDB or MySQL server with the clinical sample, the accounts and a general
//! log, made by `tests/servers/server.sh`.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::keeper::Kept;
use crate::place::{free_port, script, wait_for};

/// Password of the shared account that readgate uses.
pub const SHARED_PASSWORD: &str = "shared password of the tests";
/// Password of `admin`, who may do everything.
pub const ADMIN_PASSWORD: &str = "admin password of the tests";
/// The few statements of 60 MB are most of a general log that many tests read again and again.
const LONGEST_LINE: usize = 1 << 20;

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// The distribution's MariaDB.
    MariaDb,
    /// MySQL 9.7.
    MySql,
}

impl Flavour {
    /// The name that the scripts use.
    pub fn name(self) -> &'static str {
        match self {
            Self::MariaDb => "mariadb",
            Self::MySql => "mysql",
        }
    }
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    /// Which one.
    pub flavour: Flavour,
    /// Port on 127.0.0.1.
    pub port: u16,
    /// Its folder: data, logs, certificates.
    pub directory: PathBuf,
    read_only: bool,
    process: Kept,
}

impl Server {
    /// Starts one under `directory`, read-only as a replica is, and waits until it answers.
    pub fn start(flavour: Flavour, directory: &Path) -> Self {
        Self::start_with(flavour, directory, true)
    }

    /// One that accounts may write to.
    pub fn start_writable(flavour: Flavour, directory: &Path) -> Self {
        Self::start_with(flavour, directory, false)
    }

    fn start_with(flavour: Flavour, directory: &Path, read_only: bool) -> Self {
        fs::create_dir_all(directory).expect("the server's folder can be made");
        must(&mut script_command(flavour, "install"));
        must(script_command(flavour, "prepare").arg(directory));
        must(Command::new(script("certificates.sh")).arg(directory.join("certs")));
        let port = free_port();
        let process = run(flavour, directory, port, read_only);
        let directory = directory.to_owned();
        let server = Self { flavour, port, directory, read_only, process };
        server.wait_until_ready();
        server
    }

    /// The accounts and the clinical sample.
    pub fn load_sample(&self) {
        let accounts = must(
            script_command(self.flavour, "accounts")
                .env("SHARED_PASSWORD", SHARED_PASSWORD)
                .env("ADMIN_PASSWORD", ADMIN_PASSWORD),
        );
        self.sql(&String::from_utf8(accounts).expect("SQL is text"));
        self.sql(&fs::read_to_string(script("clinical.sql")).expect("the sample is there"));
    }

    /// Kills it, as a power cut would.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Sends it a named signal: `STOP` makes it hang, `CONT` lets it go on.
    pub fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// Stops the server in the midst of what it does, all threads of it, until it gets a CONT.
    ///
    /// # Panics
    /// If it doesn't stop.
    pub fn hang(&self) {
        let file = self.directory.join("server.pid");
        let id = std::fs::read_to_string(file).expect("the server has written its id");
        self.signal("STOP");
        wait_for("the server has stopped", Duration::from_secs(30), || {
            let mut threads = std::fs::read_dir(format!("/proc/{}/task", id.trim())).ok()?;
            let has_stopped = |thread: std::io::Result<std::fs::DirEntry>| {
                let stat = std::fs::read_to_string(thread.ok()?.path().join("stat")).ok()?;
                stat.rsplit_once(") ")?.1.starts_with('T').then_some(())
            };
            threads.all(|thread| has_stopped(thread).is_some()).then_some(())
        });
    }

    /// Starts it again on the same port after [`Server::kill`].
    pub fn restart(&mut self) {
        self.process = run(self.flavour, &self.directory, self.port, self.read_only);
        self.wait_until_ready();
    }

    /// Runs SQL as root over the socket and returns what the client printed, tab separated.
    pub fn sql(&self, sql: &str) -> String {
        let mut child = script_command(self.flavour, "sql")
            .arg(&self.directory)
            .args(["--batch", "--skip-column-names"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the client starts");
        child.stdin.take().expect("piped").write_all(sql.as_bytes()).expect("the client reads");
        let output = child.wait_with_output().expect("the client ends");
        checked(sql, &output);
        String::from_utf8(output.stdout).expect("the result is text")
    }

    /// What clients sent so far, as the server itself logged it; of lines beyond
    /// [`LONGEST_LINE`] their beginning.
    pub fn general_log(&self) -> String {
        let log = File::open(self.directory.join("general.log")).expect("the general log is there");
        let mut said = String::new();
        for line in BufReader::new(log).split(b'\n') {
            let mut line = line.expect("the general log can be read");
            line.truncate(LONGEST_LINE);
            said.push_str(&String::from_utf8_lossy(&line));
            said.push('\n');
        }
        said
    }

    /// The authority that signed the server's certificate and readgate's.
    pub fn ca_file(&self) -> PathBuf {
        self.directory.join("certs/ca.crt")
    }

    fn wait_until_ready(&self) {
        wait_for("the server answers", Duration::from_secs(60), || {
            let ready = script_command(self.flavour, "ready").arg(&self.directory).output();
            ready.is_ok_and(|output| output.status.success()).then_some(())
        });
    }
}

/// A test that passed leaves the server's logs, not its data, which would fill a disk.
impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill();
        if !std::thread::panicking() {
            // What can't be removed is removed by the next run.
            let _ = fs::remove_dir_all(self.directory.join("data"));
        }
    }
}

fn script_command(flavour: Flavour, action: &str) -> Command {
    let mut command = Command::new(script("server.sh"));
    command.args([action, flavour.name()]);
    command
}

fn run(flavour: Flavour, directory: &Path, port: u16, read_only: bool) -> Kept {
    let log = directory.join("general.log");
    let mut command = script_command(flavour, "run");
    command.arg(directory).arg(port.to_string());
    // Read-only, as a replica is: readgate gives no service in front of a writable one.
    command.args([
        if read_only { "--read-only=1" } else { "--read-only=0" },
        "--general-log=1",
        &format!("--general-log-file={}", log.display()),
    ]);
    command.env("SERVER_END_SIGNAL", "KILL");
    Kept::start(&command, &directory.join("output"))
}

/// Runs a command that must succeed and returns its standard output.
pub fn must(command: &mut Command) -> Vec<u8> {
    let output = command.stdin(Stdio::null()).output().expect("the command starts");
    checked(&format!("{command:?}"), &output);
    output.stdout
}

fn checked(what: &str, output: &Output) {
    let errors = String::from_utf8_lossy(&output.stderr);
    let what: String = what.chars().take(500).collect();
    assert!(output.status.success(), "failed: {what}\n{errors}");
}
