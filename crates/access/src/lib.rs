//! Who may come in: from where ([`source`]), as whom ([`user`], [`role`], [`login`]), with
//! what proof ([`credential`]), how often ([`throttle`]) and how many ([`limits`]). Decides
//! without I/O; the moment is an argument.
//!
//! Two permits leave this crate and nothing else can make them: [`SourceAdmitted`],
//! which the daemon's greeting demands, and [`NamedUser`], which its session demands.
pub mod certificate;
pub mod credential;
pub mod directory;
pub mod endings;
pub mod identity;
pub mod limits;
pub mod login;
pub mod network;
pub mod password;
pub mod role;
pub mod source;
pub mod store;
pub mod throttle;
pub mod user;

/// Verifiers and secrets, for those that make users; nobody else needs the crate itself.
pub use mysql_auth;

/// A moment.
pub use jiff::Timestamp;
/// What credentials are made of, for those who know this crate alone.
pub use mysql_auth::{AuthPlugin, NativeVerifier, Password, Sha2Verifier};

/// A day of the calendar. Days begin and end in UTC.
pub use jiff::civil::Date;

pub use certificate::{CertificateName, ClientCertificate};
pub use credential::{Credential, CredentialId, CredentialPolicy, Stage, Standing};
pub use directory::{Unusable, combine};
pub use endings::{Endings, Ends, next_end};
pub use identity::{Alteration, Change, ChangeError, Identity};
pub use limits::{ConnectionLimits, LimitReached, LimitSettings, SourceSlot, UserSlot};
pub use login::{Arrival, DenyCause, Exchange, FastAuth, LoginCheck, LoginDenied, NamedUser};
pub use password::{ChosenRules, PasswordRules, Weak};
pub use role::{Role, RoleLimits};
pub use source::{
    SourceAdmitted, SourceDenied, SourceDenyCause, SourceEntry, SourceNetworks, SourceSet,
};
pub use store::{Author, HistoryEntry, IdentityStore, SignOff, Snapshot, StoreError};
pub use throttle::{Attempt, Blocked, LoginThrottle, SharedBlock, ThrottleSettings};
pub use user::{User, UserName, UserStatus, UserStore, Users};

/// The day (UTC) of a moment.
pub fn day_of(moment: Timestamp) -> Date {
    jiff::tz::TimeZone::UTC.to_datetime(moment).date()
}
