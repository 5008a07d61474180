//! The handle that sessions hold: takes what happened, hands back a [`Recording`].

use std::cell::RefCell;
use std::fmt;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::alike::WholeTexts;
use crate::encode::{self, Making, Told};
use crate::entry::Kind;
use crate::fault::{LedgerError, LedgerFault};
use crate::json;
use crate::keeper::Keeper;
use crate::keys::{self, SigningKey};
use crate::others;
use crate::own_event::OwnEvent;
use crate::record::{Event, Intent, MadeText, Outcome, Refusal, TextForm, TextPlace, Who};
use crate::recording::{IntentRecorded, Recorded, Recording};
use crate::recovery::{self, Opened};
use crate::redact::RedactionKey;
use crate::settings::LedgerSettings;
use crate::shared::{Class, LedgerHealth, Shared, SharedHandle};
use crate::tag::{Login, WhoMembers, WhoTag};
use crate::writer::{Writer, WriterStart};

/// Shortest text, in bytes, that later intents refer to: the reference has its price for
/// whoever reads.
const WORTH_REFERRING: usize = 256;

/// How long another process may keep a journal that this one starts with.
const LOOKED_AT: Duration = Duration::from_secs(1);
/// Between two tries for its lock.
const NAP: Duration = Duration::from_millis(20);

/// A node's ledger. Clones share it; it ends with [`Ledger::close`].
#[derive(Clone)]
pub struct Ledger {
    shared: SharedHandle,
    /// Read when it is first needed, and the same from then on.
    key: Arc<OnceLock<RedactionKey>>,
    whole_texts: Arc<WholeTexts>,
    threads: Arc<Mutex<Option<Threads>>>,
}

/// Ended by [`Ledger::close`].
struct Threads {
    writer: JoinHandle<()>,
    keeper: JoinHandle<()>,
    /// Dropped, it ends the keeper.
    stop_keeper: Sender<()>,
}

