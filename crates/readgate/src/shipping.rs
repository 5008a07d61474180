//! Copies of the ledger on their way elsewhere: records to standard output or a syslog
//! receiver, checkpoints to a webhook. Threads of their own, which read the ledger's files:
//! nothing here can hold up a record, and a receiver that was gone gets the rest later.
mod checkpoints;
mod orders;
mod receiver;
mod records;
pub mod standing;
pub(crate) mod wire;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use config::LedgerConfig;
use ledger::{Ledger, LedgerSettings};
use rustls::ClientConfig;

use crate::tls::{self, TlsFault};
use orders::{Order, Orders};
use receiver::{Stdout, Syslog};
use records::Records;
use standing::Standing;
use wire::Form;

/// Between two tries after a failure.
const RETRY: Duration = Duration::from_secs(5);
/// How long a stop waits for what is still to be sent.
const FINISH: Duration = Duration::from_secs(3);

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
                let mut stdout = Stdout::after(records.last());
                records.run(&mut stdout, orders);
            });
        }
        if let Some(endpoint) = syslog {
            let form = Form { node: self.node.clone(), longest };
            let tls = tls.clone();
            let standing = running.stands("syslog", Standing::of_records(newest));
            running.spawn("ship-syslog", move |orders| {
                let records = records("syslog", standing);
                let mut syslog = Syslog::after(records.last(), endpoint, tls, form);
                records.run(&mut syslog, orders);
            });
        }
        if let Some(endpoint) = anchor_webhook {
            let ledger = self.ledger.clone();
            let standing = running.stands("webhook", Standing::of_checkpoints());
            running.spawn("anchor", move |orders| {
                checkpoints::post((&endpoint, tls), &ledger, orders, &standing);
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
        for (thread, ended) in std::mem::take(&mut running.ended) {
            // Its other end is closed without a word.
            if ended.recv_timeout(FINISH) == Err(RecvTimeoutError::Timeout) {
                tracing::warn!(thread, "the ledger has ended before all of it had gone out");
            }
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
