//! Copies of the ledger on their way elsewhere: records to standard output or a syslog
//! receiver, checkpoints to a webhook. Threads of their own, which read the ledger's files:
//! nothing here can hold up a record, and a receiver that was gone gets the rest later.
mod receiver;
pub mod standing;
pub(crate) mod wire;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use config::{Endpoint, LedgerConfig};
use ledger::{Ledger, LedgerSettings, Tail, safe_name, whole_file};
use rustls::ClientConfig;

use crate::tls::{self, TlsFault};
use receiver::{Receiver, Stdout, Syslog};
use standing::Standing;
use wire::Form;

/// Between two looks at the files.
const LOOK: Duration = Duration::from_millis(300);
/// Between two tries after a failure.
const RETRY: Duration = Duration::from_secs(5);
/// How soon another cause of a failure is told.
const TOLD_EACH: Duration = Duration::from_secs(60);
/// Between two looks for a new checkpoint.
const CHECKPOINT_LOOK: Duration = Duration::from_secs(1);
/// How long a stop waits for what is still to be sent.
const FINISH: Duration = Duration::from_secs(3);
/// Records after which the way is looked after.
const LOOK_AFTER: u64 = 1000;
/// Records after which the position is kept, which the disk is waited for.
const KEEP_AFTER: u64 = 10_000;

/// What is being shipped of a ledger. A reload that wants something else ends what runs, and
/// what follows it begins when that has ended: no two of a sort run at a time. Ends with
/// [`Shipping::finish`], or with the process.
pub struct Shipping {
    ledger: Ledger,
    directory: PathBuf,
    node: String,
    running: Mutex<Running>,
}

#[derive(Default)]
struct Running {
    wanted: Wanted,
    orders: Arc<Orders>,
    /// Of what is wanted now.
    standings: BTreeMap<&'static str, Arc<Standing>>,
    /// Each thread's end closes its own. Of each sort, the newest.
    ended: BTreeMap<&'static str, mpsc::Receiver<()>>,
}

/// What a configuration wants, with what is needed for it.
#[derive(Default)]
pub struct Wanted {
    shipping: config::Shipping,
    /// The certificates of who signs the receivers' ones.
    authority: Option<Vec<u8>>,
    tls: Option<Arc<ClientConfig>>,
}

impl Wanted {
    /// By the configuration, with the certificate authority's file as it is now.
    ///
    /// # Errors
    /// If that file can't be used.
    pub fn by(config: &LedgerConfig) -> Result<Self, TlsFault> {
        let shipping = config.shipping.clone();
        let ca_file = shipping.ca_file.as_deref();
        let tls = ca_file.map(tls::client_config).transpose()?;
        let authority = ca_file.and_then(|file| fs::read(file).ok());
        Ok(Self { shipping, authority, tls })
    }
}

impl Shipping {
    /// Nothing is shipped yet.
    pub fn new(ledger: &Ledger, settings: &LedgerSettings) -> Self {
        let (directory, node) = (settings.directory.clone(), settings.node.clone());
        Self { ledger: ledger.clone(), directory, node, running: Mutex::default() }
    }

    /// Ships what is wanted from now on, and nothing else.
    pub fn put_in_force(&self, wanted: Wanted) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same = running.wanted.shipping == wanted.shipping
            && running.wanted.authority == wanted.authority;
        if !is_same {
            running.orders.tell(Order::Leave);
            let ended = std::mem::take(&mut running.ended);
            *running = Running { wanted, ended, ..Running::default() };
            self.start(&mut running);
        }
    }

    fn start(&self, running: &mut Running) {
        let config::Shipping { to_stdout, syslog, longest, anchor_webhook, .. } =
            running.wanted.shipping.clone();
        let tls = running.wanted.tls.clone();
        let (directory, node) = (self.directory.clone(), self.node.clone());
        let newest = self.ledger.health().last_sequence;
        let records =
            move |what, standing| Records::new((&directory, &node), newest, what, standing);
        if to_stdout {
            let records = records.clone();
            let standing = running.stands("stdout", Standing::of_records(newest));
            running.spawn("ship-stdout", move |orders| {
                let records = records("stdout", standing);
                let mut stdout = Stdout::after(records.tail.last());
                records.run(&mut stdout, orders);
            });
        }
        if let Some(endpoint) = syslog {
            let form = Form { node: self.node.clone(), longest };
            let tls = tls.clone();
            let standing = running.stands("syslog", Standing::of_records(newest));
            running.spawn("ship-syslog", move |orders| {
                let records = records("syslog", standing);
                let mut syslog = Syslog::after(records.tail.last(), endpoint, tls, form);
                records.run(&mut syslog, orders);
            });
        }
        if let Some(endpoint) = anchor_webhook {
            let ledger = self.ledger.clone();
            let standing = running.stands("webhook", Standing::of_checkpoints());
            running.spawn("anchor", move |orders| {
                anchor((&endpoint, tls), &ledger, orders, &standing);
            });
        }
    }

    /// How each of the copies that are wanted stands.
    pub fn standings(&self) -> BTreeMap<&'static str, Arc<Standing>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).standings.clone()
    }

    /// Lets what is in the files go out, for at most some seconds. Blocks.
    pub fn finish(&self) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.orders.tell(Order::Finish);
        for ended in std::mem::take(&mut running.ended).into_values() {
            let _ = ended.recv_timeout(FINISH);
        }
    }
}

