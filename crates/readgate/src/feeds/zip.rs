//! Whether a zip archive is whole: its directory, and the CRC of each entry that is stored or
//! deflated and not encrypted. Reads as it goes: memory doesn't grow with what a file claims.
//!
//! Format: PKWARE's APPNOTE 6.3.10, sections 4.3 and 4.5.3.
use std::io::{self, BufReader, Read, Seek, SeekFrom};

use flate2::Crc;
use flate2::read::DeflateDecoder;

use super::check::Flaw;

const END: [u8; 4] = *b"PK\x05\x06";
const END_64: [u8; 4] = *b"PK\x06\x06";
const LOCATOR_64: [u8; 4] = *b"PK\x06\x07";
const ENTRY: [u8; 4] = *b"PK\x01\x02";
const LOCAL: [u8; 4] = *b"PK\x03\x04";
/// The end's record, and the longest comment behind it.
const TAIL: u64 = 22 + 65_535;
/// In the place of a number that stands in the entry's 64-bit part.
const IN_64: u64 = 0xffff_ffff;
const STORED: u64 = 0;
const DEFLATED: u64 = 8;
const ENCRYPTED: u64 = 1;

/// Reads all of it; `open` gives a reader of the archive each time.
pub(super) fn verify<R: Read + Seek>(open: impl Fn() -> io::Result<R>) -> Result<(), Flaw> {
    let directory = Directory::find(&mut open()?)?;
    let mut entries = BufReader::new(open()?);
    let mut data = open()?;
    entries.seek(SeekFrom::Start(directory.start))?;
    let (mut read, mut count) = (0, 0_u64);
    while read < directory.size {
        let (entry, length) = Entry::read(&mut entries)?;
        read += length;
        count += 1;
        entry.verify(&mut data, &directory).map_err(|flaw| flaw.of_entry(&entry.name))?;
    }
    // Without the 64-bit part the count has 16 bits.
    let stated = directory.entries;
    if read != directory.size || (count != stated && count & 0xffff != stated) {
        return Err(Flaw::of(format!("its directory has {count} entries of {stated}")));
    }
    Ok(())
}

/// Where the directory is.
struct Directory {
    start: u64,
    size: u64,
    entries: u64,
    /// What stands before the archive, such as a program that unpacks it.
    before: u64,
}

impl Directory {
    fn find<R: Read + Seek>(file: &mut R) -> Result<Self, Flaw> {
        let size = file.seek(SeekFrom::End(0))?;
        let from = size.saturating_sub(TAIL);
        file.seek(SeekFrom::Start(from))?;
        let mut tail = Vec::new();
        file.take(TAIL).read_to_end(&mut tail)?;
        let no_end = || Flaw::of("is no zip archive, or is cut short: it has no end record");
        // The last one whose comment is whole: a comment may hold anything.
        let is_end = |at: &usize| {
            let comment = tail.get(at + 20..at + 22).map(|two| Fields(two).number(2));
            let Some(Ok(comment)) = comment else { return false };
            tail.get(*at..at + 4) == Some(&END) && (at + 22) as u64 + comment <= tail.len() as u64
        };
        let at = (0..tail.len()).rev().find(is_end).ok_or_else(no_end)?;
        let mut end = Fields(tail.get(at + 4..).unwrap_or_default());
        let disks = (end.number(2)?, end.number(2)?);
        let _on_this_disk = end.number(2)?;
        let (entries, length, offset) = (end.number(2)?, end.number(4)?, end.number(4)?);
        let place = from + at as u64;
        let locator = place.checked_sub(20).map(|at| read_at::<20, R>(file, at)).transpose()?;
        if let Some(locator) = locator.filter(|bytes| bytes.starts_with(&LOCATOR_64)) {
            return Self::find_64(file, Fields(locator.get(8..).unwrap_or_default()), place);
        }
        if disks != (0, 0) {
            return Err(Flaw::of("is one of several volumes"));
        }
        let before = place.checked_sub(length).and_then(|start| start.checked_sub(offset));
        let before = before.ok_or_else(|| Flaw::of("its directory lies outside of it"))?;
        Ok(Self { start: before + offset, size: length, entries, before })
    }

    fn find_64<R: Read + Seek>(
        file: &mut R,
        mut locator: Fields<'_>,
        end: u64,
    ) -> Result<Self, Flaw> {
        let bytes = read_at::<56, R>(file, locator.number(8)?)?;
        if !bytes.starts_with(&END_64) {
            return Err(Flaw::of("has no 64-bit end record where it should be"));
        }
        let mut fields = Fields(bytes.get(24..).unwrap_or_default());
        let _on_this_disk = fields.number(8)?;
        let (entries, size, start) = (fields.number(8)?, fields.number(8)?, fields.number(8)?);
        if start.checked_add(size).is_none_or(|stop| stop > end) {
            return Err(Flaw::of("its directory lies outside of it"));
        }
        Ok(Self { start, size, entries, before: 0 })
    }
}

