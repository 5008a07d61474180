//! The kinds of load: what one operation is.
use std::fmt::Write;
use std::sync::Arc;

use clap::ValueEnum;
use readgate_tests::protocol::Login;
use readgate_tests::raw::{RawClient, tls_config};
use rustls::ClientConfig;
use rustls::client::Resumption;

use crate::Arguments;

/// What to do again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// One row by its key, as text.
    Point,
    /// The same, prepared.
    Prepared,
    /// A report of 2 kB of text with a small answer, the same each time.
    Report,
    /// The same with another text each time.
    NewReport,
    /// Some 30 MB of rows.
    Bulk,
    /// Connect, log in, one statement, leave. Over TLS, if an authority is given.
    Login,
    /// The same over TLS, resuming the session before.
    ResumedLogin,
    /// Connect, log in, leave.
    BareLogin,
}

/// A client at its work.
pub(crate) struct Work<'a> {
    login: &'a Login,
    port: u16,
    client: Option<RawClient>,
    /// Whether a login is followed by a statement.
    asks: bool,
    request: Vec<u8>,
    answer: Vec<u8>,
    /// What a client that comes again knows of its last TLS session.
    tls: Option<Arc<ClientConfig>>,
    /// Where in the request the number stands that makes each text new.
    fresh: Option<usize>,
    count: u64,
}

/// A session that is logged in, over TLS if that is configured.
pub(crate) fn connect(port: u16, login: &Login, tls: Option<&Arc<ClientConfig>>) -> RawClient {
    let mut client = RawClient::connect(port).expect("the door answers");
    if let Some(tls) = tls {
        client.start_tls_with(Arc::clone(tls), login).expect("TLS");
    }
    client.login(login).expect("the login");
    client
}

/// TLS as the arguments have it; sessions are resumed only where that is measured.
pub(crate) fn tls(arguments: &Arguments) -> Option<Arc<ClientConfig>> {
    let config = tls_config(arguments.ca_file.as_ref()?, None);
    if arguments.kind == Kind::ResumedLogin {
        return Some(config);
    }
    let mut config = ClientConfig::clone(&config);
    config.resumption = Resumption::disabled();
    Some(Arc::new(config))
}

impl<'a> Work<'a> {
    /// Ready to begin.
    pub(crate) fn new(arguments: &Arguments, login: &'a Login, number: usize) -> Self {
        let mut work = Self {
            login,
            port: arguments.port_of(number),
            client: None,
            asks: false,
            request: Vec::new(),
            answer: Vec::new(),
            tls: tls(arguments),
            fresh: None,
            count: number as u64 * 1_000_000_000,
        };
        if matches!(arguments.kind, Kind::Login | Kind::BareLogin | Kind::ResumedLogin) {
            work.asks = arguments.kind != Kind::BareLogin;
            return work;
        }
        let mut client = connect(work.port, login, work.tls.as_ref());
        let key = 1 + number * 37 % 1000;
        let text = match arguments.kind {
            Kind::Point => {
                format!("SELECT subject_id, visit_id FROM visits WHERE visit_id = {key}")
            }
            Kind::Prepared => {
                String::from("SELECT subject_id, visit_id FROM visits WHERE visit_id = ?")
            }
            Kind::Report | Kind::NewReport => report(),
            Kind::Bulk => String::from("SELECT a.*, REPEAT('x', 100) FROM lab_results a"),
            Kind::Login | Kind::BareLogin | Kind::ResumedLogin => String::new(),
        };
        if arguments.kind == Kind::Prepared {
            let statement = client.prepare(&text).expect("a statement");
            let mut body = statement.id.to_le_bytes().to_vec();
            body.extend([0, 1, 0, 0, 0, 0, 1, 8, 0]);
            body.extend((key as u64).to_le_bytes());
            work.request = packet(0x17, &body);
        } else {
            work.request = packet(0x03, text.as_bytes());
        }
        if arguments.kind == Kind::NewReport {
            let at = text.find("100000000000").expect("a number to change");
            work.fresh = Some(5 + at);
        }
        client.send_raw(&work.request).expect("sent");
        let answer = client.read_response().expect("an answer");
        let length = answer.payloads.iter().map(|payload| payload.len() + 4).sum();
        assert!(answer.error().is_none(), "{:?}", answer.error());
        work.answer = vec![0; length];
        work.client = Some(client);
        work
    }

    /// One operation.
    pub(crate) fn once(&mut self) {
        let Some(client) = &mut self.client else {
            let mut client = connect(self.port, self.login, self.tls.as_ref());
            if self.asks {
                assert_eq!(client.query("SELECT 1").value(), "1");
            }
            return;
        };
        if let Some(at) = self.fresh {
            self.count += 1;
            let mut digits = String::new();
            write!(digits, "{:012}", 100_000_000_000 + self.count).expect("text");
            self.request[at..at + 12].copy_from_slice(digits.as_bytes());
        }
        client.send_raw(&self.request).expect("sent");
        client.receive_raw(&mut self.answer).expect("an answer");
    }

    /// Bytes of one answer.
    pub(crate) fn bytes(&self) -> u64 {
        self.answer.len() as u64
    }
}

fn packet(command: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 1).expect("short").to_le_bytes();
    let mut packet = vec![length[0], length[1], length[2], 0, command];
    packet.extend(body);
    packet
}

/// What a dashboard sends: aliases, joins, CASE and long lists; 2 kB, few rows looked at.
fn report() -> String {
    let mut text = String::from(
        "SELECT s.site_id AS `Site`, COUNT(DISTINCT v.visit_id) AS `Visits`, SUM(CASE WHEN \
         v.visit_id IS NULL THEN 0 ELSE 1 END) AS `Attended`, CONCAT('Site ', s.site_id) AS `Label`",
    );
    for number in 0..14 {
        write!(
            text,
            ", SUM(CASE WHEN v.visit_id BETWEEN {} AND {} THEN 1 ELSE 0 END) AS `Bucket {number}`",
            number * 10,
            number * 10 + 9,
        )
        .expect("text");
    }
    text.push_str(
        " FROM subjects s LEFT JOIN visits v ON v.subject_id = s.subject_id \
         WHERE s.subject_id IN (1, 2, 3) AND v.visit_id < 100000000000 \
         AND s.site_id IN (",
    );
    let list: Vec<String> = (1..150).map(|number| number.to_string()).collect();
    text.push_str(&list.join(", "));
    text.push_str(") GROUP BY s.site_id ORDER BY `Visits` DESC, s.site_id LIMIT 20");
    text
}
