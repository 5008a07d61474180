//! A client that does what it is told and keeps each packet that it gets: for comparing
//! conversations byte by byte and for saying what no well-behaved client would.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned};

use crate::protocol::{CURSOR_EXISTS, MORE_RESULTS, lenenc, ok_status, scramble, text_row};
use crate::squeezed::{Algorithm, Squeezed};

pub use crate::protocol::{Greeting, Login, ServerError, capability};

/// Largest payload of one packet.
const FULL: usize = 0xff_ffff;

/// Both kinds of stream.
trait ReadWrite: Read + Write + Send {}
impl<T: Read + Write + Send> ReadWrite for T {}

/// One connection.
pub struct RawClient {
    stream: Box<dyn ReadWrite>,
    /// A second handle for what only the socket itself can do.
    socket: TcpStream,
    /// The server's first payload.
    pub greeting: Greeting,
    /// Every payload received since the greeting, with its sequence id.
    pub received: Vec<(u8, Vec<u8>)>,
    sequence_id: u8,
    tls: bool,
    deprecate_eof: bool,
}

/// What a command was answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// All payloads, in order.
    pub payloads: Vec<Vec<u8>>,
    /// Indexes of the payloads that are rows.
    rows: Vec<usize>,
}

/// Trusts the CA; with a client certificate, if wanted: `NAME.crt`, which may hold others behind it,
/// and `NAME.key` beside the CA's.
pub fn tls_config(ca_file: &Path, person: Option<&str>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_file(ca_file).expect("the CA file is PEM");
    roots.add(ca).expect("the CA is a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring speaks TLS")
        .with_root_certificates(roots);
    Arc::new(match person.map(|name| ca_file.with_file_name(name)) {
        None => config.with_no_client_auth(),
        Some(base) => {
            let chain = CertificateDer::pem_file_iter(base.with_extension("crt")).expect("PEM");
            let key = PrivateKeyDer::from_pem_file(base.with_extension("key")).expect("PEM");
            let chain = chain.map(|certificate| certificate.expect("PEM")).collect();
            config.with_client_auth_cert(chain, key).expect("they fit")
        }
    })
}

impl std::fmt::Debug for RawClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RawClient")
    }
}

impl RawClient {
    /// Connects and reads the greeting; `Err` with [`io::ErrorKind::ConnectionRefused`] and a
    /// [`ServerError`] in it if an ERR came in its place.
    pub fn connect(port: u16) -> io::Result<Self> {
        Self::over(TcpStream::connect(("127.0.0.1", port))?)
    }

