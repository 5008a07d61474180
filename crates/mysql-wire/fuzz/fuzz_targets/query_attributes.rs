//! Query attributes: the text that is judged is a part of the body, behind all values.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mysql_wire::query_attributes::QueryBody;

fuzz_target!(|body: &[u8]| {
    let Ok(parsed) = QueryBody::parse(body) else { return };
    let values = |attribute: &mysql_wire::query_attributes::QueryAttribute| {
        attribute.name.len() + attribute.value.as_ref().map_or(0, Vec::len)
    };
    let held: usize = parsed.attributes.iter().map(values).sum();
    assert!(parsed.text_offset <= body.len());
    assert!(held <= parsed.text_offset);
    // The text itself has no part in what was read before it.
    let without_text = QueryBody::parse(&body[..parsed.text_offset]);
    assert_eq!(without_text, Ok(parsed));
});
