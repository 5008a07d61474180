//! Where things are: the repository, the scratch folder of this test program, free ports,
//! and the one way of waiting: until something is so, or a deadline.

use std::fmt::Display;
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// Top folder of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ has a parent").to_owned()
}

/// A script of `tests/servers`.
pub fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("servers").join(name)
}

/// Where `./test` puts what it installs for the tests.
pub fn cache(name: &str) -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(".cache");
    cache.unwrap_or_else(home).join("readgate").join(name)
}

/// A program of the MySQL that is the tests' flavour `mysql`.
pub fn mysql_program(name: &str) -> PathBuf {
    let tree = std::env::var_os("READGATE_TEST_MYSQL").map(PathBuf::from);
    tree.unwrap_or_else(|| cache("mysql-sid")).join("bin").join(name)
}

/// The `target` folder that this test program was built into.
pub fn target() -> PathBuf {
    let program = std::env::current_exe().expect("this program has a path");
    let deps = program.parent().expect("programs are in a folder");
    deps.ancestors().nth(2).expect("target/PROFILE/deps is three folders deep").to_owned()
}

/// The scratch folder of the end-to-end suites.
pub fn scratch() -> &'static Path {
    scratch_of("e2e")
}

/// The scratch folder of a test program, which has one; empty when this process began. It is
/// kept afterwards, so that logs can be read, and emptied by the next run; a lock keeps two
/// runs apart.
pub fn scratch_of(program: &str) -> &'static Path {
    static SCRATCH: OnceLock<(PathBuf, File)> = OnceLock::new();
    let (path, _lock) = SCRATCH.get_or_init(|| {
        let path = target().join(program);
        fs::create_dir_all(&path).expect("the scratch folder can be made");
        let lock = File::create(path.join("lock")).expect("the lock file can be made");
        lock.lock().expect("the lock can be waited for");
        for entry in fs::read_dir(&path).expect("the scratch folder can be read") {
            let entry = entry.expect("the scratch folder can be read").path();
            if entry.is_dir() {
                fs::remove_dir_all(&entry).expect("an old run's folder can be removed");
            }
        }
        (path, lock)
    });
    path
}

/// A number from the environment, such as how long to run.
pub fn wanted(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// A port that nobody listens on, never given out twice in this process. All are below the
/// range from which the kernel takes the ports of outgoing connections.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = u16::try_from(20_000 + std::process::id() % 10_000).expect("fits");
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Tries until it succeeds, and panics with `what` and the last error when the time is over.
pub fn wait_until_ok<T, E: Display>(
    what: &str,
    limit: Duration,
    mut attempt: impl FnMut() -> Result<T, E>,
) -> T {
    let deadline = Instant::now() + limit;
    loop {
        match attempt() {
            Ok(value) => return value,
            Err(error) => {
                assert!(Instant::now() < deadline, "not within {limit:?}: {what}: {error}")
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Asks until the answer is `Some`, and panics with `what` when the time is over.
pub fn wait_for<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    wait_until_ok(what, limit, || ask().ok_or("not yet"))
}
