//! Who takes records, and how far it is known that they have come. TCP tells that the other
//! machine has them, not that the program there has read them, and tells nothing at all when
//! that goes away: what was on the way by then is sent once more over the next connection.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use config::Endpoint;
use rustls::ClientConfig;

use super::wire::{DEADLINE, Form, Wire};

/// After this, what was sent over a connection that is still well has arrived: the kernel
/// breaks one whose other end acknowledges nothing for [`DEADLINE`]. The rest is for the
/// program there to read it.
const ON_THE_WAY: Duration = DEADLINE.saturating_add(Duration::from_secs(5));
/// Who ends a connection in order has read what was sent that long before.
const READ_BEFORE_END: Duration = Duration::from_secs(3);
/// Records sent within this count as sent together.
const TOGETHER: Duration = Duration::from_millis(500);

/// Takes records in their order.
pub(super) trait Receiver {
    /// Sends a record.
    fn send(&mut self, sequence: u64, line: &[u8]) -> io::Result<()>;

    /// Notices a way that is lost, and what has arrived meanwhile.
    fn look(&mut self) -> io::Result<()>;

    /// Says that nothing follows, and waits a little for the other end to have read it all.
    fn end(&mut self);

    /// The last record that needs no sending, as long as the way there is as it is.
    fn sent(&self) -> u64;

    /// The last record that has arrived.
    fn arrived(&self) -> u64;
}

/// Standard output: what it has taken has arrived.
pub(super) struct Stdout {
    sent: u64,
}

impl Stdout {
    pub(super) fn after(sent: u64) -> Self {
        Self { sent }
    }
}

impl Receiver for Stdout {
    fn send(&mut self, sequence: u64, line: &[u8]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(line)?;
        out.write_all(b"\n")?;
        out.flush()?;
        self.sent = sequence;
        Ok(())
    }

    fn look(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn end(&mut self) {}

    fn sent(&self) -> u64 {
        self.sent
    }

    fn arrived(&self) -> u64 {
        self.sent
    }
}

/// A syslog receiver, connected to when there is something to send.
pub(super) struct Syslog {
    endpoint: Endpoint,
    tls: Option<Arc<ClientConfig>>,
    form: Form,
    wire: Option<Wire>,
    /// When the other end was last known not to have ended the connection.
    was_open: Instant,
    arrived: u64,
    /// Since when records up to this one are on the way, oldest first.
    on_the_way: VecDeque<(Instant, u64)>,
}

impl Syslog {
    pub(super) fn after(
        arrived: u64,
        endpoint: Endpoint,
        tls: Option<Arc<ClientConfig>>,
        form: Form,
    ) -> Self {
        let (wire, was_open, on_the_way) = (None, Instant::now(), VecDeque::new());
        Self { endpoint, tls, form, wire, was_open, arrived, on_the_way }
    }

    fn lost(&mut self) {
        self.wire = None;
        self.on_the_way.clear();
    }
}

impl Receiver for Syslog {
    fn send(&mut self, sequence: u64, line: &[u8]) -> io::Result<()> {
        let wire = match &mut self.wire {
            Some(wire) => wire,
            none => {
                self.was_open = Instant::now();
                none.insert(Wire::connect(&self.endpoint, self.tls.clone(), None)?)
            }
        };
        let sent = wire.write_all(&self.form.frame(line)).and_then(|()| wire.flush());
        if sent.is_err() {
            self.lost();
            return sent;
        }
        match self.on_the_way.back_mut() {
            Some((since, last)) if since.elapsed() < TOGETHER => *last = sequence,
            Some(_) | None => self.on_the_way.push_back((Instant::now(), sequence)),
        }
        Ok(())
    }

    fn look(&mut self) -> io::Result<()> {
        let Some(wire) = &mut self.wire else {
            return Ok(());
        };
        let now = Instant::now();
        let until = match wire.is_open() {
            Ok(true) => {
                self.was_open = now;
                now.checked_sub(ON_THE_WAY)
            }
            Ok(false) => self.was_open.checked_sub(READ_BEFORE_END),
            Err(error) => {
                self.lost();
                return Err(error);
            }
        };
        while let Some((since, last)) = self.on_the_way.front()
            && until.is_some_and(|until| *since + TOGETHER <= until)
        {
            self.arrived = *last;
            self.on_the_way.pop_front();
        }
        Ok(())
    }

    fn end(&mut self) {
        let sent = self.sent();
        if let Some(wire) = self.wire.take()
            && wire.end().is_ok()
        {
            self.arrived = sent;
        }
        self.on_the_way.clear();
    }

    fn sent(&self) -> u64 {
        self.on_the_way.back().map_or(self.arrived, |(_, last)| *last)
    }

    fn arrived(&self) -> u64 {
        self.arrived
    }
}
