//! Prepared statements of the console. A text is taken apart once; each execution puts its
//! values where the question marks stand, as whole values, so that none can become SQL.
use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use bytes::Bytes;
use ledger::PreparedRef;
use mysql_wire::bound::{BoundValue, Content, bound_values, is_number};
use mysql_wire::error_code::{
    ER_MAX_PREPARED_STMT_COUNT_REACHED, ER_NET_PACKET_TOO_LARGE, ER_STMT_HAS_NO_OPEN_CURSOR,
    ER_UNKNOWN_STMT_HANDLER, ER_WRONG_ARGUMENTS,
};
use mysql_wire::execute::Parameters;
use mysql_wire::prepare::{PrepareOk, statement_id};
use mysql_wire::{Capabilities, Command, ErrPacket, Malformed, SqlState};

use super::answer;
use super::dialect::Token;
use super::session::Operator;
use super::statement::{self, Asked};
use crate::ending::Ending;
use crate::session::carried::{Carried, LongData};

/// MariaDB's clients name the statement that they prepared last by this id.
const LAST_PREPARED: u32 = u32::MAX;

/// An operator's prepared statements by their id.
#[derive(Debug, Default)]
pub struct PreparedStatements {
    by_id: HashMap<u32, Prepared>,
    /// The id given out last.
    newest: u32,
    /// Whether the latest PREPARE made the newest.
    is_newest_last: bool,
}

#[derive(Debug)]
struct Prepared {
    tokens: Vec<Token>,
    /// Sequence number of the record that holds the text.
    intent: u64,
    parameters: Parameters,
    /// Values sent ahead, and the same for the record.
    long: BTreeMap<u16, Vec<u8>>,
    long_record: LongData,
    long_bytes: usize,
}

/// COM_STMT_PREPARE.
pub async fn prepare(
    operator: &mut Operator<'_>,
    text: &Bytes,
    received: Instant,
) -> Result<(), Ending> {
    operator.prepared.is_newest_last = false;
    let most = operator.limits.prepared_statements;
    if operator.prepared.by_id.len() >= most {
        let text = format!(
            "readgate: can't create more than {most} prepared statements in a session \
             (limits.prepared_statements)"
        );
        return operator
            .err(&ErrPacket::new(ER_MAX_PREPARED_STMT_COUNT_REACHED, SqlState::ACCESS, text))
            .await;
    }
    let asked = Asked::text(Command::StmtPrepare, text);
    let marks = asked.tokens.iter().filter(|token| **token == Token::Mark('?')).count();
    let Some(described) = statement::describe(operator, &asked, received).await? else {
        return Ok(());
    };
    let counts = (u16::try_from(marks), u16::try_from(described.columns.len()));
    let (Ok(parameters), Ok(columns)) = counts else {
        let text = "readgate: too many parameters or columns for a prepared statement";
        return operator.err(&ErrPacket::new(ER_WRONG_ARGUMENTS, SqlState::GENERAL, text)).await;
    };
    let prepared = Prepared {
        tokens: asked.tokens,
        intent: described.intent,
        parameters: Parameters::new(parameters),
        long: BTreeMap::new(),
        long_record: LongData::default(),
        long_bytes: 0,
    };
    let statement_id = operator.prepared.add(prepared);
    let prepared = PrepareOk { statement_id, columns, parameters, metadata_follows: true };
    let negotiated = operator.logged_in.negotiated;
    answer::queue_prepared(operator.client, prepared, &described.columns, negotiated);
    operator.flush().await
}

/// COM_STMT_EXECUTE.
pub async fn execute(
    operator: &mut Operator<'_>,
    body: &Bytes,
    received: Instant,
) -> Result<(), Ending> {
    let negotiated = operator.logged_in.negotiated;
    let most = operator.limits.max_payload;
    let Some((id, prepared)) = operator.prepared.named(body) else {
        return unknown(operator, body).await;
    };
    if prepared.long_bytes > most {
        prepared.forget_sent_ahead();
        let text = "readgate: parameters sent as long data are larger than limits.max_payload";
        return operator.err(&ErrPacket::new(ER_NET_PACKET_TOO_LARGE, SqlState::LINK, text)).await;
    }
    let (tokens, carried) = prepared.read_execution(body, negotiated)?;
    let reference = PreparedRef { statement_id: id, intent: prepared.intent };
    prepared.forget_sent_ahead();
    let asked = Asked {
        command: Command::StmtExecute,
        text: b"",
        tokens,
        carried: &carried,
        prepared: Some(reference),
    };
    statement::run(operator, &asked, received).await
}

/// COM_STMT_RESET.
pub async fn reset(operator: &mut Operator<'_>, body: &Bytes) -> Result<(), Ending> {
    match operator.prepared.named(body) {
        Some((_, prepared)) => {
            prepared.forget_sent_ahead();
            operator.ok().await
        }
        None => unknown(operator, body).await,
    }
}

/// COM_STMT_FETCH.
pub async fn fetch(operator: &mut Operator<'_>) -> Result<(), Ending> {
    let text = "readgate: the console's prepared statements have no cursor";
    operator.err(&ErrPacket::new(ER_STMT_HAS_NO_OPEN_CURSOR, SqlState::GENERAL, text)).await
}

async fn unknown(operator: &mut Operator<'_>, body: &[u8]) -> Result<(), Ending> {
    let id = statement_id(body).unwrap_or(0);
    let text = format!("Unknown prepared statement handler ({id}) given to readgate");
    operator.err(&ErrPacket::new(ER_UNKNOWN_STMT_HANDLER, SqlState::GENERAL, text)).await
}

