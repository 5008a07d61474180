//! Libraries of ours between the daemon and the kernel, made from their C.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Compiles the file of that name beside this one, into `directory`. What it gives is to stand in
/// `LD_PRELOAD`.
pub fn library(directory: &Path, name: &str) -> PathBuf {
    let code = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(name).with_extension("c");
    let library = directory.join(name).with_extension("so");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(code);
    assert!(compiler.status().expect("a C compiler, which Rust links with").success());
    library
}
