//! The JSON Schema of `proxy.toml`, for editors, from the same descriptions that the
//! reader uses. `docs/proxy.schema.json` is this value; a test compares them.
use serde_json::{Map, Value, json};

use crate::keys::{Counts, Form, Key, Kind, Presence, Section};
use crate::sections::ROOT;

/// The whole schema (JSON Schema, draft 2020-12).
pub fn json_schema() -> Value {
    let mut schema = object(&ROOT);
    if let Value::Object(members) = &mut schema {
        let draft = "https://json-schema.org/draft/2020-12/schema";
        members.insert(String::from("$schema"), json!(draft));
        members.insert(String::from("title"), json!("readgate proxy.toml"));
    }
    schema
}

fn object(section: &Section) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for key in section.keys {
        properties.insert(key.name.to_owned(), property(key, section.counts(key)));
        if key.presence == Presence::Required {
            required.push(key.name);
        }
    }
    for below in section.sections {
        let table = object(below);
        let (value, needed) = match below.form {
            Form::One => (table, true),
            Form::OneOrNone => (table, false),
            Form::Several => (json!({"type": "array", "items": table, "minItems": 1}), true),
            Form::SeveralOrNone => (json!({"type": "array", "items": table}), false),
        };
        properties.insert(below.name.to_owned(), value);
        if needed {
            required.push(below.name);
        }
    }
    json!({
        "type": "object",
        "description": section.meaning,
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

fn property(key: &Key, counts: Counts) -> Value {
    let mut members = of_kind(key.kind);
    let description = match counts {
        Counts::AtReload => key.meaning.to_owned(),
        Counts::AtNextStart => format!("{} A change counts from the next start.", key.meaning),
    };
    members.insert(String::from("description"), json!(description));
    members.insert(String::from("examples"), json!([as_json(key.example)]));
    if let Presence::Default(value) = key.presence {
        members.insert(String::from("default"), as_json(value));
    }
    Value::Object(members)
}

fn of_kind(kind: Kind) -> Map<String, Value> {
    let value = match kind {
        Kind::Flag => json!({"type": "boolean"}),
        Kind::Text | Kind::Secret | Kind::Path => json!({"type": "string", "minLength": 1}),
        Kind::Name => json!({"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"}),
        Kind::Date => json!({"type": "string", "format": "date"}),
        Kind::TimeOfDay => json!({"type": "string", "pattern": "^[0-2][0-9]:[0-5][0-9]$"}),
        Kind::Offset => json!({"type": "string", "pattern": "^[+-][01][0-9]:[0-5][0-9]$"}),
        Kind::Duration(..) => json!({"type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$"}),
        Kind::Size(..) => json!({"type": "string", "pattern": "^[0-9]+(B|KiB|MiB|GiB|TiB)$"}),
        Kind::Count(least, most) => json!({"type": "integer", "minimum": least, "maximum": most}),
        Kind::Address | Kind::HostPort => json!({"type": "string", "pattern": "^.+:[0-9]{1,5}$"}),
        Kind::Choice(words) => json!({"enum": words}),
        Kind::List(item) => json!({"type": "array", "items": of_kind(*item)}),
        Kind::Network => json!({"type": "string", "pattern": "^[0-9A-Fa-f.:]+(/[0-9]{1,3})?$"}),
        Kind::Schema => json!({"type": "string", "minLength": 1, "maxLength": 64}),
        Kind::Function => json!({"type": "string", "pattern": "^([^.]+\\.)?[^.]+$"}),
        Kind::Routine => json!({"type": "string", "pattern": "^[^.]+\\.[^.]+$"}),
    };
    value.as_object().cloned().unwrap_or_default()
}

/// A value as TOML writes it, as JSON; a date is its text.
fn as_json(toml: &str) -> Value {
    let parsed: Option<toml::Value> = toml.parse().ok();
    match &parsed {
        Some(toml::Value::Datetime(date)) => json!(date.to_string()),
        Some(_) | None => serde_json::to_value(parsed).unwrap_or_default(),
    }
}
