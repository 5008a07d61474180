//! A try at a password: it waits for its turn, and its failure counts. At the door and at the
//! status page.
use std::sync::Arc;
use std::time::Instant;

use access::{Attempt, Blocked, DenyCause, LoginDenied, SourceAdmitted};

use crate::daemon::Daemon;

/// A try at a password. It fails once, however often its maker is asked.
pub(super) struct Turn<'a> {
    daemon: &'a Arc<Daemon>,
    source: &'a SourceAdmitted,
    user: &'a [u8],
    /// It has; with the block that began, if one did.
    failed: Option<Option<Blocked>>,
}

impl<'a> Turn<'a> {
    pub(super) fn of(daemon: &'a Arc<Daemon>, source: &'a SourceAdmitted, user: &'a [u8]) -> Self {
        Self { daemon, source, user, failed: None }
    }

    /// Counts it as failed. To be called before the client can tell.
    pub(super) fn fail(&mut self, denied: LoginDenied) -> Option<Blocked> {
        let Self { daemon, source, user, failed } = self;
        *failed.get_or_insert_with(|| note_failure(daemon, source, user, denied))
    }
}

/// Waits as long as the throttle has it. Even a timer for no time at all lasts a millisecond.
pub async fn wait_for_turn(attempt: Attempt) {
    if let Attempt::After(delay) = attempt
        && !delay.is_zero()
    {
        tokio::time::sleep(delay).await;
    }
}

/// Failures during a block don't count: the block would never end.
pub fn note_failure(
    daemon: &Arc<Daemon>,
    source: &SourceAdmitted,
    user: &[u8],
    denied: LoginDenied,
) -> Option<Blocked> {
    if denied.cause == DenyCause::Blocked {
        return None;
    }
    count_failure(daemon, source, user)
}

/// Counts a failed login, which may block the source or this user from it.
pub fn count_failure(
    daemon: &Arc<Daemon>,
    source: &SourceAdmitted,
    user: &[u8],
) -> Option<Blocked> {
    let blocked = daemon.throttle.failed(source, user, Instant::now());
    if let Some(blocked) = blocked {
        tracing::warn!(source = %source.addr(), ?blocked, "failed logins: blocked");
        daemon.signals.note_block(source.addr().to_string(), Instant::now());
        daemon.share_block(source, user, blocked);
    }
    blocked
}
