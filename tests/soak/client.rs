//! One client's day: it logs in, says this and that, checks what it hears, and leaves. What it
//! said is held against the ledger afterwards.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use readgate_tests::dice::Dice;
use readgate_tests::protocol::LAST_ROW_SENT;
use readgate_tests::protocol::capability::{DEPRECATE_EOF, MULTI_STATEMENTS};
use readgate_tests::protocol::ok_status;
use readgate_tests::raw::{Login, RawClient, Response, ServerError};
use readgate_tests::stage::USER_PASSWORD;

/// Rows of `subjects`, less than there are.
const MANY: usize = 400;

/// What is the same for all clients of a round.
#[derive(Debug)]
pub(crate) struct Round {
    pub(crate) number: u64,
    pub(crate) port: u16,
    pub(crate) ca_file: PathBuf,
    /// Connections may break, and servers be away.
    pub(crate) is_troubled: bool,
    pub(crate) is_over: AtomicBool,
}

/// A statement that a client sent, with a tag in it that no other one has.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) tag: String,
    /// The judge must not let it through.
    pub(crate) is_write: bool,
    /// Something of its answer came.
    pub(crate) is_begun: bool,
    pub(crate) end: Option<End>,
}

/// How an answer ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    Rows(usize),
    /// The replica's error.
    Error(u16),
    /// An error of readgate's own.
    Refused,
    /// The session was over before, and its end said so.
    SentAway,
}

/// ER_SERVER_SHUTDOWN, as a daemon that stops says between two commands.
const SHUTDOWN: u16 = 1053;

/// One of the clients.
pub(crate) struct Client<'r> {
    round: &'r Round,
    number: usize,
    dice: Dice,
    said: Vec<Said>,
    /// Its session has set a mode of its own.
    has_mode: bool,
}

impl<'r> Client<'r> {
    pub(crate) fn new(round: &'r Round, number: usize, dice: Dice) -> Self {
        Self { round, number, dice, said: Vec::new(), has_mode: false }
    }

    /// Lives until the round is over, and returns what it said.
    pub(crate) fn live(mut self) -> Vec<Said> {
        while !self.round.is_over.load(Ordering::Relaxed) {
            if let Err(error) = self.session() {
                assert!(self.round.is_troubled, "{error} after {:?}", self.said.last());
                // Whoever is sent away comes again, not at once.
                thread::sleep(Duration::from_millis(50));
            }
        }
        self.said
    }

    fn session(&mut self) -> io::Result<()> {
        let mut login = Login::user("alice", USER_PASSWORD).with(MULTI_STATEMENTS);
        if self.dice.roll(2) == 0 {
            login.capabilities ^= DEPRECATE_EOF;
        }
        let mut client = RawClient::connect(self.round.port)?;
        client.start_tls(&self.round.ca_file, &login)?;
        client.try_login(&login)?.map_err(|error| told(&error))?;
        self.has_mode = false;
        for _ in 0..self.dice.roll(40) {
            if self.round.is_over.load(Ordering::Relaxed) {
                break;
            }
            if self.dice.roll(10) == 0 {
                // Long enough to lend its connection, where sessions do.
                thread::sleep(Duration::from_millis(25));
            }
            match self.dice.roll(11) {
                0 => self.many_rows(&mut client)?,
                1 => self.prepared(&mut client)?,
                2 => self.cursor(&mut client)?,
                3 => self.write(&mut client)?,
                4 => self.mistake(&mut client)?,
                5 => self.several(&mut client)?,
                6 => self.transaction(&mut client)?,
                7 => self.state(&mut client)?,
                8 => self.remember(&mut client)?,
                9 if self.dice.roll(10) == 0 => return self.leave_in_the_midst(&mut client),
                _ => self.few_rows(&mut client)?,
            }
        }
        // Some say goodbye, some just go.
        if self.dice.roll(2) == 0 { client.send_command(1, b"") } else { Ok(()) }
    }

    // ---- what it says ----------------------------------------------------------------

    fn few_rows(&mut self, client: &mut RawClient) -> io::Result<()> {
        let tag = self.tag(false);
        let rows = 1 + self.dice.roll(5);
        let sql = format!("SELECT '{tag}', s.* FROM clinical.subjects AS s LIMIT {rows}");
        let response = self.query(client, &sql)?;
        is_own(&response, &tag, rows)
    }