/// An entry as the directory has it.
struct Entry {
    name: String,
    flags: u64,
    method: u64,
    crc: u64,
    packed: u64,
    unpacked: u64,
    header: u64,
}

impl Entry {
    /// The next entry, and how many bytes of the directory it takes.
    fn read(directory: &mut impl Read) -> Result<(Self, u64), Flaw> {
        let mut head = [0; 46];
        directory.read_exact(&mut head)?;
        if !head.starts_with(&ENTRY) {
            return Err(Flaw::of("its directory is damaged"));
        }
        let mut fields = Fields(head.get(8..).unwrap_or_default());
        let (flags, method) = (fields.number(2)?, fields.number(2)?);
        let _time_and_date = fields.number(4)?;
        let (crc, packed, unpacked) = (fields.number(4)?, fields.number(4)?, fields.number(4)?);
        let lengths = [fields.number(2)?, fields.number(2)?, fields.number(2)?];
        let _disk_and_attributes = fields.number(8)?;
        let header = fields.number(4)?;
        let [name, extra, comment] = lengths.map(|length| {
            let mut bytes = Vec::new();
            directory.take(length).read_to_end(&mut bytes).map(|_| bytes)
        });
        let (name, extra, comment) = (name?, extra?, comment?);
        let read = 46 + (name.len() + extra.len() + comment.len()) as u64;
        let name = String::from_utf8_lossy(&name).chars().take(80).collect();
        let mut entry = Self { name, flags, method, crc, packed, unpacked, header };
        entry.widen(&extra)?;
        Ok((entry, read))
    }

    /// Numbers that need 64 bits stand in the extra field, in this order.
    fn widen(&mut self, extra: &[u8]) -> Result<(), Flaw> {
        let mut left = Fields(extra);
        while left.0.len() >= 4 {
            let (id, length) = (left.number(2)?, left.number(2)?);
            let mut wide = Fields(left.bytes(length)?);
            if id != 1 {
                continue;
            }
            for number in [&mut self.unpacked, &mut self.packed, &mut self.header] {
                if *number == IN_64 {
                    *number = wide.number(8)?;
                }
            }
        }
        Ok(())
    }

    fn verify<R: Read + Seek>(&self, file: &mut R, directory: &Directory) -> Result<(), Flaw> {
        let outside = || Flaw::of("lies outside of the archive");
        let at = directory.before.checked_add(self.header).ok_or_else(outside)?;
        if at.checked_add(30).is_none_or(|end| end > directory.start) {
            return Err(outside());
        }
        let local = read_at::<30, R>(file, at)?;
        if !local.starts_with(&LOCAL) {
            return Err(Flaw::of("is not where the directory says"));
        }
        let mut lengths = Fields(local.get(26..).unwrap_or_default());
        let start = at + 30 + lengths.number(2)? + lengths.number(2)?;
        if start.checked_add(self.packed).is_none_or(|end| end > directory.start) {
            return Err(outside());
        }
        if self.flags & ENCRYPTED != 0 {
            return Ok(());
        }
        file.seek(SeekFrom::Start(start))?;
        let packed = BufReader::new(file.take(self.packed));
        match self.method {
            STORED => self.compare(packed),
            DEFLATED => self.compare(DeflateDecoder::new(packed)),
            _ => Ok(()),
        }
    }

    /// Reads no further than the length that is stated.
    fn compare(&self, content: impl Read) -> Result<(), Flaw> {
        let mut content = content.take(self.unpacked.saturating_add(1));
        let (mut crc, mut room) = (Crc::new(), [0; 32 * 1024]);
        let mut length = 0;
        loop {
            let read = content.read(&mut room)?;
            if read == 0 {
                break;
            }
            crc.update(room.get(..read).unwrap_or_default());
            length += read as u64;
        }
        if length != self.unpacked {
            return Err(Flaw::of("has not the length that is stated"));
        }
        match u64::from(crc.sum()) == self.crc {
            true => Ok(()),
            false => Err(Flaw::of("is damaged: its CRC differs")),
        }
    }
}

fn read_at<const N: usize, R: Read + Seek>(file: &mut R, at: u64) -> Result<[u8; N], Flaw> {
    let mut bytes = [0; N];
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Little-endian numbers, one after the other.
struct Fields<'b>(&'b [u8]);

impl<'b> Fields<'b> {
    fn bytes(&mut self, length: u64) -> Result<&'b [u8], Flaw> {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let cut = || Flaw::of("ends within a record");
        let (first, rest) = self.0.split_at_checked(length).ok_or_else(cut)?;
        self.0 = rest;
        Ok(first)
    }

    fn number(&mut self, length: u64) -> Result<u64, Flaw> {
        let bytes = self.bytes(length)?;
        Ok(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }
}
