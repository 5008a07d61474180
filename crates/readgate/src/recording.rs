//! Statements' records: what `session` knows, in the ledger's terms. Every wait for the
//! ledger has a deadline.
use std::future::Future;
use std::time::{Duration, Instant};

use ledger::{Intent, IntentRecorded, LedgerFault, Outcome, Refusal, ReplicaError};
use mysql_wire::response::ResponseEnd;
use sql_judge::ReadPermit;
use tokio::time::timeout;

use crate::ending::{Ending, EndingKind};
use crate::replica::relay::{Held, RelayFault};
use crate::session::Session;

/// The ledger takes a record within this time or counts as unable to.
const DEADLINE: Duration = Duration::from_secs(10);

/// What is known of a run besides its answer.
pub struct RunReport<'a> {
    /// The permit it ran under.
    pub permit: &'a ReadPermit,
    /// When its command arrived.
    pub received: Instant,
    /// Rows relayed.
    pub rows: u64,
    /// Tables that the text names, as written.
    pub tables: Vec<String>,
}

/// Waits for a record, within the deadline.
pub async fn within_deadline<T>(
    recording: impl Future<Output = Result<T, LedgerFault>>,
) -> Result<T, String> {
    match timeout(DEADLINE, recording).await {
        Ok(recorded) => recorded.map_err(|fault| fault.to_string()),
        Err(_) => Err("it takes no records in time".to_owned()),
    }
}

/// Records an intent. An error is fit for the client to read.
pub async fn intent(session: &Session<'_>, intent: &Intent<'_>) -> Result<IntentRecorded, String> {
    within_deadline(session.daemon().ledger.intent(session.tag(), intent)).await
}

/// Records a refusal. An error is fit for the client to read.
pub async fn refusal(session: &Session<'_>, refusal: &Refusal<'_>) -> Result<(), String> {
    within_deadline(session.daemon().ledger.refusal(session.tag(), refusal)).await.map(|_| ())
}

/// Records how a run ended. If that can't be recorded, the client doesn't get the end.
pub async fn outcome(
    session: &mut Session<'_>,
    intent: IntentRecorded,
    report: &RunReport<'_>,
    relayed: Result<&Held, &RelayFault>,
) -> Result<(), Ending> {
    let duration = report.received.elapsed();
    let (end, bytes) = match relayed {
        Ok(held) => match held.end {
            ResponseEnd::Ok(_) => ("ok", held.bytes),
            ResponseEnd::Err(_) => ("error", held.bytes),
        },
        Err(RelayFault::ClientGone(_)) => ("client_gone", 0),
        Err(RelayFault::ReplicaGone(_) | RelayFault::Protocol(_)) => ("replica_gone", 0),
        Err(RelayFault::Ordered) => ("killed", 0),
        Err(RelayFault::Over(_)) => ("over_limit", 0),
    };
    let texts = match relayed.map(|held| &held.end) {
        Ok(ResponseEnd::Err(err)) => {
            Some((err.code, err.sqlstate.to_text(), String::from_utf8_lossy(&err.message)))
        }
        Ok(ResponseEnd::Ok(_)) | Err(_) => None,
    };
    let error = texts.as_ref().map(|(code, sqlstate, message)| ReplicaError {
        code: *code,
        sqlstate,
        message,
    });
    let outcome = Outcome {
        rows: report.rows,
        bytes,
        duration,
        end,
        error,
        tables: &report.tables,
        ..Outcome::default()
    };
    session.tally(report.permit.kind().as_str(), end, duration);
    within_deadline(session.daemon().ledger.outcome(session.tag(), intent, &outcome))
        .await
        .map(|_| ())
        .map_err(|why| Ending::silent(EndingKind::LedgerFault, why))
}