impl Running {
    fn stands(&mut self, to: &'static str, standing: Standing) -> Arc<Standing> {
        let standing = Arc::new(standing);
        self.standings.insert(to, Arc::clone(&standing));
        standing
    }

    fn spawn(&mut self, name: &'static str, run: impl FnOnce(&Orders) + Send + 'static) {
        let (end, ended) = channel();
        let former = self.ended.remove(name);
        let orders = Arc::clone(&self.orders);
        let spawned = thread::Builder::new().name(name.into()).spawn(move || {
            // It closes its end without a word.
            let _ = former.map(|former| former.recv());
            run(&orders);
            drop::<Sender<()>>(end);
        });
        match spawned {
            Ok(_) => drop(self.ended.insert(name, ended)),
            Err(error) => tracing::error!(%error, name, "a thread could not be made"),
        }
    }
}

/// What threads are told.
#[derive(Default)]
struct Orders {
    order: Mutex<Order>,
    told: Condvar,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Order {
    #[default]
    GoOn,
    /// To end when what is there has gone out.
    Finish,
    /// To end now: others take over.
    Leave,
}

impl Orders {
    fn tell(&self, order: Order) {
        *self.order.lock().unwrap_or_else(PoisonError::into_inner) = order;
        self.told.notify_all();
    }

    fn now(&self) -> Order {
        *self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits that long, or until there is an order.
    fn rest(&self, most: Duration) {
        let order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.told.wait_timeout_while(order, most, |order| *order == Order::GoOn));
    }
}

/// Records of this node, from where the last run left off.
struct Records {
    tail: Tail,
    directory: PathBuf,
    node: String,
    position: Position,
    what: &'static str,
}

impl Records {
    fn new(
        (directory, node): (&Path, &str),
        newest: u64,
        what: &'static str,
        standing: Arc<Standing>,
    ) -> Self {
        let file = format!("shipped-{what}-{}", safe_name(node));
        // One beyond the newest record is of a ledger that isn't here any more.
        let kept = read_position(&directory.join(&file)).filter(|kept| *kept <= newest);
        let kept = kept.unwrap_or(0);
        standing.begins_after(kept);
        let tail = Tail::after(kept, directory, node);
        let (directory, node) = (directory.to_owned(), node.to_owned());
        let position = Position { directory: directory.clone(), file, kept, told: kept, standing };
        Self { tail, directory, node, position, what }
    }

    fn run(mut self, receiver: &mut dyn Receiver, orders: &Orders) {
        let mut told = Told::default();
        loop {
            // Read before the pass, so that one more follows the last record.
            let last_pass = orders.now() != Order::GoOn;
            let passed = receiver.look().and_then(|()| self.pass(receiver, orders));
            let leaves = orders.now() == Order::Leave;
            if last_pass || leaves {
                receiver.end();
            }
            self.position.keep(receiver.arrived());
            if leaves {
                return;
            }
            let well = passed.is_ok();
            self.tell(passed, &mut told);
            self.position.standing.tried(well);
            if last_pass {
                return;
            }
            if receiver.sent() < self.tail.last() {
                // On the way when it was lost: once more.
                self.tail = Tail::after(receiver.sent(), &self.directory, &self.node);
            }
            orders.rest(if well { LOOK } else { RETRY });
        }
    }

