//! A look at a folder: which file is the newest that counts, and what its check says. Runs on
//! a thread that may wait: a folder on a network may hang.
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, channel};
use std::time::{Duration, Instant, SystemTime};

use access::Timestamp;
use config::{FeedFiles, FileForm};

use super::CLOCKS;
use super::check::{self, Verdict, sum_file};
use super::standing::Seen;
use crate::panics::errand;

/// More names than that are not looked through.
const NAMES: usize = 100_000;
/// A look waits so long for a check; the next look finds what came of a longer one.
const PATIENCE: Duration = Duration::from_secs(3);
/// Checks that are remembered: of the newest files.
const REMEMBERED: usize = 16;

/// What tells a file from what it was; with it, its checksum file's.
type Stamp = (u64, SystemTime, Option<(u64, SystemTime)>);

/// What is known of the files' contents. A file is read once, as long as it stays as it is.
#[derive(Default)]
pub(super) struct Checks {
    done: BTreeMap<(PathBuf, Stamp), (Verdict, Instant)>,
    running: Option<(PathBuf, Stamp, Receiver<Verdict>)>,
}

struct Candidate {
    path: PathBuf,
    size: u64,
    changed: SystemTime,
}

/// Looks at the folder as it is `now`.
pub(super) fn look(files: &FeedFiles, checks: &mut Checks, now: SystemTime) -> Seen {
    let mut found = match candidates(files) {
        Ok(found) => found,
        Err(error) => return Seen::Unknown(format!("its folder can't be read: {error}")),
    };
    found.sort_by(|a, b| (b.changed, &b.path).cmp(&(a.changed, &a.path)));
    let mut pending = None;
    for file in found {
        match judge(&file, files, checks, now) {
            Counts::Whole(at) => return Seen::Arrived { at, pending },
            Counts::Malformed(at, why) => {
                return Seen::Malformed { at, why: format!("{} {why}", shown(&file.path)) };
            }
            Counts::NotYet(why) => {
                pending.get_or_insert_with(|| format!("{} {why}", shown(&file.path)));
            }
            Counts::InDoubt(why) => {
                let why = format!("{} {why}", shown(&file.path));
                // One that was found whole before counts meanwhile.
                return match known_whole(checks) {
                    Some(at) => Seen::Arrived { at, pending: Some(why) },
                    None => Seen::Unknown(why),
                };
            }
        }
    }
    Seen::Nothing { pending }
}

/// Whether a file counts.
enum Counts {
    Whole(Timestamp),
    Malformed(Timestamp, String),
    /// An older one may.
    NotYet(String),
    InDoubt(String),
}

fn judge(file: &Candidate, files: &FeedFiles, checks: &mut Checks, now: SystemTime) -> Counts {
    let sums = files.checksum.then(|| stamp_of(&sum_file(&file.path)));
    let newest = match &sums {
        None => file.changed,
        Some(Some((_, changed))) => file.changed.max(*changed),
        Some(None) => return Counts::NotYet("has no .sha256 file beside it yet".into()),
    };
    match now.duration_since(newest) {
        Ok(age) if age >= files.stable_for => {}
        // A clock that is a little ahead; only without any wait does such a file count at once.
        Err(ahead) if ahead.duration() <= CLOCKS && files.stable_for.is_zero() => {}
        Err(ahead) if ahead.duration() > CLOCKS => {
            return Counts::NotYet("has a time that lies in the future".into());
        }
        Ok(_) | Err(_) => return Counts::NotYet("is still being written".into()),
    }
    let Ok(at) = Timestamp::try_from(file.changed) else {
        return Counts::NotYet("has a time that is none".into());
    };
    if file.size < files.min_size {
        let (size, least) = (file.size, files.min_size);
        return Counts::Malformed(at, format!("has {size} bytes, fewer than min_size, {least}"));
    }
    if !files.checksum && files.verify == FileForm::Any {
        return Counts::Whole(at);
    }
    let stamp = (file.size, file.changed, sums.flatten());
    match checks.ask(&file.path, stamp, files) {
        Some(Verdict::Whole) => Counts::Whole(at),
        Some(Verdict::Malformed(why)) => Counts::Malformed(at, why),
        Some(Verdict::Failed(why)) => Counts::InDoubt(why),
        None => Counts::InDoubt("is being checked".into()),
    }
}

fn candidates(files: &FeedFiles) -> io::Result<Vec<Candidate>> {
    let mut found = Vec::new();
    for (count, entry) in fs::read_dir(&files.folder)?.enumerate() {
        if count >= NAMES {
            return Err(io::Error::other(format!("it holds more than {NAMES} names")));
        }
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_sum = files.checksum && name.ends_with(".sha256");
        if is_sum || !matches(&files.pattern, &name) {
            continue;
        }
        // Gone meanwhile, or no file: not a delivery.
        if let Some((size, changed)) = stamp_of(&path) {
            found.push(Candidate { path, size, changed });
        }
    }
    Ok(found)
}

