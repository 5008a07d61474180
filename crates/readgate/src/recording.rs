//! Statements' records: what `session` knows, in the ledger's terms. Every wait for the
//! ledger has a deadline.
mod policy;

use std::fmt::Write;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ledger::{
    Intent, IntentRecorded, LedgerFault, Literal, LiteralKind, MadeText, Names, Outcome, Refusal,
    ReplicaError, TextForm, TextPlace,
};
use mysql_wire::response::ResponseEnd;
use ring::digest::{Context, SHA256, digest};
use sql_judge::{Judge, ReadPermit, SessionFacts, StatementKind};

use crate::console;
use crate::daemon::BUILD;
use crate::ending::{Ending, EndingKind};
use crate::metrics::tally::Ran;
use crate::patience;
use crate::replica::relay::{Held, RelayFault};
use crate::session::{Session, aside};
pub use policy::{Asserted, RESERVED_ATTRIBUTES, RecordPolicy, SessionRecords};

/// The ledger takes a record within this time or counts as unable to.
const DEADLINE: Duration = Duration::from_secs(10);

/// What is known of a run besides its answer.
pub struct RunReport<'a> {
    /// The permit it ran under.
    pub permit: &'a ReadPermit,
    /// From its command's arrival to the end of the replica's answer.
    pub took: Duration,
    /// From forwarding to the end of the replica's answer.
    pub at_replica: Duration,
    /// Rows relayed.
    pub rows: u64,
    /// Bytes of an answer that broke off.
    pub bytes: u64,
    /// What the text names.
    pub named: &'a Named,
    /// Hash of the answer's bytes, if wanted.
    pub hash: Option<Context>,
}

/// What a text names, found out while the replica is at work.
#[derive(Debug, Default)]
pub struct Named {
    /// Short hash of the text's shape.
    fingerprint: String,
    has_tables: bool,
    /// With tables, `schema.table`, without the schema where the session had none; and with
    /// columns, as the judge found them.
    names: Names,
}

impl Named {
    /// What this text names in this session.
    pub fn by(facts: &SessionFacts, permit: &ReadPermit) -> Self {
        let sql_judge::Structure { tables, columns, .. } = permit.structure(facts);
        let fingerprint = match permit.kind() == StatementKind::FieldList {
            // No SQL, so it has no shape.
            true => String::new(),
            false => short_hash(&sql_judge::shape(facts, permit.text())),
        };
        let mut named = Self { fingerprint, has_tables: !tables.is_empty(), ..Self::default() };
        named.names = Names::new(named.fingerprint(), &tables, &columns);
        named
    }

    /// Whether it names any table.
    pub fn has_tables(&self) -> bool {
        self.has_tables
    }

    fn fingerprint(&self) -> Option<&str> {
        Some(self.fingerprint.as_str()).filter(|fingerprint| !fingerprint.is_empty())
    }
}

/// What is kept with a text that comes again and again.
#[derive(Debug, Default)]
pub struct ByText {
    /// What it names; of all texts that differ from it in their values alone.
    pub named: Arc<Named>,
    /// Where it stands in the ledger.
    pub place: TextPlace,
}

/// The hash of a policy: of the judge with all that configuration told it, and of the
/// build whose rules it holds.
pub fn policy_hash(judge: &Judge) -> String {
    short_hash(format!("{BUILD} {judge:?}").as_bytes())
}

/// The hash that stands for the console's rules.
pub fn console_policy() -> String {
    short_hash(format!("{BUILD} console").as_bytes())
}

/// The first 16 hex digits of a SHA-256.
fn short_hash(bytes: &[u8]) -> String {
    hex(digest(&SHA256, bytes).as_ref().iter().take(8))
}

fn hex<'b>(bytes: impl Iterator<Item = &'b u8>) -> String {
    bytes.fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// How a text may stand in its record.
pub enum Form {
    /// As it is.
    Full,
    /// Without its values, which stand at these places.
    Redacted(Vec<Literal>),
    /// Nothing of it but length and keyed hash.
    Hashed,
    /// One of these, of a long text.
    Made(MadeText),
}

impl Form {
    /// As the session's role has it.
    pub async fn of<R>(session: &Session<'_, R>, text: &Bytes) -> Result<Self, Ending> {
        let (redacts, is_long) = (session.redacts(), aside::is_long(text));
        if !redacts && !is_long {
            return Ok(Self::Full);
        }
        let ledger = session.daemon().ledger.clone();
        let making = move |_: &Judge, facts: &SessionFacts, text: &Bytes| {
            let form = Self::by(redacts, facts, text);
            if is_long { Self::Made(ledger.make_text(text, form.as_ref())) } else { form }
        };
        aside::look(session, text, making).await
    }

    /// The same of a text that isn't forwarded, of which there is a record in any case.
    pub async fn of_refused<R>(session: &Session<'_, R>, text: &Bytes) -> Self {
        match Self::of(session, text).await {
            Ok(form) => form,
            Err(_) => Self::without_turn(session, text).await,
        }
    }

    /// Of a text that gets no turn any more for its values to be told apart.
    pub async fn without_turn<R>(session: &Session<'_, R>, text: &Bytes) -> Self {
        let redacts = session.redacts();
        let form = move || if redacts { Self::Hashed } else { Self::Full };
        if !aside::is_long(text) {
            return form();
        }
        let (ledger, text) = (session.daemon().ledger.clone(), text.clone());
        let making = move || Self::Made(ledger.make_text(&text, form().as_ref()));
        tokio::task::spawn_blocking(making).await.unwrap_or_else(|_| form())
    }

    /// With or without its values. Where those can't be told apart, nothing of it stays.
    pub fn by(redacts: bool, facts: &SessionFacts, text: &[u8]) -> Self {
        if !redacts {
            return Self::Full;
        }
        let kind = |kind| match kind {
            sql_judge::LiteralKind::String => LiteralKind::String,
            sql_judge::LiteralKind::Number => LiteralKind::Number,
            sql_judge::LiteralKind::Comment => LiteralKind::Comment,
        };
        let literal = |l: sql_judge::Literal| Literal { range: l.range, kind: kind(l.kind) };
        match sql_judge::literals(facts, text) {
            Some(found) => Self::Redacted(found.into_iter().map(literal).collect()),
            None => Self::Hashed,
        }
    }

    /// In the ledger's terms.
    pub fn as_ref(&self) -> TextForm<'_> {
        match self {
            Self::Full => TextForm::Full,
            Self::Redacted(literals) => TextForm::Redacted(literals),
            Self::Hashed => TextForm::Hashed,
            Self::Made(made) => TextForm::Made(made),
        }
    }
}

