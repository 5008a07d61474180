//! Who may come in: from where ([`source`]), as whom ([`user`], [`login`]) and how
//! many at a time ([`limits`]). Decides without I/O; today's date is an argument.
//!
//! Two permits leave this crate and nothing else can make them: [`SourceAdmitted`],
//! which the daemon's greeting demands, and [`NamedUser`], which its session demands.
pub mod limits;
pub mod login;
pub mod network;
pub mod source;
pub mod user;

/// A day of the calendar. Days begin and end in UTC.
pub use jiff::civil::Date;

pub use limits::{ConnectionLimits, LimitReached, LimitSettings, SourceSlot, UserSlot};
pub use login::{DenyCause, Exchange, FastAuth, LoginCheck, LoginDenied, NamedUser};
pub use source::{SourceAdmitted, SourceDenied, SourceEntry, SourceNetworks, SourceSet};
pub use user::{User, UserName, UserStatus, UserStore, Users};
