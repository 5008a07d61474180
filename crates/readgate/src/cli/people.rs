//! `readgate user`, `credential` and `access`: stored users, their credentials and the
//! history of both. Every change needs a reason and is noted with who made it.
mod history;
mod opened;

use std::process::ExitCode;

use access::store::Author;
use access::{Alteration, Change, CredentialId, Date, Identity, SourceSet, Timestamp, UserStatus};
use clap::{Args, Subcommand, ValueEnum};
use mysql_auth::AuthPlugin;

use super::issue::{To, issue};
use super::json;
use super::review::ReviewArguments;
use history::{history, state_on};
pub(super) use opened::{Failure, Opened, Where, Why, finish, operating_system_user, user_name};

/// `readgate user ...`
#[derive(Debug, Subcommand)]
pub(super) enum UserCommand {
    /// Add a user. It can log in once a credential is issued.
    Add(Box<NewUser>),
    /// List all stored users.
    List(Where),
    /// Show everything about a user but secrets.
    Show {
        /// Login name.
        user: String,
        #[command(flatten)]
        place: Where,
    },
    /// Refuse logins of a user. Running sessions end.
    Disable {
        /// Login name.
        user: String,
        #[command(flatten)]
        why: Why,
    },
    /// Accept logins of a user again.
    Enable {
        /// Login name.
        user: String,
        #[command(flatten)]
        why: Why,
    },
    /// Give a user another role.
    Role {
        /// Login name.
        user: String,
        /// Name of a [[role]].
        role: String,
        #[command(flatten)]
        why: Why,
    },
    /// Set the last day on which a user may log in.
    Expire {
        /// Login name.
        user: String,
        /// That day, in UTC, such as 2027-01-31.
        on: Date,
        #[command(flatten)]
        why: Why,
    },
}

/// A user to be added.
#[derive(Debug, Args)]
pub(super) struct NewUser {
    /// Login name, 1 to 32 bytes.
    user: String,
    /// The person's name.
    #[arg(long)]
    full_name: String,
    /// Address for notices.
    #[arg(long)]
    email: Option<String>,
    /// Who answers for it, if it is a service.
    #[arg(long)]
    owner: Option<String>,
    /// Name of a [[role]].
    #[arg(long, default_value = access::role::DEFAULT_ROLE)]
    role: String,
    /// First day on which it may log in, in UTC.
    #[arg(long)]
    valid_from: Option<Date>,
    /// Last day on which it may log in, in UTC.
    #[arg(long)]
    valid_until: Option<Date>,
    /// A [[source]] it may come from; several are allowed. None: any the listener accepts.
    #[arg(long = "source")]
    sources: Vec<String>,
    /// A plugin it may log in with, preferred first.
    #[arg(long = "plugin", value_enum, default_values = ["caching_sha2_password"])]
    plugins: Vec<Plugin>,
    /// Most connections at a time.
    #[arg(long)]
    connections: Option<u32>,
    #[command(flatten)]
    why: Why,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Plugin {
    #[value(name = "caching_sha2_password")]
    CachingSha2Password,
    #[value(name = "mysql_native_password")]
    MysqlNativePassword,
}

/// `readgate credential ...`
#[derive(Debug, Subcommand)]
pub(super) enum CredentialCommand {
    /// Make a new credential and print it, encrypted as an age file. The one before
    /// still counts for the overlap that the configuration says.
    Issue {
        /// Login name.
        user: String,
        #[command(flatten)]
        to: To,
        #[command(flatten)]
        why: Why,
    },
    /// End a credential at once.
    Revoke {
        /// Login name.
        user: String,
        /// Its number, as `readgate user show` prints it.
        number: u64,
        #[command(flatten)]
        why: Why,
    },
}

/// `readgate access ...`
#[derive(Debug, Subcommand)]
pub(super) enum AccessCommand {
    /// Print every change, oldest first.
    History {
        /// Only those of this user.
        #[arg(long)]
        user: Option<String>,
        /// Print what they had made of the users by the end of that day (UTC) instead.
        #[arg(long, value_name = "DATE")]
        as_of: Option<Date>,
        #[command(flatten)]
        place: Where,
    },
    /// Print who can do what from where, who is dormant, what ends soon and who was refused.
    Review(Box<ReviewArguments>),
}

impl UserCommand {
    /// Does it.
    pub(super) fn run(self) -> ExitCode {
        finish(self.outcome())
    }

