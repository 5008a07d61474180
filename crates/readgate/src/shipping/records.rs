//! Records on their way to one receiver, from where the last run left off.
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ledger::{Tail, safe_name, whole_file};

use super::RETRY;
use super::orders::{Order, Orders};
use super::receiver::Receiver;
use super::standing::Standing;

/// Between two looks at the files.
const LOOK: Duration = Duration::from_millis(300);
/// How soon another cause of a failure is told.
const TOLD_EACH: Duration = Duration::from_secs(60);
/// Records after which the way is looked after.
const LOOK_AFTER: u64 = 1000;
/// Records after which the position is kept, which the disk is waited for.
const KEEP_AFTER: u64 = 10_000;

/// Records of this node, from where the last run left off.
pub(super) struct Records {
    tail: Tail,
    directory: PathBuf,
    node: String,
    position: Position,
    what: &'static str,
}

impl Records {
    pub(super) fn new(
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

    /// The last record that has gone out.
    pub(super) fn last(&self) -> u64 {
        self.tail.last()
    }

    /// Until it is ordered to end.
    pub(super) fn run(mut self, receiver: &mut dyn Receiver, orders: &Orders) {
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
