//! One pass over the lines. An outcome holds user, tables, rows: what most of a report is
//! made of; intents are kept only until their outcome comes.

use std::collections::{BTreeMap, HashMap};

use memchr::memmem::Finder;

use super::notable::{Usual, off_hours};
use super::{Notable, Report, ReportRequest, widen};
use crate::bounds::last_day;
use crate::line::Frame;
use crate::lines::{Member, names_table, time_of, unescaped};

/// Most notes of one kind that a report holds; of more of the same it tells the number.
const MOST: usize = 1000;

pub(super) struct Collector<'r> {
    request: &'r ReportRequest,
    report: Report,
    members: Members,
    /// Intents whose outcome hasn't come, by node and sequence; also those before the report's
    /// bounds, as a short outcome leaves its user to them.
    open: HashMap<(String, u64), Open>,
    usual: Usual,
    /// The hash of the configuration in force, by node.
    configs: HashMap<String, String>,
    /// When the newest record was made, also behind the report's bounds.
    newest: String,
}

/// An intent.
struct Open {
    user: String,
    time: String,
    counts: bool,
}

struct Members {
    event: Finder<'static>,
    node: Member,
    user: Member,
    intent: Member,
    rows: Member,
    bytes: Member,
    end: Member,
    rule: Member,
    tables: Member,
    reason: Member,
    verdict: Member,
    config_hash: Member,
    not_compared: Member,
    kept_sha256: Member,
}

impl Members {
    /// What follows the event's opening quote.
    fn event_of<'l>(&self, line: &'l [u8]) -> &'l [u8] {
        let behind = |at: usize| line.get(at + self.event.needle().len()..);
        self.event.find(line).and_then(behind).unwrap_or_default()
    }
}

impl<'r> Collector<'r> {
    pub(super) fn new(request: &'r ReportRequest) -> Self {
        let members = Members {
            event: Finder::new(b",\"event\":\""),
            node: Member::new("node"),
            user: Member::new("user"),
            intent: Member::new("intent"),
            rows: Member::new("rows"),
            bytes: Member::new("bytes"),
            end: Member::new("end"),
            rule: Member::new("rule"),
            tables: Member::new("tables"),
            reason: Member::new("reason"),
            verdict: Member::new("verdict"),
            config_hash: Member::new("config_hash"),
            not_compared: Member::new("not_compared"),
            kept_sha256: Member::new("kept_sha256"),
        };
        Self {
            request,
            report: Report::default(),
            members,
            open: HashMap::new(),
            usual: Usual::default(),
            configs: HashMap::new(),
            newest: String::new(),
        }
    }

    pub(super) fn line(&mut self, line: &[u8]) {
        let Ok(time) = std::str::from_utf8(time_of(line)) else { return };
        if *time > *self.newest {
            time.clone_into(&mut self.newest);
        }
        let begins = |limit: &str| time.get(..limit.len()).unwrap_or(time).to_owned();
        let is_later = self.request.to.as_ref().is_some_and(|to| begins(to) > *to);
        if is_later {
            return self.ended_later(line);
        }
        let counts = self.request.from.as_ref().is_none_or(|from| begins(from) >= *from);
        if counts {
            self.report.records += 1;
            widen(&mut self.report.first, &mut self.report.last, time);
        }
        let event = self.members.event_of(line);
        if event.starts_with(b"outcome\"") {
            self.outcome(line, time, counts);
        } else if event.starts_with(b"intent\"") {
            self.intent(line, time, counts);
        } else if event.starts_with(b"refusal\"") && counts {
            self.refusal(line, time);
        } else if event.starts_with(b"login\"") {
            let user = self.user(line);
            self.usual.seen(&user, time);
        } else if event.starts_with(b"login_failed\"") && counts {
            let user = self.user(line);
            let reason = self.members.reason.text(line).map(unescaped).unwrap_or_default();
            self.note("login_failed", user, reason, time);
        } else if event.starts_with(b"start\"") || event.starts_with(b"config_load\"") {
            self.config(line, time, event.starts_with(b"start\""), counts);
        }
    }

    /// What a reload changes is nothing to note; what was changed while no daemon ran is, and more so
    /// where the record behind the start can't tell what that was.
    fn config(&mut self, line: &[u8], time: &str, is_start: bool, counts: bool) {
        let Some(hash) = self.members.config_hash.text(line) else { return };
        let (node, members) = (self.node(line), &self.members);
        // All of a large configuration takes many records: once is enough, and the last one has that.
        let is_last = members.kept_sha256.text(line).is_some();
        let why = members.not_compared.text(line).filter(|_| is_last).map(unescaped);
        let other = format!(
            "{node}: another configuration, by its SHA-256 {hash}, since the stop; what differs, by \
             search --event config_load"
        );
        let untold = why.map(|why| format!("{node}: what was changed can't be told: {why}"));
        let before = self.configs.insert(node, hash.to_owned());
        let is_other = is_start && before.is_some_and(|before| before != hash);
        for what in is_other.then_some(other).into_iter().chain(untold).filter(|_| counts) {
            self.note("config_changed", String::new(), what, time);
        }
    }

    /// A record behind the report's bounds: all it tells is that a statement has ended.
    fn ended_later(&mut self, line: &[u8]) {
        if self.members.event_of(line).starts_with(b"outcome\"") {
            let intent = self.members.intent.number(line).unwrap_or(0);
            self.open.remove(&(self.node(line), intent));
        }
    }

