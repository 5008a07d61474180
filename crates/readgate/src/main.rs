//! The `readgate` program.
use std::process::ExitCode;

use clap::Parser;
use readgate::cli;

/// Less memory for idle sessions and less time for busy ones than the system's; figures in
/// docs/performance.md.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run(cli::Arguments::parse())
}
