//! readgate's own small statements on the replica (guard, checks, KILL): send a text, read
//! all of a small result. Users' statements never come this way.
use mysql_wire::err_packet::ERR_HEADER;
use mysql_wire::ok_packet::{EOF_HEADER, OK_HEADER, parse_eof};
use mysql_wire::{Command, ErrPacket, Malformed, OkPacket, Reader, StatusFlags};

use crate::packet_stream::{PacketStream, StreamFault};

/// Largest payload in an answer to a statement of our own.
const ANSWER_LIMIT: usize = 1 << 20;
/// Most rows in such an answer.
const MAX_ROWS: usize = 10_000;

/// A row of text values; `None` is NULL.
pub type TextRow = Vec<Option<Vec<u8>>>;

/// Why a statement of our own failed.
#[derive(Debug, thiserror::Error)]
pub enum QueryFault {
    /// The connection broke.
    #[error("{0}")]
    Stream(#[from] StreamFault),
    /// The replica answered with an error.
    #[error("error {}: {}", .0.code, String::from_utf8_lossy(&.0.message))]
    Replica(ErrPacket),
}

impl From<Malformed> for QueryFault {
    fn from(malformed: Malformed) -> Self {
        Self::Stream(StreamFault::Malformed(malformed))
    }
}

/// What a statement was answered with.
#[derive(Default)]
struct Answer {
    names: Vec<Vec<u8>>,
    rows: Vec<TextRow>,
    status: StatusFlags,
}

/// Runs one statement.
pub async fn run(channel: &mut PacketStream, text: &str) -> Result<Vec<TextRow>, QueryFault> {
    queue(channel, text);
    channel.flush().await.map_err(StreamFault::Io)?;
    Ok(read_answer(channel).await?.rows)
}

/// Names of columns, and rows.
pub type NamedAnswer = (Vec<Vec<u8>>, Vec<TextRow>);

/// Runs one statement whose columns must be found by name.
pub async fn run_named(channel: &mut PacketStream, text: &str) -> Result<NamedAnswer, QueryFault> {
    queue(channel, text);
    channel.flush().await.map_err(StreamFault::Io)?;
    let Answer { names, rows, .. } = read_answer(channel).await?;
    Ok((names, rows))
}

/// Runs statements with one round trip; the answer of the last one, and the session's status
/// after it.
pub async fn run_all(
    channel: &mut PacketStream,
    texts: &[String],
) -> Result<(Vec<TextRow>, StatusFlags), QueryFault> {
    for text in texts {
        queue(channel, text);
    }
    channel.flush().await.map_err(StreamFault::Io)?;
    let mut last = Answer::default();
    for _ in texts {
        last = read_answer(channel).await?;
    }
    Ok((last.rows, last.status))
}

/// Runs a command that has no body and is answered with OK; the session's status after it.
pub async fn command(
    channel: &mut PacketStream,
    command: Command,
) -> Result<StatusFlags, QueryFault> {
    channel.begin_command();
    channel.send(&[&[command.byte()]]).await.map_err(StreamFault::Io)?;
    channel.sequence_id = 1;
    let answer = channel.read_payload(ANSWER_LIMIT).await?.bytes;
    match answer.first() {
        Some(&ERR_HEADER) => Err(QueryFault::Replica(ErrPacket::parse(&answer)?)),
        _ => Ok(OkPacket::parse(&answer)?.status),
    }
}

fn queue(channel: &mut PacketStream, text: &str) {
    channel.begin_command();
    channel.queue(&[&[Command::Query.byte()], text.as_bytes()]);
}

async fn read_answer(channel: &mut PacketStream) -> Result<Answer, QueryFault> {
    channel.sequence_id = 1;
    let first = channel.read_payload(ANSWER_LIMIT).await?.bytes;
    match first.first() {
        Some(&OK_HEADER) => {
            let status = OkPacket::parse(&first)?.status;
            return Ok(Answer { status, ..Answer::default() });
        }
        Some(&ERR_HEADER) => return Err(QueryFault::Replica(ErrPacket::parse(&first)?)),
        _ => {}
    }
    let mut reader = Reader::new(&first, "column count");
    let columns = reader.lenenc_int()?;
    // Where metadata is optional a flag follows; 0: the user has switched it off.
    let is_described = reader.u8().unwrap_or(1) != 0;
    let mut names = Vec::new();
    for _ in 0..if is_described { columns } else { 0 } {
        names.push(column_name(&channel.read_payload(ANSWER_LIMIT).await?.bytes)?);
    }
    let mut rows = Vec::new();
    let mut may_be_definitions_eof = true;
    while rows.len() < MAX_ROWS {
        let payload = channel.read_payload(ANSWER_LIMIT).await?.bytes;
        match payload.first() {
            Some(&ERR_HEADER) => return Err(QueryFault::Replica(ErrPacket::parse(&payload)?)),
            // 5 bytes: a classic EOF, of which there are two; longer: the OK that ends rows.
            Some(&EOF_HEADER) if payload.len() == 5 && may_be_definitions_eof => {}
            Some(&EOF_HEADER) if payload.len() == 5 => {
                let (_, status) = parse_eof(&payload)?;
                return Ok(Answer { names, rows, status });
            }
            Some(&EOF_HEADER) if payload.len() < 0xff_ffff => {
                let status = OkPacket::parse(&payload)?.status;
                return Ok(Answer { names, rows, status });
            }
            _ => rows.push(row(&payload)?),
        }
        may_be_definitions_eof = false;
    }
    Err(Malformed("answer: too many rows").into())
}

/// The fifth of a definition's texts: after catalog, schema, table and its own name.
fn column_name(definition: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut reader = Reader::new(definition, "column definition");
    for _ in 0..4 {
        reader.lenenc_bytes()?;
    }
    Ok(reader.lenenc_bytes()?.to_vec())
}

fn row(payload: &[u8]) -> Result<TextRow, Malformed> {
    let mut reader = Reader::new(payload, "row");
    let mut values = Vec::new();
    while let Some(&first) = reader.rest().first() {
        values.push(match first {
            0xfb => {
                reader.u8()?;
                None
            }
            _ => Some(reader.lenenc_bytes()?.to_vec()),
        });
    }
    Ok(values)
}
