//! Tells people when something is wrong, and when it is over (`[[notice]]`). Looks at the
//! daemon's state now and then; nothing waits for a receiver, and each sending is recorded.
mod conditions;
mod mail;
mod rounds;
mod send;

use std::sync::Arc;
use std::time::{Duration, Instant};

use access::Timestamp;
use arc_swap::ArcSwap;
use config::Notice;
use ledger::Event;
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::daemon::Daemon;
use crate::panics::vital;
pub use conditions::Signals;
use conditions::{Condition, Memory};
use rounds::{Letter, Open};

/// The daemon's state is looked at this often.
const PERIOD: Duration = Duration::from_secs(1);
/// Letters that wait for one receiver; what comes beyond is dropped, and recorded so.
const WAITING: usize = 64;
/// A letter is tried so often, then given up.
const TRIES: u32 = 6;
/// Between the first two tries; three times as long after each.
const FIRST_PAUSE: Duration = Duration::from_secs(2);

/// One receiver: what it has been told of, and its queue.
struct Post {
    notice: Arc<Notice>,
    /// The same, for who sends its letters.
    sent_by: Arc<ArcSwap<Notice>>,
    open: Open,
    queue: mpsc::Sender<Letter>,
    delivery: JoinHandle<()>,
}

/// Looks for as long as the daemon runs. `node` is what the ledger calls this one.
pub async fn watch(daemon: Arc<Daemon>, node: String) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut posts: Vec<Post> = Vec::new();
    let mut memory = Memory::default();
    loop {
        ticks.tick().await;
        let notices = Arc::clone(&daemon.live().notices);
        let are_same = posts.iter().map(|post| &post.notice).eq(notices.iter());
        if !are_same {
            posts = renewed(posts, &notices, &daemon, &node);
        }
        if posts.is_empty() {
            continue;
        }
        let (now, moment) = (Instant::now(), Timestamp::now());
        let conditions = conditions::all(&daemon, &mut memory, now);
        for post in &mut posts {
            post.round(&daemon, &conditions, now, moment).await;
        }
    }
}

/// Who gets notices the same way as before a reload remembers what they were told.
fn renewed(
    mut posts: Vec<Post>,
    notices: &[Arc<Notice>],
    daemon: &Arc<Daemon>,
    node: &str,
) -> Vec<Post> {
    let renewed = notices.iter().map(|notice| {
        let known = posts
            .iter()
            .position(|post| post.notice.name == notice.name && post.notice.way == notice.way);
        match known {
            Some(at) => posts.swap_remove(at).going_on_as(notice),
            None => Post::new(notice, daemon, node),
        }
    });
    let renewed = renewed.collect();
    for gone in posts {
        gone.delivery.abort();
    }
    renewed
}

impl Post {
    fn new(notice: &Arc<Notice>, daemon: &Arc<Daemon>, node: &str) -> Self {
        let (queue, letters) = mpsc::channel(WAITING);
        let sent_by = Arc::new(ArcSwap::new(Arc::clone(notice)));
        let delivery = deliver(Arc::clone(daemon), Arc::clone(&sent_by), node.to_owned(), letters);
        let delivery = tokio::spawn(vital(delivery));
        Self { notice: Arc::clone(notice), sent_by, open: Open::default(), queue, delivery }
    }

    fn going_on_as(mut self, notice: &Arc<Notice>) -> Self {
        self.open.forget_all_but(&notice.events);
        self.sent_by.store(Arc::clone(notice));
        Self { notice: Arc::clone(notice), ..self }
    }

    async fn round(
        &mut self,
        daemon: &Daemon,
        conditions: &[Condition],
        now: Instant,
        moment: Timestamp,
    ) {
        let wanted = conditions.iter().filter(|one| self.notice.events.contains(&one.event));
        for letter in self.open.round(wanted, &self.notice, now, moment) {
            if let Err(TrySendError::Full(letter) | TrySendError::Closed(letter)) =
                self.queue.try_send(letter)
            {
                note(daemon, &self.notice, &letter, "dropped", "too many wait before it").await;
            }
        }
    }
}

/// Sends one letter after the other.
async fn deliver(
    daemon: Arc<Daemon>,
    sent_by: Arc<ArcSwap<Notice>>,
    node: String,
    mut letters: mpsc::Receiver<Letter>,
) {
    let turn = Arc::default();
    while let Some(letter) = letters.recv().await {
        let notice = sent_by.load_full();
        let mut pause = FIRST_PAUSE;
        let mut tries = 1;
        let result = loop {
            let Err(why) = send::send(&notice, &letter, &node, &turn).await else { break Ok(()) };
            if tries == TRIES {
                break Err(why);
            }
            if tries == 1 {
                tracing::warn!(notice = notice.name, why, "a notice can't be sent; tried again");
            }
            tries += 1;
            sleep(pause).await;
            pause *= 3;
        };
        match result {
            Ok(()) => note(&daemon, &notice, &letter, "sent", "").await,
            Err(why) => note(&daemon, &notice, &letter, "failed", &why).await,
        }
    }
}

/// Counts and records what became of a letter.
async fn note(daemon: &Daemon, notice: &Notice, letter: &Letter, result: &str, why: &str) {
    daemon.metrics.notice(&notice.name, result);
    let (about, phase) = (letter.event.name(), letter.phase.name());
    if result == "sent" {
        tracing::info!(notice = notice.name, about, phase, "notice sent");
    } else {
        tracing::error!(notice = notice.name, about, phase, why, "a notice was not sent");
    }
    let said = if why.is_empty() { result.to_owned() } else { format!("{result}: {why}") };
    let event = Event::Notice {
        notice: &notice.name,
        about,
        subject: &letter.subject,
        phase,
        result: &said,
    };
    daemon.record(&event).await;
}
