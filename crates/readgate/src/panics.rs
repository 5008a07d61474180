//! What a panic takes with it. A task's ends that task alone, as the runtime catches it; a thread's
//! would leave half a daemon: without a worker, say, or without what looks after closed ledger files.
use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::Cell;
use std::io;
use std::panic::{PanicHookInfo, set_hook};
use std::process::abort;
use std::thread;
use std::time::Duration;

use crate::log::Log;

/// A panic waits this long at most for its line to be written.
const LAST_WORDS: Duration = Duration::from_secs(1);

thread_local! {
    static IS_ERRAND: Cell<bool> = const { Cell::new(false) };
}

/// From here on panics stand in the log, for which nobody waits, and not beside it. One
/// that ends a thread ends the process: whoever looks after services starts it anew, and all that it
/// has recorded is in the journal.
pub fn watch(log: Log) {
    set_hook(Box::new(move |panic| {
        tell(panic);
        log.finish(LAST_WORDS);
        if tokio::task::try_id().is_none() && !IS_ERRAND.get() {
            abort();
        }
    }));
}

fn tell(panic: &PanicHookInfo<'_>) {
    let payload = panic.payload();
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let why = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("no text");
    let at = panic.location().map(ToString::to_string);
    let current = thread::current();
    let (thread, trace) = (current.name(), Backtrace::capture());
    if trace.status() == BacktraceStatus::Captured {
        tracing::error!(why, at, thread, %trace, "panicked");
    } else {
        tracing::error!(why, at, thread, "panicked");
    }
}

/// Makes a thread for one errand, which nobody misses should it panic: the next has its own.
///
/// # Errors
/// The system has no thread for it.
pub fn errand(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let spawned = thread::Builder::new().name(name.into()).spawn(|| {
        IS_ERRAND.set(true);
        work();
    });
    spawned.map(drop)
}