    /// The same over a connection that is there already.
    pub fn over(mut socket: TcpStream) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(Duration::from_secs(60)))?;
        let (sequence_id, payload) = read_payload(&mut socket)?;
        if let Some(error) = ServerError::parse(&payload) {
            return Err(io::Error::new(io::ErrorKind::ConnectionRefused, error.to_string()));
        }
        Ok(Self {
            stream: Box::new(socket.try_clone()?),
            socket,
            greeting: Greeting::parse(&payload),
            received: Vec::new(),
            sequence_id: sequence_id.wrapping_add(1),
            tls: false,
            deprecate_eof: false,
        })
    }

    /// Sends the SSL request and turns the stream into a TLS one, verified against the CA.
    pub fn start_tls(&mut self, ca_file: &Path, login: &Login) -> io::Result<()> {
        self.start_tls_as(ca_file, login, None)
    }

    /// The same with a client certificate: `NAME.crt` and `NAME.key` beside the CA's.
    pub fn start_tls_as(
        &mut self,
        ca_file: &Path,
        login: &Login,
        person: Option<&str>,
    ) -> io::Result<()> {
        self.start_tls_with(tls_config(ca_file, person), login).map(|_| ())
    }

    /// The same as configured, which may know a session to resume; whether it was resumed.
    pub fn start_tls_with(&mut self, config: Arc<ClientConfig>, login: &Login) -> io::Result<bool> {
        self.send(&login.head(true))?;
        let name = ServerName::try_from("localhost").expect("a name");
        let connection = ClientConnection::new(config, name).expect("a session");
        let mut stream = StreamOwned::new(connection, self.socket.try_clone()?);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        let resumed = stream.conn.handshake_kind() == Some(HandshakeKind::Resumed);
        self.stream = Box::new(stream);
        self.tls = true;
        Ok(resumed)
    }

    /// Sends the handshake response and answers what the server asks until it says OK or ERR.
    ///
    /// # Panics
    /// If the connection ends in between.
    pub fn login(&mut self, login: &Login) -> Result<(), ServerError> {
        self.try_login(login).expect("the server answers a login")
    }

    /// The same; an error if the connection ended.
    pub fn try_login(&mut self, login: &Login) -> io::Result<Result<(), ServerError>> {
        self.deprecate_eof = login.capabilities & capability::DEPRECATE_EOF != 0;
        self.send(&login.response(self.tls, &self.greeting))?;
        let plugin = login.plugin.clone().unwrap_or_else(|| self.greeting.plugin.clone());
        self.prove(plugin, &login.password)
    }

    /// Reads and writes compressed packets from now on, as the login has negotiated.
    pub fn compress(&mut self, algorithm: Algorithm) {
        let plain = std::mem::replace(&mut self.stream, Box::new(io::empty()));
        self.stream = Box::new(Squeezed::new(plain, algorithm));
    }

    /// COM_CHANGE_USER: becomes somebody else, proved when asked.
    ///
    /// # Panics
    /// If the connection ends in between.
    pub fn change_user(&mut self, user: &str, password: &str) -> Result<(), ServerError> {
        self.change_user_in(user, password, 45)
    }

    /// The same in a character set and collation.
    ///
    /// # Panics
    /// If the connection ends in between.
    pub fn change_user_in(
        &mut self,
        user: impl AsRef<[u8]>,
        password: &str,
        collation: u16,
    ) -> Result<(), ServerError> {
        let changed = self.try_change_user(user, password, collation);
        changed.expect("the server answers a change of user")
    }

    /// The same; an error if the connection ended.
    pub fn try_change_user(
        &mut self,
        user: impl AsRef<[u8]>,
        password: &str,
        collation: u16,
    ) -> io::Result<Result<(), ServerError>> {
        let plugin = self.greeting.plugin.clone();
        let [low, high] = collation.to_le_bytes();
        let middle = [0, 0, 0, low, high];
        let names = [user.as_ref(), &middle, plugin.as_bytes(), b"\0"].concat();
        self.send_command(0x11, &names)?;
        self.prove(plugin, password)
    }

    /// Answers what the server asks until it says OK or ERR.
    fn prove(&mut self, mut plugin: String, password: &str) -> io::Result<Result<(), ServerError>> {
        loop {
            let payload = self.receive()?;
            match payload.first() {
                Some(0x00) => return Ok(Ok(())),
                Some(0xff) => return Ok(Err(ServerError::parse(&payload).expect("an ERR"))),
                Some(0xfe) => {
                    let end = payload.iter().position(|b| *b == 0).expect("a plugin name");
                    plugin = String::from_utf8_lossy(&payload[1..end]).into_owned();
                    let nonce = &payload[end + 1..payload.len() - 1];
                    let answer = scramble(&plugin, password.as_bytes(), nonce);
                    self.send(&answer)?;
                }
                // 3: the fast way was enough, an OK follows. 4: the password itself.
                Some(0x01) if payload[1..] == [3] => {}
                Some(0x01) if payload[1..] == [4] => {
                    assert!(self.tls, "a password goes through TLS only");
                    let clear = [password.as_bytes(), &[0]].concat();
                    self.send(&clear)?;
                }
                other => panic!("{plugin}: unexpected {other:?} in a login"),
            }
        }
    }

    /// A command: payload with sequence id 0. Nothing is read.
    pub fn send_command(&mut self, command: u8, argument: &[u8]) -> io::Result<()> {
        self.sequence_id = 0;
        self.send(&[&[command], argument].concat())
    }

    /// COM_QUERY and its whole response.
    ///
    /// # Panics
    /// If the connection ends before the response does.
    pub fn query(&mut self, sql: impl AsRef<[u8]>) -> Response {
        self.try_query(sql).expect("a statement is answered")
    }

    /// COM_QUERY; an error if the connection ended.
    pub fn try_query(&mut self, sql: impl AsRef<[u8]>) -> io::Result<Response> {
        self.send_command(3, sql.as_ref())?;
        self.read_response()
    }

    /// A command that is answered with exactly one payload.
    pub fn simple(&mut self, command: u8, argument: &[u8]) -> Vec<u8> {
        self.send_command(command, argument).expect("the server reads");
        self.receive().expect("the command is answered")
    }

    /// COM_STMT_PREPARE: statement id, or the error.
    ///
    /// # Panics
    /// If the connection ends before the response does.
    pub fn prepare(&mut self, sql: &str) -> Result<Prepared, ServerError> {
        self.try_prepare(sql).expect("a preparation is answered")
    }

    /// The same; an error if the connection ended.
    pub fn try_prepare(&mut self, sql: &str) -> io::Result<Result<Prepared, ServerError>> {
        self.send_command(0x16, sql.as_bytes())?;
        let first = self.receive()?;
        if let Some(error) = ServerError::parse(&first) {
            return Ok(Err(error));
        }
        assert_eq!(first.len(), 12, "a PREPARE_OK has 12 bytes: {first:?}");
        let number = |at: usize| u16::from_le_bytes([first[at], first[at + 1]]);
        let prepared = Prepared {
            id: u32::from_le_bytes(first[1..5].try_into().expect("four bytes")),
            columns: number(5),
            parameters: number(7),
        };
        for count in [prepared.parameters, prepared.columns] {
            let end = u16::from(count > 0 && !self.deprecate_eof);
            for _ in 0..count + end {
                self.receive()?;
            }
        }
        Ok(Ok(prepared))
    }

    /// COM_STMT_EXECUTE with the bytes that follow statement id, flags and iteration count.
    pub fn execute(&mut self, statement: &Prepared, flags: u8, rest: &[u8]) -> Response {
        let head = [&statement.id.to_le_bytes()[..], &[flags, 1, 0, 0, 0]].concat();
        self.send_command(0x17, &[&head, rest].concat()).expect("the server reads");
        self.read_response().expect("an execution is answered")
    }

    /// COM_STMT_FETCH: the rows and the payload that ends them.
    pub fn fetch(&mut self, statement: &Prepared, rows: u32) -> Vec<Vec<u8>> {
        let argument = [statement.id.to_le_bytes(), rows.to_le_bytes()].concat();
        self.send_command(0x1c, &argument).expect("the server reads");
        let mut payloads = Vec::new();
        loop {
            let payload = self.receive().expect("a fetch is answered");
            let last = payload[0] == 0xff || (payload[0] == 0xfe && payload.len() < 9);
            payloads.push(payload);
            if last {
                return payloads;
            }
        }
    }

    /// One payload, joined from its packets and remembered in [`RawClient::received`].
    pub fn receive(&mut self) -> io::Result<Vec<u8>> {
        let (sequence_id, payload) = read_payload(&mut self.stream)?;
        self.sequence_id = sequence_id.wrapping_add(1);
        if payload.len() < 4096 {
            self.received.push((sequence_id, payload.clone()));
        }
        Ok(payload)
    }

    /// A payload with the next sequence id, split where the protocol wants it.
    pub fn send(&mut self, payload: &[u8]) -> io::Result<()> {
        let mut rest = payload;
        loop {
            let (now, later) = rest.split_at(rest.len().min(FULL));
            let length = u32::try_from(now.len()).expect("24 bits").to_le_bytes();
            let header = [length[0], length[1], length[2], self.sequence_id];
            self.stream.write_all(&[&header, now].concat())?;
            self.sequence_id = self.sequence_id.wrapping_add(1);
            rest = later;
            if now.len() < FULL {
                return self.stream.flush();
            }
        }
    }

    /// Bytes as they are, with no header of ours.
    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// As many bytes as `answer` has room for, as they come.
    pub fn receive_raw(&mut self, answer: &mut [u8]) -> io::Result<()> {
        self.stream.read_exact(answer)
    }

    /// Whether the other side has closed: reads until the end or an error.
    pub fn is_closed(&mut self) -> bool {
        let mut byte = [0];
        !matches!(self.stream.read(&mut byte), Ok(1))
    }

    /// Whether the server ends the connection within this time, after last words or without.
    pub fn is_sent_away(&mut self, limit: Duration) -> bool {
        self.set_patience(limit);
        let is_end = |error: io::Error| {
            !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
        };
        match self.receive() {
            Ok(last_words) if last_words.first() == Some(&0xff) => {
                self.receive().err().is_some_and(is_end)
            }
            Ok(_) => false,
            Err(error) => is_end(error),
        }
    }

    /// How long one read may take before it is an error.
    pub fn set_patience(&mut self, limit: Duration) {
        self.socket.set_read_timeout(Some(limit)).expect("a time-out can be set");
    }

    /// The whole answer to a query or an execution, further results included.
    pub fn read_response(&mut self) -> io::Result<Response> {
        let mut response = Response { payloads: Vec::new(), rows: Vec::new() };
        while self.read_one_result(&mut response)? & MORE_RESULTS != 0 {}
        Ok(response)
    }

    /// Reads one result and returns the status flags of its end.
    fn read_one_result(&mut self, response: &mut Response) -> io::Result<u16> {
        let first = self.receive()?;
        response.payloads.push(first.clone());
        match first[0] {
            0x00 => return Ok(ok_status(&first)),
            0xff => return Ok(0),
            0xfb => panic!("the server asks for a file: {first:?}"),
            _ => {}
        }
        let columns = lenenc(&first).0.expect("a column count");
        for _ in 0..columns {
            response.payloads.push(self.receive()?);
        }
        if !self.deprecate_eof {
            let end = self.receive()?;
            let status = u16::from_le_bytes([end[3], end[4]]);
            response.payloads.push(end);
            if status & CURSOR_EXISTS != 0 {
                return Ok(0);
            }
        }
        loop {
            let payload = self.receive()?;
            let end = match payload[0] {
                0xff => Some(0),
                0xfe if self.deprecate_eof && payload.len() < FULL => Some(ok_status(&payload)),
                0xfe if !self.deprecate_eof && payload.len() < 9 => {
                    Some(u16::from_le_bytes([payload[3], payload[4]]))
                }
                _ => None,
            };
            if end.is_none() {
                response.rows.push(response.payloads.len());
            }
            response.payloads.push(payload);
            if let Some(status) = end {
                return Ok(status);
            }
        }
    }
}

