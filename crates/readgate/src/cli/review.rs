//! `readgate access review`: who can do what from where, who doesn't any more, what ends
//! soon and who was refused; and that somebody has read it and agrees.
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use access::store::{Author, SignOff};
use access::{
    Credential, Date, Role, SourceEntry, Standing, Timestamp, User, UserStatus, UserStore, Users,
    day_of,
};
use clap::Args;
use config::{Config, ConfigHash};

use super::activity::{Activity, LACKS_FILES};
use super::people::{Failure, Opened, Where, finish, operating_system_user};
use super::table::{Format, Table, write};

/// `readgate access review ...`
#[derive(Debug, Args)]
pub(super) struct ReviewArguments {
    #[command(flatten)]
    place: Where,
    /// How it is written; `--json` is short for json.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// Refusals are counted over that many days, users who didn't log in for as long are
    /// dormant, and what ends within them ends soon.
    #[arg(long, default_value_t = 90)]
    days: u32,
    /// Ledger files, or folders of them, of every node; default: the ledger of the
    /// configuration.
    #[arg(long = "ledger")]
    ledgers: Vec<PathBuf>,
    /// Put into the history that this person has read the review and agrees.
    #[arg(long, value_name = "NAME", requires = "comment")]
    sign_off: Option<String>,
    /// What they have to say.
    #[arg(long, requires = "sign_off")]
    comment: Option<String>,
}

/// Refusals under names that nobody has are listed up to so many, most first.
const STRANGERS: usize = 50;

impl ReviewArguments {
    /// Does it.
    pub(super) fn run(self) -> ExitCode {
        finish(self.outcome(Timestamp::now()))
    }

    pub(super) fn outcome(self, now: Timestamp) -> Result<String, Failure> {
        let opened = Opened::with_or_without_store(&self.place)?;
        let listed = opened.users()?;
        let ledgers = match self.ledgers.as_slice() {
            [] => std::slice::from_ref(&opened.config.ledger.directory),
            given => given,
        };
        let period = Duration::from_secs(u64::from(self.days) * 86_400);
        let since = now.checked_sub(period).unwrap_or(Timestamp::MIN);
        let activity = Activity::read(ledgers, since)
            .map_err(|error| Failure::Refused(format!("ledger: {error}")))?;
        let soon = now.checked_add(period).unwrap_or(Timestamp::MAX);
        let review = Review { config: &opened.config, users: &listed, activity, since, now, soon };
        let heading = review.heading(&opened.hash);
        let tables = review.tables();
        let format = if self.place.json { Format::Json } else { self.format };
        let page = write(&heading, &tables, format);
        let (Some(reviewer), Some(comment)) = (self.sign_off, self.comment) else {
            return Ok(page);
        };
        if reviewer.trim().is_empty() || comment.trim().is_empty() {
            let why = "a sign-off needs a name and a comment";
            return Err(Failure::Refused(why.to_owned()));
        }
        let author = Author::new(operating_system_user(), "access review")
            .map_err(|error| Failure::Refused(error.to_string()))?;
        // Of what is printed, to the byte: its last line's end too.
        let digest = ConfigHash::of(format!("{page}\n").as_bytes()).as_str().to_owned();
        opened.store()?.sign_off(&author, &SignOff { reviewer, comment, digest }, now)?;
        Ok(page)
    }
}

/// What a role lets its users do.
fn may(role: &Role) -> String {
    if role.operator {
        return String::from("operate, and read no data");
    }
    let listed = |what: &str, names: &[String]| {
        (!names.is_empty()).then(|| format!("{what} {}", names.join(" ")))
    };
    let schemas = role.schemas.as_ref().map(|names| format!("schemas {}", names.join(" ")));
    let account = role.account.as_ref().map(|name| format!("under account {name}"));
    let others = role.see_others.then(|| String::from("others' sessions"));
    let functions = listed("functions", &role.functions);
    let may = [schemas, account, functions, listed("call", &role.calls), others];
    std::iter::once(String::from("read"))
        .chain(may.into_iter().flatten())
        .collect::<Vec<_>>()
        .join(", ")
}

/// What the tables are made of.
struct Review<'r> {
    config: &'r Config,
    users: &'r Users,
    activity: Activity,
    since: Timestamp,
    now: Timestamp,
    soon: Timestamp,
}

