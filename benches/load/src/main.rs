//! Puts one kind of load on one door and prints what it cost: operations per second,
//! latency, and the CPU time that the door's process spent on each.
//!
//! One thread for each client, blocking, with the bytes of request and answer prepared:
//! the load costs little beside what it measures.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench reports by printing and panicking"
)]

mod cpu;
mod kinds;

use std::path::PathBuf;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use clap::Parser;
use readgate_tests::protocol::Login;

use kinds::Kind;

/// Loads one door.
#[derive(Debug, Parser)]
struct Arguments {
    /// Port on this machine.
    #[arg(long)]
    port: u16,
    /// User to log in as.
    #[arg(long)]
    user: String,
    /// File that holds the password.
    #[arg(long)]
    password_file: PathBuf,
    /// Speak TLS, trusting this authority.
    #[arg(long)]
    ca_file: Option<PathBuf>,
    /// What to do.
    #[arg(long, value_enum)]
    kind: Kind,
    /// Clients at a time.
    #[arg(long, default_value_t = 8)]
    clients: usize,
    /// Seconds to measure, after a tenth of it to warm up.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Process whose CPU time counts.
    #[arg(long)]
    pid: Option<u32>,
    /// Sessions that are open and do nothing meanwhile.
    #[arg(long, default_value_t = 0)]
    idle: usize,
}

fn main() {
    let arguments = Arguments::parse();
    let password = std::fs::read_to_string(&arguments.password_file).expect("the password file");
    let login = Login::user(&arguments.user, password.trim_end()).in_schema("clinical");
    let tls = kinds::tls(&arguments);
    let idle = |_| kinds::connect(arguments.port, &login, tls.as_ref());
    let idle: Vec<_> = (0..arguments.idle).map(idle).collect();
    if !idle.is_empty() {
        // Whoever has nothing to do gives its buffers back after two seconds.
        std::thread::sleep(Duration::from_secs(4));
    }
    let resident = arguments.pid.map_or(0, cpu::resident);
    let (clients, cpu) = load(&arguments, &login);
    drop(idle);
    print(&clients, cpu, resident, arguments.seconds);
}

/// What one client did: its latencies, and the bytes of one answer.
type Done = (Vec<Duration>, u64);

/// Runs all clients; CPU time is that of the measured seconds alone.
fn load(arguments: &Arguments, login: &Login) -> (Vec<Done>, Option<Duration>) {
    let measured = Duration::from_secs_f64(arguments.seconds);
    let start = Barrier::new(arguments.clients + 1);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..arguments.clients)
            .map(|number| {
                let work = kinds::Work::new(arguments, login, number);
                let start = &start;
                scope.spawn(move || run(work, start, measured))
            })
            .collect();
        start.wait();
        start.wait();
        let before = arguments.pid.map(cpu::of);
        std::thread::sleep(measured);
        let after = arguments.pid.map(cpu::of);
        let done = clients.into_iter().map(|client| client.join().expect("ends")).collect();
        (done, before.zip(after).map(|(before, after)| after - before))
    })
}

fn run(mut work: kinds::Work<'_>, start: &Barrier, measured: Duration) -> Done {
    start.wait();
    let begin = Instant::now();
    while begin.elapsed() < measured / 10 {
        work.once();
    }
    start.wait();
    let begin = Instant::now();
    let mut latencies = Vec::with_capacity(1 << 18);
    while begin.elapsed() < measured {
        let asked = Instant::now();
        work.once();
        latencies.push(asked.elapsed());
    }
    (latencies, work.bytes())
}

fn print(clients: &[Done], cpu: Option<Duration>, resident: u64, seconds: f64) {
    let mut all: Vec<Duration> =
        clients.iter().flat_map(|(latencies, _)| latencies.clone()).collect();
    all.sort_unstable();
    let count = all.len();
    let at = |share: usize| all[(count * share / 1000).min(count - 1)].as_secs_f64() * 1e6;
    let bytes: u64 = clients.iter().map(|(latencies, bytes)| latencies.len() as u64 * bytes).sum();
    #[allow(clippy::cast_precision_loss, reason = "for people to read")]
    let (operations, megabytes) = (count as f64, bytes as f64 / 1e6);
    let cpu = cpu.map_or(f64::NAN, |cpu| cpu.as_secs_f64() * 1e6);
    println!(
        "{{\"per_second\":{:.0},\"p50_us\":{:.1},\"p99_us\":{:.1},\"cpu_us\":{:.2},\"mb_per_second\":{:.1},\"cpu_us_per_mb\":{:.1},\"rss_kb\":{resident}}}",
        operations / seconds,
        at(500),
        at(990),
        cpu / operations,
        megabytes / seconds,
        if bytes == 0 { f64::NAN } else { cpu / megabytes },
    );
}
