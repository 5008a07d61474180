//! The crate from outside: files in, values or errors out.
mod sample;