    fn many_rows(&mut self, client: &mut RawClient) -> io::Result<()> {
        let tag = self.tag(false);
        let padding = "x".repeat(self.dice.roll(3) * 300);
        let sql = format!(
            "SELECT '{tag}', v.*, '{padding}' FROM clinical.visits AS v JOIN clinical.subjects \
             AS s USING (subject_id) ORDER BY v.visit_id LIMIT {MANY}"
        );
        let response = self.query(client, &sql)?;
        is_own(&response, &tag, MANY)
    }

    fn prepared(&mut self, client: &mut RawClient) -> io::Result<()> {
        let sql = "SELECT ?, COUNT(*) FROM clinical.subjects WHERE subject_id < 50";
        let statement = prepare(client, sql)?;
        for _ in 0..1 + self.dice.roll(3) {
            let tag = self.tag(false);
            client.send_command(0x17, &execution(statement, 0, &tag))?;
            let response = self.answer(client)?;
            is_own(&response, &tag, 1)?;
        }
        client.send_command(0x19, &statement.to_le_bytes())
    }

    /// Fetches some of the rows, perhaps all.
    fn cursor(&mut self, client: &mut RawClient) -> io::Result<()> {
        let statement = prepare(client, "SELECT ?, s.* FROM clinical.subjects AS s LIMIT 100")?;
        let tag = self.tag(false);
        client.send_command(0x17, &execution(statement, 1, &tag))?;
        let response = client.read_response()?;
        check(&response)?;
        self.last().is_begun = true;
        for _ in 0..self.dice.roll(5) {
            client.send_command(0x1c, &[statement.to_le_bytes(), 40_u32.to_le_bytes()].concat())?;
            if fetch(client)? {
                break;
            }
        }
        client.send_command(0x19, &statement.to_le_bytes())
    }

    fn write(&mut self, client: &mut RawClient) -> io::Result<()> {
        let tag = self.tag(true);
        let sql = match self.dice.roll(3) {
            0 => format!("DELETE FROM clinical.visits WHERE '{tag}' <> ''"),
            1 => format!("SELECT '{tag}' INTO OUTFILE '/tmp/{tag}'"),
            _ => format!("UPDATE clinical.subjects SET sex = '{tag}'"),
        };
        self.query(client, &sql).map(drop)
    }

    fn mistake(&mut self, client: &mut RawClient) -> io::Result<()> {
        let tag = self.tag(false);
        let sql = format!("SELECT '{tag}' FROM clinical.no_such_table");
        self.query(client, &sql)?;
        match &self.last().end {
            Some(End::Error(1146)) => Ok(()),
            other => Err(io::Error::other(format!("no such table, but {other:?}"))),
        }
    }

    /// Several statements in one text, each of which has records of its own.
    fn several(&mut self, client: &mut RawClient) -> io::Result<()> {
        let first = self.said.len();
        let tags = [self.tag(false), self.tag(false), self.tag(false)];
        let sql = tags.clone().map(|tag| format!("SELECT '{tag}'")).join("; ");
        client.send_command(3, sql.as_bytes())?;
        let response = client.read_response()?;
        check(&response)?;
        for said in &mut self.said[first..] {
            (said.is_begun, said.end) = (true, Some(End::Rows(1)));
        }
        let rows = response.rows().concat();
        assert_eq!(rows, tags.map(|tag| Some(tag.into_bytes())));
        Ok(())
    }

    fn transaction(&mut self, client: &mut RawClient) -> io::Result<()> {
        let begin = client.try_query("START TRANSACTION")?;
        check(&begin)?;
        self.few_rows(client)?;
        self.few_rows(client)?;
        let end = client.try_query(if self.dice.roll(2) == 0 { "COMMIT" } else { "ROLLBACK" })?;
        check(&end)
    }

    /// Changes what a session remembers, or forgets it all.
    fn state(&mut self, client: &mut RawClient) -> io::Result<()> {
        let response = match self.dice.roll(6) {
            0 => client.try_query("SET NAMES latin1")?,
            1 => {
                self.has_mode = true;
                client.try_query("SET SESSION sql_mode = 'ANSI_QUOTES,STRICT_ALL_TABLES'")?
            }
            2 => client.try_query("SET @wanted = 7")?,
            3 => client.try_query("USE clinical")?,
            4 => {
                self.has_mode = false;
                client.send_command(0x1f, b"")?;
                client.read_response()?
            }
            _ => {
                client.send_command(0x0e, b"")?;
                client.read_response()?
            }
        };
        check(&response)
    }