    fn user(&self, line: &[u8]) -> String {
        self.members.user.text(line).map(unescaped).unwrap_or_default()
    }

    fn node(&self, line: &[u8]) -> String {
        self.members.node.text(line).unwrap_or_default().to_owned()
    }

    fn intent(&mut self, line: &[u8], time: &str, counts: bool) {
        let user = self.user(line);
        self.usual.seen(&user, time);
        if let Some(frame) = Frame::read(line) {
            let open = Open { user, time: time.to_owned(), counts };
            self.open.insert((self.node(line), frame.sequence), open);
        }
    }

    fn outcome(&mut self, line: &[u8], time: &str, counts: bool) {
        let members = &self.members;
        let intent = members.intent.number(line).unwrap_or(0);
        let opened = self.open.remove(&(self.node(line), intent));
        // The short form of an outcome names nobody, and no table.
        let named = members.user.text(line);
        let is_short = named.is_none();
        let user = match named {
            Some(user) => unescaped(user),
            None => opened.map(|open| open.user).unwrap_or_default(),
        };
        let mut tables = members.tables.texts(line);
        if self.request.user.as_ref().is_some_and(|wanted| *wanted != user) {
            return;
        }
        if !counts {
            self.usual.read_before(&user);
        }
        if let Some(wanted) = &self.request.table {
            // What else these statements read, others may have read alone.
            tables.retain(|table| names_table(std::slice::from_ref(table), wanted));
        }
        if self.request.table.is_some() && tables.is_empty() {
            if is_short && counts {
                let what =
                    format!("record {intent} of {}: what it read is not known", self.node(line));
                self.note("tables_unknown", user, what, time);
            }
            return;
        }
        let rows = members.rows.number(line).unwrap_or(0);
        let bytes = members.bytes.number(line).unwrap_or(0);
        let ok = members.end.text(line) == Some("ok");
        let day = time.get(..10).unwrap_or(time);
        self.usual.read(&user, time, rows, &tables);
        if !counts {
            return;
        }
        let report = &mut self.report;
        entry(&mut report.users, &user).add(time, rows, bytes, ok);
        entry(&mut report.days, day).add(time, rows, bytes, ok);
        for table in &tables {
            entry(entry(&mut report.tables, table), &user).add(time, rows, bytes, ok);
        }
        if off_hours(time, self.request.hours) && self.usual.first_off_hours(&user, day) {
            self.note("off_hours", user.clone(), "reads outside of usual hours".into(), time);
        }
    }

    fn refusal(&mut self, line: &[u8], time: &str) {
        if self.members.verdict.text(line) == Some("absorbed") {
            // Its answer was OK.
            return;
        }
        let user = self.user(line);
        if self.request.user.as_ref().is_some_and(|wanted| *wanted != user) {
            return;
        }
        let rule = self.members.rule.text(line).map(unescaped).unwrap_or_default();
        let denied = entry(entry(&mut self.report.denied, &user), &rule);
        denied.count += 1;
        if *time > *denied.last {
            time.clone_into(&mut denied.last);
        }
    }

    fn note(&mut self, kind: &'static str, user: String, what: String, time: &str) {
        let wanted = self.request.user.as_ref().is_none_or(|wanted| *wanted == user);
        if wanted && self.usual.count(kind) <= MOST {
            self.report.notable.push(Notable { kind, user, what, time: time.to_owned() });
        }
    }

    /// What was left out for its number must not pass for what wasn't.
    fn tell_of_further(&mut self) {
        for (kind, count) in self.usual.counts() {
            let further = count.saturating_sub(MOST);
            if further > 0 {
                let what = format!("{further} more of these are left out here");
                let time = self.report.last.clone();
                self.report.notable.push(Notable { kind, user: String::new(), what, time });
            }
        }
    }

    pub(super) fn finish(mut self) -> Report {
        let open = std::mem::take(&mut self.open).into_iter().filter(|(_, open)| open.counts);
        let open: BTreeMap<_, _> = open.collect();
        for ((node, sequence), Open { user, time, .. }) in open {
            let what = format!("record {sequence} of {node}: how it ended is not known");
            self.note("end_unknown", user, what, &time);
        }
        for (user, table, time) in self.usual.first_reads(self.request.from.as_deref()) {
            self.note("first_time_table", user, table, &time);
        }
        for (user, day, what) in self.usual.unusual_days(self.request.from.as_deref()) {
            self.note("unusual_volume", user, what, &day);
        }
        // Nobody is dormant by days that are still to come.
        let last = last_day(self.request.to.as_deref().unwrap_or(&self.newest));
        let last = last.min(last_day(&self.newest));
        for (user, seen) in self.usual.dormant(last, self.request.dormant_days) {
            self.note("dormant", user, format!("last seen {seen}"), &seen);
        }
        self.tell_of_further();
        self.report.notable.sort_by(|one, other| one.time.cmp(&other.time));
        self.report
    }
}

/// The entry of that name, made if missing; the name is copied only then.
fn entry<'m, V: Default>(map: &'m mut BTreeMap<String, V>, name: &str) -> &'m mut V {
    if !map.contains_key(name) {
        map.insert(name.to_owned(), V::default());
    }
    map.entry(name.to_owned()).or_default()
}
