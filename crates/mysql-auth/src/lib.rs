//! MySQL authentication, both sides, as functions from bytes to decisions.
//!
//! The daemon moves the bytes; nothing here touches a socket or a clock.
pub mod native;
pub mod nonce;
pub mod plugin;
pub mod replica;
pub mod secret;
pub mod sha2;

pub use native::NativeVerifier;
pub use nonce::Nonce;
pub use plugin::AuthPlugin;
pub use replica::{ReplicaAuthFault, ReplicaLogin};
pub use secret::Password;
pub use sha2::Sha2Verifier;
