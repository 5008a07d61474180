//! One command: the allow-list of COM_*. Anything unnamed is refused with 1047 and never
//! forwarded.
use std::time::Instant;

use bytes::Bytes;
use mysql_wire::error_code::ER_UNKNOWN_COM_ERROR;
use mysql_wire::ok_packet::encode_end;
use mysql_wire::packet::Payload;
use mysql_wire::{Command, ErrPacket, Reader, SqlState};

use super::carried::Carried;
use super::passthrough::{self, Harmless};
use super::{RESPONSE_FLAGS, Session, prepared, statement};
use crate::ending::{Ending, EndingKind};

/// How a command came.
#[derive(Debug, Clone, Copy)]
pub struct Came<'c> {
    /// The packet it came in, if it was one.
    pub packet: Option<&'c Bytes>,
    /// When.
    pub received: Instant,
}

/// Runs a command to its last packet.
pub async fn run(
    session: &mut Session<'_>,
    payload: Payload,
    received: Instant,
) -> Result<(), Ending> {
    let Some(&first) = payload.bytes.first() else {
        return Err(Ending::malformed("empty command"));
    };
    let (body, packet) = (payload.bytes.slice(1..), payload.packet.as_ref());
    let Some(command) = Command::from_byte(first) else {
        return unknown(session).await;
    };
    match command {
        Command::Quit => Err(Ending::silent(EndingKind::Quit, "quit")),
        Command::Query => {
            let (text, carried) = Carried::of_query(body, session.negotiated)?;
            statement::query(session, text, &carried, Came { packet, received }).await
        }
        Command::InitDb => statement::init_db(session, body, received).await,
        Command::FieldList => statement::field_list(session, body, received).await,
        Command::StmtPrepare => prepared::prepare(session, body, received).await,
        Command::StmtExecute => prepared::execute(session, body, Came { packet, received }).await,
        Command::StmtFetch => prepared::fetch(session, body, Came { packet, received }).await,
        Command::StmtSendLongData => prepared::send_long_data(session, body).await,
        Command::StmtClose => prepared::close(session, body).await,
        Command::StmtReset => prepared::reset(session, body).await,
        Command::Ping => passthrough::forward(session, Harmless::Ping).await,
        Command::Statistics => passthrough::forward(session, Harmless::Statistics).await,
        Command::ResetConnection => Box::pin(passthrough::reset_connection(session)).await,
        Command::SetOption => set_option(session, body).await,
        // Seen before, as it ends the session.
        Command::ChangeUser => unknown(session).await,
    }
}

async fn unknown(session: &mut Session<'_>) -> Result<(), Ending> {
    session.send_err(&ErrPacket::new(ER_UNKNOWN_COM_ERROR, SqlState::LINK, "Unknown command")).await
}

/// Several statements in one query, on or off. They are split here, so the replica is
/// not told.
async fn set_option(session: &mut Session<'_>, body: Bytes) -> Result<(), Ending> {
    let option = Reader::new(&body, "COM_SET_OPTION").u16();
    session.multi_statements = match option {
        Ok(0) => true,
        Ok(1) => false,
        Ok(_) | Err(_) => return unknown(session).await,
    };
    let status = session.replica.status - RESPONSE_FLAGS;
    let end = encode_end(status, session.replica.form.deprecate_eof);
    session.send(&end).await
}
