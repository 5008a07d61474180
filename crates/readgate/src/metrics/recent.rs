//! The latest refusals, for operators. The ledger has all of them.
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use access::Timestamp;
use serde_json::{Value, json};

/// So many are kept.
const KEPT: usize = 50;
/// Longest reason that is shown, in characters.
const SHOWN: usize = 300;

/// Newest last.
#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<VecDeque<Refused>>);

#[derive(Debug)]
struct Refused {
    at: Timestamp,
    user: String,
    rule: &'static str,
    kind: &'static str,
    why: Option<String>,
}

impl Recent {
    pub(super) fn note(
        &self,
        user: &str,
        rule: &'static str,
        kind: &'static str,
        why: Option<&str>,
    ) {
        let why = why.map(|why| why.chars().take(SHOWN).collect());
        let refused = Refused { at: Timestamp::now(), user: user.to_owned(), rule, kind, why };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= KEPT {
            all.pop_front();
        }
        all.push_back(refused);
    }

    pub(super) fn shown(&self) -> Vec<Value> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let one = |refused: &Refused| {
            let Refused { at, user, rule, kind, why } = refused;
            let time = at.to_string();
            let time = time.get(..19).unwrap_or(&time).replace('T', " ");
            json!({ "time": time, "user": user, "rule": rule, "kind": kind, "reason": why })
        };
        all.iter().rev().map(one).collect()
    }
}