    fn outcome(self) -> Result<String, Failure> {
        match self {
            Self::Add(new) => add(*new),
            Self::List(place) => list(&Opened::at(&place)?, place.json),
            Self::Show { user, place } => Ok(shown(&Opened::at(&place)?.find(&user)?, place.json)),
            Self::Disable { user, why } => {
                alter(&user, &why, Alteration::Status(UserStatus::Disabled))
            }
            Self::Enable { user, why } => {
                alter(&user, &why, Alteration::Status(UserStatus::Enabled))
            }
            Self::Role { user, role, why } => {
                Opened::at(&why.place)?.check_role(&role)?;
                alter(&user, &why, Alteration::Role(role))
            }
            Self::Expire { user, on, why } => {
                let from = Opened::at(&why.place)?.find(&user)?.valid_from;
                alter(&user, &why, Alteration::Validity(from, Some(on)))
            }
        }
    }
}

impl CredentialCommand {
    /// Does it.
    pub(super) fn run(self) -> ExitCode {
        finish(self.outcome())
    }

    fn outcome(self) -> Result<String, Failure> {
        match self {
            Self::Issue { user, to, why } => issue(&user, &to, &why),
            Self::Revoke { user, number, why } => {
                change(&Change::Revoke(user_name(&user)?, CredentialId(number)), &why)
            }
        }
    }
}

impl AccessCommand {
    /// Does it.
    pub(super) fn run(self) -> ExitCode {
        match self {
            Self::History { user, as_of: None, place } => finish(history(user.as_deref(), &place)),
            Self::History { user, as_of: Some(day), place } => {
                finish(state_on(day, user.as_deref(), &place))
            }
            Self::Review(arguments) => arguments.run(),
        }
    }
}

fn add(new: NewUser) -> Result<String, Failure> {
    let opened = Opened::at(&new.why.place)?;
    opened.check_role(&new.role)?;
    for source in &new.sources {
        if opened.config.sources.entry(source).is_none() {
            return Err(Failure::Refused(format!("no [[source]] is named {source:?}")));
        }
    }
    let plugins = new.plugins.iter().map(|plugin| match plugin {
        Plugin::CachingSha2Password => AuthPlugin::CachingSha2Password,
        Plugin::MysqlNativePassword => AuthPlugin::MysqlNativePassword,
    });
    let identity = Identity {
        email: new.email,
        owner: new.owner,
        valid_from: new.valid_from,
        valid_until: new.valid_until,
        plugins: plugins.collect(),
        sources: (!new.sources.is_empty()).then(|| SourceSet::from_iter(new.sources)),
        max_connections: new.connections,
        ..Identity::new(user_name(&new.user)?, new.full_name, new.role)
    };
    change(&Change::Add(Box::new(identity)), &new.why)
}

fn alter(user: &str, why: &Why, alteration: Alteration) -> Result<String, Failure> {
    change(&Change::Alter(user_name(user)?, alteration), why)
}

fn change(change: &Change, why: &Why) -> Result<String, Failure> {
    change_to(change, why).map(|after| shown(&after, why.place.json))
}

pub(super) fn change_to(change: &Change, why: &Why) -> Result<Identity, Failure> {
    let opened = Opened::at(&why.place)?;
    let author = Author::new(operating_system_user(), why.reason.as_str())
        .map_err(|error| Failure::Refused(error.to_string()))?;
    opened.check_that_it_counts(change)?;
    let policy = &opened.config.credentials;
    Ok(opened.store()?.apply(change, &author, policy, Timestamp::now())?)
}

fn list(opened: &Opened, as_json: bool) -> Result<String, Failure> {
    if as_json {
        let users = opened.store()?.load()?.identities;
        return Ok(json::lines(users.iter().map(json::user)));
    }
    let mut lines = vec![String::from("user\tstatus\trole\tfull name\tlatest credential")];
    for user in opened.store()?.load()?.identities {
        let latest = user.credentials.first().map(access::Credential::life);
        let (name, status) = (&user.name, user.status.name());
        let latest = latest.unwrap_or_else(|| String::from("none"));
        lines.push(format!("{name}\t{status}\t{}\t{}\t{latest}", user.role, user.full_name));
    }
    Ok(lines.join("\n"))
}

fn shown(user: &Identity, as_json: bool) -> String {
    if as_json {
        return json::user(user).to_string();
    }
    let facts = user.facts();
    let lines = facts.iter().filter(|(_, value)| !value.is_empty());
    let lines = lines.map(|(fact, value)| format!("\n  {fact}: {value}"));
    format!("{}{}", user.name, lines.collect::<String>())
}

#[cfg(test)]
mod tests;
