//! What the service manager is told (sd_notify(3)): ready, reloading, stopping, alive. Does
//! nothing where there is none. Failing to tell it steers nothing here.
use std::collections::VecDeque;
use std::env;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::sync::oneshot;
use tokio::time::{interval, timeout};

use crate::workers::Workers;

/// How soon what could not be told is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// States that wait to be told at most; then the oldest is given up.
const WAITING: usize = 16;

/// What has not been told yet, oldest first: one that is lost, as where there is no free socket, would
/// have the service manager take a daemon that serves for one that hangs.
static UNTOLD: Mutex<VecDeque<String>> = Mutex::new(VecDeque::new());

/// Clients are served.
pub(super) fn ready() {
    tell("READY=1");
}

/// A reload has begun; `READY=1` ends it. The time tells it from an earlier one's end.
pub(super) fn reloading() {
    let now = clock_gettime(ClockId::Monotonic);
    let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1_000;
    tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
}

/// No new clients; sessions end.
pub(super) fn stopping() {
    tell("STOPPING=1");
}

/// Says twice per `WatchdogSec=` that all workers answer; a worker that hangs stops that.
pub(super) async fn keep_watchdog(workers: Arc<Workers>) {
    let Some(period) = watchdog_period() else { return };
    let mut ticks = interval(period / 2);
    loop {
        ticks.tick().await;
        let mut all_answer = true;
        for index in 0..workers.count() {
            let (done, answer) = oneshot::channel();
            workers.spawn_on(index, async move {
                let _ = done.send(());
            });
            all_answer &= matches!(timeout(period / 4, answer).await, Ok(Ok(())));
        }
        if all_answer {
            // The next one is soon enough if this one is lost.
            tell_in_order(&mut VecDeque::from([String::from("WATCHDOG=1")]));
        }
    }
}

fn watchdog_period() -> Option<Duration> {
    let is_for_us =
        env::var("WATCHDOG_PID").ok().is_none_or(|pid| pid.parse() == Ok(std::process::id()));
    let micros = env::var("WATCHDOG_USEC").ok()?.parse().ok().filter(|micros| *micros > 0)?;
    is_for_us.then(|| Duration::from_micros(micros))
}

/// Tells again what could not be told.
pub(super) async fn keep_telling() {
    let mut ticks = interval(RETRY);
    while env::var_os("NOTIFY_SOCKET").is_some() {
        ticks.tick().await;
        tell_in_order(&mut UNTOLD.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

fn tell(state: &str) {
    let mut untold = UNTOLD.lock().unwrap_or_else(PoisonError::into_inner);
    untold.push_back(state.to_owned());
    if untold.len() > WAITING {
        untold.pop_front();
    }
    tell_in_order(&mut untold);
}

fn tell_in_order(untold: &mut VecDeque<String>) {
    let Some(place) = env::var_os("NOTIFY_SOCKET") else { return untold.clear() };
    if let Err(error) = send_all(place.as_encoded_bytes(), untold) {
        tracing::debug!(%error, "the service manager could not be told");
    }
}

/// What can't be sent, and all behind it, stays.
fn send_all(place: &[u8], untold: &mut VecDeque<String>) -> io::Result<()> {
    while let Some(state) = untold.front() {
        send(place, state)?;
        untold.pop_front();
    }
    Ok(())
}

/// `@` stands for the NUL that abstract addresses begin with. Where the manager doesn't read what it was
/// told, this doesn't wait for it: a start or a reload would, and all that runs on their worker.
fn send(place: &[u8], state: &str) -> io::Result<()> {
    let address = match place.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => {
            let path: &std::path::Path = std::ffi::OsStr::from_bytes(place).as_ref();
            SocketAddr::from_pathname(path)?
        }
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.send_to_addr(state.as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_a_named_and_an_abstract_socket() {
        let mut room = [0; 64];
        let name = format!("readgate-notify-{}", std::process::id());
        let abstract_one = SocketAddr::from_abstract_name(&name).unwrap();
        let receiver = UnixDatagram::bind_addr(&abstract_one).unwrap();
        send(format!("@{name}").as_bytes(), "READY=1").unwrap();
        let read = receiver.recv(&mut room).unwrap();
        assert_eq!(room.get(..read).unwrap(), b"READY=1");

        let path = std::env::temp_dir().join(name);
        let receiver = UnixDatagram::bind(&path).unwrap();
        send(path.as_os_str().as_encoded_bytes(), "STOPPING=1").unwrap();
        let read = receiver.recv(&mut room).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(room.get(..read).unwrap(), b"STOPPING=1");
    }

    #[test]
    fn what_could_not_be_told_is_told_later_in_its_order() {
        let name = format!("readgate-notify-later-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let place = path.as_os_str().as_encoded_bytes();
        let mut untold = VecDeque::from(["RELOADING=1", "READY=1"].map(String::from));
        send_all(place, &mut untold).unwrap_err();
        assert_eq!(untold.len(), 2);
        let receiver = UnixDatagram::bind(&path).unwrap();
        send_all(place, &mut untold).unwrap();
        let mut room = [0; 64];
        for told in ["RELOADING=1", "READY=1"] {
            let read = receiver.recv(&mut room).unwrap();
            assert_eq!(room.get(..read).unwrap(), told.as_bytes());
        }
        std::fs::remove_file(&path).unwrap();
        assert!(untold.is_empty());
    }

    #[test]
    fn a_manager_that_does_not_read_is_not_waited_for() {
        let name = format!("readgate-notify-full-{}", std::process::id());
        let receiver = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap());
        let place = format!("@{name}");
        let mut untold: VecDeque<String> = (0..100_000).map(|n| format!("STATUS={n}")).collect();
        let full = send_all(place.as_bytes(), &mut untold).unwrap_err();
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
        let mut room = [0; 64];
        let read = receiver.unwrap().recv(&mut room).unwrap();
        assert_eq!(room.get(..read).unwrap(), b"STATUS=0");
        assert!(!untold.is_empty(), "what was not told stays");
    }
}
