//! From a TOML value to a typed one. An error without advice gets the advice of the
//! key's description.
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use access::{Date, network};
use ipnet::IpNet;
use toml::de::DeValue;

use crate::document::Value;
use crate::error::Wrong;
use crate::keys::Kind;
use crate::model::{HostPort, TimeOfDay};

pub(crate) fn flag(value: &Value<'_>, _: Kind) -> Result<bool, Wrong> {
    value.as_bool().ok_or_else(|| Wrong::type_of(value))
}

/// One line of text, not empty, without control characters.
pub(crate) fn text(value: &Value<'_>, _: Kind) -> Result<String, Wrong> {
    let text = string(value)?;
    if text.trim().is_empty() {
        return Err(Wrong::new("is empty", ""));
    }
    if text.chars().any(char::is_control) {
        return Err(Wrong::new("holds a control character", ""));
    }
    Ok(text.to_owned())
}

/// Text of one or more lines, not empty.
pub(crate) fn lines(value: &Value<'_>, _: Kind) -> Result<String, Wrong> {
    let text = string(value)?;
    if text.trim().is_empty() {
        return Err(Wrong::new("is empty", ""));
    }
    if text.chars().any(|c| c.is_control() && c != '\n') {
        return Err(Wrong::new("holds a control character", ""));
    }
    Ok(text.to_owned())
}

/// The name of an HTTP header (a token of RFC 9110).
pub(crate) fn header_name(value: &Value<'_>, _: Kind) -> Result<String, Wrong> {
    let text = string(value)?;
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    match (1..=64).contains(&text.len()) && text.bytes().all(is_token) {
        true => Ok(text.to_owned()),
        false => Err(Wrong::new(format!("{text:?} is not the name of a header"), "")),
    }
}

/// A bare address, `local@host`, of the characters that need no quotes.
pub(crate) fn mail_address(value: &Value<'_>, _: Kind) -> Result<String, Wrong> {
    let text = string(value)?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c);
    let is_right = text.rsplit_once('@').is_some_and(|(local, host)| {
        (1..=64).contains(&local.len())
            && local.split('.').all(|part| !part.is_empty())
            && local.chars().all(is_plain)
            && is_host_name(host)
    });
    match is_right {
        true => Ok(text.to_owned()),
        false => Err(Wrong::new(format!("{text:?} is not a mail address"), "")),
    }
}

/// A text that no message may show.
pub(crate) fn secret(value: &Value<'_>, _: Kind) -> Result<String, Wrong> {
    string(value).map(str::to_owned)
}

/// A name that is safe in metrics, file names and logs.
pub(crate) fn name(value: &Value<'_>, _: Kind) -> Result<String, Wrong> {
    let text = string(value)?;
    let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if text.is_empty() || text.len() > 64 || !text.chars().all(safe) {
        return Err(Wrong::new(format!("{text:?} is not a name"), ""));
    }
    Ok(text.to_owned())
}

pub(crate) fn date(value: &Value<'_>, _: Kind) -> Result<Date, Wrong> {
    let datetime = value.as_datetime().ok_or_else(|| Wrong::type_of(value))?;
    let (Some(day), None, None) = (datetime.date, datetime.time, datetime.offset) else {
        return Err(Wrong::new(format!("{datetime} has a time of day"), ""));
    };
    let parts = (i16::try_from(day.year), i8::try_from(day.month), i8::try_from(day.day));
    let (Ok(year), Ok(month), Ok(number)) = parts else {
        return Err(Wrong::new(format!("{day} is not a day"), ""));
    };
    Date::new(year, month, number).map_err(|_| Wrong::new(format!("{day} is not a day"), ""))
}

pub(crate) fn time_of_day(value: &Value<'_>, _: Kind) -> Result<TimeOfDay, Wrong> {
    let text = string(value)?;
    let wrong = || Wrong::new(format!("{text:?} is not a time of day"), "");
    let (hour, minute) = hours_and_minutes(text).ok_or_else(wrong)?;
    if hour < 24 { Ok(TimeOfDay { hour, minute }) } else { Err(wrong()) }
}