fn stamp_of(path: &Path) -> Option<(u64, SystemTime)> {
    let found = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    Some((found.len(), found.modified().ok()?))
}

/// Whole files of earlier looks that are still as they were.
fn known_whole(checks: &Checks) -> Option<Timestamp> {
    let whole = checks.done.iter().filter(|((path, (size, changed, _)), (verdict, _))| {
        *verdict == Verdict::Whole && stamp_of(path) == Some((*size, *changed))
    });
    whole.filter_map(|((_, (_, changed, _)), _)| Timestamp::try_from(*changed).ok()).max()
}

impl Checks {
    /// What a file's check says; `None` while it runs.
    fn ask(&mut self, path: &Path, stamp: Stamp, files: &FeedFiles) -> Option<Verdict> {
        self.collect(Duration::ZERO);
        let key = (path.to_owned(), stamp);
        let again = |since: &Instant| since.elapsed() >= files.longest_check;
        match self.done.get(&key) {
            Some((Verdict::Failed(_), since)) if again(since) => {}
            Some((verdict, _)) => return Some(verdict.clone()),
            None => {}
        }
        if self.running.is_none() {
            self.start(path, stamp, files);
            self.collect(PATIENCE);
        }
        self.done.get(&key).map(|(verdict, _)| verdict.clone())
    }

    fn start(&mut self, path: &Path, stamp: Stamp, files: &FeedFiles) {
        let (done, answer) = channel();
        let (file, files) = (path.to_owned(), files.clone());
        let spawned = errand("feed-check", move || {
            let verdict = check::check(&file, &files);
            let _ = done.send(verdict);
        });
        if spawned.is_ok() {
            self.running = Some((path.to_owned(), stamp, answer));
        }
    }

    /// Takes over the check that runs, if it ends within the time.
    fn collect(&mut self, patience: Duration) {
        let Some((path, stamp, answer)) = self.running.take() else { return };
        let answered = match patience.is_zero() {
            true => answer.try_recv().map_err(|error| error == TryRecvError::Empty),
            false => {
                answer.recv_timeout(patience).map_err(|error| error == RecvTimeoutError::Timeout)
            }
        };
        let verdict = match answered {
            Err(true) => {
                self.running = Some((path, stamp, answer));
                return;
            }
            Err(false) => Verdict::Failed("could not be checked: the check broke off".into()),
            Ok(verdict) => verdict,
        };
        // A file that was changed meanwhile is another one.
        if stamp_of(&path) == Some((stamp.0, stamp.1)) {
            self.done.insert((path, stamp), (verdict, Instant::now()));
        }
        while self.done.len() > REMEMBERED {
            let oldest = self.done.iter().min_by_key(|((_, stamp), _)| stamp.1);
            let Some(oldest) = oldest.map(|(key, _)| key.clone()) else { break };
            self.done.remove(&oldest);
        }
    }
}

fn shown(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    format!("{:?}", name.chars().take(120).collect::<String>())
}

/// `*` stands for any characters, `?` for one. At most as many steps as the two lengths
/// multiplied.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut read) = (0, 0);
    let mut star = None;
    while let Some(letter) = name.get(read) {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, read));
                at += 1;
            }
            Some(wanted) if *wanted == '?' || wanted == letter => (at, read) = (at + 1, read + 1),
            // The last star takes one more.
            Some(_) | None => match &mut star {
                Some((place, taken)) => {
                    *taken += 1;
                    (at, read) = (*place + 1, *taken);
                }
                None => return false,
            },
        }
    }
    pattern.get(at..).is_some_and(|rest| rest.iter().all(|one| *one == '*'))
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn stars_and_question_marks_stand_for_characters() {
        for (pattern, name, fits) in [
            ("lab-*.zip", "lab-2026.zip", true),
            ("lab-*.zip", "lab-.zip", true),
            ("lab-*.zip", "lab-2026.zip.part", false),
            ("lab-*.zip", "old-lab-1.zip", false),
            ("*", "", true),
            ("", "a", false),
            ("?.csv", "ä.csv", true),
            ("?.csv", "ab.csv", false),
            ("*a*b*c", "xxaxxbxxbxxc", true),
            ("*a*b*c", "xxaxxcxxb", false),
            ("a.c", "abc", false),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
        assert!(!matches(&"*a".repeat(30), &"a".repeat(2000).replace('a', "ab")));
    }
}
