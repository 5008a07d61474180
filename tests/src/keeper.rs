//! Starts child processes from one thread that lives as long as the test process. The kernel
//! ties a child's death signal to the *thread* that made it, and a test's own thread ends
//! with the test; this one does not, so a child dies exactly when the whole process does.

use std::fs::File;
use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::thread;

type Order = (Command, Sender<io::Result<Child>>);

fn spawn(command: &Command, log: &Path) -> Child {
    static KEEPER: OnceLock<Sender<Order>> = OnceLock::new();
    let keeper = KEEPER.get_or_init(|| {
        let (orders, inbox) = channel::<Order>();
        thread::spawn(move || {
            for (mut command, answer) in inbox {
                // The other side waits for this answer, so it can't be gone.
                let _ = answer.send(command.spawn());
            }
        });
        orders
    });
    let (answer, child) = channel();
    keeper.send((dying_with_us(command, log), answer)).expect("the keeper thread lives on");
    child
        .recv()
        .expect("the keeper thread answers")
        .unwrap_or_else(|error| panic!("can't start {command:?}: {error}"))
}

/// The same command, run through `setpriv`, which asks the kernel for the death signal.
fn dying_with_us(command: &Command, log: &Path) -> Command {
    let mut wrapped = Command::new("setpriv");
    wrapped.args(["--pdeathsig", "KILL", "--"]).arg(command.get_program());
    wrapped.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(name, value),
            None => wrapped.env_remove(name),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        wrapped.current_dir(directory);
    }
    let output = File::create(log).expect("the log of a child can be made");
    let errors = output.try_clone().expect("a handle can be doubled");
    wrapped.stdin(Stdio::null()).stdout(output).stderr(errors);
    wrapped
}

/// A child process that is killed, and waited for, when the value is dropped.
#[derive(Debug)]
pub struct Kept(Child);

impl Kept {
    /// Starts it; what it prints goes to `log`.
    pub fn start(command: &Command, log: &Path) -> Self {
        Self(spawn(command, log))
    }

    /// Process id.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Its exit status, if it has ended by itself.
    pub fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.0.try_wait().expect("the child can be asked")
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill(&mut self) {
        // An error means that it has ended already, which is what is wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    /// Sends a named signal such as `TERM`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.id().to_string()).status();
        assert!(sent.is_ok_and(|status| status.success()), "can't signal the child");
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.kill();
    }
}
