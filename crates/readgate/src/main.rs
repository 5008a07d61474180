//! The `readgate` program.
use std::process::ExitCode;

use clap::Parser;
use readgate::cli;

fn main() -> ExitCode {
    cli::run(cli::Arguments::parse())
}
