//! The configuration of a test: the shipped `proxy.toml` with its values replaced, so that
//! each end-to-end test is also a test of the file that people start from.

use std::fs;
use std::path::Path;

use toml::{Table, Value};

use crate::place::repository;
use crate::server::Server;

/// The shipped `proxy.toml`, as a table to change.
pub fn shipped() -> Table {
    let text = fs::read_to_string(repository().join("proxy.toml")).expect("proxy.toml is there");
    text.parse().expect("the shipped proxy.toml is TOML")
}

/// Puts `value` where the dotted `path` points; numbers index arrays (`listener.0.address`).
/// Tables on the way are made if missing.
pub fn set(config: &mut Table, path: &str, value: impl Into<Value>) {
    let (way, last) = path.rsplit_once('.').unwrap_or(("", path));
    let mut table = config;
    let mut parts = way.split('.').filter(|part| !part.is_empty()).peekable();
    while let Some(part) = parts.next() {
        let next = table.entry(part).or_insert_with(|| Value::Table(Table::new()));
        let next = if let Value::Array(array) = next {
            let index: usize = parts.next().and_then(|part| part.parse().ok()).expect("an index");
            &mut array[index]
        } else {
            next
        };
        table = next.as_table_mut().unwrap_or_else(|| panic!("{path}: {part} is no table"));
    }
    table.insert(last.to_owned(), value.into());
}

/// Nobody waits or is blocked for failed logins.
pub fn let_guess(config: &mut Table) {
    set(config, "login.free_failures", 1000);
    for key in ["free_failures_per_source", "block_after", "block_after_per_source"] {
        set(config, &format!("login.{key}"), 100_000);
    }
}

/// These roles in place of all, as TOML.
pub fn set_roles(config: &mut Table, roles: &str) {
    let roles: Table = roles.parse().expect("the roles are TOML");
    set(config, "role", roles["role"].clone());
}

/// Makes users operators, whom the console serves: a role of that name, for the users at these
/// places.
pub fn make_operators(config: &mut Table, users: &[usize]) {
    set_roles(config, "[[role]]\nname = \"operator\"\noperator = true\n");
    for user in users {
        set(config, &format!("user.{user}.role"), "operator");
    }
}

/// The configuration that most suites use: this server as the replica, the users of
/// [`crate::stage`], one listener with TLS, everything under `directory`.
pub fn for_server(server: &Server, directory: &Path, users: &str) -> Table {
    let certs = server.directory.join("certs");
    let path = |name: &str| certs.join(name).display().to_string();
    let password_file = directory.join("replica.password");
    fs::write(&password_file, crate::server::SHARED_PASSWORD).expect("the file can be written");
    make_private(&password_file);

    let mut config = shipped();
    set(&mut config, "listener.0.tls.certificate_file", path("readgate.crt"));
    set(&mut config, "listener.0.tls.private_key_file", path("readgate.key"));
    set(&mut config, "replica.address", format!("127.0.0.1:{}", server.port));
    set(&mut config, "replica.tls.ca_file", path("ca.crt"));
    set(&mut config, "replica.tls.server_name", "localhost");
    set(&mut config, "replica.account.user", "readonly_shared");
    set(&mut config, "replica.account.password_file", password_file.display().to_string());
    set(&mut config, "ledger.directory", directory.join("ledger").display().to_string());
    let users: Table = users.parse().expect("the users are TOML");
    set(&mut config, "user", users["user"].clone());
    config
}

fn make_private(file: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let owner_only = fs::Permissions::from_mode(0o600);
    fs::set_permissions(file, owner_only).expect("the mode can be set");
}
