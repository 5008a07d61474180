//! What a relay that broke off makes of its session.
use mysql_wire::error_code::ER_SERVER_ISNT_AVAILABLE;
use mysql_wire::{ErrPacket, SqlState};

use super::{Session, ordered};
use crate::ending::{Ending, EndingKind};
use crate::replica::relay::{Passed, RelayFault};

impl Session<'_> {
    /// The ending that a broken relay leads to.
    pub(super) fn ending_by(&self, fault: &RelayFault) -> Ending {
        let kind = match fault {
            RelayFault::Ordered => return ordered(&self.orders),
            RelayFault::ClientGone(_) => EndingKind::ClientGone,
            RelayFault::ReplicaGone(_) | RelayFault::Protocol(_) | RelayFault::Overtime => {
                EndingKind::ReplicaFault
            }
            RelayFault::Over(_) => EndingKind::Internal,
        };
        Ending::silent(kind, fault.to_string())
    }

    /// A response that broke off: the replica is told to stop, the client to give up.
    pub(super) fn broken_off(&mut self, passed: &Passed, fault: &RelayFault) -> Ending {
        let mut ending = self.ending_by(fault);
        match fault {
            RelayFault::ClientGone(_) | RelayFault::Ordered => self.kill_later(),
            // Over and Overtime: the session goes on, so they don't come here.
            RelayFault::ReplicaGone(_)
            | RelayFault::Protocol(_)
            | RelayFault::Over(_)
            | RelayFault::Overtime => {
                let text = "readgate: lost connection to the replica during the statement";
                ending.farewell =
                    Some(ErrPacket::new(ER_SERVER_ISNT_AVAILABLE, SqlState::LINK, text));
            }
        }
        // An ERR may stand between packets, never inside one.
        match passed.border {
            Some(sequence_id) => self.client.sequence_id = sequence_id,
            None => ending.farewell = None,
        }
        ending
    }
}
