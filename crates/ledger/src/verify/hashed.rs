//! The lines of a ledger file with their hashes, in order. Hashing takes nearly all of a
//! verifier's time and needs no order: as many threads as there are cores take turns to read
//! a chunk of whole lines, and each hashes its own.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use memchr::{memchr_iter, memrchr};

use crate::line::{Frame, Hash, sha256};

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
            end.bytes += u64::try_from(chunk.bytes.len()).unwrap_or(u64::MAX);
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
        chunk.bytes.clear();
        chunk.lines.clear();
        chunk.bytes.append(&mut self.rest);
        let mut most = CHUNK;
        loop {
            let have = chunk.bytes.len();
            if have >= LONGEST {
                return Err(io::Error::other("a line has no end"));
            }
            let room = most.saturating_sub(have);
            chunk.bytes.reserve(room);
            let reader = self.reader.by_ref().take(u64::try_from(room).unwrap_or(u64::MAX));
            chunk.is_last = { reader }.read_to_end(&mut chunk.bytes)? < room;
            if let Some(at) = memrchr(b'\n', &chunk.bytes).filter(|_| !chunk.is_last) {
                self.rest.extend_from_slice(chunk.bytes.get(at + 1..).unwrap_or_default());
                chunk.bytes.truncate(at + 1);
                return Ok(());
            }
            if chunk.is_last {
                return Ok(());
            }
            most = 2 * chunk.bytes.len();
        }
    }
}

/// Whole lines.
#[derive(Default)]
struct Chunk {
    bytes: Vec<u8>,
    /// Where each ends, its hash, what its frame says.
    lines: Vec<(usize, Hash, Option<Frame>)>,
    is_last: bool,
}

impl Chunk {
    fn hash(&mut self) {
        let mut start = 0;
        for end in memchr_iter(b'\n', &self.bytes) {
            let line = self.bytes.get(start..end).unwrap_or_default();
            self.lines.push((end, sha256(line), Frame::read(line)));
            start = end + 1;
        }
    }

    fn each_line(&self, take: &mut dyn FnMut(&Line<'_>)) {
        let mut start = 0;
        for &(end, hash, frame) in &self.lines {
            let bytes = self.bytes.get(start..end).unwrap_or_default();
            take(&Line { bytes, hash, frame });
            start = end + 1;
        }
    }

    fn is_torn(&self) -> bool {
        self.bytes.last().is_some_and(|byte| *byte != b'\n')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
