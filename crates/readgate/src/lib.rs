//! TODO
pub mod identity;
