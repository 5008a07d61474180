//! What a process costs: CPU time, to the nanosecond, of its threads that live; memory.
use std::fs;
use std::time::Duration;

/// User and system time of the processes so far.
pub(crate) fn of(pids: &[u32]) -> Duration {
    pids.iter().map(|pid| of_one(*pid)).sum()
}

fn of_one(pid: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("the process is there");
    let run = |task: fs::DirEntry| {
        let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        text.split_whitespace().next().and_then(|word| word.parse::<u64>().ok()).unwrap_or(0)
    };
    Duration::from_nanos(tasks.flatten().map(run).sum())
}

/// Memory of their own that the processes have at the moment, in kB: heaps and stacks.
pub(crate) fn resident(pids: &[u32]) -> u64 {
    pids.iter().map(|pid| resident_one(*pid)).sum()
}

fn resident_one(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process is there");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
