//! Keeps the session on the replica and what the judge believes of it the same: what a statement
//! may have changed is asked for and put right before the next one goes there.
use bytes::Bytes;
use mysql_wire::error_code::{ER_SERVER_ISNT_AVAILABLE, ER_UNKNOWN_CHARACTER_SET};
use mysql_wire::{Command, ErrPacket, SqlState, StatusFlags};
use sql_judge::{ReadPermit, Verdict};

use super::{Session, aside, refuse};
use crate::ending::{Ending, EndingKind};
use crate::replica::ReplicaFault;
use crate::replica::guard::Baseline;

impl Session<'_> {
    /// What the last statement has left to do with the replica before the next one goes there: put
    /// the guard in force again behind a routine that may have set something else, and ask whether
    /// a setting made of the session what the judge understood. Not at once: what that statement
    /// left, such as warnings, may be asked for. Where readgate has answered it with an error, that
    /// is what is asked for. False: it was judged for a session that is another one now.
    pub(super) async fn settle_for(&mut self, next: &ReadPermit) -> Result<bool, Ending> {
        let untold = self.untold.take();
        if !self.replica.is_loose && !self.facts.is_foretold() && untold.is_none() {
            return Ok(true);
        }
        if next.asks_diagnostics() && (!self.facts.is_foretold() || next.reads_alike()) {
            if let Some(err) = untold {
                Box::pin(self.retell(&err)).await?;
            }
            return Ok(true);
        }
        if !self.replica.is_loose {
            if self.facts.is_foretold() {
                Box::pin(self.confirm()).await?;
            }
            return Ok(true);
        }
        let before = self.facts.clone();
        Box::pin(self.tighten()).await?;
        Ok(self.facts.judges_like(&before))
    }

    /// The same before a text is judged, behind a routine: on MariaDB that may have left another
    /// default schema. A text that asks what the routine has said names nothing, and goes first.
    pub(super) async fn settle_before(
        &mut self,
        command: Command,
        text: &Bytes,
    ) -> Result<(), Ending> {
        if !self.replica.is_loose {
            return Ok(());
        }
        let settled = Box::pin(self.tighten_unless_asked(text)).await;
        refuse::unless_ended(self, command, text, settled).await
    }

    async fn tighten_unless_asked(&mut self, text: &Bytes) -> Result<(), Ending> {
        let asking = aside::look(self, text, |judge, facts, text| {
            let verdicts = judge.judge_several(facts, text.clone());
            matches!(verdicts.first(), Some(Verdict::Allow(permit)) if permit.asks_diagnostics())
        });
        match asking.await? {
            true => Ok(()),
            false => self.tighten().await,
        }
    }

    /// Reads back what a routine has left of the session, which is read-only again.
    async fn tighten(&mut self) -> Result<(), Ending> {
        self.resync().await.map_err(|ending| {
            let fault = ReplicaFault::Guard("behind a routine".to_owned());
            let farewell = fault.err_packet(&self.daemon.pool.target.name);
            Ending { farewell: ending.farewell.or(Some(farewell)), ..ending }
        })
    }

    /// Reads the session's state back from the replica.
    pub(super) async fn resync(&mut self) -> Result<(), Ending> {
        let baseline = self.read_back().await?;
        match self.facts.resync(&baseline.variables()) {
            true => Ok(()),
            false => Err(charset_unknown()),
        }
    }

    /// Asks the replica whether it reads texts as the judge does since the last setting.
    async fn confirm(&mut self) -> Result<(), Ending> {
        let baseline = self.read_back().await?;
        match self.facts.confirm(&baseline.variables()) {
            true => Ok(()),
            false => Err(read_otherwise()),
        }
    }

    pub(super) async fn read_back(&mut self) -> Result<Baseline, Ending> {
        let baseline = self.daemon.pool.target.read_again(&mut self.replica).await;
        baseline.map_err(|fault| {
            Ending::silent(EndingKind::ReplicaFault, format!("reading state back: {fault}"))
        })
    }

    /// Has the replica's diagnostics say what the client was told.
    async fn retell(&mut self, err: &ErrPacket) -> Result<(), Ending> {
        let told = self.daemon.pool.target.signal(&mut self.replica, err).await;
        told.map_err(|fault| Ending::silent(EndingKind::ReplicaFault, fault.to_string()))
    }

    /// The replica says with each OK whether a backslash escapes: a session in which the
    /// judge believes otherwise must not go on.
    pub(super) fn check_mode(&self) -> Result<(), Ending> {
        let flag = StatusFlags::SERVER_STATUS_NO_BACKSLASH_ESCAPES;
        match self.facts.agrees(self.replica.status.contains(flag)) {
            true => Ok(()),
            false => Err(read_otherwise()),
        }
    }
}

pub(super) fn charset_unknown() -> Ending {
    let text = "readgate: the session's character set or sql_mode is not one that readgate \
                can judge statements in";
    let err = ErrPacket::new(ER_UNKNOWN_CHARACTER_SET, SqlState::ACCESS, text);
    Ending::told(EndingKind::LoginDenied, "character set or sql_mode unknown", err)
}

/// A fault of the judge's, found before a text that was misread could run.
fn read_otherwise() -> Ending {
    let text = "readgate: the replica reads statements otherwise than readgate understood";
    let err = ErrPacket::new(ER_SERVER_ISNT_AVAILABLE, SqlState::LINK, text);
    let detail = "the replica's sql_mode or character set is not the one that was judged by";
    Ending::told(EndingKind::Internal, detail, err)
}
