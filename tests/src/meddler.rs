//! Stands between readgate and a replica that it speaks to in the clear, passes everything on, and
//! once in each connection changes what the replica answers: a replica that misbehaves.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::thread;

/// What becomes of an answer. False: not yet, more of it must come.
type Change = dyn Fn(&mut Vec<u8>) -> bool + Send + Sync;

/// What becomes of the end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    Passed,
    Withheld,
}

/// Listens as long as the test program lives.
#[derive(Debug)]
pub struct Meddler {
    /// Where readgate is to look for the replica.
    pub port: u16,
    server: Arc<AtomicU16>,
}

impl Meddler {
    /// Passes everything on to a server.
    pub fn honest(server: u16) -> Self {
        Self::start(server, &[], |_| true)
    }

    /// The same at an address of its own.
    pub fn honest_at(address: &str, port: u16, server: u16) -> Self {
        let listener = TcpListener::bind((address, port)).expect("the port is free there too");
        Self::between(listener, server, &[], Ends::Passed, |_| true)
    }

    /// Passes everything on but the ends of connections that the server has closed: as where a host
    /// goes without a word, and another one comes in its place.
    pub fn without_ends(server: u16) -> Self {
        Self::between(anywhere(), server, &[], Ends::Withheld, |_| true)
    }

    /// Has an answer changed: the first bytes that come once readgate has sent these texts, one
    /// behind the other; the greeting, if there are none.
    pub fn start(
        server: u16,
        texts: &'static [&'static str],
        change: impl Fn(&mut Vec<u8>) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self::between(anywhere(), server, texts, Ends::Passed, change)
    }

    fn between(
        listener: TcpListener,
        server: u16,
        texts: &'static [&'static str],
        ends: Ends,
        change: impl Fn(&mut Vec<u8>) -> bool + Send + Sync + 'static,
    ) -> Self {
        let port = listener.local_addr().expect("an address").port();
        let (server, change) = (Arc::new(AtomicU16::new(server)), Arc::new(change));
        let way = Arc::clone(&server);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(("127.0.0.1", way.load(Ordering::SeqCst)))
                else {
                    continue;
                };
                stand_between(&client, &server, texts, ends, change.clone());
            }
        });
        Self { port, server }
    }

    /// From now on connections lead to another server.
    pub fn lead_to(&self, server: u16) {
        self.server.store(server, Ordering::SeqCst);
    }
}

fn anywhere() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").expect("a port")
}

fn stand_between(
    client: &TcpStream,
    server: &TcpStream,
    texts: &'static [&'static str],
    ends: Ends,
    change: Arc<Change>,
) {
    let seen = Arc::new(AtomicUsize::new(0));
    let (from, to) = (client.try_clone(), server.try_clone());
    let seeing = Arc::clone(&seen);
    pass(from.expect("a handle"), to.expect("a handle"), Ends::Passed, move |bytes| {
        while let Some(text) = texts.get(seeing.load(Ordering::SeqCst)) {
            if !bytes.windows(text.len()).any(|window| window == text.as_bytes()) {
                break;
            }
            seeing.fetch_add(1, Ordering::SeqCst);
        }
        true
    });
    let (from, to) = (server.try_clone(), client.try_clone());
    let mut is_changed = false;
    pass(from.expect("a handle"), to.expect("a handle"), ends, move |bytes| {
        if is_changed || seen.load(Ordering::SeqCst) < texts.len() {
            return true;
        }
        is_changed = change(bytes);
        is_changed
    });
}

/// Passes on what comes, in pieces of which `look` says that they are whole.
fn pass(
    mut from: TcpStream,
    mut to: TcpStream,
    ends: Ends,
    mut look: impl FnMut(&mut Vec<u8>) -> bool + Send + 'static,
) {
    thread::spawn(move || {
        let (mut room, mut piece) = (vec![0; 64 << 10], Vec::new());
        while let Ok(read @ 1..) = from.read(&mut room) {
            piece.extend_from_slice(&room[..read]);
            if look(&mut piece) && to.write_all(&std::mem::take(&mut piece)).is_err() {
                break;
            }
        }
        if ends == Ends::Passed {
            let _ = from.shutdown(Shutdown::Both);
            let _ = to.shutdown(Shutdown::Both);
        }
    });
}