impl PreparedStatements {
    fn add(&mut self, prepared: Prepared) -> u32 {
        let mut id = self.newest;
        loop {
            id = id.wrapping_add(1);
            if id != 0 && id != LAST_PREPARED && !self.by_id.contains_key(&id) {
                break;
            }
        }
        self.by_id.insert(id, prepared);
        self.newest = id;
        self.is_newest_last = true;
        id
    }

    fn named(&mut self, body: &[u8]) -> Option<(u32, &mut Prepared)> {
        let id = match statement_id(body).ok()? {
            LAST_PREPARED if self.is_newest_last => self.newest,
            id => id,
        };
        self.by_id.get_mut(&id).map(|prepared| (id, prepared))
    }

    /// COM_STMT_CLOSE.
    pub fn close(&mut self, body: &[u8]) {
        if let Some((id, _)) = self.named(body) {
            self.by_id.remove(&id);
        }
    }

    /// COM_STMT_SEND_LONG_DATA. It has no answer, so what is too much shows at execution.
    pub fn send_ahead(&mut self, body: &[u8], most: usize) {
        if let Some((_, prepared)) = self.named(body) {
            prepared.send_ahead(body, most);
        }
    }
}

impl Prepared {
    fn send_ahead(&mut self, body: &[u8], most: usize) {
        let Some(&[low, high]) = body.get(4..).and_then(<[u8]>::first_chunk) else { return };
        let (parameter, bytes) =
            (u16::from_le_bytes([low, high]), body.get(6..).unwrap_or_default());
        self.long_bytes = self.long_bytes.saturating_add(body.len());
        if self.long_bytes > most || parameter >= self.parameters.count {
            return;
        }
        self.parameters.sent_ahead.insert(parameter);
        self.long.entry(parameter).or_default().extend_from_slice(bytes);
        self.long_record.add(parameter, bytes);
    }

    fn forget_sent_ahead(&mut self) {
        self.parameters.sent_ahead.clear();
        self.long.clear();
        self.long_record.clear();
        self.long_bytes = 0;
    }

    /// The statement with the execution's values in it, and what goes on record beside.
    fn read_execution(
        &mut self,
        body: &Bytes,
        negotiated: Capabilities,
    ) -> Result<(Vec<Token>, Carried), Malformed> {
        let (parameters, long) = (&mut self.parameters, &self.long_record);
        let (body, carried) = Carried::of_execution(body, negotiated, parameters, long)?;
        let values = bound_values(&body, &mut self.parameters)?;
        let mut values =
            (0_u16..).zip(&values).map(|(index, value)| value_token(value, self.long.get(&index)));
        let put = |token: &Token| match *token == Token::Mark('?') {
            true => values.next().unwrap_or(Token::Mark('?')),
            false => token.clone(),
        };
        Ok((self.tokens.iter().map(put).collect(), carried))
    }
}

/// A value as a token. What isn't a number in every character is a string, whatever its type
/// says, so no value can bring words or marks.
fn value_token(bound: &BoundValue<'_>, sent_ahead: Option<&Vec<u8>>) -> Token {
    let bytes: &[u8] = match &bound.content {
        Content::Null => return Token::Word(String::from("NULL")),
        Content::SentAhead => sent_ahead.map(Vec::as_slice).unwrap_or_default(),
        Content::Bytes(bytes) => bytes,
    };
    let text = String::from_utf8_lossy(bytes).into_owned();
    if !is_number(bound.type_code) {
        return Token::Text(text);
    }
    let digits = text.strip_prefix('-').unwrap_or(&text);
    let is_plain = digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.chars().all(|c| c.is_ascii_digit() || c == '.');
    match (is_plain, digits.len() == text.len()) {
        (true, true) => Token::Word(text),
        // In brackets, so that with a minus before it they don't begin a comment.
        (true, false) => Token::Word(format!("({text})")),
        (false, _) => Token::Text(text),
    }
}

#[cfg(test)]
mod tests {
    use super::super::dialect::{to_sqlite, tokens};
    use super::*;

    fn filled(text: &str, values: &[BoundValue<'_>]) -> String {
        let mut values = values.iter().map(|value| value_token(value, None));
        let put = |token: Token| match token == Token::Mark('?') {
            true => values.next().unwrap(),
            false => token,
        };
        to_sqlite(&tokens(text).into_iter().map(put).collect::<Vec<_>>())
    }

    fn value(type_code: u8, text: &'static str) -> BoundValue<'static> {
        BoundValue { type_code, content: Content::Bytes(text.as_bytes().into()) }
    }

    #[test]
    fn no_value_becomes_sql() {
        let text = value(0xfd, "x' OR '1'='1");
        assert_eq!(filled("SELECT ?", &[text]), "SELECT 'x'' OR ''1''=''1'");
        // A driver may call anything a decimal.
        let decimal = value(0xf6, "1) OR (1");
        assert_eq!(filled("SELECT 1 > ?", &[decimal]), "SELECT 1 > '1) OR (1'");
        let minus = value(0x08, "-5");
        assert_eq!(filled("SELECT 1-?", &[minus]), "SELECT 1-(-5)");
        let null = BoundValue { type_code: 0x06, content: Content::Null };
        let both = [value(0x08, "7"), null];
        assert_eq!(filled("SELECT '?', `?`, ?, ? -- ?", &both), "SELECT '?', \"?\", 7, NULL");
    }
}
