//! The crate from outside: files in, values or errors out.
mod errors;
mod sample;
mod secrets;
