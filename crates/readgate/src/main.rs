//! The `readgate` program.
fn main() {}