/// In seconds; at most 14 hours, as far as any clock is away.
pub(crate) fn offset(value: &Value<'_>, _: Kind) -> Result<i32, Wrong> {
    let text = string(value)?;
    let wrong = || Wrong::new(format!("{text:?} is not an offset from UTC"), "");
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let rest = text.strip_prefix(['+', '-']).ok_or_else(wrong)?;
    let (hours, minutes) = hours_and_minutes(rest).ok_or_else(wrong)?;
    let seconds = i32::from(hours) * 3600 + i32::from(minutes) * 60;
    if seconds <= 14 * 3600 { Ok(sign * seconds) } else { Err(wrong()) }
}

fn hours_and_minutes(text: &str) -> Option<(u8, u8)> {
    let (hours, minutes) = text.split_once(':')?;
    let two = |part: &str| {
        let are_digits = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        are_digits.then(|| part.parse::<u8>().ok()).flatten()
    };
    Some((two(hours)?, two(minutes).filter(|minutes| *minutes < 60)?))
}

pub(crate) fn count(value: &Value<'_>, kind: Kind) -> Result<u32, Wrong> {
    let integer = value.as_integer().ok_or_else(|| Wrong::type_of(value))?;
    let number = u32::from_str_radix(integer.as_str(), integer.radix()).ok();
    let (least, most) = kind.count_range();
    let in_range = |number: &u32| (least..=most).contains(number);
    let wrong = || Wrong::new(format!("{integer} is out of range"), "");
    number.filter(in_range).ok_or_else(wrong)
}

pub(crate) fn duration(value: &Value<'_>, kind: Kind) -> Result<Duration, Wrong> {
    let text = string(value)?;
    let not_one = || Wrong::new(format!("{text:?} is not a duration"), "");
    let parsed = parse_duration(text).ok_or_else(not_one)?;
    let (least, most) = kind.text_range();
    let (least, most) = (parse_duration(least), parse_duration(most));
    if least.is_some_and(|least| parsed < least) || most.is_some_and(|most| parsed > most) {
        return Err(Wrong::new(format!("{text:?} is out of range"), ""));
    }
    Ok(parsed)
}

/// A duration in whole seconds, for settings that the replica counts so.
pub(crate) fn seconds(value: &Value<'_>, kind: Kind) -> Result<Duration, Wrong> {
    let parsed = duration(value, kind)?;
    if parsed.subsec_nanos() != 0 {
        return Err(Wrong::new("has a fraction of a second", "write whole seconds"));
    }
    Ok(parsed)
}

fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = number_and_unit(text)?;
    let milliseconds: u64 = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(milliseconds).map(Duration::from_millis)
}

pub(crate) fn size(value: &Value<'_>, kind: Kind) -> Result<u64, Wrong> {
    let text = string(value)?;
    let not_one = || Wrong::new(format!("{text:?} is not a size"), "");
    let parsed = parse_size(text).ok_or_else(not_one)?;
    let (least, most) = kind.text_range();
    let (least, most) = (parse_size(least), parse_size(most));
    if least.is_some_and(|least| parsed < least) || most.is_some_and(|most| parsed > most) {
        return Err(Wrong::new(format!("{text:?} is out of range"), ""));
    }
    Ok(parsed)
}

fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = number_and_unit(text)?;
    let bytes: u64 = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return None,
    };
    number.checked_mul(bytes)
}

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let (digits, unit) = text.split_at_checked(end)?;
    Some((digits.parse().ok()?, unit))
}

pub(crate) fn address(value: &Value<'_>, _: Kind) -> Result<SocketAddr, Wrong> {
    let text = string(value)?;
    let wrong = || Wrong::new(format!("{text:?} is not an IP address with a port"), "");
    text.parse().map_err(|_| wrong())
}

