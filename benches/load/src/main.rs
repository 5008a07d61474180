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

/// For how long idle sessions are watched.
const REST: Duration = Duration::from_secs(5);

/// Loads one door.
#[derive(Debug, Parser)]
struct Arguments {
    /// Port on this machine. Given again, clients are dealt out to all of them.
    #[arg(long, required = true)]
    port: Vec<u16>,
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
    /// Process whose CPU time and memory count; if there are several, their sum.
    #[arg(long)]
    pid: Vec<u32>,
    /// Sessions that are open and do nothing meanwhile.
    #[arg(long, default_value_t = 0)]
    idle: usize,
}

fn main() {
    let arguments = Arguments::parse();
    let password = std::fs::read_to_string(&arguments.password_file).expect("the password file");
    let login = Login::user(&arguments.user, password.trim_end()).in_schema("clinical");
    let tls = kinds::tls(&arguments);
    let before = cpu::resident(&arguments.pid);
    let idle = |number| kinds::connect(arguments.port_of(number), &login, tls.as_ref());
    let idle: Vec<_> = (0..arguments.idle).map(idle).collect();
    let while_idle = (!idle.is_empty()).then(|| rest(&arguments));
    let resident = cpu::resident(&arguments.pid);
    let (clients, cpu) = load(&arguments, &login);
    let each = resident.saturating_sub(before) as f64 / idle.len().max(1) as f64;
    let idle = while_idle.map_or((f64::NAN, f64::NAN), |cpu| (each, cpu));
    print(&clients, cpu, (resident, idle), arguments.seconds);
}

impl Arguments {
    fn port_of(&self, number: usize) -> u16 {
        self.port[number % self.port.len()]
    }
}

/// The part of a core, in percent, that idle sessions take, once they have given their buffers
/// back: two seconds after their last word.
fn rest(arguments: &Arguments) -> f64 {
    std::thread::sleep(Duration::from_secs(4));
    let before = cpu::of(&arguments.pid);
    std::thread::sleep(REST);
    100.0 * (cpu::of(&arguments.pid) - before).as_secs_f64() / REST.as_secs_f64()
}

/// What one client did: its latencies, and the bytes of one answer.
type Done = (Vec<Duration>, u64);

/// Runs all clients; CPU time is that of the measured seconds alone.
fn load(arguments: &Arguments, login: &Login) -> (Vec<Done>, Duration) {
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
        let before = cpu::of(&arguments.pid);
        std::thread::sleep(measured);
        let after = cpu::of(&arguments.pid);
        let done = clients.into_iter().map(|client| client.join().expect("ends")).collect();
        (done, after - before)
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

/// `resident` in kB; `idle`: kB of each idle session, percent of a core that all of them take.
fn print(clients: &[Done], cpu: Duration, (resident, idle): (u64, (f64, f64)), seconds: f64) {
    let mut all: Vec<Duration> =
        clients.iter().flat_map(|(latencies, _)| latencies.clone()).collect();
    all.sort_unstable();
    let count = all.len();
    let at = |share: usize| all[(count * share / 1000).min(count - 1)].as_secs_f64() * 1e6;
    let bytes: u64 = clients.iter().map(|(latencies, bytes)| latencies.len() as u64 * bytes).sum();
    #[allow(clippy::cast_precision_loss, reason = "for people to read")]
    let (operations, megabytes) = (count as f64, bytes as f64 / 1e6);
    let cpu = cpu.as_secs_f64() * 1e6;
    println!(
        "{{\"per_second\":{:.0},\"p50_us\":{:.1},\"p99_us\":{:.1},\"cpu_us\":{:.2},\"mb_per_second\":{:.1},\"cpu_us_per_mb\":{:.1},\"rss_kb\":{resident},\"idle_kb\":{:.1},\"idle_cpu\":{:.2}}}",
        operations / seconds,
        at(500),
        at(990),
        cpu / operations,
        megabytes / seconds,
        if bytes == 0 { f64::NAN } else { cpu / megabytes },
        idle.0,
        idle.1,
    );
}
