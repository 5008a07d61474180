//! What the shared state promises, without the ledger's thread.
use std::sync::atomic::AtomicUsize;
use std::task::Wake;
use std::time::Instant;

use super::state::{LAST_RECORDS, LINE_BYTES, OUTCOME_ROOM, OWN_ROOM, STUCK};
use super::*;
use crate::entry::HEADER;

/// Tells how often it was woken.
#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Bell {
    fn rung(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

fn bell() -> (Arc<Bell>, Waker) {
    let bell = Arc::new(Bell::default());
    (Arc::clone(&bell), Waker::from(bell))
}

/// With the smallest journal; files end at that size.
fn shared(rotate_bytes: u64) -> (tempfile::TempDir, Shared) {
    let folder = tempfile::tempdir().unwrap();
    let settings = LedgerSettings { rotate_bytes, ..LedgerSettings::new(folder.path(), "n1") };
    let path = folder.path().join("j");
    let journal = Journal::open(&path, crate::journal::MIN_JOURNAL, &mut |_| {}).unwrap();
    let shared = Shared::new(journal, 0, &settings);
    (folder, shared)
}

fn put(shared: &Shared, class: Class, len: usize) -> Result<u64, Denied> {
    shared.append(class, Kind::Record, &vec![b'x'; len])
}

/// Puts such records in until there is no room for another one; gives how many those were.
fn fill(shared: &Shared, class: Class, len: usize) -> usize {
    let mut count = 0;
    loop {
        match put(shared, class, len) {
            Ok(_) => count += 1,
            Err(Denied::NoRoom) => return count,
            Err(denied) => panic!("{denied:?}"),
        }
    }
}

fn is_fault(denied: Result<u64, Denied>, reason: &str) -> bool {
    matches!(denied, Err(Denied::Fault(fault)) if fault.reason() == reason)
}

#[test]
fn a_file_closed_by_its_age_leaves_the_next_one_its_whole_size() {
    let (_folder, shared) = shared(10_000);
    // Ten of these fill a file, with what a line adds; checkpoints add numbers of their own.
    let len = 1_000 - usize::try_from(LINE_BYTES).unwrap();
    let fill = |records| (0..records).map(|_| put(&shared, Class::Event, len).unwrap()).last();
    assert_eq!(fill(9), Some(9));
    shared.append(Class::Own, Kind::LastOfFile, b"\"aged\"").unwrap();
    assert_eq!(fill(10), Some(20), "no checkpoint among them");
    assert_eq!(fill(1), Some(22), "the tenth was followed by the last of its file");
}

#[test]
fn whatever_fills_the_journal_each_open_intent_has_room_for_its_outcome() {
    let (_folder, shared) = shared(1 << 30);
    let open = fill(&shared, Class::Intent, 3_000);
    assert!(open > 100);
    fill(&shared, Class::Intent, 0);
    fill(&shared, Class::Event, 3_000);
    fill(&shared, Class::Event, 0);
    let open = shared.health().open_intents;
    shared.change(|state| state.fault = Some(LedgerFault::new("full")));
    assert!(is_fault(put(&shared, Class::Intent, 0), "full"));
    assert!(is_fault(put(&shared, Class::Event, 0), "full"));
    assert!(is_fault(put(&shared, Class::Outcome, 4 * OUTCOME_ROOM), "full"), "others' room");
    for left in (0..open).rev() {
        put(&shared, Class::Outcome, OUTCOME_ROOM - HEADER).unwrap();
        assert_eq!(shared.health().open_intents, left);
    }
    assert!(put(&shared, Class::Own, OWN_ROOM / 2).is_ok(), "the ledger's own room is kept too");
    assert_eq!(shared.health().refused, 3);
}

#[test]
fn who_finds_no_room_is_woken_when_there_may_be_some() {
    let (_folder, shared) = shared(1 << 30);
    let (bell, waker) = bell();
    shared.wait_for_room(Class::Event, 1_000, &waker);
    assert_eq!(bell.rung(), 1, "there is room");
    fill(&shared, Class::Event, 1_000);
    shared.wait_for_room(Class::Event, 1_000, &waker);
    assert_eq!(bell.rung(), 1);
    shared.change(|state| state.journal.drain(4_000));
    assert_eq!(bell.rung(), 2, "room was made");
    put(&shared, Class::Event, 1_000).unwrap();

    fill(&shared, Class::Event, 1_000);
    shared.wait_for_room(Class::Event, 1_000, &waker);
    shared.change(|state| state.fault = Some(LedgerFault::new("full")));
    assert_eq!(bell.rung(), 3, "there will be none for now");
    shared.wait_for_room(Class::Event, 1_000, &waker);
    assert_eq!(bell.rung(), 4, "nor is there");
    shared.change(|state| (state.fault, state.ended) = (None, true));
    shared.wait_for_room(Class::Event, 1_000, &waker);
    assert_eq!(bell.rung(), 5, "there will never be any");
}

#[test]
fn who_waits_for_the_disk_is_woken_by_it_by_a_fault_and_by_the_end() {
    let (_folder, shared) = shared(1 << 30);
    let [(first, first_waker), (second, second_waker)] = [bell(), bell()];
    let wait = |shared: &Shared| {
        assert!(shared.poll_synced(1, &first_waker).is_none());
        assert!(shared.poll_synced(2, &second_waker).is_none());
    };
    wait(&shared);
    shared.change(|state| state.fault = Some(LedgerFault::new("full")));
    assert_eq!((first.rung(), second.rung()), (1, 1));
    let polled = shared.poll_synced(1, &first_waker);
    assert!(matches!(polled, Some(Err(fault)) if fault.reason() == "full"));
    shared.change(|state| state.fault = None);
    wait(&shared);
    shared.change(|state| state.synced = 1);
    assert_eq!((first.rung(), second.rung()), (2, 1), "not the one that is not there yet");
    assert!(matches!(shared.poll_synced(1, &first_waker), Some(Ok(()))));
    shared.change(|state| state.ended = true);
    assert_eq!(second.rung(), 2);
    assert!(matches!(shared.poll_synced(2, &second_waker), Some(Err(_))));
}

/// A mount that hangs: nobody waits for it, and whoever asks is told.
#[test]
fn a_file_system_that_does_not_answer_turns_away_whom_it_would_keep_waiting() {
    const SILENT: &str = "the file system does not answer";
    let (_folder, shared) = shared(1 << 30);
    let (bell, waker) = bell();
    fill(&shared, Class::Event, 1_000);
    shared.wait_for_room(Class::Event, 1_000, &waker);
    shared.lock().busy_since = Some(Instant::now());
    assert!(shared.health().is_ok() && bell.rung() == 0);
    assert!(matches!(put(&shared, Class::Event, 1_000), Err(Denied::NoRoom)));
    shared.lock().busy_since = Instant::now().checked_sub(STUCK);
    assert_eq!(shared.health().fault.unwrap().reason(), SILENT);
    assert_eq!(bell.rung(), 1);
    assert!(is_fault(put(&shared, Class::Event, 1_000), SILENT));
    shared.lock().busy_since = None;
    assert!(shared.health().is_ok());
}

#[test]
fn a_close_takes_the_ends_of_statements_and_for_a_while_the_rest() {
    let (_folder, shared) = shared(1 << 30);
    let closed = |class| is_fault(put(&shared, class, 10), "it is closed");
    let all = [Class::Intent, Class::Referring(1), Class::Event, Class::Outcome, Class::Own];
    assert_eq!(all.map(closed), [false; 5]);
    shared.lock().closing = Some(Instant::now());
    assert_eq!(all.map(closed), [true, true, false, false, false]);
    shared.lock().closing = Instant::now().checked_sub(LAST_RECORDS);
    assert_eq!(all.map(closed), [true, true, true, false, false]);
    shared.lock().ended = true;
    assert_eq!(all.map(closed), [true; 5]);
}

#[test]
fn a_text_is_referred_to_within_its_file_alone() {
    let (_folder, shared) = shared(1 << 30);
    let of = put(&shared, Class::Intent, 1_000).unwrap();
    assert!(put(&shared, Class::Referring(of), 10).is_ok());
    let last = shared.append(Class::Own, Kind::LastOfFile, b"\"aged\"").unwrap();
    assert!(matches!(put(&shared, Class::Referring(of), 10), Err(Denied::OutOfReach)));
    assert!(matches!(put(&shared, Class::Referring(last), 10), Err(Denied::OutOfReach)));
    let next = put(&shared, Class::Intent, 1_000).unwrap();
    assert!(put(&shared, Class::Referring(next), 10).is_ok());
    assert_eq!(shared.health().refused, 0, "each is tried again with its text");
}
