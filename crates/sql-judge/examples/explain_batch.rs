//! JSON lines on standard input to verdicts on standard output, for trying the judge out
//! on many statements: `explain_batch < statements.jsonl`.

use sql_judge::{Flavour, Policy, ServerVersion, explain_batch};

fn main() -> std::io::Result<()> {
    let server = ServerVersion { flavour: Flavour::MySql, number: 90704 };
    let input = std::io::stdin().lock();
    let output = std::io::BufWriter::new(std::io::stdout().lock());
    explain_batch(input, output, server, &Policy::default())
}
