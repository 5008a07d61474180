//! Two nodes that share their users: what one is told, the other does.

use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::{Duration, Instant};

use access::store::{Author, IdentityStore};
use access::{Change, CredentialPolicy, Identity, Password, Timestamp, UserName};
use config::{HostPort, PasswordSource, SharedStore};
use readgate::identity::MySqlStore;
use readgate_tests::config::set;
use readgate_tests::meddler::Meddler;
use readgate_tests::place::{wait_for, wait_until_ok};
use readgate_tests::raw::{Login, RawClient};
use readgate_tests::readgate::{Readgate, run};
use readgate_tests::server::Server;
use readgate_tests::stage::{Stage, USER_PASSWORD, login_at};
use toml::Table;

use crate::reloads::{reload, written};

const STORE_PASSWORD: &str = "password of the identity store";
/// Password that [`add_bob`] gives him.
pub(crate) const BOBS: &str = "first password of Bob";
/// What one node is told counts on the other within that time.
const SOON: Duration = Duration::from_secs(5);

pub(crate) fn start_store(stage: &Stage, test: &str) -> Server {
    let directory = stage.own_directory(&format!("ids-{test}"));
    let server = Server::start_writable(stage.server.flavour, &directory);
    server.sql(&format!(
        "CREATE DATABASE ids;
         CREATE USER 'readgate'@'%' IDENTIFIED BY '{STORE_PASSWORD}' REQUIRE SSL;
         GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, REFERENCES ON ids.* TO 'readgate'@'%';"
    ));
    server
}

fn start_node(stage: &Stage, store: &Server, name: &str) -> Readgate {
    start_node_with(stage, store, name, |_| {})
}

/// A node with what else a test wants of it.
pub(crate) fn start_node_with(
    stage: &Stage,
    store: &Server,
    name: &str,
    configure: impl FnOnce(&mut Table),
) -> Readgate {
    let (directory, mut config) = node_config(stage, store, name);
    configure(&mut config);
    Readgate::start(&directory, config)
}

/// Folder and configuration of a node.
pub(crate) fn node_config(stage: &Stage, store: &Server, name: &str) -> (PathBuf, Table) {
    let (directory, mut config) = stage.own_config(name);
    let password = directory.join("identities.password");
    write_private(&password, STORE_PASSWORD);
    set(&mut config, "identities.url", format!("mysql://readgate@127.0.0.1:{}/ids", store.port));
    set(&mut config, "identities.server_name", "localhost");
    set(&mut config, "identities.ca_file", store.ca_file().display().to_string());
    set(&mut config, "identities.password_file", password.display().to_string());
    set(&mut config, "identities.refresh", "500ms");
    set(&mut config, "identities.stale_after", "1s");
    set(&mut config, "login.block_after", 2);
    (directory, config)
}

