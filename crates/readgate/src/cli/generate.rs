//! `readgate generate`: man pages and shell completions, made of the commands themselves, for
//! whoever packages readgate.
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Arguments, EXIT_CANT_CREATE, fail};

/// `readgate generate ...`
#[derive(Debug, Args)]
pub(super) struct GenerateArguments {
    /// Folder that gets `man1/` and `completions/`. Made if missing.
    directory: PathBuf,
}

/// Writes all of them.
pub(super) fn run(arguments: &GenerateArguments) -> ExitCode {
    match write(&arguments.directory) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            fail(EXIT_CANT_CREATE, &format!("{}: {error}", arguments.directory.display()))
        }
    }
}

fn write(directory: &Path) -> std::io::Result<()> {
    let (man, completions) = (directory.join("man1"), directory.join("completions"));
    std::fs::create_dir_all(&man)?;
    std::fs::create_dir_all(&completions)?;
    clap_mangen::generate_to(Arguments::command(), man)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut Arguments::command(), "readgate", &completions)?;
    }
    Ok(())
}
