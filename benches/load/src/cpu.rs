//! CPU time of a process, to the nanosecond: what its threads and those that have ended ran.
use std::fs;
use std::time::Duration;

/// User and system time of the process so far.
pub(crate) fn of(pid: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("the process is there");
    let run = |task: fs::DirEntry| {
        let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        text.split_whitespace().next().and_then(|word| word.parse::<u64>().ok()).unwrap_or(0)
    };
    Duration::from_nanos(tasks.flatten().map(run).sum())
}
