//! What a record costs: CPU per statement of the whole process, records a second, system
//! calls' share, and the rate of the verifier. Prints one line each; run with
//! `cargo bench -p readgate-benches --bench ledger`. `READGATE_BENCH_DIR` chooses the disk.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark prints, and may stop")]
#![allow(clippy::cast_precision_loss, reason = "figures for people")]

#[path = "../crates/ledger/tests/common/mod.rs"]
mod common;

use std::path::Path;
use std::time::{Duration, Instant};

use common::{ok, query, who};
use ledger::cli::{Search, search};
use ledger::report::{ReportRequest, report};
use ledger::verify::{VerifyRequest, verify};
use ledger::{Ledger, LedgerSettings, SyncPolicy};

/// A point select as dashboards send it.
const STATEMENT: &[u8] =
    b"SELECT p.id, p.code, p.value FROM clinical.observation p WHERE p.subject_id = 482913 LIMIT 1";

fn main() {
    // READGATE_BENCH_RECORDS=10000000 measures reading a large ledger, and nothing else.
    let records = std::env::var("READGATE_BENCH_RECORDS");
    let records: Option<u64> = records.ok().and_then(|n| n.parse().ok());
    if let Some(records) = records {
        return full_speed(1, records / 2);
    }
    // `cargo bench ... -- paced` runs that part alone.
    let wanted = std::env::args().skip(1).find(|word| !word.starts_with('-'));
    let wants = |part: &str| wanted.as_deref().is_none_or(|wanted| wanted == part);
    if wants("full") {
        full_speed(1, 400_000);
        full_speed(2, 400_000);
    }
    if wants("paced") {
        for per_second in [500, 1_000, 5_000] {
            paced(8, per_second, Duration::from_secs(3));
        }
    }
    if wants("each") {
        each(8, 50);
    }
}

fn folder() -> tempfile::TempDir {
    match std::env::var_os("READGATE_BENCH_DIR") {
        Some(directory) => tempfile::tempdir_in(directory).unwrap(),
        None => tempfile::tempdir().unwrap(),
    }
}

/// As many statements as the sessions can make, until all are in the files.
fn full_speed(threads: u64, statements: u64) {
    let folder = folder();
    let ledger = Ledger::open(LedgerSettings::new(folder.path(), "bench")).unwrap();
    let (started, cpu) = (Instant::now(), cpu_time());
    std::thread::scope(|scope| {
        for session in 0..threads {
            let ledger = &ledger;
            scope.spawn(move || {
                let tag = ledger.tag_after(1, &who(session));
                for _ in 0..statements / threads {
                    let intent = ledger.intent(&tag, &query(STATEMENT)).wait().unwrap();
                    ledger.outcome(&tag, intent, &ok()).wait().unwrap();
                }
            });
        }
    });
    ledger.close("bench").unwrap();
    let (wall, cpu) = (started.elapsed(), cpu_time() - cpu);
    let records = 2 * statements;
    println!(
        "full speed, {threads} sessions: {:.0} records/s, {:.2} us CPU per statement",
        records as f64 / wall.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / statements as f64,
    );
    verify_rate(folder.path());
    read_rate(folder.path());
}

/// Search by user and a whole report, by the clock.
fn read_rate(directory: &Path) {
    let paths = vec![directory.to_owned()];
    let started = Instant::now();
    let what = Search { user: Some("nobody".into()), ..Search::default() };
    let found = search(&paths, &what, &mut std::io::sink()).unwrap();
    let searched = started.elapsed();
    let started = Instant::now();
    let request = ReportRequest {
        paths,
        from: None,
        to: None,
        user: None,
        table: None,
        hours: (7, 19),
        dormant_days: 90,
    };
    let records = report(&request).unwrap().records;
    let reported = started.elapsed();
    println!(
        "reading {records} records: search {:.2} s ({found} found), report {:.2} s",
        searched.as_secs_f64(),
        reported.as_secs_f64(),
    );
}

/// Sessions that take turns at a given rate, as behind a replica: what the ledger adds.
fn paced(sessions: u64, per_second: u64, length: Duration) {
    let folder = folder();
    let ledger = Ledger::open(LedgerSettings::new(folder.path(), "bench")).unwrap();
    let idle = pace(None, sessions, per_second, length);
    let busy = pace(Some(&ledger), sessions, per_second, length);
    ledger.close("bench").unwrap();
    println!(
        "paced, {sessions} sessions, {} statements/s: {:.2} us CPU per statement over none, \
         {:.3} voluntary waits of the process per statement over none",
        sessions * per_second,
        (busy.0 / busy.2 as f64 - idle.0 / idle.2 as f64) * 1e6,
        busy.1 / busy.2 as f64 - idle.1 / idle.2 as f64,
    );
}

