//! What goes over the wire to receivers: connections with deadlines, syslog frames
//! (RFC 5424 in RFC 6587's octet counting), and one HTTP request.
use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use config::Endpoint;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use socket2::SockRef;
use zeroize::Zeroizing;

use crate::tls;

/// For connecting, for each read and write, and for the other end to acknowledge what it was sent.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);
/// For a whole request, from the first try to connect to the last byte of the answer: one that comes
/// byte by byte keeps to the deadline of each read for ever.
const REQUEST: Duration = Duration::from_secs(20);
/// How long an end waits for the other end to have read everything.
const LAST_WAIT: Duration = Duration::from_secs(2);
/// Most of what a receiver says unasked that is read at a time.
const MOST_READS: usize = 16;
/// Facility 13 (log audit), severity 6 (informational).
const PRIORITY: &str = "<110>1";
/// Most of an HTTP answer that is read.
const ANSWER: u64 = 4096;

/// A connection to a receiver.
pub(super) enum Wire {
    /// As it is.
    Plain(Socket),
    /// Inside TLS, the receiver's certificate verified.
    Tls(Box<StreamOwned<ClientConnection, Socket>>),
}

/// A socket each read and write of which ends in time.
pub(super) struct Socket {
    stream: TcpStream,
    /// When all of them end, together.
    until: Option<Instant>,
}

/// What is left for the next step.
fn left(until: Option<Instant>) -> io::Result<Duration> {
    let left = until.map(|until| until.saturating_duration_since(Instant::now()));
    match left.unwrap_or(DEADLINE).min(DEADLINE) {
        Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
        left => Ok(left),
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(left(self.until)?))?;
        self.stream.write(bytes)
    }

    /// TLS writes its last words, such as why it refuses a certificate, at one go.
    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(left(self.until)?))?;
        self.stream.write_vectored(pieces)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

impl Read for Socket {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(left(self.until)?))?;
        self.stream.read(room)
    }
}

