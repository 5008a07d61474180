//! A passphrase or password from whoever sits there, or from a file: never an argument, where
//! others could see it.
use std::io::{self, BufRead, IsTerminal};
use std::path::Path;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use super::note;

/// Longest that is read, in bytes.
const LONGEST: usize = 1024;

/// The first line of a file, such as `/dev/fd/3`; without one, of standard input. Typed at a
/// terminal it isn't shown, and asked for twice.
///
/// # Errors
/// If it can't be read, or the two differ.
pub(super) fn read(file: Option<&Path>) -> io::Result<Zeroizing<Vec<u8>>> {
    if let Some(file) = file {
        return line_of(io::BufReader::new(std::fs::File::open(file)?));
    }
    if !io::stdin().is_terminal() {
        return line_of(io::stdin().lock());
    }
    typed("passphrase")
}

/// What is typed at the terminal on standard input, twice, without being shown.
///
/// # Errors
/// If it can't be read, or the two differ.
pub(super) fn typed(what: &str) -> io::Result<Zeroizing<Vec<u8>>> {
    let _hidden = Hidden::begin()?;
    note(&format!("type the {what}"));
    let first = line_of(io::stdin().lock())?;
    note("type it again");
    match first == line_of(io::stdin().lock())? {
        true => Ok(first),
        false => Err(io::Error::other("the two differ")),
    }
}

fn line_of(from: impl BufRead) -> io::Result<Zeroizing<Vec<u8>>> {
    // Reserved at once, so that no copy is left behind by growing.
    let mut line = Zeroizing::new(Vec::with_capacity(LONGEST));
    from.take(LONGEST as u64).read_until(b'\n', &mut line)?;
    while line.last().is_some_and(|last| matches!(last, b'\n' | b'\r')) {
        line.pop();
    }
    Ok(line)
}

/// The terminal shows nothing of what is typed, until this is dropped.
struct Hidden(Termios);

impl Hidden {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &hidden)?;
        Ok(Self(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}
