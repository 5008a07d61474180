//! What a panic takes with it. A task's ends that task alone, as the runtime catches it; a thread's
//! would leave half a daemon: without a worker, say, or without what looks after closed ledger files.
use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::panic::{PanicHookInfo, set_hook};
use std::pin::pin;
use std::process::abort;
use std::task::Context;
use std::thread;
use std::time::Duration;

use crate::log::Log;

/// A panic waits this long at most for its line to be written.
const LAST_WORDS: Duration = Duration::from_secs(1);

thread_local! {
    static ENDS_ALONE: Cell<bool> = const { Cell::new(false) };
}

/// From here on panics stand in the log, for which nobody waits, and not beside it. One
/// that ends a thread ends the process: whoever looks after services starts it anew, and all that it
/// has recorded is in the journal.
pub fn watch(log: Log) {
    set_hook(Box::new(move |panic| {
        tell(panic);
        log.finish(LAST_WORDS);
        if tokio::task::try_id().is_none() && !ENDS_ALONE.get() {
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
        ENDS_ALONE.set(true);
        work();
    });
    spawned.map(drop)
}

/// A panic of `work`, which is no task, ends the thread that runs it and nothing else: somebody joins
/// that. One of the runtime around it may leave a runtime that hangs, and takes the process with it.
pub async fn ends_alone<T>(work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    let poll = |context: &mut Context<'_>| {
        ENDS_ALONE.set(true);
        let polled = work.as_mut().poll(context);
        ENDS_ALONE.set(false);
        polled
    };
    poll_fn(poll).await
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    use tokio::runtime::Builder;

    use super::*;

    /// Runs this test alone in a process of its own, which is told where to fail there.
    #[test]
    fn a_panic_that_somebody_waits_for_ends_nothing_else() {
        const PLACE: &str = "READGATE_TEST_PLACE";
        if let Ok(place) = std::env::var(PLACE) {
            watch(Log::default());
            let work = async { assert_eq!(place, "nowhere") };
            let runtime = Builder::new_current_thread().build().unwrap();
            let ended = thread::scope(|scope| {
                let run = || match place.as_str() {
                    "within" => runtime.block_on(ends_alone(work)),
                    _ => runtime.block_on(work),
                };
                scope.spawn(run).join()
            });
            assert!(ended.is_err());
            return runtime.block_on(async {});
        }
        let name = "panics::tests::a_panic_that_somebody_waits_for_ends_nothing_else";
        let status_of = |place| {
            let mut program = Command::new(std::env::current_exe().unwrap());
            program.args(["--exact", name]).env(PLACE, place).output().unwrap().status
        };
        assert!(status_of("within").success());
        // SIGABRT
        assert_eq!(status_of("beside").signal(), Some(6));
    }
}
