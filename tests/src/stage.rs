//! One server of each flavour with one daemon in front, started at first use and shared by
//! all tests of the program; and ways to start a daemon of one's own in front of it.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use toml::Table;

use crate::config;
use crate::place::scratch;
use crate::raw::{Login, RawClient, ServerError};
use crate::readgate::{self, Readgate};
use crate::server::{Flavour, SHARED_PASSWORD, Server};

/// Password of `alice` (caching_sha2_password), `olga` (both plugins, native first) and
/// `carol` (disabled).
pub const USER_PASSWORD: &str = "correct horse 🐎";
/// Password of `dora`, who uses drivers that can't all send more than ASCII.
pub const DRIVER_PASSWORD: &str = "battery staple";

/// A server with the sample, and readgate in front of it.
#[derive(Debug)]
pub struct Stage {
    /// The replica.
    pub server: Server,
    /// The daemon that most tests share.
    pub readgate: Readgate,
    users: String,
    directory: PathBuf,
}

/// The stage of this flavour.
pub fn stage(flavour: Flavour) -> &'static Stage {
    static MARIADB: OnceLock<Stage> = OnceLock::new();
    static MYSQL: OnceLock<Stage> = OnceLock::new();
    match flavour {
        Flavour::MariaDb => MARIADB.get_or_init(|| Stage::start(flavour)),
        Flavour::MySql => MYSQL.get_or_init(|| Stage::start(flavour)),
    }
}

impl Stage {
    fn start(flavour: Flavour) -> Self {
        let directory = scratch().join(flavour.name());
        let server = Server::start(flavour, &directory.join("server"));
        server.load_sample();
        let users = users();
        let own = directory.join("readgate");
        std::fs::create_dir_all(&own).expect("the folder can be made");
        let readgate = Readgate::start(&own, config::for_server(&server, &own, &users));
        Self { server, readgate, users, directory }
    }

    /// Folder and configuration for a daemon that one test has to itself.
    pub fn own_config(&self, name: &str) -> (PathBuf, Table) {
        self.own_config_for(&self.server, name)
    }

    /// The same in front of another server.
    pub fn own_config_for(&self, server: &Server, name: &str) -> (PathBuf, Table) {
        let directory = self.directory.join(name);
        std::fs::create_dir_all(&directory).expect("the folder can be made");
        let config = config::for_server(server, &directory, &self.users);
        (directory, config)
    }

    /// A fresh folder for a server that one test has to itself.
    pub fn own_directory(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// `alice`, logged in at the shared daemon.
    pub fn alice(&self) -> RawClient {
        self.enter(&self.readgate, "alice")
    }

    /// `alice` or `olga`, logged in at a daemon in front of this stage's server.
    pub fn enter(&self, readgate: &Readgate, user: &str) -> RawClient {
        login_at(readgate.port, &self.ca_file(), &Login::user(user, USER_PASSWORD))
    }

    /// The shared account straight at the server, in a session as readgate keeps it.
    pub fn direct(&self) -> RawClient {
        let login = Login::user("readonly_shared", SHARED_PASSWORD);
        let mut client = login_at(self.server.port, &self.ca_file(), &login);
        client.query("SET SESSION TRANSACTION READ ONLY").expect_ok();
        client
    }

    /// The authority of both certificates.
    pub fn ca_file(&self) -> PathBuf {
        self.server.ca_file()
    }
}

/// A client that connects with TLS and must be let in.
pub fn login_at(port: u16, ca_file: &Path, login: &Login) -> RawClient {
    let client = try_login_at(port, ca_file, login);
    client.unwrap_or_else(|error| panic!("{} is let in: {error}", login.user))
}

/// A client that may be sent away at any step: why, if so.
pub fn try_enter_at(port: u16, ca_file: &Path, login: &Login) -> Result<RawClient, String> {
    let mut client = RawClient::connect(port).map_err(|error| error.to_string())?;
    client.start_tls(ca_file, login).map_err(|error| error.to_string())?;
    client.login(login).map_err(|error| error.to_string())?;
    Ok(client)
}

/// A client that must come as far as TLS, and is let in or not.
pub fn try_login_at(port: u16, ca_file: &Path, login: &Login) -> Result<RawClient, ServerError> {
    let mut client = RawClient::connect(port).expect("the port answers");
    client.start_tls(ca_file, login).expect("the server speaks TLS");
    client.login(login).map(|()| client)
}

/// The users of the tests, as TOML.
pub fn users() -> String {
    let (verifiers, driver) = (verifiers(USER_PASSWORD), verifiers(DRIVER_PASSWORD));
    let sha2 = verifiers.lines().find(|line| line.starts_with("caching_sha2")).expect("a line");
    format!(
        "[[user]]\nname = \"alice\"\nfull_name = \"Alice Analyst\"\n{sha2}\n\
         [[user]]\nname = \"olga\"\nfull_name = \"Olga Old-Driver\"\n\
         plugins = [\"mysql_native_password\", \"caching_sha2_password\"]\n{verifiers}\n\
         [[user]]\nname = \"carol\"\nfull_name = \"Carol Gone\"\nstatus = \"disabled\"\n{sha2}\n\
         [[user]]\nname = \"dora\"\nfull_name = \"Dora Driver\"\n\
         plugins = [\"caching_sha2_password\", \"mysql_native_password\"]\n{driver}\n"
    )
}

/// The TOML lines that `readgate hash-password` prints for a password.
fn verifiers(password: &str) -> String {
    let output = readgate::run(&["hash-password"], &format!("{password}\n"));
    assert!(output.status.success(), "hash-password fails: {output:?}");
    String::from_utf8(output.stdout).expect("TOML is text")
}