    fn tell(&self, passed: io::Result<()>, told: &mut Told) {
        match passed.map_err(|error| error.to_string()) {
            Ok(()) if told.0.take().is_some() => {
                tracing::info!(to = self.what, "records are shipped again");
            }
            Err(error) if told.lacks(&error, Instant::now()) => {
                tracing::warn!(to = self.what, error, "records can't be shipped; tried again");
            }
            Ok(()) | Err(_) => {}
        }
    }

    fn pass(&mut self, receiver: &mut dyn Receiver, orders: &Orders) -> io::Result<()> {
        let (mut last, mut since) = (self.tail.last(), 0);
        let (position, what) = (&mut self.position, self.what);
        self.tail.pass(&mut |sequence, line| {
            if orders.now() == Order::Leave {
                return Err(io::Error::other("it goes elsewhere now"));
            }
            if sequence != last + 1 {
                let (from, to) = (last + 1, sequence - 1);
                tracing::warn!(to = what, "records {from} to {to} were encrypted or removed first");
            }
            receiver.send(sequence, line)?;
            last = sequence;
            since += 1;
            if since % LOOK_AFTER == 0 {
                receiver.look()?;
                position.tell(receiver.arrived());
            }
            if since % KEEP_AFTER == 0 {
                position.keep(receiver.arrived());
            }
            Ok(())
        })
    }
}

/// The failure that the log has told last, and when.
#[derive(Default)]
struct Told(Option<(String, Instant)>);

impl Told {
    /// Whether this one is to be told: the first, and later a new cause, such as a certificate that
    /// has ended behind a server that was down. Notes that it is.
    fn lacks(&mut self, error: &str, now: Instant) -> bool {
        let is_told = |(before, at): &(String, Instant)| {
            before == error || now.saturating_duration_since(*at) < TOLD_EACH
        };
        let lacks = !self.0.as_ref().is_some_and(is_told);
        if lacks {
            self.0 = Some((error.to_owned(), now));
        }
        lacks
    }
}

/// How far a receiver has got, for the next start and for who asks.
struct Position {
    directory: PathBuf,
    file: String,
    /// What the file says.
    kept: u64,
    /// What was told to who asks.
    told: u64,
    standing: Arc<Standing>,
}

impl Position {
    fn tell(&mut self, sequence: u64) {
        if self.told != sequence {
            self.standing.has(sequence);
            self.told = sequence;
        }
    }

    /// What was sent before a crash may be sent twice: node and sequence tell.
    fn keep(&mut self, sequence: u64) {
        self.tell(sequence);
        if self.kept == sequence {
            return;
        }
        let text = sequence.to_string();
        match whole_file::write(&self.directory, &self.file, 0o600, text.as_bytes()) {
            Ok(()) => self.kept = sequence,
            Err(error) => tracing::debug!(%error, "the position of shipping could not be kept"),
        }
    }
}

fn read_position(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Posts each new checkpoint. The newest stands for those before it.
fn anchor(
    (endpoint, tls): (&Endpoint, Option<Arc<ClientConfig>>),
    ledger: &Ledger,
    orders: &Orders,
    standing: &Standing,
) {
    let mut posted = None;
    let mut well = true;
    loop {
        let last_look = match orders.now() {
            Order::GoOn => false,
            Order::Finish => true,
            Order::Leave => return,
        };
        let newest = ledger.health().last_checkpoint;
        if let (Some(line), true) = (&newest, newest != posted) {
            let done = wire::post((endpoint, tls.clone()), None, line.as_bytes());
            match &done {
                Ok(()) => {
                    posted.clone_from(&newest);
                    standing.has(0);
                }
                Err(error) if well => {
                    tracing::warn!(%error, "a checkpoint can't be posted; tried again");
                }
                Err(_) => {}
            }
            well = done.is_ok();
            standing.tried(well);
        }
        if last_look {
            return;
        }
        orders.rest(if well { CHECKPOINT_LOOK } else { RETRY });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_cause_is_told_once_and_not_too_soon() {
        let (begin, mut told) = (Instant::now(), Told::default());
        assert!(told.lacks("refused", begin));
        assert!(!told.lacks("refused", begin + 2 * TOLD_EACH));
        assert!(!told.lacks("expired", begin + TOLD_EACH / 2));
        assert!(told.lacks("expired", begin + TOLD_EACH));
        assert!(!told.lacks("refused", begin + TOLD_EACH));
    }
}
