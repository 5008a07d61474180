//! The lines of a ledger file with their hashes, in order. Hashing takes nearly all of a
//! verifier's time and needs no order: as many threads as there are cores take turns to read
//! a chunk of whole lines, and each hashes its own. What else is read of a line is read there
//! too, out of a cache that holds it.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use memchr::memmem::Finder;
use memchr::{memchr_iter, memrchr};

use super::lanes::sha256_of_each;
use crate::line::{Frame, Hash};

/// Bytes read at once; small enough to stay in the processor's cache until hashed.
const CHUNK: usize = 128 << 10;
/// A longer line is no ledger's.
const LONGEST: usize = 64 << 20;
/// Threads at most: beyond, the one that checks the order is what takes the time.
const MOST_THREADS: usize = 8;

/// A line without its line feed.
pub(super) struct Line<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) hash: Hash,
    /// `None`: not of our form.
    pub(super) frame: Option<Frame>,
    pub(super) event: Event,
}

/// What a line tells, as far as the walk over them takes note of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    Checkpoint { closes: bool },
    Gap,
    KeyRotated,
    Other,
}

/// Finds the lines' events.
struct Events {
    member: Finder<'static>,
    /// Where the last line's began: nearly always there in the next one too.
    at: usize,
}

impl Default for Events {
    fn default() -> Self {
        Self { member: Finder::new(b",\"event\":\""), at: 0 }
    }
}

impl Events {
    fn of(&mut self, line: &[u8]) -> Event {
        // Within a text the quotes would be escaped: the first hit is the member itself.
        let needle = self.member.needle();
        if !line.get(self.at..).is_some_and(|rest| rest.starts_with(needle)) {
            self.at = self.member.find(line).unwrap_or(line.len());
        }
        let event = line.get(self.at + needle.len()..).unwrap_or_default();
        // Most are none of these.
        match event.first() {
            Some(b'c') if event.starts_with(b"checkpoint\"") => {
                Event::Checkpoint { closes: event.starts_with(b"checkpoint\",\"why\":\"close\"") }
            }
            Some(b'g') if event.starts_with(b"gap\"") => Event::Gap,
            Some(b'k') if event.starts_with(b"key_rotated\"") => Event::KeyRotated,
            _ => Event::Other,
        }
    }
}

/// What a file had beside its lines.
pub(super) struct End {
    pub(super) bytes: u64,
    /// Something follows the last line feed.
    pub(super) is_torn: bool,
}

/// Hands over each line in its order.
pub(super) fn each_line(
    reader: impl Read + Send,
    take: &mut dyn FnMut(&Line<'_>),
) -> io::Result<End> {
    let threads = thread::available_parallelism().map_or(1, |cores| cores.get().min(MOST_THREADS));
    let (order, chunks) = sync_channel(2 * threads);
    let spare = Mutex::new(Vec::new());
    let source = Mutex::new(Source { reader, order, rest: Vec::new(), is_over: false });
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| while hash_next(&source, &spare) {});
        }
        let mut end = End { bytes: 0, is_torn: false };
        // Taken here, it ends with this closure: threads that wait for room in it then end.
        let chunks: Receiver<io::Result<Receiver<Chunk>>> = chunks;
        for chunk in chunks {
            let lost = |_| io::Error::other("a thread that hashes has failed");
            let chunk = chunk?.recv().map_err(lost)?;
            chunk.each_line(take);
            end.bytes += u64::try_from(chunk.filled).unwrap_or(u64::MAX);
            end.is_torn |= chunk.is_torn();
            let is_last = chunk.is_last;
            spare.lock().unwrap_or_else(PoisonError::into_inner).push(chunk);
            if is_last {
                break;
            }
        }
        Ok(end)
    })
}

/// Reads one chunk and hashes its lines. False: nothing is left to do.
fn hash_next<R: Read>(source: &Mutex<Source<R>>, spare: &Mutex<Vec<Chunk>>) -> bool {
    let mut chunk = spare.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
    let (done, hashed) = sync_channel(1);
    {
        let mut source = source.lock().unwrap_or_else(PoisonError::into_inner);
        if source.is_over {
            return false;
        }
        let filled = source.fill(&mut chunk);
        source.is_over = filled.is_err() || chunk.is_last;
        // The place in the order is taken before the next thread reads.
        if source.order.send(filled.map(|()| hashed)).is_err() {
            source.is_over = true;
            return false;
        }
    }
    chunk.hash();
    done.send(chunk).is_ok()
}

/// The file, read by one thread at a time.
struct Source<R> {
    reader: R,
    order: SyncSender<io::Result<Receiver<Chunk>>>,
    /// The beginning of a line whose end was not read yet.
    rest: Vec<u8>,
    is_over: bool,
}

