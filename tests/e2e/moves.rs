//! A name of the replica that leads elsewhere from one moment to the next: nobody stays at a server that
//! isn't as it should be, and nobody is refused who could read where the name leads now.

use std::path::Path;
use std::time::Duration;

use readgate_tests::config::set;
use readgate_tests::failing_net::FailingNet;
use readgate_tests::meddler::Meddler;
use readgate_tests::place::{free_port, wait_for};
use readgate_tests::raw::{Login, RawClient};
use readgate_tests::readgate::Readgate;
use readgate_tests::server::Server;
use readgate_tests::stage::{Stage, USER_PASSWORD, login_at};
use toml::Table;

const SOON: Duration = Duration::from_secs(20);
/// Where each of the servers is, by the resolver.
pub(crate) const PLACES: [&str; 2] = ["127.0.0.2", "127.0.0.3"];

/// Two servers of one port, each at its place, and the ways there.
pub(crate) struct Servers {
    pub(crate) servers: [Server; 2],
    _ways: [Meddler; 2],
    port: u16,
}

impl Servers {
    pub(crate) fn start(stage: &Stage, test: &str) -> Self {
        let servers = PLACES.map(|place| {
            let directory = stage.own_directory(&format!("{test}_{place}"));
            let server = Server::start(stage.server.flavour, &directory);
            server.load_sample();
            server
        });
        let port = free_port();
        let way = |at: usize| Meddler::honest_at(PLACES[at], port, servers[at].port);
        Self { _ways: [way(0), way(1)], servers, port }
    }

    /// A daemon before whichever of them the name leads to.
    pub(crate) fn configure(&self, config: &mut Table, directory: &Path) {
        let authorities = self.servers.each_ref().map(|server| std::fs::read(server.ca_file()));
        let both = directory.join("both.crt");
        std::fs::write(&both, authorities.map(Result::unwrap).concat()).unwrap();
        set(config, "replica.address", format!("replica.test:{}", self.port));
        set(config, "replica.tls.ca_file", both.display().to_string());
    }
}

/// The server's own port.
fn port_of(session: &mut RawClient) -> u16 {
    session.query("SELECT @@port").value().parse().unwrap()
}

on_both! {
    fn a_server_that_was_promoted_keeps_nobody_when_the_name_moves(stage) {
        let both = Servers::start(stage, "promoted");
        let [one, other] = &both.servers;
        let (directory, mut config) = stage.own_config_for(one, "promoted_moved");
        both.configure(&mut config, &directory);
        set(&mut config, "replica.warm_connections", 6);
        let net = FailingNet::of(&directory);
        net.lead_to(&PLACES[..1]);
        let readgate = Readgate::start_with(&directory, config, &net.environment);
        let alice = Login::user("alice", USER_PASSWORD);
        let enter = || login_at(readgate.port, &one.ca_file(), &alice);
        let mut sessions: Vec<_> = (0..6).map(|_| enter()).collect();
        for session in &mut sessions {
            assert_eq!(port_of(session), one.port);
        }
        let mut stays = sessions.pop().unwrap();
        drop(sessions);
        wait_for("their connections wait", SOON, || {
            (readgate.metric("readgate_pool_connections{state=\"warm\"}")? >= 4).then_some(())
        });
        one.sql("SET GLOBAL read_only = 0");
        net.lead_to(&PLACES[1..]);
        // What was made ready while all was well is lent without a question, once.
        while port_of(&mut enter()) == one.port {}
        assert!(stays.is_sent_away(SOON), "who is in goes at the next look");
        let server = format!(" {} ", one.port);
        readgate.record("replica_check", |record| {
            let result = record["result"].as_str().unwrap();
            result.starts_with("not read-only: another server of its name") && result.contains(&server)
        });
        for mut session in (0..6).map(|_| enter()).collect::<Vec<_>>() {
            assert_eq!(port_of(&mut session), other.port);
        }
    }
}