/// Waits for a record, within the deadline.
pub async fn within_deadline<T>(
    recording: impl Future<Output = Result<T, LedgerFault>>,
) -> Result<T, String> {
    match patience::within(DEADLINE, recording).await {
        Ok(recorded) => recorded.map_err(|fault| fault.to_string()),
        Err(_) => Err("it takes no records in time".to_owned()),
    }
}

/// Records an intent. An error is fit for the client to read.
pub async fn intent(session: &Session<'_>, intent: &Intent<'_>) -> Result<IntentRecorded, String> {
    within_deadline(session.daemon().ledger.intent(session.tag(), intent)).await
}

/// Records a refusal. An error is fit for the client to read.
pub async fn refusal<R>(session: &Session<'_, R>, refusal: &Refusal<'_>) -> Result<(), String> {
    within_deadline(session.daemon().ledger.refusal(session.tag(), refusal)).await.map(|_| ())
}

/// Records how a run ended. If that can't be recorded, the client doesn't get the end.
pub async fn outcome(
    session: &mut Session<'_>,
    intent: IntentRecorded,
    report: &RunReport<'_>,
    relayed: Result<&Held, &RelayFault>,
) -> Result<(), Ending> {
    let end = end_name(relayed);
    let is_told = match relayed {
        Ok(Held { end: ResponseEnd::Err(_), .. }) => may_tell(session, report.permit.text()).await,
        Ok(_) | Err(_) => true,
    };
    let bytes = relayed.map_or(report.bytes, |held| held.bytes);
    let texts = match relayed.map(|held| &held.end) {
        Ok(ResponseEnd::Err(err)) => {
            Some((err.code, err.sqlstate.to_text(), String::from_utf8_lossy(&err.message)))
        }
        Ok(ResponseEnd::Ok(_)) | Err(_) => None,
    };
    let error = texts.as_ref().map(|(code, sqlstate, message)| ReplicaError {
        code: *code,
        sqlstate,
        message: if is_told { message } else { "" },
    });
    // Of an answer that broke off, nobody has seen the whole.
    let hash = report.hash.clone().filter(|_| relayed.is_ok());
    let result_sha256 = hash.map(|hash| hex(hash.finish().as_ref().iter()));
    let outcome = Outcome {
        rows: report.rows,
        bytes,
        duration: report.took,
        end,
        error,
        names: Some(&report.named.names),
        result_sha256: result_sha256.as_deref(),
    };
    let (kind, at_replica, rows) = (report.permit.kind().as_str(), report.at_replica, report.rows);
    let ran = Ran { kind, end, took: report.took, at_replica, rows, bytes };
    session.tally(&ran);
    if let Some(fingerprint) = report.named.fingerprint() {
        let shape = || console::shape(session.facts(), report.permit.text());
        session.daemon().console.statements.note(fingerprint, &ran, shape);
    }
    within_deadline(session.daemon().ledger.outcome(session.tag(), intent, &outcome))
        .await
        .map(|_| ())
        .map_err(|why| Ending::silent(EndingKind::LedgerFault, why))
}

/// Whether a record may tell what a server says of a text: it repeats values. Not where that
/// can't be found out any more, as its session ends.
async fn may_tell(session: &Session<'_>, text: &Bytes) -> bool {
    !session.redacts()
        && !aside::look(session, text, |_, _, text| ledger::tells_password(text))
            .await
            .unwrap_or(true)
}

/// How a run ended, as records and metrics name it.
fn end_name(relayed: Result<&Held, &RelayFault>) -> &'static str {
    match relayed {
        Ok(held) => match held.end {
            ResponseEnd::Ok(_) => "ok",
            ResponseEnd::Err(_) => "error",
        },
        Err(RelayFault::ClientGone(_)) => "client_gone",
        Err(RelayFault::ReplicaGone(_) | RelayFault::Protocol(_) | RelayFault::Overtime) => {
            "replica_gone"
        }
        Err(RelayFault::Ordered) => "killed",
        Err(RelayFault::Over(_)) => "over_limit",
    }
}
