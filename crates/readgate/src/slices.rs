//! What many threads count, a slice for each: in one place they would take it from each other
//! with every statement. Readers add the slices up.
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Slices; threads beyond that share them.
const SLICES: usize = 8;

/// One value for each thread.
#[derive(Debug, Default)]
pub struct Slices<T>([Slice<T>; SLICES]);

/// What one thread has, on lines of memory of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Slice<T>(T);

impl<T> Slices<T> {
    /// That of this thread.
    pub fn own(&self) -> &T {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static NUMBER: Cell<Option<usize>> = const { Cell::new(None) };
        }
        let number = NUMBER.get().unwrap_or_else(|| {
            let number = THREADS.fetch_add(1, Ordering::Relaxed);
            NUMBER.set(Some(number));
            number
        });
        let [first, ..] = &self.0;
        &self.0.get(number % SLICES).unwrap_or(first).0
    }

    /// Those of all threads.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|slice| &slice.0)
    }
}