    /// Looks whether its session is as it left it.
    fn remember(&mut self, client: &mut RawClient) -> io::Result<()> {
        let tag = self.tag(false);
        let sql = format!("SELECT '{tag}', @@sql_mode LIKE '%ANSI_QUOTES%'");
        let response = self.query(client, &sql)?;
        is_own(&response, &tag, 1)?;
        let mode = if self.has_mode { b"1" } else { b"0" };
        assert_eq!(response.rows()[0][1], Some(mode.to_vec()), "the mode of {tag}'s session");
        Ok(())
    }

    fn leave_in_the_midst(&mut self, client: &mut RawClient) -> io::Result<()> {
        let tag = self.tag(false);
        let sql =
            format!("SELECT '{tag}', a.*, b.* FROM clinical.visits AS a, clinical.sites AS b");
        client.send_command(3, sql.as_bytes())?;
        let first = client.receive()?;
        self.last().is_begun = first.first() != Some(&0xff);
        Ok(())
    }

    // ---- what it hears ---------------------------------------------------------------

    /// A new tag, for a statement that is about to be sent.
    fn tag(&mut self, is_write: bool) -> String {
        let tag = format!("soak-{}-{}-{}", self.round.number, self.number, self.said.len());
        self.said.push(Said { tag: tag.clone(), is_write, is_begun: false, end: None });
        tag
    }

    fn last(&mut self) -> &mut Said {
        self.said.last_mut().expect("something was said")
    }

    /// Says what was tagged last, and hears the answer.
    fn query(&mut self, client: &mut RawClient, sql: &str) -> io::Result<Response> {
        client.send_command(3, sql.as_bytes())?;
        self.answer(client)
    }

    /// The answer to what was said last.
    fn answer(&mut self, client: &mut RawClient) -> io::Result<Response> {
        client.received.clear();
        let response = client.read_response();
        self.last().is_begun = !client.received.is_empty();
        let response = response?;
        self.last().end = Some(match response.error() {
            None => End::Rows(response.row_count()),
            Some(error) if error.code == SHUTDOWN => End::SentAway,
            Some(error) if error.message.starts_with("readgate: ") => End::Refused,
            Some(error) => End::Error(error.code),
        });
        Ok(response)
    }
}

fn told(error: &ServerError) -> io::Error {
    io::Error::other(error.to_string())
}

fn check(response: &Response) -> io::Result<()> {
    response.error().map_or(Ok(()), |error| Err(told(&error)))
}

/// Whether the answer is all there and nobody else's.
fn is_own(response: &Response, tag: &str, rows: usize) -> io::Result<()> {
    check(response)?;
    assert_eq!(response.row_count(), rows, "rows of {tag}");
    let holds = |row: &[u8]| row.windows(tag.len()).any(|part| part == tag.as_bytes());
    let strangers = response.raw_rows().filter(|row| !holds(row)).count();
    assert_eq!(strangers, 0, "rows of somebody else in the answer to {tag}");
    Ok(())
}

fn prepare(client: &mut RawClient, sql: &str) -> io::Result<u32> {
    client.try_prepare(sql)?.map(|statement| statement.id).map_err(|error| told(&error))
}

/// What follows COM_STMT_EXECUTE: a statement with one parameter, a string.
fn execution(statement: u32, flags: u8, tag: &str) -> Vec<u8> {
    let length = u8::try_from(tag.len()).expect("tags are short");
    let head = [&statement.to_le_bytes()[..], &[flags, 1, 0, 0, 0]].concat();
    [&head, &[0, 1, 0xfd, 0, length][..], tag.as_bytes()].concat()
}

/// Reads the rows of one COM_STMT_FETCH; whether they were the last.
fn fetch(client: &mut RawClient) -> io::Result<bool> {
    loop {
        let payload = client.receive()?;
        match payload.as_slice() {
            [0xff, ..] => return Err(io::Error::other("a fetch failed")),
            [0xfe, _, _, low, high] => {
                return Ok(u16::from_le_bytes([*low, *high]) & LAST_ROW_SENT != 0);
            }
            [0xfe, ..] => return Ok(ok_status(&payload) & LAST_ROW_SENT != 0),
            _ => {}
        }
    }
}
