//! Log lines on their way to standard error, which may take none: a disk that is full, a collector
//! that hangs or has gone. Nobody waits for it and nothing ends because of it; the ledger is what
//! must be kept.
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Bytes of lines that wait at most. What comes beyond is lost.
const MOST: usize = 1 << 20;

/// Lines that were lost since the start, of all logs.
static LOST: AtomicU64 = AtomicU64::new(0);

/// Lines of the log that nobody took, since the start.
pub fn lost() -> u64 {
    LOST.load(Ordering::Relaxed)
}

/// Takes lines, and has a thread write them. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Log(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: Vec<u8>,
    /// Lines for which there was no room, or that could not be written.
    lost: usize,
    /// How many lost ones a line among those that wait tells of.
    told: usize,
    /// Those before these were written.
    are_taken: bool,
    is_writing: bool,
}

impl Log {
    /// Writes to `out` from a thread of its own.
    ///
    /// # Errors
    /// The system has no thread for it.
    pub fn start(out: impl Write + Send + 'static) -> io::Result<Self> {
        Self::start_with(out, |_, lost| {
            tracing::warn!(lost, "lines of this log are missing: nobody took them");
        })
    }

    /// `tell` has a line written of how many were lost.
    fn start_with(
        mut out: impl Write + Send + 'static,
        tell: impl Fn(&Self, usize) + Send + 'static,
    ) -> io::Result<Self> {
        let log = Self::default();
        let lines = log.clone();
        let run = move || {
            loop {
                lines.write_next(&mut out, &tell);
            }
        };
        thread::Builder::new().name("log".into()).spawn(run)?;
        Ok(log)
    }

    /// Waits until all is written, but not longer than this.
    pub fn finish(&self, limit: Duration) {
        let is_busy = |waiting: &mut Waiting| waiting.is_writing || !waiting.is_empty();
        let _ = self.0.changed.wait_timeout_while(self.lock(), limit, is_busy);
    }

    /// Waits for lines and writes them.
    fn write_next(&self, out: &mut impl Write, tell: &impl Fn(&Self, usize)) {
        let waited = self.0.changed.wait_while(self.lock(), |waiting| waiting.is_empty());
        let mut waiting = waited.unwrap_or_else(PoisonError::into_inner);
        let lines = std::mem::take(&mut waiting.lines);
        let lost = if waiting.are_taken { std::mem::take(&mut waiting.lost) } else { 0 };
        let told = std::mem::replace(&mut waiting.told, lost);
        waiting.is_writing = true;
        drop(waiting);
        if lost > 0 {
            // None waits now: there is room for it.
            tell(self, lost);
        }
        let written = out.write_all(&lines);
        let mut waiting = self.lock();
        waiting.is_writing = false;
        waiting.are_taken = written.is_ok();
        if written.is_err() {
            waiting.lost += told;
            waiting.lose(lines.iter().filter(|byte| **byte == b'\n').count());
        }
        drop(waiting);
        self.0.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.lines.is_empty() && (self.lost == 0 || !self.are_taken)
    }

    fn lose(&mut self, lines: usize) {
        self.lost += lines;
        LOST.fetch_add(lines as u64, Ordering::Relaxed);
    }
}

/// Takes one line at a time, whole.
impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut waiting = self.lock();
        if waiting.lines.len() + line.len() > MOST {
            waiting.lose(1);
        } else {
            waiting.lines.extend_from_slice(line);
            self.0.changed.notify_all();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    /// Hands over what it is to write, and then does as it is told.
    struct Collector(Sender<Vec<u8>>, Receiver<io::Result<()>>);

    impl Write for Collector {
        fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
            self.0.send(lines.to_vec()).map_err(io::Error::other)?;
            self.1.recv().map_err(io::Error::other)?.map(|()| lines.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn collected() -> (Log, Receiver<Vec<u8>>, Sender<io::Result<()>>) {
        let ((lines, seen), (answer, answers)) = (channel(), channel());
        let tell = |log: &Log, lost| {
            log.clone().write_all(format!("{lost} lost\n").as_bytes()).unwrap();
        };
        (Log::start_with(Collector(lines, answers), tell).unwrap(), seen, answer)
    }

    fn lost(log: &Log) -> usize {
        log.lock().lost
    }

    #[test]
    fn what_finds_no_room_is_lost_and_nobody_waits() {
        let (mut log, seen, answer) = collected();
        log.write_all(b"first\n").unwrap();
        assert_eq!(seen.recv().unwrap(), b"first\n");
        let line = [&[b'x'; 1023][..], b"\n"].concat();
        for _ in 0..MOST / line.len() + 3 {
            log.write_all(&line).unwrap();
        }
        assert_eq!(lost(&log), 3);
        answer.send(Ok(())).unwrap();
        assert_eq!(seen.recv().unwrap().len(), MOST);
        answer.send(Ok(())).unwrap();
        assert_eq!(seen.recv().unwrap(), b"3 lost\n");
        answer.send(Ok(())).unwrap();
        log.finish(LONG);
        assert_eq!(lost(&log), 0);
    }

    #[test]
    fn what_could_not_be_written_is_lost_and_the_next_is_tried_again() {
        let (mut log, seen, answer) = collected();
        answer.send(Err(io::ErrorKind::StorageFull.into())).unwrap();
        log.write_all(b"first\n").unwrap();
        assert_eq!(seen.recv().unwrap(), b"first\n");
        log.finish(LONG);
        assert_eq!(lost(&log), 1);
        answer.send(Ok(())).unwrap();
        log.write_all(b"second\n").unwrap();
        assert_eq!(seen.recv().unwrap(), b"second\n");
        answer.send(Err(io::ErrorKind::StorageFull.into())).unwrap();
        assert_eq!(seen.recv().unwrap(), b"1 lost\n");
        log.finish(LONG);
        assert_eq!(lost(&log), 2, "it was told in vain");
        log.write_all(b"third\n").unwrap();
        assert_eq!(seen.recv().unwrap(), b"third\n");
        answer.send(Ok(())).unwrap();
        assert_eq!(seen.recv().unwrap(), b"2 lost\n");
    }

    #[test]
    fn the_end_does_not_wait_for_ever() {
        let (mut log, seen, _answer) = collected();
        log.write_all(b"first\n").unwrap();
        assert_eq!(seen.recv().unwrap(), b"first\n");
        log.finish(Duration::from_millis(1));
        assert!(log.lock().is_writing);
    }
}
