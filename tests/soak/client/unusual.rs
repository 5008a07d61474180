//! What clients seldom say: statements of more than one packet, values sent ahead in pieces, results
//! of very many columns, and texts of which a terminal would make something else.

use std::io;

use readgate_tests::raw::RawClient;
use readgate_tests::server::Flavour;

use super::Client;
use super::statements::{is_own, prepare};

/// Bytes that one packet can hold; as many need another one, which is empty.
const FULL: usize = (1 << 24) - 1;
const COLUMNS: usize = 1_500;
/// Of a value that is sent ahead.
const PIECE: usize = 40_000;

/// What must come back as it went, and stand so in the record: steering and reordering characters,
/// a NUL, what JSON escapes, what more than one character set has.
const STRANGE: [&[u8]; 6] = [
    b"\0\x01\x08\x1b[2J\x7f",
    "\u{202e}\u{2066}\u{feff}\u{2028}".as_bytes(),
    b"\",\\\\\"}\r\n{\"seq\":1}",
    "\u{1f40e}\u{e4}\u{9b}".as_bytes(),
    // No UTF-8: as a client of another character set sends it.
    b"\xe4\xf6\xfc",
    b"/* \xff */ -- \xc3",
];

impl Client<'_> {
    pub(super) fn unusual(&mut self, client: &mut RawClient) -> io::Result<()> {
        match self.dice.roll(4) {
            0 => self.long_data(client),
            1 => self.wide(client),
            2 if self.dice.roll(10) == 0 => self.large(client),
            _ => self.strange(client),
        }
    }

    /// A statement of more than one packet; MariaDB takes none that is longer than 16 MiB.
    fn large(&mut self, client: &mut RawClient) -> io::Result<()> {
        let tag = self.tag(false);
        let more = if self.round.flavour == Flavour::MySql { self.dice.roll(FULL) } else { 0 };
        // With the byte that says which command it is.
        let rest = format!("SELECT '{tag}', LENGTH('')").len() + 1;
        let length = FULL + more - rest;
        let sql = format!("SELECT '{tag}', LENGTH('{}')", "x".repeat(length));
        let response = self.query(client, sql)?;
        is_own(&response, &tag, 1)?;
        assert_eq!(response.rows()[0][1], Some(length.to_string().into_bytes()), "{tag}");
        Ok(())
    }

    /// A value in pieces, each of which is a command without an answer.
    fn long_data(&mut self, client: &mut RawClient) -> io::Result<()> {
        let statement = prepare(client, "SELECT ?, LENGTH(?)")?;
        let tag = self.tag(false);
        let pieces = 1 + self.dice.roll(4);
        for _ in 0..pieces {
            let head = [&statement.to_le_bytes()[..], &[1, 0]].concat();
            client.send_command(0x18, &[&head[..], &[b'y'; PIECE]].concat())?;
        }
        let length = u8::try_from(tag.len()).expect("tags are short");
        let head = [&statement.to_le_bytes()[..], &[0, 1, 0, 0, 0]].concat();
        // No NULs; both types; the first value alone.
        let rest = [&[0, 1, 0xfd, 0, 0xfc, 0, length][..], tag.as_bytes()].concat();
        client.send_command(0x17, &[head, rest].concat())?;
        let response = self.answer(client)?;
        is_own(&response, &tag, 1)?;
        let row = response.raw_rows().next().expect("a row");
        let length = u64::try_from(pieces * PIECE).expect("it fits").to_le_bytes();
        assert!(row.windows(3).any(|part| part == &length[..3]), "the length in {tag}'s row");
        client.send_command(0x19, &statement.to_le_bytes())
    }

    fn wide(&mut self, client: &mut RawClient) -> io::Result<()> {
        let tag = self.tag(false);
        let columns: Vec<String> =
            (0..COLUMNS).map(|number| format!("{number} AS c{number}")).collect();
        let sql = format!("SELECT '{tag}', {}", columns.join(", "));
        let response = self.query(client, sql)?;
        is_own(&response, &tag, 1)?;
        assert_eq!(response.rows()[0].len(), COLUMNS + 1, "columns of {tag}");
        Ok(())
    }

    /// Bytes that mislead whoever reads them, in a literal and a comment.
    fn strange(&mut self, client: &mut RawClient) -> io::Result<()> {
        let tag = self.tag(false);
        let strange = STRANGE[self.dice.roll(STRANGE.len())];
        let sql = [b"SELECT '", tag.as_bytes(), b"', _binary'", strange, b"'"].concat();
        let response = self.query(client, &sql)?;
        is_own(&response, &tag, 1)
    }
}
