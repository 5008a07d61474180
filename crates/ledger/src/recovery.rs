//! Opening a ledger: finds where its files end, closes off a torn tail, brings in what
//! a killed daemon left in the journal, and says so in a record. Never removes a byte
//! without keeping it in that record, never touches a file that isn't as expected.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::archive;
use crate::clock::SMALLEST_STEP;
use crate::entry::{Entry, Kind, now_micros};
use crate::fault::LedgerError;
use crate::files::{self, Files, checkpoints_name};
use crate::journal::{Journal, MIN_JOURNAL, journal_name};
use crate::keys::SigningKey;
use crate::line::{Chain, Frame, Hash, from_hex, genesis, hex, later_version, micros_of, sha256};
use crate::lines::time_of;
use crate::own_event::{OwnEvent, Torn};
use crate::settings::LedgerSettings;
use crate::statement;

/// What only an orderly close writes: quotes within texts are escaped.
const CLOSED: &[u8] = b"\"event\":\"checkpoint\",\"why\":\"close\"";
/// In front of the hash that a record names.
const KEPT: &[u8] = b",\"kept_sha256\":\"";
/// Bytes at the end of the copies of checkpoints that are looked at.
const LAST_LINES: u64 = 64 << 10;
/// Bytes of a torn tail that are kept in the record about it.
const TORN_KEPT: usize = 4 << 10;

/// An entry of the journal: time, kind, body.
type Left = (u64, Kind, Vec<u8>);

/// What the ledger thread starts from.
pub(crate) struct Opened {
    /// Empty, numbering after the newest record.
    pub(crate) journal: Journal,
    pub(crate) chain: Chain,
    pub(crate) files: Files,
    /// Members of the record about what was found, if there was anything.
    pub(crate) notice: Option<Vec<u8>>,
    /// When the newest record in the files was made, as it says; empty if there is none.
    pub(crate) newest: String,
    /// The newest `kept_sha256` that a record names, if it is within reach.
    pub(crate) kept: Option<String>,
    /// By how many microseconds the newest record lies ahead of the clock, if by so much that one
    /// of them was wrong.
    pub(crate) ahead: Option<u64>,
}

/// Opens journal and files, and brings the files up to date with the journal.
pub(crate) fn open(settings: &LedgerSettings) -> Result<Opened, LedgerError> {
    check(settings)?;
    let directory = &settings.directory;
    let journal_directory = settings.folder_of_journals();
    files::make_folder(directory)?;
    files::make_folder(journal_directory)?;
    let path = journal_directory.join(journal_name(&settings.node));
    let mut left = BTreeMap::new();
    let journal = Journal::open(&path, settings.journal_bytes, &mut |entry: Entry<'_>| {
        left.insert(entry.sequence, (entry.time, entry.kind, entry.body.to_vec()));
    })?;

    let mut files = Files::new(directory, &settings.node);
    let end = find_end(directory, &settings.node, &mut files)?;
    let key = SigningKey::read_or_make(&settings.key_file)?;
    let mut chain = Chain::new(&settings.node, &settings.build, end.head, key);
    let left = left.split_off(&(end.sequence + 1));
    let last = bring_in(&left, end.sequence, &mut chain, &mut files)
        .map_err(LedgerError::io("write to", directory))?;

    let mut journal = journal.resized(settings.journal_bytes)?;
    journal.continue_at(last + 1);
    let records = u64::try_from(left.len()).unwrap_or(u64::MAX);
    let unwell = records > 0 || end.torn.is_some() || end.damaged.is_some() || !end.clean;
    let (torn, damaged_file, newest) = (end.torn, end.damaged, end.time);
    let kept = left.values().rev().find_map(|(.., body)| kept_in(body)).or(end.kept);
    let brought_in = left.last_key_value().map(|(_, (time, ..))| *time);
    let made = brought_in.or_else(|| micros_of(&newest)).unwrap_or(0);
    let ahead = Some(made.saturating_sub(now_micros())).filter(|ahead| *ahead > SMALLEST_STEP);
    let notice = OwnEvent::Recovered { clean: end.clean, records, torn, damaged_file };
    let notice = unwell.then(|| notice.members());
    Ok(Opened { journal, chain, files, notice, newest, kept, ahead })
}

fn check(settings: &LedgerSettings) -> Result<(), LedgerError> {
    let wrong = |what: String| Err(LedgerError::Setting(what));
    if settings.node.is_empty() || settings.node.len() > 128 {
        return wrong("the node's name must have 1 to 128 bytes".into());
    }
    if settings.journal_bytes < MIN_JOURNAL || !settings.journal_bytes.is_multiple_of(4096) {
        return wrong(format!(
            "the journal must have at least {MIN_JOURNAL} bytes, in steps of 4096"
        ));
    }
    // Each byte of a text may become six in JSON.
    if settings.max_text.saturating_mul(6) + (32 << 10) > settings.journal_bytes / 8 {
        return wrong("the longest text must be below a 50th of the journal".into());
    }
    Ok(())
}

/// Where the files of a node end.
struct End {
    sequence: u64,
    head: Hash,
    /// What the last line says.
    time: String,
    /// The newest `kept_sha256` there.
    kept: Option<String>,
    /// The last line is the checkpoint of an orderly close, or there is none.
    clean: bool,
    torn: Option<Torn>,
    damaged: Option<String>,
}