/// CPU seconds, voluntary context switches, statements.
fn pace(
    ledger: Option<&Ledger>,
    sessions: u64,
    per_second: u64,
    length: Duration,
) -> (f64, f64, u64) {
    let (ran, waits, started) = (ran(), waits(), Instant::now());
    let burst = per_second / 500;
    let mut statements = 0;
    let tags: Vec<_> =
        ledger.iter().flat_map(|l| (0..sessions).map(|s| l.tag_after(1, &who(s)))).collect();
    while started.elapsed() < length {
        for _ in 0..burst {
            statements += sessions;
            for tag in &tags {
                let Some(ledger) = ledger else { continue };
                let intent = ledger.intent(tag, &query(STATEMENT)).wait().unwrap();
                ledger.outcome(tag, intent, &ok()).wait().unwrap();
            }
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    (self::ran() - ran, self::waits() - waits, statements)
}

/// Group commit with `sync = "each"`.
fn each(sessions: u64, statements: u64) {
    let folder = folder();
    let settings =
        LedgerSettings { sync: SyncPolicy::Each, ..LedgerSettings::new(folder.path(), "bench") };
    let ledger = Ledger::open(settings).unwrap();
    let started = Instant::now();
    std::thread::scope(|scope| {
        for session in 0..sessions {
            let ledger = &ledger;
            scope.spawn(move || {
                let tag = ledger.tag_after(1, &who(session));
                for _ in 0..statements {
                    let intent = ledger.intent(&tag, &query(STATEMENT)).wait().unwrap();
                    ledger.outcome(&tag, intent, &ok()).wait().unwrap();
                }
            });
        }
    });
    let rate = (sessions * statements) as f64 / started.elapsed().as_secs_f64();
    ledger.close("bench").unwrap();
    println!("sync each, {sessions} sessions: {rate:.0} statements/s");
}

fn verify_rate(directory: &Path) {
    let request = VerifyRequest { paths: vec![directory.to_owned()], ..VerifyRequest::default() };
    verify(&request).unwrap();
    let (started, cpu) = (Instant::now(), cpu_time());
    let report = verify(&request).unwrap();
    let (wall, cpu) = (started.elapsed().as_secs_f64(), (cpu_time() - cpu).as_secs_f64());
    assert!(report.is_intact());
    let bytes: u64 = report.nodes.iter().map(|node| node.bytes).sum();
    let records: u64 = report.nodes.iter().map(|node| node.records).sum();
    let hash = hash_rate(usize::try_from(bytes / records).unwrap());
    println!(
        "verify: {:.2} GB/s by the clock, {:.2} GB/s and {:.1} M records/s per core, lines of {} bytes; \
         SHA-256 alone on such lines {hash:.2} GB/s",
        bytes as f64 / wall / 1e9,
        bytes as f64 / cpu / 1e9,
        records as f64 / cpu / 1e6,
        bytes / records,
    );
}

fn hash_rate(len: usize) -> f64 {
    let line = vec![b'x'; len];
    let cpu = cpu_time();
    for _ in 0..2_000_000 {
        std::hint::black_box(ring::digest::digest(
            &ring::digest::SHA256,
            std::hint::black_box(&line),
        ));
    }
    2_000_000.0 * line.len() as f64 / (cpu_time() - cpu).as_secs_f64() / 1e9
}

/// User and system time of this process, its ended threads included, in ticks of 10 ms.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    // The process's name, which may hold blanks, ends with the last parenthesis.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

/// What the threads that are there ran, in seconds, to the nanosecond.
fn ran() -> f64 {
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    let nanoseconds = |path: &Path| -> f64 {
        let text = std::fs::read_to_string(path.join("schedstat")).unwrap_or_default();
        text.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(0.0)
    };
    threads.map(|entry| nanoseconds(&entry.unwrap().path())).sum::<f64>() / 1e9
}

fn waits() -> f64 {
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    let count = |path: &Path| -> f64 {
        let text = std::fs::read_to_string(path.join("status")).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with("voluntary_ctxt_switches"));
        line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0.0)
    };
    threads.map(|entry| count(&entry.unwrap().path())).sum()
}
