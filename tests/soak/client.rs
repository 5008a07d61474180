//! One client's day: it logs in, says this and that, checks what it hears, and leaves. What it
//! said is held against the ledger afterwards.

mod kills;
mod statements;
mod unusual;

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use readgate_tests::dice::Dice;
use readgate_tests::protocol::ZSTD_LEVEL;
use readgate_tests::protocol::capability::{COMPRESS, DEPRECATE_EOF, MULTI_STATEMENTS, ZSTD};
use readgate_tests::raw::{Login, RawClient, Response, ServerError};
use readgate_tests::server::Flavour;
use readgate_tests::squeezed::Algorithm;

use crate::people::{Person, STEADY};
use crate::said::{End, Said, TAG, Text, Told};

/// What is the same for all clients of a round.
#[derive(Debug)]
pub(crate) struct Round {
    pub(crate) number: u64,
    pub(crate) flavour: Flavour,
    pub(crate) port: u16,
    pub(crate) ca_file: PathBuf,
    /// Connections may break, and servers be away.
    pub(crate) is_troubled: bool,
    /// Idle sessions lend their connections.
    pub(crate) lends: bool,
    pub(crate) is_over: AtomicBool,
}

/// One of the clients.
pub(crate) struct Client<'r> {
    round: &'r Round,
    number: usize,
    dice: Dice,
    told: Told,
    /// As whom it is in.
    person: Person,
    /// Its session has set a mode of its own.
    has_mode: bool,
}

impl<'r> Client<'r> {
    pub(crate) fn new(round: &'r Round, number: usize, dice: Dice) -> Self {
        Self { round, number, dice, told: Told::default(), person: STEADY[0], has_mode: false }
    }

    /// Lives until the round is over, and returns what it said.
    pub(crate) fn live(mut self) -> Told {
        while !self.is_over() {
            if let Err(error) = self.session() {
                assert!(self.round.is_troubled, "{error} after {:?}", self.told.said.last());
                // Whoever is sent away comes again, not at once.
                thread::sleep(Duration::from_millis(50));
            }
        }
        self.told
    }

    fn is_over(&self) -> bool {
        self.round.is_over.load(Ordering::Relaxed)
    }

    fn session(&mut self) -> io::Result<()> {
        self.person = self.anybody();
        let mut client = self.enter(self.person)?;
        self.has_mode = false;
        for _ in 0..self.dice.roll(40) {
            if self.is_over() {
                break;
            }
            if self.dice.roll(10) == 0 {
                // Long enough to lend its connection, where sessions do.
                thread::sleep(Duration::from_millis(25));
            }
            match self.dice.roll(15) {
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
                11 => self.become_another(&mut client)?,
                12 => self.unusual(&mut client)?,
                13 => self.look_around(&mut client)?,
                10 if self.dice.roll(4) == 0 => return self.killed_session(client),
                10 if self.dice.roll(2) == 0 => self.killed_statement(&mut client)?,
                _ => self.few_rows(&mut client)?,
            }
        }
        // Some say goodbye, some just go.
        if self.dice.roll(2) == 0 { client.send_command(1, b"") } else { Ok(()) }
    }

    fn anybody(&mut self) -> Person {
        STEADY[self.dice.roll(STEADY.len())]
    }

    /// A session of that person.
    fn enter(&mut self, person: Person) -> io::Result<RawClient> {
        let mut login = Login::user(person.name, person.password).with(MULTI_STATEMENTS);
        if self.dice.roll(2) == 0 {
            login.capabilities ^= DEPRECATE_EOF;
        }
        if let Some(plugin) = person.plugin {
            login = login.proposing(plugin);
        }
        let mut client = RawClient::connect(self.round.port)?;
        let wished =
            [(COMPRESS, Algorithm::Zlib), (ZSTD, Algorithm::Zstd { level: ZSTD_LEVEL.into() })];
        let wished =
            wished.get(self.dice.roll(4)).filter(|(flag, _)| client.greeting.offered & flag != 0);
        login.capabilities |= wished.map_or(0, |(flag, _)| *flag);
        client.start_tls(&self.round.ca_file, &login)?;
        client.try_login(&login)?.map_err(|error| told(&error))?;
        if let Some((_, algorithm)) = wished {
            client.compress(*algorithm);
        }
        Ok(client)
    }

    /// A new tag, with the user's name at its end, for a statement that is about to be sent.
    fn tag(&mut self, is_write: bool) -> String {
        let user = self.person.name.to_owned();
        let (round, number) = (self.round.number, self.told.said.len());
        let tag = format!("{TAG}{round}-{}-{number}-{user}", self.number);
        let (is_begun, text, end) = (false, None, None);
        let said = Said { tag: tag.clone(), user, text, is_write, is_begun, end };
        self.told.said.push(said);
        tag
    }

    fn last(&mut self) -> &mut Said {
        self.told.said.last_mut().expect("something was said")
    }

    /// Says what was tagged last, and hears the answer.
    fn query(&mut self, client: &mut RawClient, sql: impl AsRef<[u8]>) -> io::Result<Response> {
        self.last().text = Some(Text::of(sql.as_ref()));
        client.send_command(3, sql.as_ref())?;
        self.answer(client)
    }

    /// The answer to what was said last.
    fn answer(&mut self, client: &mut RawClient) -> io::Result<Response> {
        client.received.clear();
        let response = client.read_response();
        let is_error = |(_, payload): &(u8, Vec<u8>)| payload.first() == Some(&0xff);
        self.last().is_begun = client.received.first().is_some_and(|first| !is_error(first));
        let response = response?;
        let end = response.error().map_or(End::Rows(response.row_count()), |e| End::by(&e));
        self.last().end = Some(end);
        Ok(response)
    }
}

fn told(error: &ServerError) -> io::Error {
    io::Error::other(error.to_string())
}