impl Ledger {
    /// Opens the ledger, brings in what a killed daemon left in the journal, also one that had
    /// another node's name, and starts the ledger thread. Fails if anything of it can't be
    /// written: then the daemon must not start.
    pub fn open(settings: LedgerSettings) -> Result<Self, LedgerError> {
        let opened = open_ours(&settings)?;
        for other in others::settings(&settings)? {
            match recovery::open(&other) {
                Ok(left) if left.notice.is_some() => {
                    let reason = format!("brought in by the start of node {}", settings.node);
                    Self::start(other, left)?.close(&reason)?;
                }
                // Its end was orderly, or it runs.
                Ok(_) | Err(LedgerError::InUse(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Self::start(settings, opened)
    }

    fn start(settings: LedgerSettings, opened: Opened) -> Result<Self, LedgerError> {
        let key = OnceLock::new();
        read_key(&key, &settings)?;
        let witness = opened.journal.witness()?;
        let shared = Arc::new(Shared::new(opened.journal, opened.files.len(), &settings));
        shared.change(|state| state.kept = opened.kept.map(Arc::from));
        if let Some(step_us) = opened.ahead.and_then(|ahead| i64::try_from(ahead).ok()) {
            OwnEvent::ClockStep { step_us: -step_us }.note(&shared);
        }
        if let Some(members) = opened.notice {
            // The journal is empty: there is room.
            let _ = shared.append(Class::Own, Kind::Record, &members);
        }
        let rotation = keys::pending_rotation(&settings.key_file, opened.chain.key())?;
        if let Some(rotation) = &rotation {
            OwnEvent::KeyRotated { rotation }.note(&shared);
        }
        let start = WriterStart {
            rotated_key: rotation.map(|_| settings.key_file.clone()),
            chain: opened.chain,
            files: opened.files,
            witness,
        };
        let writer = Writer::new(shared.clone(), start, settings.clone());
        let signing = SigningKey::read(&settings.key_file)?;
        let keeper = Keeper::new(shared.clone(), settings.clone(), signing, &opened.newest);
        let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
            let spawned = thread::Builder::new().name(name.into()).spawn(run);
            spawned.map_err(LedgerError::io("start a thread for", &settings.directory))
        };
        let (stop_keeper, stop) = channel();
        let writer = spawn("ledger", Box::new(move || writer.run()))?;
        let keeper = spawn("ledger-keeper", Box::new(move || keeper.run(&stop)))?;
        let threads = Threads { writer, keeper, stop_keeper };
        Ok(Self {
            shared,
            key: Arc::new(key),
            whole_texts: Arc::default(),
            threads: Arc::new(Mutex::new(Some(threads))),
        })
    }

    /// Takes over other settings, without a gap between two records: `sync`, `checkpoint_age`,
    /// `anchors`, `compress`, `compress_within`, `encrypt_to`, `keep_for`, `rotate_bytes`,
    /// `rotate_age`; and the redaction key, if none was needed before. All others stay as they
    /// were at the start.
    ///
    /// What counted by the former `sync` is on the disk as soon as that had it. The newest file
    /// goes on; one that is too large by now ends with the next record. A closed file that is
    /// being put away is finished as it was begun.
    ///
    /// # Errors
    /// If the redaction key can be neither read nor made: then nothing has changed.
    pub fn put_in_force(&self, settings: LedgerSettings) -> Result<(), LedgerError> {
        read_key(&self.key, &settings)?;
        self.shared.put_in_force(settings);
        // What is to be redacted from now on needn't stay in memory.
        self.whole_texts.forget();
        Ok(())
    }

    /// Encodes who a session is, for all its records, each of which says everything.
    pub fn tag(&self, who: &Who<'_>) -> WhoTag {
        WhoTag(Arc::new(WhoMembers::new(who, None)))
    }

    /// The same for a session whose login is recorded: its records refer to that one for what
    /// stays as it was then.
    pub fn tag_after(&self, login: u64, who: &Who<'_>) -> WhoTag {
        WhoTag(Arc::new(WhoMembers::new(who, Some(Login::new(login, who)))))
    }

    /// Makes of a text what its record will hold, in any thread: see [`TextForm::Made`].
    pub fn make_text(&self, text: &[u8], form: TextForm<'_>) -> MadeText {
        let mut members = Vec::new();
        encode::text(&mut members, text, form, &self.making());
        MadeText { members, is_full: form.is_full() }
    }

    /// Records that a statement is about to be forwarded. Where the intent allows it, a long text
    /// that stands in the same file already, or one that differs from it in one place, is
    /// referred to.
    pub fn intent(&self, tag: &WhoTag, intent: &Intent<'_>) -> Recording<IntentRecorded> {
        let is_full = matches!(intent.form, TextForm::Full);
        let whole = || self.whole_intent(tag, intent);
        if !(intent.may_refer && is_full && intent.text.len() >= WORTH_REFERRING) {
            return whole();
        }
        if let Some(recording) = self.referring_intent(tag, intent) {
            return recording;
        }
        let recording = whole();
        if let Some(sequence) = recording.intent_sequence() {
            if let Some(place) = intent.text_place {
                place.set(sequence);
            }
            // A longer one is cut in its record.
            if intent.text.len() <= self.shared.max_text {
                self.whole_texts.keep(sequence, intent.text);
            }
        }
        recording
    }

    fn whole_intent(&self, tag: &WhoTag, intent: &Intent<'_>) -> Recording<IntentRecorded> {
        self.record(Class::Intent, |out| {
            encode::intent(out, &tag.0, intent, Told::Whole, &self.making());
            Ok(())
        })
    }

    /// An intent whose text, or most of it, stands in an earlier record. `None`: none such is
    /// within reach, or this one can't be taken at once.
    fn referring_intent(
        &self,
        tag: &WhoTag,
        intent: &Intent<'_>,
    ) -> Option<Recording<IntentRecorded>> {
        let refer = |told, to| {
            with_body(|body| {
                encode::intent(body, &tag.0, intent, told, &self.making());
                let taken = self.shared.append(Class::Referring(to), Kind::Record, body);
                taken.ok().map(|sequence| Recording::of(&self.shared, sequence))
            })
        };
        let place = intent.text_place;
        if let Some(of) = place.and_then(TextPlace::get)
            && let Some(recording) = refer(Told::Of(of), of)
        {
            return Some(recording);
        }
        let like = self.whole_texts.find(intent.text)?;
        if !like.is_same {
            return refer(Told::Like(like), like.of);
        }
        if let Some(place) = place {
            place.set(like.of);
        }
        refer(Told::Of(like.of), like.of)
    }

    /// Records how a statement ended. Always has room, also while the ledger is refusing
    /// new statements.
    pub fn outcome(
        &self,
        tag: &WhoTag,
        intent: IntentRecorded,
        outcome: &Outcome<'_>,
    ) -> Recording<u64> {
        let sequence = intent.sequence();
        let class = Class::Outcome;
        let mut recording: Recording<u64> = self.record(class, |out| {
            encode::outcome(out, &tag.0, sequence, outcome);
            Ok(())
        });
        if !recording.is_taken() {
            // The long form found no room: the short one has its own kept.
            recording = self.record(class, |out| {
                encode::outcome_brief(out, sequence, outcome);
                Ok(())
            });
        }
        if recording.is_taken() {
            intent.close();
        }
        recording
    }

    /// Records a statement that was not forwarded.
    pub fn refusal(&self, tag: &WhoTag, refusal: &Refusal<'_>) -> Recording<u64> {
        self.record(Class::Event, |out| {
            encode::refusal(out, &tag.0, refusal, &self.making());
            Ok(())
        })
    }

    /// Records anything else.
    pub fn event(&self, event: &Event<'_>) -> Recording<u64> {
        self.record(Class::Event, |out| json::push_members(out, event))
    }

    /// The newest `kept_sha256` in the records: as it was found, or as was told since.
    pub fn kept(&self) -> Option<Arc<str>> {
        self.shared.lock().kept.clone()
    }

    /// That value is recorded: each checkpoint repeats it from here on, so that the next start finds
    /// it near the end, also where what is before that is encrypted by then.
    pub fn has_named(&self, kept_sha256: &str) {
        self.shared.change(|state| state.kept = Some(Arc::from(kept_sha256)));
    }

    /// The state of the ledger, for `/readyz` and `/metrics`.
    pub fn health(&self) -> LedgerHealth {
        self.shared.health()
    }

    /// Records the stop, brings everything to the files and the disk, and ends the ledger
    /// thread; further records are refused. Blocks for at most some seconds, also when
    /// the files can't be written: the journal then keeps the rest for the next start.
    pub fn close(&self, reason: &str) -> Result<(), LedgerFault> {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Threads { writer, keeper, stop_keeper }) = threads.take() else {
            return Ok(());
        };
        drop(stop_keeper);
        // It ends after the file at hand. Its panic would have hurt nothing else.
        let _ = keeper.join();
        let stopped = self.event(&Event::Stop { reason });
        self.shared.change(|state| state.closing = Some(Instant::now()));
        self.shared.nudge();
        let ended = writer.join().map_err(|_| LedgerFault::new("its thread failed"));
        drop(stopped);
        let health = self.health();
        ended?;
        match health.fault {
            Some(fault) if health.queued_bytes > 0 => Err(fault),
            _ => Ok(()),
        }
    }

    fn making(&self) -> Making<'_> {
        Making { max_text: self.shared.max_text, key: self.key.get() }
    }

    /// Encodes a record in this thread's buffer and puts it into the journal.
    fn record<T: Recorded>(
        &self,
        class: Class,
        encode: impl FnOnce(&mut Vec<u8>) -> serde_json::Result<()>,
    ) -> Recording<T> {
        with_body(|body| match encode(body) {
            Ok(()) => Recording::start(&self.shared, class, body),
            Err(error) => Recording::fault(LedgerFault::new(error.to_string())),
        })
    }
}

/// Another node's start may be looking just now whether anything was left in the journal.
fn open_ours(settings: &LedgerSettings) -> Result<Opened, LedgerError> {
    let until = Instant::now() + LOOKED_AT;
    loop {
        match recovery::open(settings) {
            Err(LedgerError::InUse(_)) if Instant::now() < until => thread::sleep(NAP),
            done => return done,
        }
    }
}

/// Reads the redaction key, or makes it, if the settings want one and none was read yet.
fn read_key(key: &OnceLock<RedactionKey>, settings: &LedgerSettings) -> Result<(), LedgerError> {
    if let (Some(path), None) = (&settings.redaction_key_file, key.get()) {
        // Who was faster has read the same file.
        let _ = key.set(RedactionKey::read_or_make(path)?);
    }
    Ok(())
}

/// Lends this thread's buffer, empty.
fn with_body<T>(work: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    thread_local! {
        static BODY: RefCell<Vec<u8>> = RefCell::new(Vec::with_capacity(4096));
    }
    BODY.with_borrow_mut(|body| {
        body.clear();
        body.shrink_to(64 << 10);
        work(body)
    })
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ledger").field(&self.health()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{Body, now_micros};

    #[test]
    fn times_follow_a_clock_that_was_set_back_from_a_clock_step_on() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(LedgerSettings::new(folder.path(), "n1")).unwrap();
        // As if the clock had been an hour ahead when this one was made.
        let mut body = Body::new(br#""event":"early""#);
        body.made += 3_600_000_000;
        ledger.shared.change(|state| assert!(state.journal.append(Kind::Record, &body).is_some()));
        let step = |line: &&str| line.contains("\"event\":\"clock_step\"");
        let file = folder.path().join("ledger-n1-000000000001.jsonl");
        let lines = || std::fs::read_to_string(&file).unwrap_or_default();
        while !lines().lines().any(|line| step(&line)) {
            drop(ledger.event(&Event::Stop { reason: "test" }));
        }
        ledger.close("test").unwrap();
        let lines = lines();
        let made = |line: &str| {
            let record: serde_json::Value = serde_json::from_str(line).unwrap();
            crate::line::micros_of(record["time"].as_str().unwrap()).unwrap()
        };
        let is_ahead = |line: &&str| made(line) > now_micros();
        assert!(lines.lines().any(|line| is_ahead(&line)));
        assert!(!lines.lines().skip_while(|line| !step(line)).any(|line| is_ahead(&line)));
        assert_eq!(lines.lines().filter(step).count(), 1);
    }
}
