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

/// A part without which the daemon is half a one: users that nobody follows, say, or a replica that
/// nobody looks at. Should it panic, the daemon is no more: whoever looks after services starts it
/// anew, and all that it has recorded is in the journal.
pub async fn vital<T>(part: impl Future<Output = T>) -> T {
    let _end = End;
    part.await
}

/// Of the process, if it is dropped by a panic.
struct End;

impl Drop for End {
    fn drop(&mut self) {
        if thread::panicking() {
            abort();
        }
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
    use std::process::{Command, ExitStatus};

    use tokio::runtime::Builder;

    use super::*;

    /// What the process is told that runs a test of these alone.
    const PLACE: &str = "READGATE_TEST_PLACE";

    fn status_at(place: &str, test: &str) -> ExitStatus {
        let name = format!("panics::tests::{test}");
        let mut program = Command::new(std::env::current_exe().unwrap());
        program.args(["--exact", &name]).env(PLACE, place).output().unwrap().status
    }

    fn is_abort(status: ExitStatus) -> bool {
        // SIGABRT
        status.signal() == Some(6)
    }

    #[test]
    fn the_daemon_ends_with_a_part_that_fails_and_with_no_other() {
        let runtime = Builder::new_current_thread().build().unwrap();
        if let Ok(place) = std::env::var(PLACE) {
            let part = vital(async move { assert_eq!(place, "nowhere") });
            let ended = runtime.block_on(async { tokio::spawn(part).await });
            return ended.unwrap();
        }
        let status_at =
            |place| status_at(place, "the_daemon_ends_with_a_part_that_fails_and_with_no_other");
        assert!(status_at("nowhere").success());
        assert!(is_abort(status_at("within")));
    }

    #[test]
    fn a_panic_that_somebody_waits_for_ends_nothing_else() {
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
        let status_at =
            |place| status_at(place, "a_panic_that_somebody_waits_for_ends_nothing_else");
        assert!(status_at("within").success());
        assert!(is_abort(status_at("beside")));
    }
}
