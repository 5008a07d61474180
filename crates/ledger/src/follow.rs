//! Lines as they come, for whoever watches: each once, file by file, whatever is compressed,
//! encrypted, removed or put back meanwhile.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::archive;
use crate::files::Identity;
use crate::line::Frame;
use crate::lines::{ledger_files, whole_lines};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(300);

/// Hands over the lines that are there, then those that come, until told to stop with `false`.
pub(crate) fn follow(
    paths: &[PathBuf],
    take: &mut dyn FnMut(&[u8]) -> io::Result<bool>,
) -> io::Result<()> {
    // By their names when plain, whatever form they have.
    let mut followed: BTreeMap<PathBuf, Followed> = BTreeMap::new();
    loop {
        for path in ledger_files(paths)? {
            followed.entry(archive::plain_form(&path)).or_insert_with(|| Followed::new(path));
        }
        // What is followed by a later file now gets no more: it is read to its end.
        let names: Vec<PathBuf> = followed.keys().cloned().collect();
        let mut later = names.iter().skip(1);
        for (name, file) in &mut followed {
            let is_closed = later.next().is_some_and(|later| series(later) == series(name));
            if !file.read_on(is_closed, take)? {
                return Ok(());
            }
        }
        std::thread::sleep(LOOK);
    }
}

/// What the names of a node's files have in common.
pub(crate) fn series(path: &Path) -> Option<&str> {
    path.to_str()?.rsplit_once('-').map(|(series, _)| series)
}

/// A ledger file that is followed.
struct Followed {
    path: PathBuf,
    state: State,
    /// Sequence of the last line that was handed over.
    last: u64,
}

enum State {
    Unread,
    Open { reader: Box<dyn BufRead>, begun: Vec<u8>, identity: Identity },
    Over,
}

impl Followed {
    fn new(path: PathBuf) -> Self {
        Self { path, state: State::Unread, last: 0 }
    }

    /// Hands over what is new. False if told to stop.
    fn read_on(
        &mut self,
        is_closed: bool,
        take: &mut dyn FnMut(&[u8]) -> io::Result<bool>,
    ) -> io::Result<bool> {
        if matches!(self.state, State::Unread) && !self.open()? {
            return Ok(true);
        }
        let goes_on = self.new_lines(take)?;
        if let State::Open { identity, .. } = &self.state
            && identity.is_another_now(&self.path)
            && self.open()?
        {
            // Put back by the daemon: goes on in the copy, behind what is known of it.
            return Ok(goes_on && self.new_lines(take)?);
        }
        if is_closed {
            self.state = State::Over;
        }
        Ok(goes_on)
    }

    /// False if it is encrypted or removed by now.
    fn open(&mut self) -> io::Result<bool> {
        let identity = Identity::of(&self.path);
        self.state = match archive::open(&self.path) {
            Ok(file) => {
                let reader = Box::new(BufReader::with_capacity(256 << 10, file));
                State::Open { reader, begun: Vec::new(), identity }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => State::Over,
            Err(error) => return Err(error),
        };
        Ok(matches!(self.state, State::Open { .. }))
    }

    fn new_lines(&mut self, take: &mut dyn FnMut(&[u8]) -> io::Result<bool>) -> io::Result<bool> {
        let State::Open { reader, begun, .. } = &mut self.state else {
            return Ok(true);
        };
        let last = &mut self.last;
        whole_lines(reader, begun, &mut |line| {
            let sequence = Frame::read(line).map_or(u64::MAX, |frame| frame.sequence);
            if sequence <= *last {
                return Ok(true);
            }
            *last = if sequence == u64::MAX { *last } else { sequence };
            take(line)
        })
    }
}
