//! Last step, of every connection: last words, record, metrics, one log line.
use std::time::Duration;

use ledger::Event;
use tokio::time::timeout;

use crate::console::Denied;
use crate::context::Context;
use crate::daemon::Daemon;
use crate::ending::{Ending, EndingKind};
use crate::packet_stream::PacketStream;

/// A client has this long to take the last words.
const FAREWELL_DEADLINE: Duration = Duration::from_secs(2);

/// Closes a connection and records how it ended.
pub async fn close(
    daemon: &Daemon,
    mut channel: PacketStream,
    mut context: Context,
    ending: Ending,
) {
    if let Some(unused) = context.earmarked.take() {
        daemon.pool.put_back(unused);
    }
    record(daemon, &mut context, &ending).await;
    let _ = timeout(FAREWELL_DEADLINE, async {
        if let Some(err) = ending.farewell.as_ref().filter(|_| !channel.is_torn()) {
            channel.send_err(err).await?;
        }
        channel.shut_down().await
    })
    .await;
    daemon.metrics.traffic(channel.take_traffic());
    daemon.metrics.closed(ending.kind.label());
    // Strangers would fill the log: their networks are named in it once a minute.
    if ending.kind != EndingKind::SourceDenied {
        log(&context, &ending, (channel.received, channel.sent));
    }
}

fn log(context: &Context, ending: &Ending, (received, sent): (u64, u64)) {
    tracing::info!(
        connection = context.connection_id,
        source = %context.peer,
        listener = context.listener,
        user = context.user.as_deref(),
        ending = ending.kind.label(),
        detail = ending.detail,
        seconds = context.accepted.elapsed().as_secs_f64(),
        received,
        sent,
        "connection closed"
    );
}

async fn record(daemon: &Daemon, context: &mut Context, ending: &Ending) {
    let session = u64::from(context.connection_id);
    let detail = match ending.detail == ending.kind.label() {
        true => ending.detail.clone(),
        false => format!("{}: {}", ending.kind.label(), ending.detail),
    };
    if context.session.is_none() && ending.kind != EndingKind::HealthCheck {
        daemon.console.denials.note(Denied {
            peer: context.peer,
            listener: context.listener.clone(),
            user: context.user.clone(),
            ending: ending.kind.label(),
            reason: detail.clone(),
        });
    }
    match (&context.session, ending.kind) {
        (Some(_), _) => record_end_of_session(daemon, context, &detail).await,
        // Recorded in full before the refusal went out.
        (None, EndingKind::SourceDenied) => {}
        // Nobody: a balancer that looks whether readgate is there.
        (None, EndingKind::HealthCheck) => {}
        (None, _) => {
            daemon.metrics.login(ending.kind.label());
            let event = Event::LoginFailed {
                session,
                source: context.peer.ip().to_canonical(),
                source_port: context.peer.port(),
                listener: &context.listener,
                user: context.user.as_deref(),
                reason: &detail,
            };
            daemon.record(&event).await;
        }
    }
}

/// Records that a named user's session is over; the connection may go on.
pub async fn record_end_of_session(daemon: &Daemon, context: &mut Context, reason: &str) {
    let Some(note) = context.session.take() else { return };
    let event = Event::Disconnect {
        session: u64::from(context.connection_id),
        user: context.user.as_deref().unwrap_or_default(),
        reason,
        statements: note.statements,
        refusals: note.refusals,
    };
    daemon.record(&event).await;
}
