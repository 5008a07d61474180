//! The crate from outside: files in, values or errors out.
mod descriptions;
mod errors;
mod sample;
mod secrets;
mod settings;
