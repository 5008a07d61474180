//! Statements by their shape: how many, how long, how much. Bounded: shapes beyond the bound
//! count together. Shows texts without their values only.
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use access::Timestamp;
use foldhash::quality::RandomState;

use crate::metrics::tally::Ran;
use crate::slices::Slices;

/// Shapes that a slice counts by themselves.
const SHAPES: usize = 1000;
/// Steps of durations: four to each doubling of a microsecond.
const STEPS: usize = 160;
/// What stands for all shapes beyond the bound.
const OTHER: &str = "other";

/// All shapes.
#[derive(Debug, Default)]
pub struct Statistics(Slices<Mutex<Shapes>>);

type Shapes = HashMap<String, Shape, RandomState>;

/// The runs of one shape.
#[derive(Debug, Clone)]
pub struct Shape {
    /// The text without its values.
    pub text: String,
    /// Kind of statement.
    pub kind: &'static str,
    /// Runs.
    pub count: u64,
    /// Runs that ended otherwise than well.
    pub errors: u64,
    /// Rows of all runs.
    pub rows: u64,
    /// Bytes of all runs.
    pub bytes: u64,
    /// Time of all runs.
    pub time: Duration,
    /// First run.
    pub first_seen: Timestamp,
    /// Last run.
    pub last_seen: Timestamp,
    durations: Vec<u32>,
}

impl Statistics {
    /// Counts a run. `text` is asked for once for each shape that a slice sees.
    pub fn note(&self, fingerprint: &str, ran: &Ran, text: impl FnOnce() -> String) {
        note(&mut locked(self.0.own()), fingerprint, (ran, Timestamp::now()), text);
    }

    /// All shapes with their fingerprints.
    pub fn all(&self) -> Vec<(String, Shape)> {
        let mut all = Shapes::default();
        for slice in self.0.iter() {
            for (key, shape) in locked(slice).iter() {
                match all.get_mut(key) {
                    Some(known) => known.add(shape),
                    None => drop(all.insert(key.clone(), shape.clone())),
                }
            }
        }
        all.into_iter().collect()
    }
}

fn locked(slice: &Mutex<Shapes>) -> MutexGuard<'_, Shapes> {
    slice.lock().unwrap_or_else(PoisonError::into_inner)
}

fn note(
    shapes: &mut Shapes,
    fingerprint: &str,
    (ran, now): (&Ran, Timestamp),
    text: impl FnOnce() -> String,
) {
    if let Some(shape) = shapes.get_mut(fingerprint) {
        return shape.count(ran, now);
    }
    let is_full = shapes.len() >= SHAPES;
    let key = if is_full { OTHER } else { fingerprint };
    let shape = shapes.entry(key.to_owned()).or_insert_with(|| {
        let text = if is_full { String::new() } else { text() };
        Shape::new(text, ran.kind, now)
    });
    shape.count(ran, now);
}

impl Shape {
    fn new(text: String, kind: &'static str, now: Timestamp) -> Self {
        Self {
            text,
            kind,
            count: 0,
            errors: 0,
            rows: 0,
            bytes: 0,
            time: Duration::ZERO,
            first_seen: now,
            last_seen: now,
            durations: vec![0; STEPS],
        }
    }

    fn count(&mut self, ran: &Ran, now: Timestamp) {
        self.count += 1;
        self.errors += u64::from(ran.end != "ok");
        self.rows += ran.rows;
        self.bytes += ran.bytes;
        self.time += ran.took;
        self.last_seen = now;
        if let Some(step) = self.durations.get_mut(step_of(ran.took)) {
            *step = step.saturating_add(1);
        }
    }

    /// What another slice has of the same shape.
    fn add(&mut self, other: &Self) {
        self.count += other.count;
        self.errors += other.errors;
        self.rows += other.rows;
        self.bytes += other.bytes;
        self.time += other.time;
        self.first_seen = self.first_seen.min(other.first_seen);
        self.last_seen = self.last_seen.max(other.last_seen);
        for (step, more) in self.durations.iter_mut().zip(&other.durations) {
            *step = step.saturating_add(*more);
        }
    }

    /// A duration that this share of the runs, in hundredths, doesn't exceed; a quarter
    /// too long at most.
    pub fn percentile(&self, hundredths: u64) -> Duration {
        let all: u64 = self.durations.iter().copied().map(u64::from).sum();
        let wanted = (all * hundredths).div_ceil(100).max(1);
        let mut seen = 0;
        let at = self.durations.iter().position(|count| {
            seen += u64::from(*count);
            seen >= wanted
        });
        at.map_or(Duration::ZERO, end_of)
    }
}

/// Four steps to each doubling: the highest bit, and the two below it.
fn step_of(took: Duration) -> usize {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
    let doublings = micros.ilog2();
    let quarter = if doublings >= 2 { (micros >> (doublings - 2)) & 3 } else { 0 };
    let step = u64::from(doublings) * 4 + quarter;
    usize::try_from(step).unwrap_or(STEPS).min(STEPS - 1)
}

/// Where a step ends.
fn end_of(step: usize) -> Duration {
    let (doublings, quarter) = (step / 4, u64::try_from(step % 4).unwrap_or(0));
    let begin = 1_u64.checked_shl(u32::try_from(doublings).unwrap_or(63)).unwrap_or(u64::MAX);
    Duration::from_micros(begin.saturating_add(begin / 4 * (quarter + 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(micros: u64) -> Ran {
        let took = Duration::from_micros(micros);
        let end = if micros > 900 { "error" } else { "ok" };
        Ran { kind: "select", end, took, at_replica: took, rows: 2, bytes: 10 }
    }

    #[test]
    fn percentiles_are_a_quarter_off_at_most() {
        let statistics = Statistics::default();
        for micros in 1..=1000 {
            statistics.note("a", &ran(micros), || String::from("SELECT ?"));
        }
        let (_, shape) = statistics.all().remove(0);
        assert_eq!((shape.count, shape.errors, shape.rows), (1000, 100, 2000));
        for (hundredths, right) in [(50, 500), (95, 950), (99, 990)] {
            let found = shape.percentile(hundredths).as_micros();
            assert!((right..=right * 5 / 4 + 1).contains(&found), "p{hundredths}: {found}");
        }
    }

    #[test]
    fn what_workers_have_counted_is_added_up() {
        let statistics = Statistics::default();
        for (slice, micros) in statistics.0.iter().zip([10, 20, 1000]) {
            let (shapes, now) = (&mut *locked(slice), Timestamp::now());
            note(shapes, "a", (&ran(micros), now), || String::from("SELECT ?"));
            note(shapes, &micros.to_string(), (&ran(1), now), String::new);
        }
        let mut all = statistics.all();
        all.sort_by(|(one, _), (other, _)| one.cmp(other));
        let keys: Vec<&str> = all.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["10", "1000", "20", "a"]);
        let (_, shape) = &all[3];
        assert_eq!((shape.count, shape.errors, shape.rows, shape.bytes), (3, 1, 6, 30));
        assert_eq!((shape.time.as_micros(), shape.text.as_str()), (1030, "SELECT ?"));
        assert!(shape.percentile(99).as_micros() >= 1000 && shape.first_seen <= shape.last_seen);
    }

    #[test]
    fn shapes_beyond_the_bound_count_together() {
        let statistics = Statistics::default();
        for number in 0..SHAPES + 50 {
            statistics.note(&number.to_string(), &ran(5), String::new);
        }
        let all = statistics.all();
        assert_eq!(all.len(), SHAPES + 1);
        let other = all.iter().find(|(key, _)| key == OTHER).unwrap();
        assert_eq!(other.1.count, 50);
    }
}
