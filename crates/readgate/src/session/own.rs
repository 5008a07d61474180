//! Statements that don't go to the replica as they came.
use std::time::Instant;

use mysql_wire::Command;
use sql_judge::OwnStatement;

use super::statement::Run;
use super::{Session, kill};
use crate::ending::Ending;

/// Answers one. True if it succeeded.
pub async fn run(
    session: &mut Session<'_>,
    own: &OwnStatement,
    received: Instant,
    more_after: bool,
) -> Result<bool, Ending> {
    match *own {
        OwnStatement::Kill { id, query_only } => {
            kill::run(session, id, query_only, more_after).await
        }
        OwnStatement::ProcessList { full } => {
            // Held until the answer is there: none of them becomes another user's meanwhile.
            let held = session.daemon.registry.sessions_of(&session.user);
            // The list is that of the session's server: another one's ids are others' here.
            let here = &session.replica.seat.server;
            let seats = held.iter().filter_map(|entry| entry.card.seat.as_ref());
            let near = seats.filter(|seat| seat.server == *here);
            let mut ids: Vec<u32> = near.map(|seat| seat.id).collect();
            ids.sort_unstable();
            let permit = session.judge.process_list(&session.facts, full, &ids);
            let run = Run::of_text(Command::Query, &permit, more_after);
            let succeeded = run.to_the_end(session, received).await?.succeeded;
            drop(held);
            Ok(succeeded)
        }
    }
}
