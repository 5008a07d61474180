//! Copies of the ledger on their way elsewhere: records to standard output or a syslog
//! receiver, checkpoints to a webhook. Threads of their own, which read the ledger's files:
//! nothing here can hold up a record, and a receiver that was gone gets the rest later.
pub(crate) mod wire;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use config::{Endpoint, LedgerConfig};
use ledger::{Ledger, LedgerSettings, Tail};
use rustls::ClientConfig;

use crate::tls::{self, TlsFault};
use wire::Wire;

/// Between two looks at the files.
const LOOK: Duration = Duration::from_millis(300);
/// Between two tries after a failure.
const RETRY: Duration = Duration::from_secs(5);
/// Between two looks for a new checkpoint.
const CHECKPOINT_LOOK: Duration = Duration::from_secs(1);
/// How long a stop waits for what is still to be sent.
const FINISH: Duration = Duration::from_secs(3);
/// Records after which the position is kept.
const KEEP_AFTER: u64 = 1000;

/// What is being shipped. Ends with [`Shipping::finish`], or with the process.
pub struct Shipping {
    stopping: Arc<AtomicBool>,
    /// Each thread's end closes its own.
    ended: Vec<Receiver<()>>,
}

/// Starts what the configuration wants.
///
/// # Errors
/// If the certificate authority's file can't be used, or a thread can't be made.
pub fn start(
    config: &LedgerConfig,
    settings: &LedgerSettings,
    ledger: &Ledger,
) -> Result<Shipping, TlsFault> {
    let mut shipping = Shipping { stopping: Arc::default(), ended: Vec::new() };
    let wanted = &config.shipping;
    let tls = wanted.ca_file.as_deref().map(tls::client_config).transpose()?;
    if wanted.to_stdout {
        let records = Records::new(settings, "stdout");
        shipping.spawn("ship-stdout", move |stopping| records.run(&mut to_stdout, stopping));
    }
    if let Some(endpoint) = wanted.syslog.clone() {
        let mut syslog = Syslog::new(endpoint, tls.clone(), settings.node.clone());
        let records = Records::new(settings, "syslog");
        shipping.spawn("ship-syslog", move |stopping| {
            records.run(&mut |line| syslog.send(line), stopping);
        });
    }
    if let Some(endpoint) = wanted.anchor_webhook.clone() {
        let ledger = ledger.clone();
        shipping.spawn("anchor", move |stopping| anchor(&endpoint, tls, &ledger, stopping));
    }
    Ok(shipping)
}

impl Shipping {
    fn spawn(&mut self, name: &str, run: impl FnOnce(&AtomicBool) + Send + 'static) {
        let (end, ended) = channel();
        let stopping = Arc::clone(&self.stopping);
        let spawned = thread::Builder::new().name(name.into()).spawn(move || {
            run(&stopping);
            drop::<std::sync::mpsc::Sender<()>>(end);
        });
        match spawned {
            Ok(_) => self.ended.push(ended),
            Err(error) => tracing::error!(%error, name, "a thread could not be made"),
        }
    }

    /// Lets what is in the files go out, for at most some seconds. Blocks.
    pub fn finish(self) {
        self.stopping.store(true, Ordering::Release);
        for ended in self.ended {
            let _ = ended.recv_timeout(FINISH);
        }
    }
}

/// Records of this node, from where the last run left off.
struct Records {
    tail: Tail,
    position: PathBuf,
    what: &'static str,
}

impl Records {
    fn new(settings: &LedgerSettings, what: &'static str) -> Self {
        let position = settings.directory.join(format!("shipped-{what}"));
        let sent = read_position(&position);
        Self { tail: Tail::after(sent, &settings.directory, &settings.node), position, what }
    }

    fn run(mut self, send: &mut dyn FnMut(&[u8]) -> io::Result<()>, stopping: &AtomicBool) {
        let mut well = true;
        loop {
            // Read before the pass, so that one more follows the last record.
            let last_pass = stopping.load(Ordering::Acquire);
            let before = self.tail.last();
            let passed = self.pass(send);
            if self.tail.last() != before {
                keep_position(&self.position, self.tail.last());
            }
            match &passed {
                Ok(()) if !well => tracing::info!(to = self.what, "records are shipped again"),
                Err(error) if well => {
                    tracing::warn!(to = self.what, %error, "records can't be shipped; tried again");
                }
                Ok(()) | Err(_) => {}
            }
            well = passed.is_ok();
            if last_pass {
                return;
            }
            thread::sleep(if well { LOOK } else { RETRY });
        }
    }

    fn pass(&mut self, send: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let (mut last, mut since) = (self.tail.last(), 0);
        let (position, what) = (&self.position, self.what);
        self.tail.pass(&mut |sequence, line| {
            if sequence != last + 1 {
                let (from, to) = (last + 1, sequence - 1);
                tracing::warn!(to = what, "records {from} to {to} were encrypted or removed first");
            }
            send(line)?;
            last = sequence;
            since += 1;
            if since % KEEP_AFTER == 0 {
                keep_position(position, sequence);
            }
            Ok(())
        })
    }
}

/// What was sent before a crash may be sent twice: node and sequence tell.
fn keep_position(path: &Path, sequence: u64) {
    let temporary = path.with_extension("new");
    let kept =
        fs::write(&temporary, sequence.to_string()).and_then(|()| fs::rename(&temporary, path));
    if let Err(error) = kept {
        tracing::debug!(%error, "the position of shipping could not be kept");
    }
}

fn read_position(path: &Path) -> u64 {
    fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

fn to_stdout(line: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(line)?;
    out.write_all(b"\n")?;
    out.flush()
}

/// A connection to a syslog receiver, made when it is needed.
struct Syslog {
    endpoint: Endpoint,
    tls: Option<Arc<ClientConfig>>,
    node: String,
    wire: Option<Wire>,
}

impl Syslog {
    fn new(endpoint: Endpoint, tls: Option<Arc<ClientConfig>>, node: String) -> Self {
        Self { endpoint, tls, node, wire: None }
    }

    fn send(&mut self, line: &[u8]) -> io::Result<()> {
        let wire = match &mut self.wire {
            Some(wire) => wire,
            none => none.insert(Wire::connect(&self.endpoint, self.tls.clone())?),
        };
        let sent =
            wire.write_all(&wire::syslog_frame(&self.node, line)).and_then(|()| wire.flush());
        if sent.is_err() {
            self.wire = None;
        }
        sent
    }
}

/// Posts each new checkpoint. The newest stands for those before it.
fn anchor(
    endpoint: &Endpoint,
    tls: Option<Arc<ClientConfig>>,
    ledger: &Ledger,
    stopping: &AtomicBool,
) {
    let mut posted = None;
    let mut well = true;
    loop {
        let last_look = stopping.load(Ordering::Acquire);
        let newest = ledger.health().last_checkpoint;
        if let (Some(line), true) = (&newest, newest != posted) {
            let done = wire::post(endpoint, tls.clone(), None, line.as_bytes());
            match &done {
                Ok(()) => posted.clone_from(&newest),
                Err(error) if well => {
                    tracing::warn!(%error, "a checkpoint can't be posted; tried again");
                }
                Err(_) => {}
            }
            well = done.is_ok();
        }
        if last_look {
            return;
        }
        thread::sleep(if well { CHECKPOINT_LOOK } else { RETRY });
    }
}
