//! What runs is stopped by somebody else: from a second connection of the same user, as drivers
//! cancel, or by an operator. Whoever it is meant for hears so or has the whole answer, or finds
//! the connection closed; all others hear nothing of it.

use std::io;
use std::thread;
use std::time::Duration;

use readgate_tests::raw::{RawClient, Response};

use super::statements::{check, execution, is_own, prepare};
use super::{Client, End, told};
use crate::people::{OPERATOR, Person, STEADY};
use crate::said::Kill;

/// ER_QUERY_INTERRUPTED.
const INTERRUPTED: u16 = 1317;
/// ER_KILL_DENIED_ERROR.
const NOT_OWNER: u16 = 1095;
/// ER_CONNECTION_KILLED.
const CONNECTION_KILLED: u16 = 1927;
/// A KILL comes so late at most, behind the end of the shorter statements.
const LATEST_MS: usize = 250;

/// A statement that takes a while, with a tag in it.
struct Long {
    sql: &'static str,
    rows: usize,
    /// The statement's id, where it was prepared; the tag is bound then.
    prepared: Option<u32>,
}

impl Client<'_> {
    /// Its statement is killed, or has just ended. The next one isn't.
    pub(super) fn killed_statement(&mut self, client: &mut RawClient) -> io::Result<()> {
        let (kill, mut killer) = self.killer(client, true)?;
        let long = self.long(client)?;
        let (tag, answer, killed) = self.say_and_be_killed(client, &long, &mut killer, &kill);
        killed?;
        self.told.kills.push(kill);
        let answer = answer?;
        match answer.error() {
            Some(error) if error.code == INTERRUPTED => {}
            Some(error) => return Err(told(&error)),
            None => is_own(&answer, &tag, long.rows)?,
        }
        self.few_rows(client)
    }

    /// Its session is killed, whatever it does at the moment.
    pub(super) fn killed_session(&mut self, mut client: RawClient) -> io::Result<()> {
        let (kill, mut killer) = self.killer(&mut client, false)?;
        let long = self.long(&mut client)?;
        let (tag, answer, killed) = self.say_and_be_killed(&mut client, &long, &mut killer, &kill);
        killed?;
        self.told.kills.push(kill);
        match answer.as_ref().map(Response::error) {
            Ok(None) => is_own(&answer?, &tag, long.rows)?,
            Ok(Some(error)) if error.code != CONNECTION_KILLED => return Err(told(&error)),
            Ok(Some(_)) | Err(_) => self.last().end = Some(End::Killed),
        }
        assert!(client.is_closed(), "the session of {tag} goes on");
        Ok(())
    }

    /// The tag of what was said, its answer, and whether the kill was carried out.
    fn say_and_be_killed(
        &mut self,
        client: &mut RawClient,
        long: &Long,
        killer: &mut RawClient,
        kill: &Kill,
    ) -> (String, io::Result<Response>, io::Result<()>) {
        let tag = self.tag(false);
        let pause = Duration::from_millis(self.dice.roll(LATEST_MS) as u64);
        thread::scope(|scope| {
            let killing = scope.spawn(|| give(killer, kill, pause));
            let answer = match long.prepared {
                None => self.query(client, long.sql.replace('?', &format!("'{tag}'"))),
                Some(id) => client
                    .send_command(0x17, &execution(id, 0, &tag))
                    .and_then(|()| self.answer(client)),
            };
            (tag, answer, killing.join().expect("no killer fails"))
        })
    }

    /// The order to end this client's statement or session, and who will give it.
    fn killer(
        &mut self,
        client: &mut RawClient,
        query_only: bool,
    ) -> io::Result<(Kill, RawClient)> {
        let person = if self.dice.roll(3) == 0 { OPERATOR } else { self.person };
        let mut killer = self.enter(person)?;
        // The replica's own id is somebody else's soon, where connections are lent.
        let target = if self.round.lends || self.dice.roll(2) == 0 {
            u64::from(client.greeting.connection_id)
        } else {
            let answer = client.try_query("SELECT CONNECTION_ID()")?;
            check(&answer)?;
            answer.value().parse().expect("a number")
        };
        let target = if person.name == OPERATOR.name { seen(&mut killer, target)? } else { target };
        if self.dice.roll(4) == 0 {
            self.stranger_tries(target)?;
        }
        Ok((Kill { user: person.name.to_owned(), target, query_only }, killer))
    }

    /// Another user can't kill it.
    fn stranger_tries(&mut self, target: u64) -> io::Result<()> {
        let is_another = |person: &&Person| person.name != self.person.name;
        let stranger = STEADY.iter().rev().find(is_another).expect("there are others");
        let mut stranger = self.enter(*stranger)?;
        let answer = stranger.try_query(format!("KILL {target}"))?;
        match answer.error() {
            Some(error) if error.code == NOT_OWNER => Ok(()),
            Some(error) => Err(told(&error)),
            None => panic!("a stranger has killed {target}"),
        }
    }

    /// Sleeps, reads a lot, or works.
    fn long(&mut self, client: &mut RawClient) -> io::Result<Long> {
        let (sql, rows) = match self.dice.roll(3) {
            0 => ("SELECT SLEEP(0.2), ?", 1),
            1 => (
                "SELECT ?, a.*, b.* FROM clinical.visits AS a, clinical.sites AS b LIMIT 30000",
                30_000,
            ),
            _ => (
                "SELECT COUNT(*), ? FROM (SELECT 1 FROM clinical.items AS a, clinical.sites AS b \
                 LIMIT 400000) AS many",
                1,
            ),
        };
        let is_prepared = self.dice.roll(3) == 0;
        let prepared = if is_prepared { Some(prepare(client, sql)?) } else { None };
        Ok(Long { sql, rows, prepared })
    }
}

/// The id by which an operator sees a session.
fn seen(operator: &mut RawClient, id: u64) -> io::Result<u64> {
    let ids = format!("SELECT id FROM sessions WHERE id = {id} OR replica_session = {id}");
    let answer = operator.try_query(ids)?;
    check(&answer)?;
    match answer.row_count() {
        // It may have ended with the replica.
        0 => Err(io::Error::other(format!("no session has the id {id}"))),
        _ => Ok(answer.value().parse().expect("a number")),
    }
}

fn give(killer: &mut RawClient, kill: &Kill, pause: Duration) -> io::Result<()> {
    thread::sleep(pause);
    let what = if kill.query_only { "QUERY" } else { "CONNECTION" };
    check(&killer.try_query(format!("KILL {what} {}", kill.target))?)
}
