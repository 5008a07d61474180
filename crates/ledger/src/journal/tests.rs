//! A journal across the end of its process.
use super::*;

const CAPACITY: usize = 4096;

fn open(dir: &Path) -> (Journal, Vec<(u64, Vec<u8>)>) {
    let mut seen = Vec::new();
    let journal = Journal::open(&dir.join("j"), CAPACITY, &mut |e| {
        seen.push((e.sequence, e.body.to_vec()));
    });
    seen.sort();
    (journal.unwrap(), seen)
}

#[test]
fn entries_survive_the_end_of_their_process_across_the_wrap() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, seen) = open(dir.path());
    let witness = journal.witness().unwrap();
    assert!(seen.is_empty());
    let bodies: Vec<Vec<u8>> = (0..200_u8).map(|n| vec![b'a' + n % 26; usize::from(n)]).collect();
    for body in &bodies {
        while journal.append(Kind::Record, &Body::new(body)).is_none() {
            let (mut batch, mut read) = (Vec::new(), vec![b'?'; 10]);
            journal.copy_out(journal.oldest(1000), &mut batch);
            witness.read(journal.oldest(1000), &mut read).unwrap();
            assert!(batch == read, "the file shows what was stored");
            let whole: usize = Journal::entries(witness.salt(), &batch).map(|(_, len)| len).sum();
            assert!(whole > 0);
            journal.drain(whole);
        }
    }
    let kept = journal.used();
    drop((journal, witness));
    let (_, seen) = open(dir.path());
    let last: Vec<&(u64, Vec<u8>)> = seen.iter().rev().collect();
    let mut bytes = 0;
    for (back, (sequence, body)) in last.iter().enumerate().map(|(n, e)| (n, (e.0, &e.1))) {
        assert_eq!(sequence, 200 - u64::try_from(back).unwrap());
        assert_eq!(*body, bodies[199 - back]);
        bytes += entry_len(body.len());
        if bytes >= kept {
            return;
        }
    }
    panic!("undrained entries are missing");
}

#[test]
fn a_torn_entry_is_not_taken() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(dir.path());
    journal.append(Kind::Record, &Body::new(b"first"));
    journal.append(Kind::Record, &Body::new(b"second"));
    let at = PREAMBLE + entry_len(5) + HEADER + 2;
    journal.map[at] ^= 1;
    drop(journal);
    let (_, seen) = open(dir.path());
    assert_eq!(seen, [(1, b"first".to_vec())]);
}

#[test]
fn a_second_process_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (_journal, _) = open(dir.path());
    let again = Journal::open(&dir.path().join("j"), CAPACITY, &mut |_| {});
    assert!(matches!(again, Err(LedgerError::InUse(_))));
}

#[test]
fn what_is_left_of_a_cut_journal_counts_and_it_becomes_whole_again() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(dir.path());
    journal.append(Kind::Record, &Body::new(b"first"));
    journal.append(Kind::Record, &Body::new(b"second"));
    let cut = as_u64(PREAMBLE + entry_len(5) + HEADER);
    journal.file.set_len(cut).unwrap();
    drop(journal);
    let (journal, seen) = open(dir.path());
    assert_eq!(seen, [(1, b"first".to_vec())]);
    assert_eq!(journal.file.metadata().unwrap().len(), cut, "as it was until it is brought in");
    let journal = journal.resized(CAPACITY).unwrap();
    assert_eq!(journal.file.metadata().unwrap().len(), as_u64(PREAMBLE + CAPACITY));
}

#[test]
fn what_is_no_journal_is_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("j");
    let (mut journal, _) = open(dir.path());
    journal.append(Kind::Record, &Body::new(b"first"));
    drop(journal);
    let whole = std::fs::read(&path).unwrap();
    for damaged in [0..1, 15..16, 20..28] {
        let mut bytes = whole.clone();
        bytes[damaged].fill(0);
        std::fs::write(&path, &bytes).unwrap();
        let error = Journal::open(&path, CAPACITY, &mut |_| {}).map(drop).unwrap_err().to_string();
        assert!(error.contains("is no journal; put back"), "{error}");
        assert!(std::fs::read(&path).unwrap() == bytes);
    }
    // A length that can't be is no reason to search for so long.
    let mut bytes = whole;
    bytes[26] = 1;
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(open(dir.path()).1, [(1, b"first".to_vec())]);
    // One whose making was cut off has nothing in it.
    std::fs::write(&path, [0; 5000]).unwrap();
    assert_eq!(open(dir.path()).1, []);
}
