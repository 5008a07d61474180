//! Room for what clients have readgate keep: commands that are still coming or under way, and
//! texts of prepared statements. Each session's are bounded by `limits.max_payload`; hundreds of
//! sessions would still have the process killed for its memory, and all others' with it.
//!
//! What each session may have in any case isn't counted, so that small commands never fail, nor
//! look for room.
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mysql_wire::error_code::ER_SERVER_ISNT_AVAILABLE;
use mysql_wire::{ErrPacket, SqlState};

/// What isn't counted, and the step that the rest is counted in.
const STEP: usize = 1 << 20;
/// Room for all sessions together.
const ALL: usize = 1 << 30;

/// What is taken.
#[derive(Debug, Default)]
pub struct Rooms(Mutex<Taken>);

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    /// Who has anything.
    users: HashMap<String, usize>,
}

/// What one session has of it for one purpose. Given back when dropped.
#[derive(Debug)]
pub struct Held {
    rooms: Arc<Rooms>,
    user: String,
    bytes: usize,
}

impl Held {
    /// Nothing yet.
    pub fn nothing(rooms: &Arc<Rooms>, user: &str) -> Self {
        Self { rooms: Arc::clone(rooms), user: user.to_owned(), bytes: 0 }
    }

    /// Holds so many bytes from now on, more or fewer than before; false if there is no room. One
    /// user gets half of all: the other half is the others'. The largest command of all,
    /// `max_payload`, fits in either half.
    #[must_use]
    pub fn change(&mut self, bytes: usize, max_payload: usize) -> bool {
        let wanted = if bytes <= STEP { 0 } else { bytes.div_ceil(STEP).saturating_mul(STEP) };
        if wanted == self.bytes {
            return true;
        }
        let each = (ALL / 2).max(max_payload.saturating_add(STEP));
        let mut taken = self.rooms.taken();
        let own = taken.users.get(&self.user).copied().unwrap_or_default();
        let all = taken.all.saturating_sub(self.bytes).saturating_add(wanted);
        let own = own.saturating_sub(self.bytes).saturating_add(wanted);
        if wanted > self.bytes && (own > each || all > each.saturating_mul(2)) {
            return false;
        }
        taken.all = all;
        match own {
            0 => drop(taken.users.remove(&self.user)),
            own => drop(taken.users.insert(self.user.clone(), own)),
        }
        self.bytes = wanted;
        true
    }

    /// Holds nothing any more.
    pub fn give_back(&mut self) {
        let _is_no_more: bool = self.change(0, 0);
    }

    /// Whether it is anything.
    pub fn is_any(&self) -> bool {
        self.bytes > 0
    }
}

impl Rooms {
    /// A panic elsewhere can't leave the counts half-changed.
    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// What a client is told for whose bytes there is none.
pub fn none_left() -> ErrPacket {
    let text = "readgate: too many large commands and prepared statements at this moment; try \
                again later";
    ErrPacket::new(ER_SERVER_ISNT_AVAILABLE, SqlState::LINK, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn one_user_has_half_of_the_room_and_gives_it_back() {
        let rooms = Arc::default();
        let mut held: Vec<Held> = (0..9).map(|_| Held::nothing(&rooms, "alice")).collect();
        let taken: Vec<bool> =
            held.iter_mut().map(|held| held.change(64 * MIB, 64 * MIB)).collect();
        assert_eq!(taken, [[true; 8].as_slice(), &[false]].concat());
        assert!(held[8].change(MIB, 64 * MIB), "what each may have in any case");
        let mut other = Held::nothing(&rooms, "bob");
        assert!(other.change(512 * MIB, 64 * MIB));
        assert!(!Held::nothing(&rooms, "carol").change(2 * MIB, 64 * MIB));
        assert!(other.change(500 * MIB, 64 * MIB));
        assert!(Held::nothing(&rooms, "carol").change(2 * MIB, 64 * MIB));
        held.clear();
        let left = || {
            let taken = rooms.taken();
            (taken.all, taken.users.len())
        };
        assert_eq!(left(), (500 * MIB, 1));
        drop(other);
        assert_eq!(left(), (0, 0));
    }

    #[test]
    fn the_largest_command_always_fits_once() {
        let rooms = Arc::default();
        let mut one = Held::nothing(&rooms, "alice");
        assert!(one.change(1 << 30, 1 << 30));
        assert!(!Held::nothing(&rooms, "alice").change(2 * MIB, 1 << 30));
        assert!(Held::nothing(&rooms, "bob").change(1 << 30, 1 << 30));
    }
}
