//! As much of JSON Schema as the ledger's schema uses. A word that it doesn't know is an
//! error, so that nothing in the schema goes unchecked.

use serde_json::{Map, Value};

/// Says nothing, so nothing is to be checked.
const NOTES: [&str; 5] = ["$schema", "$id", "title", "description", "$defs"];

/// What in `value` doesn't agree with `schema`, with its path; empty if all does.
pub fn disagreements(schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    check(schema, schema, value, "", &mut found);
    found
}

fn check(root: &Value, schema: &Value, value: &Value, path: &str, found: &mut Vec<String>) {
    let members = schema.as_object().expect("a schema is an object");
    for (word, rule) in members.iter().filter(|(word, _)| !NOTES.contains(&word.as_str())) {
        let holds = match word.as_str() {
            "$ref" => {
                let inner = rule.as_str().and_then(|path| root.pointer(path.strip_prefix('#')?));
                check(root, inner.expect("the reference leads somewhere"), value, path, found);
                true
            }
            "type" => is_of_type(rule, value),
            "const" => rule == value,
            "enum" => rule.as_array().expect("a list").contains(value),
            "minimum" => value.as_f64() >= rule.as_f64(),
            "pattern" => matches(rule.as_str().expect("a text"), value),
            "required" => {
                let names = rule.as_array().expect("a list");
                let missing = names.iter().find(|name| value.get(name.as_str().unwrap()).is_none());
                missing.is_none_or(|name| {
                    found.push(format!("{path}/{name} is missing"));
                    true
                })
            }
            "properties" => {
                for (name, inner) in rule.as_object().expect("an object") {
                    if let Some(value) = value.get(name) {
                        check(root, inner, value, &format!("{path}/{name}"), found);
                    }
                }
                true
            }
            "additionalProperties" => {
                assert_eq!(rule, &Value::Bool(false), "only false is known");
                let known = members.get("properties").and_then(Value::as_object);
                unknown_member(value, known).is_none_or(|name| {
                    found.push(format!("{path}/{name} is not described"));
                    true
                })
            }
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(root, rule, item, &format!("{path}/{index}"), found);
                }
                true
            }
            "allOf" => {
                for inner in rule.as_array().expect("a list") {
                    check(root, inner, value, path, found);
                }
                true
            }
            "if" => {
                let mut against = Vec::new();
                check(root, rule, value, path, &mut against);
                if against.is_empty() {
                    check(root, &members["then"], value, path, found);
                }
                true
            }
            "then" => true,
            other => panic!("{other} is not known here"),
        };
        if !holds {
            found.push(format!("{path}: {value} is not as {word} {rule} has it"));
        }
    }
}

fn unknown_member(value: &Value, known: Option<&Map<String, Value>>) -> Option<String> {
    let is_known = |name: &&String| known.is_some_and(|known| known.contains_key(*name));
    value.as_object()?.keys().find(|name| !is_known(name)).cloned()
}

fn is_of_type(rule: &Value, value: &Value) -> bool {
    if let Some(types) = rule.as_array() {
        return types.iter().any(|one| is_of_type(one, value));
    }
    match rule.as_str().expect("a type's name") {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("type {other} is not known here"),
    }
}

/// `^`, literal characters (`\.` for a point), classes of ranges with `{n}`, `$`.
fn matches(pattern: &str, value: &Value) -> bool {
    let mut text = value.as_str().unwrap_or_default();
    let mut rest =
        pattern.strip_prefix('^').expect("anchored").strip_suffix('$').expect("anchored");
    while let Some(first) = rest.chars().next() {
        if let Some(class) = rest.strip_prefix('[') {
            let (class, after) = class.split_once("]{").expect("a class with a count");
            let (count, after) = after.split_once('}').expect("a count");
            let count: usize = count.parse().expect("a number");
            let ranges: Vec<&[u8]> = class.as_bytes().chunks(3).collect();
            let fits = |byte: u8| ranges.iter().any(|range| (range[0]..=range[2]).contains(&byte));
            let Some((head, tail)) = text.split_at_checked(count) else { return false };
            if !head.bytes().all(fits) {
                return false;
            }
            (text, rest) = (tail, after);
            continue;
        }
        let literal = if first == '\\' { &rest[1..2] } else { &rest[..first.len_utf8()] };
        rest = &rest[literal.len() + usize::from(first == '\\')..];
        let Some(tail) = text.strip_prefix(literal) else { return false };
        text = tail;
    }
    text.is_empty()
}
