//! What the judge is told of a role: the general policy, with the role's functions and
//! routines added, its schemas and its view of others.
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use access::Role;
use sql_judge::{Judge, Policy, ServerVersion};

use crate::recording::policy_hash;

/// The policy of a role's users.
pub fn of(general: &Policy, role: &Role) -> Policy {
    let mut policy = general.clone();
    policy.allowed_functions.extend(role.functions.iter().cloned());
    policy.allowed_calls.extend(role.calls.iter().cloned());
    policy.schemas.clone_from(&role.schemas);
    policy.own_sessions_only = !role.see_others;
    policy
}

/// A role's judge, and the hash that records name its policy by.
#[derive(Debug, Clone)]
pub struct RoleJudge {
    /// Judges statements of the role's users.
    pub judge: Arc<Judge>,
    /// See [`policy_hash`].
    pub policy: Arc<str>,
}

/// The judges of all roles, made when they are first asked for.
#[derive(Debug, Default)]
pub struct Judges {
    generation: AtomicU64,
    made: Mutex<HashMap<(ServerVersion, String), RoleJudge>>,
}

impl Judges {
    /// The judge of a role.
    pub fn of(
        &self,
        version: ServerVersion,
        role: &Role,
        make: impl FnOnce() -> Judge,
    ) -> RoleJudge {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let judge = made.entry((version, role.name.clone())).or_insert_with(|| {
            let judge = make();
            RoleJudge { policy: policy_hash(&judge).into(), judge: Arc::new(judge) }
        });
        judge.clone()
    }

    /// Users or roles have changed: sessions ask anew.
    pub fn forget(&self) {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Differs from an earlier answer if the judges have been forgotten since.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }
}
