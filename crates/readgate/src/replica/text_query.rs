//! readgate's own small statements on the replica (guard, checks, KILL): send a text, read
//! all of a small result. Users' statements never come this way.
use mysql_wire::err_packet::ERR_HEADER;
use mysql_wire::ok_packet::{EOF_HEADER, OK_HEADER, parse_eof};
use mysql_wire::{Command, ErrPacket, Malformed, OkPacket, Reader, StatusFlags};

use crate::packet_stream::{PacketStream, StreamFault};

/// Largest payload in an answer to a statement of our own.
const ANSWER_LIMIT: usize = 1 << 20;
/// Characters of a message that SIGNAL takes.
const SIGNALLED: usize = 128;
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
/// after it. All answers are read, whichever is an error: the next one must be its question's.
pub async fn run_all(
    channel: &mut PacketStream,
    texts: &[String],
) -> Result<(Vec<TextRow>, StatusFlags), QueryFault> {
    for text in texts {
        queue(channel, text);
    }
    channel.flush().await.map_err(StreamFault::Io)?;
    let mut last = Ok(Answer::default());
    for _ in texts {
        last = match (read_answer(channel).await, last) {
            (Err(broken @ QueryFault::Stream(_)), _) => return Err(broken),
            (answer, Ok(_)) => answer,
            (_, refused) => refused,
        };
    }
    last.map(|Answer { rows, status, .. }| (rows, status))
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

/// The statement that is answered with this error, as far as that has room for its message. In
/// digits, which mean the same in every mode and character set.
pub fn signal(err: &ErrPacket) -> String {
    let state: String =
        err.sqlstate.to_text().chars().filter(char::is_ascii_alphanumeric).collect();
    let message = String::from_utf8_lossy(&err.message);
    let message: String = message.chars().take(SIGNALLED).collect();
    let digits = message.bytes().fold(String::new(), |digits, byte| format!("{digits}{byte:02x}"));
    let code = err.code;
    format!("SIGNAL SQLSTATE '{state}' SET MYSQL_ERRNO = {code}, MESSAGE_TEXT = X'{digits}'")
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

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// As a server answers a SELECT of one value, with sequence ids from 1 on.
    fn one_value(value: u8) -> Vec<u8> {
        let definition =
            [3, b'd', b'e', b'f', 0, 0, 0, 1, b'v', 0, 12, 63, 0, 1, 0, 0, 0, 253, 0, 0, 0];
        let eof: &[u8] = &[0xfe, 0, 0, 2, 0];
        let payloads = [&[1][..], &definition, eof, &[1, value], eof];
        let packet = |(id, payload): (u8, &&[u8])| {
            [&[u8::try_from(payload.len()).unwrap(), 0, 0, id][..], *payload].concat()
        };
        (1..).zip(&payloads).flat_map(packet).collect()
    }

    #[tokio::test]
    async fn an_error_among_several_answers_shifts_none_of_the_later_ones() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut far, _) = listener.accept().await.unwrap();
        let mut channel = PacketStream::new(near);
        let refused = ErrPacket::new(1317, mysql_wire::SqlState::INTERRUPTED, "no").encode();
        let refused = [&[u8::try_from(refused.len()).unwrap(), 0, 0, 1][..], &refused].concat();
        far.write_all(&[refused, one_value(b'1'), one_value(b'2')].concat()).await.unwrap();
        let both = ["SET @a = 1".to_owned(), "SELECT 1".to_owned()];
        let fault = run_all(&mut channel, &both).await;
        assert!(matches!(fault, Err(QueryFault::Replica(err)) if err.code == 1317));
        let rows = run(&mut channel, "SELECT 2").await.unwrap();
        assert_eq!(rows, [[Some(b"2".to_vec())]]);
    }
}