impl Review<'_> {
    fn heading(&self, hash: &ConfigHash) -> String {
        let lacks =
            if self.activity.lacks_files { format!("\n{LACKS_FILES}") } else { String::new() };
        format!(
            "Access review of {}\nconfiguration {hash}\nrefusals since {}{lacks}",
            seconds(self.now),
            seconds(self.since)
        )
    }

    fn tables(&self) -> Vec<Table> {
        vec![
            self.can_do_what(),
            self.dormant(),
            self.ending(),
            self.sources(),
            self.refused_logins(),
            self.refused_networks(),
        ]
    }

    fn can_do_what(&self) -> Table {
        let row = |user: &User| {
            let of_store = self.config.users.find(user.name.as_str().as_bytes()).is_none();
            let role = &user.role;
            let login = self.activity.logins.get(user.name.as_str());
            let (last, from) = login.and_then(|login| login.last.clone()).unwrap_or_default();
            vec![
                user.name.to_string(),
                user.full_name.clone(),
                user.owner.clone().unwrap_or_default(),
                role.name.clone(),
                user.status.name().to_owned(),
                may(role),
                self.where_from(user),
                user.allowed_plugins().map(|plugin| plugin.name()).collect::<Vec<_>>().join(" "),
                self.proof(user),
                last,
                from,
                if of_store { "store" } else { "configuration" }.to_owned(),
            ]
        };
        let columns = &[
            "user",
            "full name",
            "owner",
            "role",
            "status",
            "may",
            "from",
            "plugins",
            "credential",
            "last login",
            "last from",
            "kept in",
        ];
        let rows = self.users.iter().map(|user| row(user)).collect();
        Table { title: "users", columns, rows }
    }

    /// The sources on which a listener, the role and the user agree.
    fn where_from(&self, user: &User) -> String {
        let agreed = |entry: &SourceEntry| {
            let own = [&user.role.sources, &user.sources];
            self.config.listeners.iter().any(|listener| listener.sources.accepts(&entry.name))
                && own.into_iter().flatten().all(|set| set.accepts(&entry.name))
        };
        let entries = self.config.sources.entries().filter(|entry| agreed(entry));
        entries.map(|entry| entry.name.as_str()).collect::<Vec<_>>().join(" ")
    }

    fn proof(&self, user: &User) -> String {
        let counts = |one: &&Credential| matches!(one.standing(self.now), Standing::Valid { .. });
        let first = user.credentials.iter().find(counts);
        first.map_or_else(|| String::from("none that counts"), Credential::life)
    }

    fn dormant(&self) -> Table {
        let since = seconds(self.since);
        let rows = self.users.iter().filter(|user| user.status == UserStatus::Enabled);
        let rows = rows.filter_map(|user| {
            let login = self.activity.logins.get(user.name.as_str());
            let last = login.and_then(|login| login.last.clone()).map(|(time, _)| time);
            let is_dormant = last.as_ref().is_none_or(|last| *last < since);
            let none = if self.activity.lacks_files { "none known" } else { "never" };
            let last = last.unwrap_or_else(|| none.to_owned());
            is_dormant.then(|| vec![user.name.to_string(), user.full_name.clone(), last])
        });
        Table {
            title: "dormant users",
            columns: &["user", "full name", "last login"],
            rows: rows.collect(),
        }
    }

    fn ending(&self) -> Table {
        let (today, soon) = (day_of(self.now), day_of(self.soon));
        let near = |day: &Date| *day <= soon;
        let state = |day: Date| if day < today { "has ended" } else { "ends soon" }.to_owned();
        let mut rows = Vec::new();
        for user in self.users.iter() {
            if let Some(end) = user.valid_until.filter(near) {
                rows.push(vec![format!("user {}", user.name), end.to_string(), state(end)]);
            }
            for credential in &user.credentials {
                let end = credential.ends_at().filter(|end| self.now < *end && *end <= self.soon);
                if let Some(end) = end {
                    let what = format!("credential {} of {}", credential.id.0, user.name);
                    rows.push(vec![what, seconds(end), String::from("ends soon")]);
                }
            }
        }
        for entry in self.config.sources.entries() {
            if let Some(end) = entry.expires_on.filter(near) {
                rows.push(vec![format!("source {}", entry.name), end.to_string(), state(end)]);
            }
        }
        Table { title: "ending", columns: &["what", "ends", "state"], rows }
    }

    fn sources(&self) -> Table {
        let day = |day: Option<Date>| day.map(|day| day.to_string()).unwrap_or_default();
        let row = |entry: &SourceEntry| {
            let listeners = self.config.listeners.iter();
            let at = listeners.filter(|listener| listener.sources.accepts(&entry.name));
            let networks: Vec<String> = entry.networks.iter().map(ToString::to_string).collect();
            vec![
                entry.name.clone(),
                networks.join(" "),
                at.map(|listener| listener.name.as_str()).collect::<Vec<_>>().join(" "),
                entry.owner.clone(),
                entry.reason.clone(),
                entry.ticket.clone().unwrap_or_default(),
                day(entry.added_on),
                day(entry.expires_on),
            ]
        };
        Table {
            title: "sources",
            columns: &[
                "source",
                "networks",
                "listeners",
                "owner",
                "reason",
                "ticket",
                "added",
                "expires",
            ],
            rows: self.config.sources.entries().map(|entry| row(entry)).collect(),
        }
    }

    /// Strangers' names are cut to the most frequent: anybody can make them up.
    fn refused_logins(&self) -> Table {
        let failed = self.activity.logins.iter().filter(|(_, logins)| logins.failed > 0);
        let is_known = |name: &str| self.users.find(name.as_bytes()).is_some();
        let (mut rows, mut strangers): (Vec<_>, Vec<_>) =
            failed.partition(|(name, _)| is_known(name));
        strangers.sort_by_key(|(_, logins)| std::cmp::Reverse(logins.failed));
        strangers.truncate(STRANGERS);
        rows.extend(strangers);
        let row = |(name, logins): (&String, &super::activity::Logins)| {
            let (last, from) = logins.last_failed.clone().unwrap_or_default();
            let known = if is_known(name) { "yes" } else { "no" };
            vec![name.clone(), known.to_owned(), logins.failed.to_string(), last, from]
        };
        Table {
            title: "refused logins",
            columns: &["user", "known", "refused", "last", "last from"],
            rows: rows.into_iter().map(row).collect(),
        }
    }

    fn refused_networks(&self) -> Table {
        Table {
            title: "refused networks",
            columns: super::sources::DENIED_COLUMNS,
            rows: super::sources::denied_rows(&self.activity),
        }
    }
}

/// As records have it, to the second.
fn seconds(moment: Timestamp) -> String {
    format!("{moment:.0}")
}
