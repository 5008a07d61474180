//! What clients said, held against the ledger and the replica's own log.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::path::PathBuf;
use std::time::Duration;

use readgate_tests::place::wait_until_ok;
use readgate_tests::readgate::run;
use serde_json::Value;

use crate::meddling;
use crate::said::{End, Kill, Said, TAG, Told, tag_at, text_of};

/// Reads on where it stopped: in the ledger by time and number. The log is emptied when it is read:
/// an hour of long statements would fill the disk.
#[derive(Debug)]
pub(crate) struct Witness {
    ledger: PathBuf,
    log: PathBuf,
    from: String,
    sequence: u64,
    /// Records that tell of another key: without them it is unknown.
    rotations: Vec<u64>,
}

/// The records of the statements with one tag.
#[derive(Debug, Default)]
struct Recorded<'r> {
    intents: Vec<&'r Value>,
    refusals: Vec<&'r Value>,
    outcomes: Vec<&'r Value>,
}

impl Witness {
    pub(crate) fn new(ledger: PathBuf, log: PathBuf) -> Self {
        Self { ledger, log, from: "2000".to_owned(), sequence: 0, rotations: Vec::new() }
    }

    /// Waits until everything that was said stands in the ledger as it should; the new
    /// records.
    pub(crate) fn hear(&mut self, told: &Told, is_troubled: bool) -> Vec<Value> {
        let on_replica = self.tags_on_replica();
        let records = wait_until_ok("the ledger tells of all", Duration::from_secs(60), || {
            let records = self.new_records();
            let recorded = by_tag(&records);
            let faults = told
                .said
                .iter()
                .filter_map(|said| fault(said, recorded.get(said.tag.as_str()), is_troubled));
            let is_unknown = |tag: &&String| {
                recorded.get(tag.as_str()).is_none_or(|recorded| recorded.intents.is_empty())
            };
            let unknown = on_replica.iter().filter(is_unknown);
            let unknown = unknown.map(|tag| format!("{tag} ran without an intent"));
            let faults = faults.chain(unknown).chain(unrecorded_kills(&told.kills, &records));
            let faults: Vec<String> = faults.take(5).collect();
            if faults.is_empty() { Ok(records) } else { Err(faults.join("; ")) }
        });
        let rotated = records.iter().filter(|record| record["event"] == "key_rotated");
        self.rotations.extend(rotated.filter_map(|record| record["seq"].as_u64()));
        if let Some(last) = records.last() {
            self.from = last["time"].as_str().expect("a time").to_owned();
            self.sequence = last["seq"].as_u64().expect("a number");
        }
        records
    }

    /// Records since the last round, in order.
    fn new_records(&self) -> Vec<Value> {
        let ledger = self.ledger.display().to_string();
        let output = run(&["ledger", "search", &ledger, "--from", &self.from, "--with-text"], "");
        let text = String::from_utf8(output.stdout).expect("records are text");
        let records = text.lines().map(|line| serde_json::from_str(line).expect("JSON"));
        records.filter(|record: &Value| record["seq"].as_u64() > Some(self.sequence)).collect()
    }

    /// Tags that the replica's own log has got since. Nobody says anything meanwhile.
    fn tags_on_replica(&self) -> Vec<String> {
        let bytes = fs::read(&self.log).expect("the general log is there");
        let log = OpenOptions::new().write(true).open(&self.log).expect("it can be written");
        log.set_len(0).expect("it can be emptied");
        let text = String::from_utf8_lossy(&bytes);
        let starts = text.match_indices(TAG).map(|(at, _)| tag_at(&text[at..]).to_owned());
        let mut tags: Vec<String> = starts.collect();
        tags.sort_unstable();
        tags.dedup();
        tags
    }

    /// The whole ledger is as it was written, and with a file of it missing just that is found.
    pub(crate) fn verify(&self) {
        let (is_intact, said) = self.verified();
        assert!(is_intact, "{said}");
        meddling::without_a_closed_file(&self.ledger, &self.rotations, |missing| {
            let (is_intact, said) = self.verified();
            let is_finding = |line: &&str| {
                !line.starts_with("node ") && !line.starts_with(' ') && *line != "NOT INTACT"
            };
            let findings: Vec<&str> = said.lines().filter(is_finding).collect();
            let is_it = matches!(findings[..], [finding] if finding.ends_with(missing));
            assert!(!is_intact && is_it, "{missing}, but:\n{said}");
        });
    }

    fn verified(&self) -> (bool, String) {
        let output = run(&["ledger", "verify", &self.ledger.display().to_string()], "");
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    }
}

fn tag_of(record: &Value) -> Option<String> {
    let text = text_of(record).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let binds = record["binds"].as_array().into_iter().flatten();
    let bound = binds.filter_map(|bind| bind["value"].as_str().map(str::to_owned));
    text.into_iter().chain(bound).find_map(|text| Some(tag_at(&text[text.find(TAG)?..]).to_owned()))
}