impl Wire {
    /// Connects. What is done over it ends by `until` altogether, if that is given.
    pub(super) fn connect(
        endpoint: &Endpoint,
        tls: Option<Arc<ClientConfig>>,
        until: Option<Instant>,
    ) -> io::Result<Self> {
        let (host, port) = (endpoint.address.host.as_str(), endpoint.address.port);
        let mut last = io::Error::other("the name has no address");
        for address in (host, port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, left(until)?) {
                Ok(stream) => return Self::over(Socket { stream, until }, endpoint, tls),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn over(
        socket: Socket,
        endpoint: &Endpoint,
        tls: Option<Arc<ClientConfig>>,
    ) -> io::Result<Self> {
        SockRef::from(&socket.stream).set_tcp_user_timeout(Some(DEADLINE))?;
        match (endpoint.tls, tls) {
            (false, _) => Ok(Self::Plain(socket)),
            (true, None) => Err(io::Error::other("TLS without a certificate authority")),
            (true, Some(tls)) => {
                let name = tls::server_name(&endpoint.address.host).map_err(io::Error::other)?;
                let connection = ClientConnection::new(tls, name).map_err(io::Error::other)?;
                Ok(Self::Tls(Box::new(StreamOwned::new(connection, socket))))
            }
        }
    }

    /// Whether the other end may still say something; `false` once it has said its last. That
    /// is no sign that it doesn't listen any more: where it doesn't, it answers what it is sent
    /// by a reset. What it says is dropped.
    ///
    /// # Errors
    /// If the connection is lost.
    pub(super) fn is_open(&mut self) -> io::Result<bool> {
        if let Some(error) = self.socket().stream.take_error()? {
            return Err(error);
        }
        self.socket().stream.set_nonblocking(true)?;
        let mut room = [0; 1024];
        let last =
            (0..MOST_READS).map(|_| self.read(&mut room)).find(|read| !matches!(read, Ok(1..)));
        self.socket().stream.set_nonblocking(false)?;
        match last {
            Some(Ok(_)) => Ok(false),
            Some(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Some(Err(error)) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            Some(Err(_)) | None => Ok(true),
        }
    }

    /// Says that nothing follows. Well if the other end has then ended too, as it does when it
    /// has read everything: who closes with something unread resets the connection.
    pub(super) fn end(mut self) -> io::Result<()> {
        if !self.is_open()? {
            return Err(io::Error::other("whether everything was read is not known"));
        }
        if let Self::Tls(stream) = &mut self {
            stream.conn.send_close_notify();
            stream.flush()?;
        }
        self.socket().stream.shutdown(Shutdown::Write)?;
        self.socket().until = Some(Instant::now() + LAST_WAIT);
        // Below TLS: only the end of the connection is of interest.
        io::copy(self.socket(), &mut io::sink()).map(|_| ())
    }

    fn socket(&mut self) -> &mut Socket {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => &mut stream.sock,
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

impl Read for Wire {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(room),
            Self::Tls(stream) => stream.read(room),
        }
    }
}

/// How a record becomes a syslog message.
pub(super) struct Form {
    pub(super) node: String,
    /// Bytes of the longest one that the receiver takes. What comes of a longer one is the
    /// receiver's choice: it may hang up each time, or lose all that follows.
    pub(super) longest: usize,
}

impl Form {
    /// A record's own time and event in the head, the whole line after, if there is room for it.
    pub(super) fn frame(&self, line: &[u8]) -> Vec<u8> {
        let text = |name: &str| {
            let needle = format!(",\"{name}\":\"");
            let at = line.windows(needle.len()).position(|window| window == needle.as_bytes())?;
            let rest = line.get(at + needle.len()..)?;
            let end = rest.iter().position(|byte| *byte == b'"')?;
            std::str::from_utf8(rest.get(..end)?).ok()
        };
        let time = text("time").unwrap_or("-");
        let event: String = text("event").unwrap_or("-").chars().take(32).collect();
        let is_plain = |c: &char| c.is_ascii_graphic();
        let host: String = self.node.chars().filter(is_plain).take(255).collect();
        let host = if host.is_empty() { "-" } else { &host };
        let head = format!("{PRIORITY} {time} {host} readgate - {event} - ");
        let line = ledger::shortened(line, self.longest.saturating_sub(head.len()));
        let mut frame = format!("{} {head}", head.len() + line.len()).into_bytes();
        frame.extend_from_slice(&line);
        frame
    }
}

/// Posts JSON, with a header beside the usual ones if there is one; anything but a 2xx is an
/// error. Errors hold neither the path nor the header. Takes no longer than [`REQUEST`], unless the
/// host's name can't be looked up in that time.
pub(crate) fn post(
    (endpoint, tls): (&Endpoint, Option<Arc<ClientConfig>>),
    header: Option<(&str, &str)>,
    body: &[u8],
) -> io::Result<()> {
    let late = |error: io::Error| {
        let is_late = [io::ErrorKind::WouldBlock, io::ErrorKind::TimedOut].contains(&error.kind());
        if is_late { io::Error::other("the webhook did not answer in time") } else { error }
    };
    post_until(Instant::now() + REQUEST, (endpoint, tls), header, body).map_err(late)
}

fn post_until(
    until: Instant,
    (endpoint, tls): (&Endpoint, Option<Arc<ClientConfig>>),
    header: Option<(&str, &str)>,
    body: &[u8],
) -> io::Result<()> {
    let mut wire = Wire::connect(endpoint, tls, Some(until))?;
    let header = header.map(|(name, value)| Zeroizing::new(format!("{name}: {value}\r\n")));
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n",
        endpoint.path,
        endpoint.address,
        body.len()
    );
    wire.write_all(head.as_bytes())?;
    wire.write_all(header.as_ref().map_or(b"", |header| header.as_bytes()))?;
    wire.write_all(b"\r\n")?;
    wire.write_all(body)?;
    wire.flush()?;
    let mut answer = Vec::new();
    // A receiver may close without TLS's goodbye: the first line is what counts.
    let read = wire.take(ANSWER).read_to_end(&mut answer);
    match answer.iter().position(|byte| *byte == b'\n').and_then(|end| answer.get(..end)) {
        Some(line) => judge(line),
        None => read.and(Err(io::Error::other("the webhook broke off before it answered"))),
    }
}

/// By a status line, of which nothing but its code is told: a receiver that repeats what it was sent
/// would have the path in it.
fn judge(line: &[u8]) -> io::Result<()> {
    let is_version = |version: &[u8]| version.starts_with(b"HTTP/1.");
    let mut words = line.trim_ascii_end().splitn(3, |byte| *byte == b' ');
    match (words.next().is_some_and(is_version), words.next()) {
        (true, Some([b'2', b'0'..=b'9', b'0'..=b'9'])) => Ok(()),
        (true, Some(code)) if code.len() == 3 && code.iter().all(u8::is_ascii_digit) => {
            let code = String::from_utf8_lossy(code);
            Err(io::Error::other(format!("the webhook answered {code}")))
        }
        (_, _) => Err(io::Error::other("the webhook's answer is no HTTP")),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use config::HostPort;
    use rustls::RootCertStore;

    use super::*;

    /// A receiver that answers this, one byte after the other, for as long as somebody listens.
    fn dripping(tls: bool, mut answer: impl Iterator<Item = u8> + Send + 'static) -> Endpoint {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            let (mut peer, _) = listener.accept().unwrap();
            while peer.write_all(&[answer.next().unwrap()]).is_ok() {
                thread::sleep(Duration::from_millis(5));
            }
        });
        let address = HostPort { host: "127.0.0.1".into(), port };
        Endpoint { tls, address, path: "/".into() }
    }

    #[test]
    fn an_answer_that_comes_byte_by_byte_is_not_waited_for_without_end() {
        let letters = dripping(false, std::iter::repeat(b'x'));
        // The beginning of a handshake's longest record.
        let record = [0x16, 3, 3, 0x40, 0].into_iter().chain(std::iter::repeat(0));
        let record = dripping(true, record);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let nobody = tls.unwrap().with_root_certificates(RootCertStore::empty());
        let nobody = Arc::new(nobody.with_no_client_auth());
        for (endpoint, tls) in [(letters, None), (record, Some(nobody))] {
            let until = Instant::now() + Duration::from_millis(100);
            let error = post_until(until, (&endpoint, tls), None, b"{}").unwrap_err().kind();
            assert!(
                matches!(error, io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock),
                "{error}"
            );
        }
    }

    #[test]
    fn an_answer_is_well_by_its_whole_code_alone_and_errors_repeat_nothing_else() {
        for well in ["HTTP/1.1 204 No Content\r", "HTTP/1.0 200", "HTTP/1.1 299 \r"] {
            assert!(judge(well.as_bytes()).is_ok(), "{well}");
        }
        for (answer, told) in [
            ("HTTP/1.1 500 secret\r", "the webhook answered 500"),
            ("HTTP/1.1 100 Continue\r", "the webhook answered 100"),
            ("HTTP/1.1 2\r", "the webhook's answer is no HTTP"),
            ("HTTP/1.1 2xx well\r", "the webhook's answer is no HTTP"),
            ("HTTP/1.1  200 well\r", "the webhook's answer is no HTTP"),
            ("POST /secret HTTP/1.1\r", "the webhook's answer is no HTTP"),
            ("", "the webhook's answer is no HTTP"),
        ] {
            assert_eq!(judge(answer.as_bytes()).unwrap_err().to_string(), told, "{answer}");
        }
    }

    fn form(longest: usize) -> Form {
        Form { node: "node 1".into(), longest }
    }

    #[test]
    fn a_syslog_frame_is_as_long_as_its_receiver_takes_it() {
        let text = "x".repeat(10_000);
        let line = format!(r#"{{"v":1,"seq":7,"time":"T","event":"intent","text":"{text}"}}"#);
        let length = |longest| {
            let frame = String::from_utf8(form(longest).frame(line.as_bytes())).unwrap();
            assert!(frame.contains("<110>1 T node1 readgate - intent - {"), "{frame}");
            frame.split_once(' ').unwrap().1.len()
        };
        let whole = length(1 << 20);
        assert!(whole > line.len());
        assert_eq!(length(whole), whole);
        assert!(length(whole - 1) < 300);
    }

    #[test]
    fn a_syslog_frame_counts_its_octets_and_holds_the_whole_line() {
        let line = br#"{"v":1,"seq":7,"time":"2026-01-31T23:59:59.000001Z","event":"intent","text":"a b"}"#;
        let frame = String::from_utf8(form(1 << 16).frame(line)).unwrap();
        let (count, message) = frame.split_once(' ').unwrap();
        assert_eq!(count.parse::<usize>().unwrap(), message.len());
        assert!(
            message.starts_with(
                "<110>1 2026-01-31T23:59:59.000001Z node1 readgate - intent - {\"v\":1,"
            )
        );
        assert!(message.ends_with("\"a b\"}"));
    }
}
