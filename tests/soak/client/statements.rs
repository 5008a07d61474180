//! What a client says in the course of a day: reads of all sorts, a write now and then, and what
//! changes its session. Each hears whether the answer is what was asked for, and its own.

use std::io;

use readgate_tests::protocol::{LAST_ROW_SENT, ok_status};
use readgate_tests::raw::{RawClient, Response};

use super::{Client, End, told};
use crate::said::{TAG, tag_at};

/// utf8mb4_general_ci.
const UTF8MB4: u16 = 45;
/// Rows of `subjects`, less than there are.
const MANY: usize = 400;

impl Client<'_> {
    pub(super) fn few_rows(&mut self, client: &mut RawClient) -> io::Result<()> {
        let tag = self.tag(false);
        let rows = 1 + self.dice.roll(5);
        let sql = format!("SELECT '{tag}', s.* FROM clinical.subjects AS s LIMIT {rows}");
        let response = self.query(client, &sql)?;
        is_own(&response, &tag, rows)
    }

    pub(super) fn many_rows(&mut self, client: &mut RawClient) -> io::Result<()> {
        let tag = self.tag(false);
        let padding = "x".repeat(self.dice.roll(3) * 300);
        let sql = format!(
            "SELECT '{tag}', v.*, '{padding}' FROM clinical.visits AS v JOIN clinical.subjects \
             AS s USING (subject_id) ORDER BY v.visit_id LIMIT {MANY}"
        );
        let response = self.query(client, &sql)?;
        is_own(&response, &tag, MANY)
    }

    pub(super) fn prepared(&mut self, client: &mut RawClient) -> io::Result<()> {
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
    pub(super) fn cursor(&mut self, client: &mut RawClient) -> io::Result<()> {
        let statement = prepare(client, "SELECT ?, s.* FROM clinical.subjects AS s LIMIT 100")?;
        let tag = self.tag(false);
        client.send_command(0x17, &execution(statement, 1, &tag))?;
        let response = client.read_response()?;
        check(&response)?;
        // They come later, with records of their own.
        self.last().end = Some(End::Rows(0));
        for _ in 0..self.dice.roll(5) {
            client.send_command(0x1c, &[statement.to_le_bytes(), 40_u32.to_le_bytes()].concat())?;
            if fetch(client)? {
                break;
            }
        }
        client.send_command(0x19, &statement.to_le_bytes())
    }

    pub(super) fn write(&mut self, client: &mut RawClient) -> io::Result<()> {
        let tag = self.tag(true);
        let sql = match self.dice.roll(3) {
            0 => format!("DELETE FROM clinical.visits WHERE '{tag}' <> ''"),
            1 => format!("SELECT '{tag}' INTO OUTFILE '/tmp/{tag}'"),
            _ => format!("UPDATE clinical.subjects SET sex = '{tag}'"),
        };
        self.query(client, &sql).map(drop)
    }

    pub(super) fn mistake(&mut self, client: &mut RawClient) -> io::Result<()> {
        let tag = self.tag(false);
        let sql = format!("SELECT '{tag}' FROM clinical.no_such_table");
        self.query(client, &sql)?;
        match &self.last().end {
            Some(End::Error(1146)) => Ok(()),
            other => Err(io::Error::other(format!("no such table, but {other:?}"))),
        }
    }

    /// Several statements in one text, each of which has records of its own.
    pub(super) fn several(&mut self, client: &mut RawClient) -> io::Result<()> {
        let first = self.told.said.len();
        let tags = [self.tag(false), self.tag(false), self.tag(false)];
        let sql = tags.clone().map(|tag| format!("SELECT '{tag}'")).join("; ");
        client.send_command(3, sql.as_bytes())?;
        let response = client.read_response()?;
        check(&response)?;
        for said in &mut self.told.said[first..] {
            (said.is_begun, said.end) = (true, Some(End::Rows(1)));
        }
        let rows = response.rows().concat();
        assert_eq!(rows, tags.map(|tag| Some(tag.into_bytes())));
        Ok(())
    }

    pub(super) fn transaction(&mut self, client: &mut RawClient) -> io::Result<()> {
        let begin = client.try_query("START TRANSACTION")?;
        check(&begin)?;
        self.few_rows(client)?;
        match self.dice.roll(6) {
            // It goes on without what was stopped.
            0 => self.killed_statement(client)?,
            _ => self.few_rows(client)?,
        }
        let end = client.try_query(if self.dice.roll(2) == 0 { "COMMIT" } else { "ROLLBACK" })?;
        check(&end)
    }

    /// Changes what a session remembers, or forgets it all.
    pub(super) fn state(&mut self, client: &mut RawClient) -> io::Result<()> {
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

    /// Its session is somebody else's from now on, and a new one.
    pub(super) fn become_another(&mut self, client: &mut RawClient) -> io::Result<()> {
        let person = self.anybody();
        let became = client.try_change_user(person.name, person.password, UTF8MB4)?;
        became.map_err(|error| told(&error))?;
        (self.person, self.has_mode) = (person, false);
        self.few_rows(client)
    }

    /// Sees what its own user does at the moment, and nobody else.
    pub(super) fn look_around(&mut self, client: &mut RawClient) -> io::Result<()> {
        let response = client.try_query("SHOW FULL PROCESSLIST")?;
        check(&response)?;
        let (rows, own) = (response.rows().concat(), format!("-{}", self.person.name));
        for cell in rows.into_iter().flatten() {
            let text = String::from_utf8_lossy(&cell);
            let tags = text.match_indices(TAG).map(|(at, _)| tag_at(&text[at..]));
            let mut strangers = tags.filter(|tag| !tag.ends_with(&own));
            assert_eq!(strangers.next(), None, "{} sees it", self.person.name);
        }
        Ok(())
    }

    /// Looks whether its session is as it left it.
    pub(super) fn remember(&mut self, client: &mut RawClient) -> io::Result<()> {
        let tag = self.tag(false);
        let sql = format!("SELECT '{tag}', @@sql_mode LIKE '%ANSI_QUOTES%'");
        let response = self.query(client, &sql)?;
        is_own(&response, &tag, 1)?;
        let mode = if self.has_mode { b"1" } else { b"0" };
        assert_eq!(response.rows()[0][1], Some(mode.to_vec()), "the mode of {tag}'s session");
        Ok(())
    }

    pub(super) fn leave_in_the_midst(&mut self, client: &mut RawClient) -> io::Result<()> {
        let tag = self.tag(false);
        let sql =
            format!("SELECT '{tag}', a.*, b.* FROM clinical.visits AS a, clinical.sites AS b");
        client.send_command(3, sql.as_bytes())?;
        let first = client.receive()?;
        if first.first() != Some(&0xff) {
            self.last().end = Some(End::Left);
        }
        Ok(())
    }
}

pub(super) fn check(response: &Response) -> io::Result<()> {
    response.error().map_or(Ok(()), |error| Err(told(&error)))
}

/// Whether the answer is all there and nobody else's.
pub(super) fn is_own(response: &Response, tag: &str, rows: usize) -> io::Result<()> {
    check(response)?;
    assert_eq!(response.row_count(), rows, "rows of {tag}");
    let holds = |row: &[u8]| row.windows(tag.len()).any(|part| part == tag.as_bytes());
    let strangers = response.raw_rows().filter(|row| !holds(row)).count();
    assert_eq!(strangers, 0, "rows of somebody else in the answer to {tag}");
    Ok(())
}

pub(super) fn prepare(client: &mut RawClient, sql: &str) -> io::Result<u32> {
    client.try_prepare(sql)?.map(|statement| statement.id).map_err(|error| told(&error))
}

/// What follows COM_STMT_EXECUTE: a statement with one parameter, a string.
pub(super) fn execution(statement: u32, flags: u8, tag: &str) -> Vec<u8> {
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