impl<R: Read> Source<R> {
    /// Fills an empty or used chunk with whole lines; the last one also with what follows them.
    fn fill(&mut self, chunk: &mut Chunk) -> io::Result<()> {
        chunk.lines.clear();
        chunk.begin(&mut self.rest);
        loop {
            if chunk.filled >= LONGEST {
                return Err(io::Error::other("a line has no end"));
            }
            chunk.is_last = self.read(chunk)?;
            if chunk.is_last {
                return Ok(());
            }
            if let Some(at) = memrchr(b'\n', chunk.bytes()) {
                self.rest.extend_from_slice(chunk.bytes().get(at + 1..).unwrap_or_default());
                chunk.filled = at + 1;
                return Ok(());
            }
            chunk.buffer.resize(2 * chunk.filled, 0);
        }
    }

    /// Reads until the buffer is full. True: there is no more to read.
    fn read(&mut self, chunk: &mut Chunk) -> io::Result<bool> {
        while let Some(room) = chunk.buffer.get_mut(chunk.filled..).filter(|room| !room.is_empty())
        {
            match self.reader.read(room) {
                Ok(0) => return Ok(true),
                Ok(more) => chunk.filled += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }
}

/// Whole lines.
#[derive(Default)]
struct Chunk {
    /// What is read into: stays as it is from one use to the next, so that nothing needs to
    /// clear it before.
    buffer: Vec<u8>,
    /// How much of it was read.
    filled: usize,
    lines: Vec<LineRead>,
    /// Of each of them.
    hashes: Vec<Hash>,
    is_last: bool,
}

/// A line that ends there.
struct LineRead {
    end: usize,
    frame: Option<Frame>,
    event: Event,
}

impl Chunk {
    /// Starts with what an earlier chunk left, which it takes.
    fn begin(&mut self, rest: &mut Vec<u8>) {
        let least = CHUNK.max(2 * rest.len());
        if self.buffer.len() < least {
            self.buffer.resize(least, 0);
        }
        self.filled = rest.len();
        if let Some(room) = self.buffer.get_mut(..rest.len()) {
            room.copy_from_slice(rest);
        }
        rest.clear();
    }

    fn bytes(&self) -> &[u8] {
        self.buffer.get(..self.filled).unwrap_or_default()
    }

    fn hash(&mut self) {
        let bytes = self.buffer.get(..self.filled).unwrap_or_default();
        let mut events = Events::default();
        let mut start = 0;
        let lines = memchr_iter(b'\n', bytes).map(|end| {
            let line = bytes.get(start..end).unwrap_or_default();
            start = end + 1;
            self.lines.push(LineRead { end, frame: Frame::read(line), event: events.of(line) });
            line
        });
        sha256_of_each(lines, &mut self.hashes);
    }

    fn each_line(&self, take: &mut dyn FnMut(&Line<'_>)) {
        let mut start = 0;
        for (&LineRead { end, frame, event }, &hash) in self.lines.iter().zip(&self.hashes) {
            let bytes = self.bytes().get(start..end).unwrap_or_default();
            take(&Line { bytes, hash, frame, event });
            start = end + 1;
        }
    }

    fn is_torn(&self) -> bool {
        self.bytes().last().is_some_and(|byte| *byte != b'\n')
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::sha256;

    /// Gives few bytes at a time, as a decompressor may.
    struct Slow<'a>(&'a [u8]);

    impl Read for Slow<'_> {
        fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
            let len = room.len().min(self.0.len()).min(50_000);
            self.0.read(&mut room[..len])
        }
    }

    fn lines_of(bytes: &[u8]) -> (Vec<Vec<u8>>, End) {
        let mut lines = Vec::new();
        let end = each_line(Slow(bytes), &mut |line| {
            assert_eq!(line.hash, sha256(line.bytes));
            lines.push(line.bytes.to_vec());
        });
        (lines, end.unwrap())
    }

    #[test]
    fn lines_of_any_length_come_in_their_order() {
        let whole: Vec<Vec<u8>> = (0..400_usize)
            .map(|n| format!("{n}:{}", "x".repeat(n * n * 7 % 300_001)).into_bytes())
            .collect();
        let mut bytes = whole.join(&b'\n');
        bytes.push(b'\n');
        let (lines, end) = lines_of(&bytes);
        assert!(lines == whole && !end.is_torn);
        assert_eq!(end.bytes, u64::try_from(bytes.len()).unwrap());
        bytes.extend_from_slice(b"torn");
        let (lines, end) = lines_of(&bytes);
        assert!(lines == whole && end.is_torn);
        assert_eq!(lines_of(b"").0.len(), 0);
    }

    #[test]
    fn an_error_of_the_file_is_an_error() {
        struct Broken(u32);
        impl Read for Broken {
            fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
                self.0 += 1;
                if self.0 > 40 {
                    return Err(io::ErrorKind::NotConnected.into());
                }
                room.fill(b'\n');
                Ok(room.len())
            }
        }
        let ended = each_line(Broken(0), &mut |_| {});
        assert_eq!(ended.err().unwrap().kind(), io::ErrorKind::NotConnected);
    }
}
