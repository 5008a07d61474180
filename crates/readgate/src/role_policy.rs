//! What the judge is told of a role: the general policy, with the role's functions and
//! routines added, its schemas and its view of others.
use access::Role;
use sql_judge::Policy;

/// The policy of a role's users.
pub fn of(general: &Policy, role: &Role) -> Policy {
    let mut policy = general.clone();
    policy.allowed_functions.extend(role.functions.iter().cloned());
    policy.allowed_calls.extend(role.calls.iter().cloned());
    policy.schemas.clone_from(&role.schemas);
    policy.own_sessions_only = !role.see_others;
    policy
}
