//! Users in a server that several nodes share.
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use access::store::{IdentityStore, StoreError};
use access::{Change, Identity, Password};
use config::{HostPort, PasswordSource, SharedStore};
use readgate::identity::MySqlStore;
use readgate_tests::place::scratch_of;
use readgate_tests::raw::Login;
use readgate_tests::server::{ADMIN_PASSWORD, Flavour, Server};
use readgate_tests::stage::login_at;

use crate::suite::{add, apply, every_store, name};

const PASSWORD: &str = "password of the identity store";
/// The rights that docs/access.md says the account needs.
const GRANTS: &str = "
    CREATE USER 'readgate'@'%' IDENTIFIED BY 'password of the identity store' REQUIRE SSL;
    GRANT SELECT, INSERT, UPDATE, CREATE, REFERENCES ON ids.* TO 'readgate'@'%';
    CREATE USER 'holder'@'%' IDENTIFIED BY 'password of the identity store' REQUIRE SSL;
    GRANT ALL ON ids.* TO 'holder'@'%';
";

fn start(flavour: Flavour) -> Server {
    let server = Server::start_writable(flavour, &scratch_of("stores").join(flavour.name()));
    server.sql("CREATE DATABASE ids");
    server.sql(GRANTS);
    server
}

fn place(server: &Server) -> SharedStore {
    SharedStore {
        user: String::from("readgate"),
        address: HostPort { host: String::from("127.0.0.1"), port: server.port },
        schema: String::from("ids"),
        server_name: String::from("localhost"),
        ca_file: server.ca_file(),
        password_source: PasswordSource::Inline(Password::new(PASSWORD)),
    }
}

fn new_user(user: &str) -> Change {
    Change::Add(Box::new(Identity::new(name(user), "Someone", "reader")))
}

/// Everything on one server of a flavour: starting one takes seconds.
fn passes(flavour: Flavour) {
    let mut server = start(flavour);
    let place = place(&server);
    let store = MySqlStore::open(&place).unwrap();
    server.sql("GRANT DELETE ON ids.rg_block TO 'readgate'@'%'");
    every_store(&store);
    let other = MySqlStore::open(&place).unwrap();
    add(&other, "from the other node");
    assert_eq!(store.revision().unwrap(), other.revision().unwrap());
    changes_of_many_nodes_all_happen(&place);
    callers_of_one_node_all_get_an_answer(&place);
    nobody_disappears(&server);
    waits_no_longer_than_it_must(&server, &store);
    damage_is_an_error(&server, &store);
    wrong_ways_in_are_errors(&place);
    comes_back_with_the_server(&mut server, &store);
}

fn changes_of_many_nodes_all_happen(place: &SharedStore) {
    let place = Arc::new(place.clone());
    let before = MySqlStore::open(&place).unwrap().revision().unwrap();
    let threads = (0..4).map(|thread| {
        let place = Arc::clone(&place);
        thread::spawn(move || {
            let store = MySqlStore::open(&place).unwrap();
            for user in 0..5 {
                add(&store, &format!("user-{thread}-{user}"));
            }
        })
    });
    let threads: Vec<_> = threads.collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let store = MySqlStore::open(&place).unwrap();
    assert_eq!(store.revision().unwrap(), before + 20);
    let numbers: Vec<u64> = store.history(None).unwrap().iter().map(|entry| entry.number).collect();
    assert_eq!(numbers, (1..=before + 20).collect::<Vec<_>>(), "no number is left out");
}

/// Logins, refreshes and blocks of one node use its one connection at the same time.
fn callers_of_one_node_all_get_an_answer(place: &SharedStore) {
    const CALLERS: usize = 8;
    let store = Arc::new(MySqlStore::open(place).unwrap());
    let (done, all) = mpsc::channel();
    for _ in 0..CALLERS {
        let (store, done) = (Arc::clone(&store), done.clone());
        thread::spawn(move || {
            let answers = (0..200).map(|_| store.revision()).filter(Result::is_ok).count();
            done.send(answers).unwrap();
        });
    }
    // Threads of their own: one that waits for ever must not keep the test from its end.
    for _ in 0..CALLERS {
        assert_eq!(all.recv_timeout(Duration::from_secs(60)), Ok(200));
    }
}

/// The account itself has no right to make anybody disappear.
fn nobody_disappears(server: &Server) {
    let grants = server.sql("SHOW GRANTS FOR 'readgate'@'%'");
    for line in grants.lines().filter(|line| line.contains("DELETE")) {
        assert!(line.contains("rg_block"), "{line}");
    }
    assert!(!grants.contains("DROP") && !grants.contains("ALL PRIVILEGES"), "{grants}");
}

fn waits_no_longer_than_it_must(server: &Server, store: &MySqlStore) {
    let before = store.revision().unwrap();
    // Another session holds what every change needs, until it is ended.
    let login = Login::user("holder", PASSWORD).in_schema("ids");
    let mut holder = login_at(server.port, &server.ca_file(), &login);
    holder.query("BEGIN").expect_ok();
    holder.query("SELECT * FROM rg_store FOR UPDATE").expect_ok();
    assert!(matches!(apply(store, new_user("late")), Err(StoreError::Busy { .. })));
    assert_eq!(store.revision().unwrap(), before, "reading goes on");
    drop(holder);
    apply(store, new_user("late")).unwrap();
}

fn damage_is_an_error(server: &Server, store: &MySqlStore) {
    server.sql("UPDATE ids.rg_user SET plugins = 'dialog' WHERE name = 'late'");
    let error = store.load().unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("column plugins: \"dialog\""), "{error}");
    server.sql("UPDATE ids.rg_user SET plugins = 'caching_sha2_password' WHERE name = 'late'");
    server.sql("RENAME TABLE ids.rg_credential TO ids.elsewhere");
    assert!(matches!(store.load(), Err(StoreError::Damaged { .. })));
    server.sql("RENAME TABLE ids.elsewhere TO ids.rg_credential");
    store.load().unwrap();
}

fn wrong_ways_in_are_errors(place: &SharedStore) {
    let refused = |place: &SharedStore| match MySqlStore::open(place) {
        Err(error @ StoreError::Unreachable { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    };
    let wrong = PasswordSource::Inline(Password::new(ADMIN_PASSWORD));
    let error = refused(&SharedStore { password_source: wrong, ..place.clone() });
    assert!(error.contains("1045") && !error.contains(ADMIN_PASSWORD), "{error}");
    let error = refused(&SharedStore { server_name: String::from("other"), ..place.clone() });
    assert!(error.contains("not valid for"), "{error}");
    let nobody = HostPort { host: String::from("127.0.0.1"), port: 1 };
    let error = refused(&SharedStore { address: nobody, ..place.clone() });
    assert!(error.starts_with("the identity store mysql://readgate@127.0.0.1:1/ids"), "{error}");
}

fn comes_back_with_the_server(server: &mut Server, store: &MySqlStore) {
    let before = store.revision().unwrap();
    server.kill();
    assert!(matches!(store.revision(), Err(StoreError::Unreachable { .. })));
    assert!(matches!(apply(store, new_user("never")), Err(StoreError::Unreachable { .. })));
    server.restart();
    assert_eq!(store.revision().unwrap(), before, "nothing is lost");
    apply(store, new_user("again")).unwrap();
}

#[test]
fn mariadb_passes_the_suite_and_its_misfortunes() {
    passes(Flavour::MariaDb);
}

#[test]
fn mysql_passes_the_suite_and_its_misfortunes() {
    passes(Flavour::MySql);
}