/// Looks at files in each form: where another hand took the newest one away, or compressed it,
/// the ledger goes on behind what is there, and the journal may still have the rest.
fn find_end(directory: &Path, node: &str, files: &mut Files) -> Result<End, LedgerError> {
    let cant_read = || LedgerError::io("read folder", directory);
    let listed = files::list_all(directory, node).map_err(cant_read())?;
    let (sequence, head, time) = (0, genesis(node), String::new());
    let mut end = End { sequence, head, time, kept: None, clean: true, torn: None, damaged: None };
    // Newest first: a file without a whole line says nothing about where the ledger ends.
    for (_, path) in listed.iter().rev().filter(|(_, path)| !archive::is_sealed(path)) {
        if find_end_of(path, files, &mut end)? {
            break;
        }
    }
    // Of what is encrypted or removed, what was signed about it.
    let signed = statement::read_all(directory, node).map_err(cant_read())?;
    let newest = signed.into_iter().filter(|one| one.node == node).max_by_key(|one| one.last);
    if let Some(newest) = newest.filter(|newest| newest.last > end.sequence)
        && let Some(head) = from_hex(newest.head.as_bytes())
    {
        (end.sequence, end.head, end.clean) = (newest.last, head, false);
        end.time = newest.to;
        end.kept = None;
        files.leave();
    }
    if end.kept.is_none() {
        // A file that has just begun: the one before ends with a checkpoint, whatever became of it.
        // A copy that can't be read is no reason not to start.
        let copies = File::open(directory.join(checkpoints_name(node)))
            .and_then(|mut file| files::end_of(&mut file, LAST_LINES));
        end.kept = copies.ok().and_then(|(_, lines)| kept_in(&lines));
    }
    Ok(end)
}

/// Whether the ledger ends in this file; `end` then says how. What is appended to is a plain one.
fn find_end_of(path: &Path, files: &mut Files, end: &mut End) -> Result<bool, LedgerError> {
    let mut bytes = Vec::new();
    archive::open(path)
        .and_then(|mut file| file.read_to_end(&mut bytes))
        .map_err(LedgerError::io("read", path))?;
    let is_plain = !archive::is_compressed(path);
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let (lines, torn) = bytes.split_at_checked(whole).unwrap_or((&bytes, &[]));
    let mut newest_first = lines.split(|byte| *byte == b'\n').rev().filter(|l| !l.is_empty());
    let last = newest_first.next();
    // To go on behind what isn't understood would give numbers out twice. Nothing is touched.
    if let Some(version) = last.and_then(later_version) {
        return Err(LedgerError::Later { path: path.to_owned(), version });
    }
    if !torn.is_empty() && is_plain {
        end.torn = Some(close_off(path, whole, torn)?);
    }
    let Some(last) = last else {
        // As a kill leaves a file that was just made. The ledger goes on in the one before, and
        // this one would be closed without a record, which nobody can sign for.
        if is_plain && lines.is_empty() {
            archive::remove(path).map_err(LedgerError::io("remove empty", path))?;
        }
        return Ok(false);
    };
    end.head = sha256(last);
    end.kept = kept_in(lines);
    end.time = String::from_utf8_lossy(time_of(last)).into_owned();
    end.clean = memchr::memmem::find(last, CLOSED).is_some();
    if let Some(frame) = Frame::read(last) {
        end.sequence = frame.sequence;
        if is_plain {
            files.resume(path).map_err(LedgerError::io("open", path))?;
        }
    } else {
        // Not a line of ours: kept as it is. The chain goes on from it in a new file.
        end.damaged = Some(archive::name(path));
        let known = newest_first.filter_map(Frame::read).map(|frame| frame.sequence).max();
        end.sequence = known.unwrap_or(0) + 1;
    }
    Ok(true)
}

/// The newest `kept_sha256` in records: quotes within texts are escaped.
fn kept_in(records: &[u8]) -> Option<String> {
    let at = memchr::memmem::rfind(records, KEPT)? + KEPT.len();
    from_hex::<32>(records.get(at..at + 64)?).map(|hash| hex(&hash))
}

/// Takes a torn tail off a file and returns what it was.
fn close_off(path: &Path, whole: usize, torn: &[u8]) -> Result<Torn, LedgerError> {
    let len = u64::try_from(whole).unwrap_or(u64::MAX);
    OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|file| file.set_len(len).and_then(|()| file.sync_all()))
        .map_err(LedgerError::io("close off", path))?;
    Ok(Torn {
        file: archive::name(path),
        bytes: torn.len(),
        sha256: hex(&sha256(torn)),
        start_b64: STANDARD.encode(torn.get(..TORN_KEPT).unwrap_or(torn)),
    })
}

/// Writes what the journal holds beyond the files. Returns the newest sequence.
fn bring_in(
    left: &BTreeMap<u64, Left>,
    mut last: u64,
    chain: &mut Chain,
    files: &mut Files,
) -> io::Result<u64> {
    let mut lines = Vec::new();
    let first = last + 1;
    for (&sequence, (time, kind, body)) in left {
        let (time, kind) = (*time, *kind);
        if sequence > last + 1 {
            let gap = OwnEvent::Gap { lost_to: sequence - 1 }.members();
            let sequence = last + 1;
            chain.push(&mut lines, &Entry { sequence, time, kind: Kind::Record, body: &gap });
        }
        chain.push(&mut lines, &Entry { sequence, time, kind, body });
        last = sequence;
    }
    let mut rest = lines.as_slice();
    while !rest.is_empty() {
        let written = files.append(first, rest)?;
        rest = rest.get(written..).unwrap_or_default();
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
    }
    files.sync()?;
    Ok(last)
}
