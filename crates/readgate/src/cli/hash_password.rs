//! `readgate hash-password`: from a password on standard input to the lines of a
//! `[[user]]`. The password is never an argument, nor on the screen, where others could see it.
use std::io::{self, IsTerminal, Read};
use std::process::ExitCode;

use mysql_auth::{NativeVerifier, Password, Sha2Verifier};
use zeroize::Zeroizing;

use super::{EXIT_DATA, EXIT_INPUT, fail, passphrase, say};

/// Longest password that MySQL clients send.
const LONGEST: u64 = 255;

/// Prints both verifiers.
pub fn run() -> ExitCode {
    let input = match input() {
        Ok(input) => input,
        Err(error) => return fail(EXIT_INPUT, &error.to_string()),
    };
    let line = input.strip_suffix(b"\n").unwrap_or(&input);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let is_one_line = !line.iter().any(|byte| matches!(byte, 0 | b'\r' | b'\n'));
    if line.is_empty() || line.len() as u64 > LONGEST || !is_one_line {
        return fail(EXIT_DATA, "the password must be one line of 1 to 255 bytes without NUL");
    }
    let password = Password::new(line);
    say(&format!(
        "caching_sha2_verifier = \"{}\"",
        Sha2Verifier::from_password(&password).to_text()
    ));
    say(&format!("native_verifier = \"{}\"", NativeVerifier::from_password(&password).to_text()));
    ExitCode::SUCCESS
}

/// All there is: of two lines neither is the password.
fn input() -> io::Result<Zeroizing<Vec<u8>>> {
    if io::stdin().is_terminal() {
        return passphrase::typed("password");
    }
    let mut input = Zeroizing::new(Vec::new());
    io::stdin().take(LONGEST + 2).read_to_end(&mut input)?;
    Ok(input)
}
