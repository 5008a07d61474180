//! What a session keeps of its prepared statements, and under which ids.
use std::collections::HashMap;
use std::sync::Arc;

use mysql_wire::execute::Parameters;
use mysql_wire::prepare::statement_id;
use sql_judge::{Absorbed, Judge, ReadPermit, SessionFacts};

use crate::recording::Named;
use crate::session::carried::LongData;
use crate::session::limits::Got;

/// Ids of absorbed statements start here, far above a replica's own.
const FIRST_ABSORBED: u32 = 1 << 31;
/// MariaDB's clients name the statement that they prepared last by this id.
const LAST_PREPARED: u32 = u32::MAX;

/// A session's prepared statements, by the id that the client uses (it is the replica's).
#[derive(Debug, Default)]
pub struct PreparedStatements {
    by_id: HashMap<u32, Prepared>,
    last: Option<u32>,
    absorbed: u32,
}

/// One of them.
#[derive(Debug)]
pub(super) enum Prepared {
    /// A read, prepared on the replica.
    Read(Box<PreparedRead>),
    /// Answered with OK at each execution; the replica has never heard of it.
    Absorbed(Absorbed),
}

impl Prepared {
    fn text(&self) -> &[u8] {
        match self {
            Self::Read(read) => read.permit.text(),
            Self::Absorbed(absorbed) => &absorbed.text,
        }
    }
}

/// A read that is prepared on the replica.
#[derive(Debug)]
pub(super) struct PreparedRead {
    pub(super) permit: ReadPermit,
    /// Sequence number of the record that holds the text.
    pub(super) intent: u64,
    /// What executions have said of its parameters.
    pub(super) parameters: Parameters,
    /// Those that stand where a password would.
    pub(super) secret: Vec<u16>,
    /// What long data sent for the next execution takes, in bytes, at the replica and here.
    pub(super) long_data: usize,
    /// Whether more of it came than a session may have.
    pub(super) is_overlong: bool,
    /// What it holds, for the record.
    pub(super) long_values: LongData,
    /// What the text names.
    pub(super) named: Arc<Named>,
    /// Whether that record has the text without its values.
    pub(super) told_redacted: bool,
    /// What the client has of the result of the last execution.
    pub(super) got: Got,
}

impl PreparedRead {
    /// What was sent ahead is used up.
    pub(super) fn forget_long_data(&mut self) {
        (self.long_data, self.is_overlong) = (0, false);
        self.parameters.sent_ahead.clear();
        self.long_values.clear();
    }
}

impl PreparedStatements {
    /// Forgets all, as a reset of the session does.
    pub fn clear(&mut self) {
        self.by_id.clear();
        self.last = None;
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Bytes of all texts.
    pub(super) fn bytes(&self) -> usize {
        self.by_id.values().map(|prepared| prepared.text().len()).sum()
    }

    /// Bytes of all long data.
    pub(super) fn long_data(&self) -> usize {
        let of = |prepared: &Prepared| match prepared {
            Prepared::Read(read) => read.long_data,
            Prepared::Absorbed(..) => 0,
        };
        self.by_id.values().map(of).sum()
    }

    /// The one that was prepared last.
    pub(super) fn insert(&mut self, id: u32, prepared: Prepared) {
        self.by_id.insert(id, prepared);
        self.last = Some(id);
    }

    /// One that is answered here; gives the id that it has.
    pub(super) fn insert_absorbed(&mut self, absorbed: Absorbed) -> u32 {
        let id = FIRST_ABSORBED + self.absorbed % (FIRST_ABSORBED - 1);
        self.absorbed = self.absorbed.wrapping_add(1);
        self.insert(id, Prepared::Absorbed(absorbed));
        id
    }

    /// None was prepared last.
    pub(super) fn forget_last(&mut self) {
        self.last = None;
    }

    /// Forgets the one of that id.
    pub(super) fn remove(&mut self, id: u32) -> Option<Prepared> {
        if self.last == Some(id) {
            self.last = None;
        }
        self.by_id.remove(&id)
    }

    /// Forgets those that this judge would refuse; gives their ids.
    pub(super) fn take_refused(&mut self, judge: &Judge, facts: &SessionFacts) -> Vec<u32> {
        let is_refused = |_: &u32, prepared: &mut Prepared| match prepared {
            Prepared::Read(read) => !judge.would_allow(facts, &read.permit),
            Prepared::Absorbed(..) => false,
        };
        self.by_id.extract_if(is_refused).map(|(id, _)| id).collect()
    }

    /// The one of that id.
    pub(super) fn get_mut(&mut self, id: u32) -> Option<&mut Prepared> {
        self.by_id.get_mut(&id)
    }

    /// The one of that id, if it is a read.
    pub(super) fn read_mut(&mut self, id: u32) -> Option<&mut PreparedRead> {
        match self.by_id.get_mut(&id) {
            Some(Prepared::Read(read)) => Some(read),
            Some(Prepared::Absorbed(..)) | None => None,
        }
    }

    /// Whose id a command's body begins with.
    pub(super) fn resolve(&self, body: &[u8]) -> Option<u32> {
        match statement_id(body).ok()? {
            LAST_PREPARED => self.last,
            id => self.by_id.contains_key(&id).then_some(id),
        }
    }
}