/// A prepared statement.
#[derive(Debug, Clone, Copy)]
pub struct Prepared {
    /// Statement id.
    pub id: u32,
    /// Columns of its result.
    pub columns: u16,
    /// Its parameters.
    pub parameters: u16,
}

impl Response {
    /// The error that it is, or ended with.
    pub fn error(&self) -> Option<ServerError> {
        ServerError::parse(self.payloads.last()?)
    }

    /// How many rows it has, of text or binary ones.
    pub fn row_count(&self) -> usize {
        self.rows.len()
    }

    /// Its rows as they came.
    pub fn raw_rows(&self) -> impl Iterator<Item = &[u8]> {
        self.rows.iter().map(|at| self.payloads[*at].as_slice())
    }

    /// Rows of a text result.
    pub fn rows(&self) -> Vec<Vec<Option<Vec<u8>>>> {
        self.rows.iter().map(|at| text_row(&self.payloads[*at])).collect()
    }

    /// The only value, as text.
    ///
    /// # Panics
    /// If it isn't exactly one row of one value that isn't NULL.
    pub fn value(&self) -> String {
        match self.rows().as_slice() {
            [row] => match row.as_slice() {
                [Some(value)] => String::from_utf8_lossy(value).into_owned(),
                other => panic!("not one value: {other:?}"),
            },
            other => panic!("not one row but {}: {:?}", other.len(), self.error()),
        }
    }

    /// The error that it must be.
    ///
    /// # Panics
    /// If it is none.
    pub fn expect_error(&self) -> ServerError {
        self.error().unwrap_or_else(|| panic!("no error but {:?}", self.payloads.first()))
    }

    /// Panics if it ended with an error.
    pub fn expect_ok(&self) {
        assert_eq!(self.error().map(|error| error.to_string()), None);
    }
}

fn read_payload(stream: &mut impl Read) -> io::Result<(u8, Vec<u8>)> {
    let mut payload = Vec::new();
    loop {
        let mut header = [0; 4];
        stream.read_exact(&mut header)?;
        let length = u32::from_le_bytes([header[0], header[1], header[2], 0]) as usize;
        let start = payload.len();
        payload.resize(start + length, 0);
        stream.read_exact(&mut payload[start..])?;
        if length < FULL {
            return Ok((header[3], payload));
        }
    }
}
