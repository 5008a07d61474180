//! The replica's host and port, and the addresses that they lead to. A resolver may hang for as long
//! as it likes: one thread at a time waits for it, whoever asks, and none of those that others need.
use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::panics::errand;

type Found = Result<Vec<SocketAddr>, Arc<io::Error>>;

/// A host and port.
#[derive(Debug)]
pub struct Name {
    text: String,
    /// What is being looked up, or was last.
    latest: Mutex<watch::Receiver<Option<Found>>>,
}

impl Name {
    /// Nothing is looked up yet.
    pub fn new(text: String) -> Self {
        let (_, nothing) = watch::channel(None);
        Self { text, latest: Mutex::new(nothing) }
    }

    /// Its addresses as they are now: a failover may have moved it. Who asks while another's question
    /// is under way takes the answer to that one.
    pub(super) async fn look_up(&self) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = self.text.parse() {
            return Ok(vec![address]);
        }
        let mut answer = self.question()?;
        let answered = answer.wait_for(Option::is_some).await;
        match answered.ok().and_then(|found| found.clone()) {
            Some(Ok(addresses)) => Ok(addresses),
            Some(Err(error)) => Err(io::Error::new(error.kind(), error)),
            None => Err(io::Error::other("the name could not be looked up")),
        }
    }

    /// The one that is under way, or another.
    fn question(&self) -> io::Result<watch::Receiver<Option<Found>>> {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let is_under_way = latest.borrow().is_none() && latest.has_changed().is_ok();
        if !is_under_way {
            let (tell, answer) = watch::channel(None);
            let text = self.text.clone();
            errand("resolver", move || {
                let found = text.to_socket_addrs().map(Iterator::collect).map_err(Arc::new);
                tell.send_replace(Some(found));
            })?;
            *latest = answer;
        }
        Ok(latest.clone())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_is_looked_up_anew_each_time_and_once_for_all_who_ask_meanwhile() {
        let name = Name::new("localhost:3306".into());
        for _ in 0..2 {
            let found = name.look_up().await.unwrap();
            assert!(!found.is_empty() && found.iter().all(|one| one.ip().is_loopback()));
        }
        let (tell, under_way) = watch::channel(None);
        *name.latest.lock().unwrap() = under_way;
        let elsewhere = SocketAddr::from(([192, 0, 2, 1], 3306));
        let tell = async { tell.send_replace(Some(Ok(vec![elsewhere]))) };
        let (one, another, _) = tokio::join!(name.look_up(), name.look_up(), tell);
        assert_eq!((one.unwrap(), another.unwrap()), (vec![elsewhere], vec![elsewhere]));
    }

    #[tokio::test]
    async fn why_a_name_leads_nowhere_is_told() {
        let error = Name::new("no port".into()).look_up().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
