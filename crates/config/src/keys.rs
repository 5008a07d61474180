//! How the keys of `proxy.toml` are described: one description serves the reader, its
//! error texts, the schema and the reference, so they can't disagree.

/// A table of the file, with all it may hold.
#[derive(Debug)]
pub(crate) struct Section {
    /// Last part of its path; empty for the file itself.
    pub(crate) name: &'static str,
    pub(crate) form: Form,
    pub(crate) meaning: &'static str,
    /// When a change of its keys counts, where a key says nothing else.
    pub(crate) counts: Counts,
    pub(crate) keys: &'static [Key],
    pub(crate) sections: &'static [&'static Section],
}

impl Section {
    /// When a change of one of its keys counts.
    pub(crate) fn counts(&self, key: &Key) -> Counts {
        key.counts.unwrap_or(self.counts)
    }
}

/// When a changed value counts. Whoever adds a key to a table that a running daemon doesn't take
/// over has to mark it: the daemon says of the others that they are in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counts {
    /// From the reload on that reads it, for all or for those who come from then on.
    AtReload,
    /// Not before the daemon is started again.
    AtNextStart,
}

/// How often a table may stand in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// `[name]`, exactly once.
    One,
    /// `[name]`, or left out.
    OneOrNone,
    /// `[[name]]`, at least once.
    Several,
    /// `[[name]]`, any number.
    SeveralOrNone,
}

/// One key of a table.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) presence: Presence,
    /// A value as TOML writes it, right for this key.
    pub(crate) example: &'static str,
    pub(crate) meaning: &'static str,
    /// When a change counts; `None`: as its table says.
    pub(crate) counts: Option<Counts>,
}

impl Key {
    /// The same key, in a table whose others mostly count from the next start.
    pub(crate) const fn at_reload(self) -> Self {
        Self { counts: Some(Counts::AtReload), ..self }
    }

    /// The same key, in a table whose others mostly count at a reload.
    pub(crate) const fn at_next_start(self) -> Self {
        Self { counts: Some(Counts::AtNextStart), ..self }
    }
}

/// Whether a key may be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    Required,
    /// No value is a state of its own.
    Optional,
    /// The value that counts then, as TOML writes it.
    Default(&'static str),
}

/// What sort of value a key takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Flag,
    /// Free text of one line, not empty.
    Text,
    /// 1 to 64 characters: letters, digits, `-`, `_`, `.`
    Name,
    /// A text that must never be shown.
    Secret,
    Path,
    Date,
    /// Hours and minutes, `HH:MM`.
    TimeOfDay,
    /// How far a clock is ahead of UTC, `+HH:MM` or `-HH:MM`.
    Offset,
    /// With the shortest and the longest.
    Duration(&'static str, &'static str),
    /// Bytes, with the least and the most.
    Size(&'static str, &'static str),
    /// A whole number, with the least and the most.
    Count(u32, u32),
    /// IP address and port.
    Address,
    /// Host name or IP address, and port.
    HostPort,
    Choice(&'static [&'static str]),
    /// A list of items of one sort.
    List(&'static Kind),
    Network,
    /// The name of a schema, in ASCII.
    Schema,
    /// `schema.routine`
    Routine,
    /// `schema.function`, or a built-in function with an effect.
    Function,
}

impl Kind {
    /// The least and the most of a count; every number for another kind.
    pub(crate) fn count_range(self) -> (u32, u32) {
        if let Self::Count(least, most) = self { (least, most) } else { (0, u32::MAX) }
    }

    /// The least and the most of a duration or a size, as they are written.
    pub(crate) fn text_range(self) -> (&'static str, &'static str) {
        if let Self::Duration(least, most) | Self::Size(least, most) = self {
            return (least, most);
        }
        ("", "")
    }

    /// The words of a choice.
    pub(crate) fn words(self) -> &'static [&'static str] {
        if let Self::Choice(words) = self { words } else { &[] }
    }

    /// What to write, as the second half of an error message.
    pub(crate) fn right(self, example: &str) -> String {
        let what = match self {
            Self::Flag => return String::from("write true or false"),
            Self::Choice(words) => return format!("write {}", quoted_choice(words)),
            Self::Duration(least, most) => {
                format!("write a duration from {least:?} to {most:?}")
            }
            Self::Size(least, most) => format!("write a size from {least:?} to {most:?}"),
            Self::Count(least, most) => {
                return format!("write a whole number from {least} to {most}");
            }
            Self::Text | Self::Secret => String::from("write a text"),
            Self::Name => String::from("write 1 to 64 letters, digits, '-', '_' or '.'"),
            Self::Path => String::from("write a path"),
            Self::Date => String::from("write a date"),
            Self::TimeOfDay => String::from("write hours and minutes"),
            Self::Offset => String::from("write sign, hours and minutes"),
            Self::Address => String::from("write an IP address and a port"),
            Self::HostPort => String::from("write a host and a port"),
            Self::List(_) => String::from("write a list"),
            Self::Network => String::from("write a network"),
            Self::Schema => String::from("write the name of a schema"),
            Self::Routine | Self::Function => String::from("write schema and name"),
        };
        format!("{what}, such as {example}")
    }
}

fn quoted_choice(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
    quoted.join(" or ")
}

/// A key that must be given.
pub(crate) const fn required(
    name: &'static str,
    kind: Kind,
    example: &'static str,
    meaning: &'static str,
) -> Key {
    Key { name, kind, presence: Presence::Required, example, meaning, counts: None }
}

/// A key whose absence means something of its own.
pub(crate) const fn optional(
    name: &'static str,
    kind: Kind,
    example: &'static str,
    meaning: &'static str,
) -> Key {
    Key { name, kind, presence: Presence::Optional, example, meaning, counts: None }
}

/// A key with a default.
pub(crate) const fn default(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    example: &'static str,
    meaning: &'static str,
) -> Key {
    Key { name, kind, presence: Presence::Default(default), example, meaning, counts: None }
}
