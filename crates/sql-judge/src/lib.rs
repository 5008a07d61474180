//! What a statement is, as *this* server in *this* session would read it, and
//! whether it only reads.
//!
//! Decides without I/O. The order of a judgement: [`lexer`] (bytes to tokens, exactly
//! as the server), [`grammar`] (an allow-list over those tokens), [`Verdict`]. A
//! [`ReadPermit`] can be minted nowhere else, owns the judged bytes, and is what the
//! daemon's `forward` demands.

mod access;
mod cache;
mod charset;
mod digest_text;
mod explain;
mod facts;
mod footprint;
mod functions;
mod grammar;
mod hints;
mod judge;
mod lexer;
mod literals;
mod memory;
mod metadata;
mod own;
mod patterns;
mod server;
mod settings;
mod split;
mod sql_mode;
mod structure;
mod text;
mod verdict;
mod walk;

pub use digest_text::digest_text;
pub use explain::{Explanation, explain, explain_batch};
pub use facts::{Effects, SessionFacts, SessionVariables};
pub use footprint::Footprint;
pub use functions::may_be_allowed;
pub use judge::{Judge, Policy, Verdicts};
pub use literals::{Literal, LiteralKind, literals, shape};
pub use server::{Flavour, ServerVersion};
pub use settings::Limits;
pub use split::split;
pub use structure::{Structure, structure};
pub use verdict::{Absorbed, Denial, OwnStatement, ReadPermit, StatementKind, Verdict};