fn by_tag(records: &[Value]) -> HashMap<String, Recorded<'_>> {
    let mut recorded: HashMap<String, Recorded<'_>> = HashMap::new();
    let mut tags = HashMap::new();
    for record in records {
        match (record["event"].as_str(), tag_of(record)) {
            (Some("intent"), Some(tag)) => {
                tags.insert(record["seq"].as_u64(), tag.clone());
                recorded.entry(tag).or_default().intents.push(record);
            }
            (Some("refusal"), Some(tag)) => recorded.entry(tag).or_default().refusals.push(record),
            (Some("outcome"), _) => {
                if let Some(tag) = tags.get(&record["intent"].as_u64()) {
                    recorded.entry(tag.clone()).or_default().outcomes.push(record);
                }
            }
            _ => {}
        }
    }
    recorded
}

/// Kills that were carried out, and more often than they were recorded.
fn unrecorded_kills<'k>(
    kills: &'k [Kill],
    records: &[Value],
) -> impl Iterator<Item = String> + use<'k> {
    let mut left: HashMap<Kill, usize> = HashMap::new();
    for record in records.iter().filter(|record| record["event"] == "kill") {
        let is_done = record["result"].as_str().is_some_and(|said| said.starts_with("killed"));
        if let (true, Some(target), Some(user)) =
            (is_done, record["target"].as_u64(), record["user"].as_str())
        {
            let query_only = record["query_only"] == true;
            *left.entry(Kill { user: user.to_owned(), target, query_only }).or_default() += 1;
        }
    }
    let is_missing = move |kill: &&Kill| match left.get_mut(*kill) {
        None | Some(0) => true,
        Some(left) => {
            *left -= 1;
            false
        }
    };
    kills.iter().filter(is_missing).map(|kill| format!("{kill:?} has no record"))
}

/// Where there was little room, an outcome is brief.
fn code_of(outcome: &Value) -> &Value {
    outcome.get("error_code").unwrap_or(&outcome["error"]["code"])
}

/// What is wrong with the records of a statement, if anything is.
fn fault(said: &Said, recorded: Option<&Recorded<'_>>, is_troubled: bool) -> Option<String> {
    let none = Recorded::default();
    let recorded = recorded.unwrap_or(&none);
    let counts = (recorded.intents.len(), recorded.refusals.len(), recorded.outcomes.len());
    let ends_as = |ends: &[&str]| match (recorded.outcomes.as_slice(), is_troubled) {
        ([outcome], _) => ends.iter().any(|end| outcome["end"] == *end),
        // A daemon or a replica that was killed.
        (outcomes, is_troubled) => is_troubled && outcomes.is_empty(),
    };
    let outcome = recorded.outcomes.first();
    let is_right = match &said.end {
        // What can't be recorded is refused, and that may have no record.
        Some(End::Refused) if is_troubled && counts == (0, 0, 0) => true,
        Some(End::Refused) if said.is_write => counts == (0, 1, 0),
        _ if said.is_write => counts.0 == 0,
        None if said.is_begun => counts.0 == 1,
        None | Some(End::SentAway) => counts.0 <= 1,
        Some(End::Refused) => counts.0 + counts.1 == 1,
        Some(End::Rows(rows)) => {
            let is_so = |outcome: &&Value| outcome["end"] == "ok" && outcome["rows"] == *rows;
            counts == (1, 0, 1) && outcome.is_some_and(is_so)
        }
        Some(End::Error(code)) => {
            let is_so = |outcome: &&Value| outcome["end"] == "error" && code_of(outcome) == *code;
            counts == (1, 0, 1) && outcome.is_some_and(is_so)
        }
        // One that came too late isn't looked at any more.
        Some(End::Killed) if !said.is_begun && counts == (0, 0, 0) => true,
        // One that the end came before while it waited is refused by it.
        Some(End::Killed) if !said.is_begun && counts == (0, 1, 0) => {
            recorded.refusals.iter().all(|refusal| refusal["rule"] == "killed")
        }
        Some(End::Killed) => counts.0 == 1 && ends_as(&["killed"]),
        Some(End::Left) => counts.0 == 1 && ends_as(&["client_gone", "ok"]),
    };
    let all = recorded.intents.iter().chain(&recorded.refusals).chain(&recorded.outcomes);
    let is_theirs = |record: &Value| match record.get("user") {
        Some(user) => user.as_str() == Some(&said.user),
        None => record["end"] == "abandoned" || record["brief"] == true,
    };
    let mut texts = recorded.intents.iter().chain(&recorded.refusals);
    let is_so = |record: &&Value| said.text.as_ref().is_none_or(|text| text.is_in(record));
    let is_right = is_right && all.clone().all(|record| is_theirs(record)) && texts.all(is_so);
    (!is_right).then(|| format!("{said:?}, but {recorded:?}"))
}