pub(crate) fn host_port(value: &Value<'_>, _: Kind) -> Result<HostPort, Wrong> {
    let text = string(value)?;
    let wrong = || Wrong::new(format!("{text:?} is not a host with a port"), "");
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(wrong)?;
    let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let host = match bracketed {
        Some(inner) => inner.parse::<std::net::Ipv6Addr>().ok().map(|addr| addr.to_string()),
        None => is_host_name(host).then(|| host.to_owned()),
    };
    Ok(HostPort { host: host.ok_or_else(wrong)?, port })
}

/// A DNS name or an IP address, as a certificate may be for.
pub(crate) fn server_name(value: &Value<'_>, _: Kind) -> Result<String, Wrong> {
    let text = string(value)?;
    match is_host(text) {
        true => Ok(text.to_owned()),
        false => Err(Wrong::new(format!("{text:?} is not a host name"), "")),
    }
}

/// Something that can be connected to: a DNS name, or an IP address without brackets.
pub(crate) fn is_host(text: &str) -> bool {
    is_host_name(text) || text.parse::<IpAddr>().is_ok()
}

/// Letters, digits and inner hyphens in labels of at most 63, as certificates and
/// resolvers take them (RFC 1123); an IPv4 address is of that form too.
fn is_host_name(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

pub(crate) fn network(value: &Value<'_>, _: Kind) -> Result<IpNet, Wrong> {
    let text = string(value)?;
    network::parse(text).map_err(|error| match error {
        network::NetworkError::Malformed => Wrong::new(format!("{text:?} is not a network"), ""),
        network::NetworkError::HostBits { network, host } => Wrong::new(
            format!("{text:?} has bits set beyond its prefix"),
            format!("write \"{network}\" or \"{host}\""),
        ),
    })
}

/// A schema as written. In ASCII: the bytes of another name hang on each client's character
/// set, so the judge couldn't compare it.
pub(crate) fn schema(value: &Value<'_>, _: Kind) -> Result<String, Wrong> {
    let text = string(value)?;
    let is_name = |c: char| c.is_ascii_graphic() && !matches!(c, '`' | '.' | '/' | '\\');
    match (1..=64).contains(&text.len()) && text.chars().all(is_name) {
        true => Ok(text.to_owned()),
        false => Err(Wrong::new(format!("{text:?} is not a schema's name in ASCII"), "")),
    }
}

/// `schema.routine`, as written: servers may tell `Clin` from `clin`.
pub(crate) fn routine(value: &Value<'_>, _: Kind) -> Result<String, Wrong> {
    let text = string(value)?;
    let part = |part: &str| {
        !part.is_empty()
            && !part.contains(|c: char| c.is_whitespace() || c.is_control() || c == '`')
    };
    match text.split_once('.') {
        Some((schema, name)) if part(schema) && part(name) && !name.contains('.') => {
            Ok(text.to_owned())
        }
        Some(_) | None => Err(Wrong::new(format!("{text:?} is not schema.routine"), "")),
    }
}

/// `schema.function`, or a built-in function that the judge lets configuration allow.
pub(crate) fn function(value: &Value<'_>, kind: Kind) -> Result<String, Wrong> {
    let text = string(value)?;
    if text.contains('.') {
        return routine(value, kind);
    }
    match sql_judge::may_be_allowed(text) {
        Ok(()) => Ok(text.to_owned()),
        Err(why) => Err(Wrong::new(format!("{text:?} {why}"), "")),
    }
}

pub(crate) fn choice(value: &Value<'_>, kind: Kind) -> Result<&'static str, Wrong> {
    let text = string(value)?;
    let found = kind.words().iter().find(|word| **word == text).copied();
    found.ok_or_else(|| Wrong::new(format!("{text:?} is not a choice"), ""))
}

/// The type of a value, with its article.
pub(crate) fn type_name(value: &Value<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

fn string<'v>(value: &'v Value<'_>) -> Result<&'v str, Wrong> {
    value.as_str().ok_or_else(|| Wrong::type_of(value))
}
