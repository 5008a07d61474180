//! The journal's memory: a file of fixed size, mapped shared. The one place with
//! `unsafe` in this crate; the proof stands at the call.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};

use memmap2::{Advice, MmapMut, MmapOptions};

/// Fills `file` with `len` zero bytes, so that no store into the mapping ever has to
/// find room on the disk, and forces them out.
pub(crate) fn preallocate(file: &mut File, len: usize) -> io::Result<()> {
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    let zeros = vec![0; 1 << 20];
    let mut left = len;
    while left > 0 {
        let chunk = zeros.get(..left.min(zeros.len())).unwrap_or(&zeros);
        file.write_all(chunk)?;
        left -= chunk.len();
    }
    file.sync_all()
}

/// Maps the first `len` bytes of `file`, which must be that long and locked by us.
pub(crate) fn map(file: &File, len: usize) -> io::Result<MmapMut> {
    if file.metadata()?.len() < u64::try_from(len).unwrap_or(u64::MAX) {
        return Err(io::Error::other("the journal is shorter than it should be"));
    }
    // SAFETY: what must hold for a `&mut [u8]` over a mapped file is that nobody else
    // changes the bytes and that the pages exist.
    // - Nobody else: the file is made 0600 by us, holds an exclusive lock for as long as
    //   the mapping is touched (the `File` is kept beside it; after the ledger has ended,
    //   nothing reads or writes the mapping), and each readgate process takes that lock
    //   before it maps. The mapping is owned by one value behind one mutex.
    //   A foreign process of the same user (or root) that writes the file all the same
    //   can change the bytes under us: what we read back (lengths, texts) is checked by
    //   checksum and range before use and is never used as an address, a UTF-8 claim or a
    //   type's bit pattern, only copied out as bytes.
    // - The pages exist: the length was checked above and the blocks were written, not
    //   just reserved. Truncation by a foreign process would raise SIGBUS at the next
    //   touch: the daemon dies and nothing is forwarded, which is the safe side.
    //   Unlinking the file leaves the mapping whole.
    #[allow(unsafe_code, reason = "mapping a file has no safe form; the proof is above")]
    let mapped = unsafe { MmapOptions::new().len(len).populate().map_mut(file) }?;
    // Writable now, so that no session's first store into a page has to ask the file system.
    // Kernels before 5.14 can't: the stores ask then.
    let _ = mapped.advise(Advice::PopulateWrite);
    Ok(mapped)
}