pub(crate) fn write_private(file: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(file, text).unwrap();
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// The store as another process would open it.
pub(crate) fn open_store(server: &Server) -> MySqlStore {
    MySqlStore::open(&SharedStore {
        user: String::from("readgate"),
        address: HostPort { host: String::from("127.0.0.1"), port: server.port },
        schema: String::from("ids"),
        server_name: String::from("localhost"),
        ca_file: server.ca_file(),
        password_source: PasswordSource::Inline(Password::new(STORE_PASSWORD)),
    })
    .unwrap()
}

/// Adds Bob as another process would, with a password that is known here.
pub(crate) fn add_bob(server: &Server) -> MySqlStore {
    let store = open_store(server);
    let policy = CredentialPolicy {
        collect_within: Duration::from_secs(3600),
        valid_for: None,
        warn_before: Duration::ZERO,
        overlap: Duration::ZERO,
    };
    let name = || UserName::new("bob").unwrap();
    let bob = Identity::new(name(), "Bob Builder", "default");
    let author = Author::new("os:tester", "a test").unwrap();
    for change in [Change::Add(Box::new(bob)), Change::Issue(name(), Password::new(BOBS))] {
        store.apply(&change, &author, &policy, Timestamp::now()).unwrap();
    }
    store
}

/// The outcome of a login: error code and text.
fn try_login(
    stage: &Stage,
    node: &Readgate,
    user: &str,
    password: &str,
) -> Result<RawClient, String> {
    let login = Login::user(user, password);
    let mut client = RawClient::connect(node.port).map_err(|error| error.to_string())?;
    client.start_tls(&stage.ca_file(), &login).map_err(|error| error.to_string())?;
    client.login(&login).map_err(|error| error.to_string())?;
    Ok(client)
}

fn by_hand(node: &Readgate, arguments: &[&str]) {
    let config = node.directory.join("proxy.toml").display().to_string();
    let output = run(&[arguments, &["--config", &config]].concat(), "");
    assert!(output.status.success(), "{output:?}");
}

on_both! {
    fn what_one_node_is_told_the_other_does(stage) {
        let server = start_store(stage, "told");
        let store = add_bob(&server);
        let nodes = [start_node(stage, &server, "told-one"), start_node(stage, &server, "told-two")];
        let mut sessions = nodes.iter().map(|node| {
            wait_for("bob is let in", SOON, || try_login(stage, node, "bob", BOBS).ok())
        });
        let (mut first, mut second) = (sessions.next().unwrap(), sessions.next().unwrap());
        let collected = |entry: &&access::HistoryEntry| entry.label == "credential_collected";
        let history = store.history(None).unwrap();
        assert_eq!(history.iter().filter(collected).count(), 1, "both nodes saw a first login");

        by_hand(&nodes[0], &["user", "disable", "bob", "--reason", "left"]);
        let told = Instant::now();
        wait_for("the other node ends the session", SOON, || {
            second.try_query("SELECT 1").is_err().then_some(())
        });
        let refused = try_login(stage, &nodes[1], "bob", BOBS).err().unwrap();
        assert!(refused.starts_with("ERROR 1045 "), "{refused}");
        assert!(told.elapsed() < SOON);
        wait_for("so does the first", SOON, || first.try_query("SELECT 1").is_err().then_some(()));
        for node in &nodes {
            let record = node.record("access_change", |record| record["reason"] == "left");
            assert_eq!(record["user"], "bob");
            // All that was ever changed, once, in the ledger of each.
            let records = node.ledger().into_iter();
            let numbers: Vec<u64> = records.filter_map(|record| record["number"].as_u64()).collect();
            assert_eq!(numbers, (1..=store.revision().unwrap()).collect::<Vec<_>>());
        }
    }

    fn a_block_on_one_node_counts_on_the_other(stage) {
        let server = start_store(stage, "block");
        let nodes = [start_node(stage, &server, "block-one"), start_node(stage, &server, "block-two")];
        for _ in 0..2 {
            assert!(try_login(stage, &nodes[0], "alice", "wrong").is_err());
        }
        wait_for("the other node blocks alice", SOON, || {
            try_login(stage, &nodes[1], "alice", USER_PASSWORD).err()
        });
        nodes[1].record("login_failed", |record| {
            record["reason"].as_str().unwrap().contains("block")
        });
        // Nobody else is kept out.
        login_at(nodes[1].port, &stage.ca_file(), &Login::user("olga", USER_PASSWORD));
    }

    fn without_its_store_a_node_lets_no_stored_user_in(stage) {
        let mut server = start_store(stage, "without");
        add_bob(&server);
        let node = start_node(stage, &server, "without-one");
        let mut bob = wait_until_ok("bob is let in", SOON, || try_login(stage, &node, "bob", BOBS));
        let is_up = |up: &str| {
            let line = format!("\nreadgate_identities_up {up}\n");
            wait_for("the metric", SOON, || node.http("/metrics")?.1.contains(&line).then_some(()));
        };
        is_up("1");
        server.kill();
        let refused = wait_for("bob is refused", SOON, || try_login(stage, &node, "bob", BOBS).err());
        assert!(refused.contains("the store of users can't be used at this moment"), "{refused}");
        is_up("0");
        assert_eq!(bob.query("SELECT 1").value(), "1", "running sessions go on");
        try_login(stage, &node, "alice", USER_PASSWORD).expect("configured users are let in");
        wait_for("the log says so", SOON, || {
            node.log().contains("the users known before go on counting").then_some(())
        });
        let refused = wait_for("bob is refused for good", SOON, || {
            let error = try_login(stage, &node, "bob", BOBS).err()?;
            node.log().contains("out of reach for too long").then_some(error)
        });
        assert!(refused.contains("try again later"), "{refused}");
        server.restart();
        wait_until_ok("bob is let in again", Duration::from_secs(20), || try_login(stage, &node, "bob", BOBS));
        is_up("1");
    }

    fn what_a_reload_takes_away_is_gone_also_without_the_store(stage) {
        let mut server = start_store(stage, "reload");
        add_bob(&server);
        let node = start_node_with(stage, &server, "reload-one", |config| {
            set(config, "identities.stale_after", "10m");
        });
        let mut bob = wait_until_ok("bob is let in", SOON, || try_login(stage, &node, "bob", BOBS));
        // A first login is known as such until then, and needs the store.
        wait_for("its collection is known", SOON, || {
            node.log().contains("users have changed").then_some(())
        });
        let mut alice = try_login(stage, &node, "alice", USER_PASSWORD).expect("a configured user");
        server.kill();
        let mut config = written(&node);
        let users = config["user"].as_array_mut().unwrap();
        let user = users.iter_mut().find(|user| user["name"].as_str() == Some("alice")).unwrap();
        user.as_table_mut().unwrap().insert("status".into(), "disabled".into());
        assert_eq!(reload(&node, &config)["result"], "in force, 1 sessions ended");
        wait_for("alice's session ends", SOON, || {
            alice.try_query("SELECT 1").is_err().then_some(())
        });
        let refused = try_login(stage, &node, "alice", USER_PASSWORD).err().unwrap();
        assert!(refused.starts_with("ERROR 1045 "), "{refused}");
        assert_eq!(bob.query("SELECT 1").value(), "1", "who is stored stays as they were");
        try_login(stage, &node, "bob", BOBS).expect("and is let in");
        // The store comes back with the revision that was known before.
        server.restart();
        by_hand(&node, &["user", "disable", "bob", "--reason", "left"]);
        wait_for("bob's session ends", Duration::from_secs(20), || {
            bob.try_query("SELECT 1").is_err().then_some(())
        });
    }

    fn a_new_password_of_the_store_is_taken_with_the_next_connection(stage) {
        let mut server = start_store(stage, "password");
        add_bob(&server);
        let node = start_node(stage, &server, "password-one");
        wait_until_ok("bob is let in", SOON, || try_login(stage, &node, "bob", BOBS));
        server.sql("ALTER USER 'readgate'@'%' IDENTIFIED BY 'the next password'");
        write_private(&node.directory.join("identities.password"), "the next password\n");
        // Ends the connection that there is.
        server.kill();
        wait_for("bob is refused", SOON, || try_login(stage, &node, "bob", BOBS).err());
        server.restart();
        wait_until_ok("bob is let in again", Duration::from_secs(20), || try_login(stage, &node, "bob", BOBS));
    }

    fn what_is_changed_while_a_node_starts_is_read(stage) {
        let server = start_store(stage, "start");
        add_bob(&server);
        let file = stage.own_directory("start-one").join("proxy.toml");
        let change = Once::new();
        // Answers its first question when the configuration that the node has read is another one.
        let slow = Meddler::start(server.port, &[], move |_| {
            change.call_once(|| {
                let mut config: Table = std::fs::read_to_string(&file).unwrap().parse().unwrap();
                set(&mut config, "limits.idle_timeout", "7h");
                std::fs::write(&file, config.to_string()).unwrap();
            });
            true
        });
        let node = start_node_with(stage, &server, "start-one", |config| {
            set(config, "identities.url", format!("mysql://readgate@127.0.0.1:{}/ids", slow.port));
        });
        let load = node.reloaded(|_| true);
        assert!(load.to_string().contains("limits.idle_timeout"), "{load}");
    }

    fn a_store_that_another_hand_has_broken_ends_no_node(stage) {
        let server = start_store(stage, "broken");
        let revision = add_bob(&server).revision().unwrap();
        let node = start_node(stage, &server, "broken-one");
        let mut bob = wait_until_ok("bob is let in", SOON, || try_login(stage, &node, "bob", BOBS));
        server.sql("ALTER TABLE ids.rg_store MODIFY revision BIGINT; UPDATE ids.rg_store SET revision = NULL");
        wait_for("the log says so", SOON, || node.log().contains("a column has another type").then_some(()));
        assert_eq!(bob.query("SELECT 1").value(), "1", "running sessions go on");
        try_login(stage, &node, "alice", USER_PASSWORD).expect("configured users are let in");
        server.sql(&format!("UPDATE ids.rg_store SET revision = {revision}"));
        wait_until_ok("bob is let in again", Duration::from_secs(20), || try_login(stage, &node, "bob", BOBS));
    }

    fn a_store_that_hangs_holds_up_neither_sessions_nor_the_end(stage) {
        let server = start_store(stage, "hangs");
        add_bob(&server);
        let mut node = start_node(stage, &server, "hangs-one");
        wait_until_ok("bob is let in", SOON, || try_login(stage, &node, "bob", BOBS));
        server.signal("STOP");
        let refused = wait_for("bob is refused", SOON, || try_login(stage, &node, "bob", BOBS).err());
        assert!(refused.contains("try again later"), "{refused}");
        // A block that the other nodes can't be told of.
        for _ in 0..2 {
            assert!(try_login(stage, &node, "olga", "wrong").is_err());
        }
        let mut alice = try_login(stage, &node, "alice", USER_PASSWORD).expect("a configured user is let in");
        assert_eq!(alice.query("SELECT 1").value(), "1");
        server.signal("CONT");
        wait_until_ok("bob is let in again", Duration::from_secs(20), || try_login(stage, &node, "bob", BOBS));
        server.signal("STOP");
        wait_for("bob is refused again", SOON, || try_login(stage, &node, "bob", BOBS).err());
        node.stop(SOON);
        server.signal("CONT");
    }
}
