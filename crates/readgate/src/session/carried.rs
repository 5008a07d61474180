//! What comes along with a statement beside its text, for the record of its intent: values
//! bound to parameters and query attributes. Observation only: nothing here is forwarded.
use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use ledger::{Bind, BindValue};
use mysql_wire::bound::{BoundValue, Content, each_bound_value, is_number, text, type_name};
use mysql_wire::execute::{Parameters, without_attributes};
use mysql_wire::query_attributes::{QueryAttribute, QueryBody};
use mysql_wire::{Capabilities, Malformed};
use ring::digest::{Context, SHA256, digest};

/// A longer value is kept by its length and hash alone, in bytes.
const KEPT_WHOLE: usize = 1024;

/// What a value that was sent ahead takes here at most, in bytes, as measured.
const EACH_LONG: usize = 512;
/// What stands for a value that isn't to be recorded.
const CONCEALED: &[u8] = b"***";

/// Nothing came along.
pub static NOTHING: Carried = Carried { binds: Vec::new(), attributes: Vec::new() };

/// Values and attributes, kept until they are recorded.
#[derive(Debug, Default)]
pub struct Carried {
    binds: Vec<Bind<'static>>,
    attributes: Vec<Kept>,
}

#[derive(Debug)]
struct Kept {
    name: Vec<u8>,
    type_code: u8,
    value: BindValue<'static>,
}

/// Values sent ahead as long data: hashed as they come, not kept.
#[derive(Debug, Default)]
pub struct LongData(BTreeMap<u16, Long>);

#[derive(Debug)]
struct Long {
    bytes: u64,
    hash: Hash,
}

struct Hash(Context);

impl std::fmt::Debug for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hash")
    }
}

impl Carried {
    /// The text of a COM_QUERY's body, and the attributes in front of it where they are
    /// negotiated.
    pub fn of_query(body: Bytes, negotiated: Capabilities) -> Result<(Bytes, Self), Malformed> {
        if !negotiated.contains(Capabilities::CLIENT_QUERY_ATTRIBUTES) {
            return Ok((body, Self::default()));
        }
        let QueryBody { attributes, text_offset } = QueryBody::parse(&body)?;
        let text = body.slice(text_offset.min(body.len())..);
        Ok((text, Self { binds: Vec::new(), attributes: kept_attributes(attributes) }))
    }

    /// The body of a COM_STMT_EXECUTE without attributes, which a replica never sees, and its
    /// values and attributes. One that can't be read is not for the server to read: its record
    /// would not say what has run.
    pub fn of_execution(
        body: &Bytes,
        negotiated: Capabilities,
        known: &mut Parameters,
        long_data: &LongData,
    ) -> Result<(Bytes, Self), Malformed> {
        let (body, attributes) = match negotiated.contains(Capabilities::CLIENT_QUERY_ATTRIBUTES) {
            true => without_attributes(body, known)?,
            false => (body.clone(), Vec::new()),
        };
        let mut binds = Vec::with_capacity(usize::from(known.count));
        each_bound_value(&body, known, |index, value| {
            binds.push(bound(index, value, long_data));
        })?;
        Ok((body, Self { binds, attributes: kept_attributes(attributes) }))
    }

    /// The same without the values of these parameters.
    pub fn concealing(mut self, secret: &[u16]) -> Self {
        for &parameter in secret {
            if let Some(bind) = self.binds.get_mut(usize::from(parameter)) {
                bind.value = BindValue::Bytes(Cow::Borrowed(CONCEALED));
            }
        }
        self
    }

    /// The values in the ledger's terms.
    pub fn binds(&self) -> &[Bind<'static>] {
        &self.binds
    }

    /// The attributes in the ledger's terms.
    pub fn attributes(&self) -> Vec<Bind<'_>> {
        self.attributes.iter().map(Kept::to_bind).collect()
    }

    /// An attribute's value as text.
    pub fn attribute(&self, name: &str) -> Option<String> {
        let is_it = |kept: &&Kept| kept.name == name.as_bytes();
        match &self.attributes.iter().find(is_it)?.value {
            BindValue::Bytes(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            BindValue::Null | BindValue::Digest { .. } => None,
        }
    }
}

fn kept_attributes(attributes: Vec<QueryAttribute>) -> Vec<Kept> {
    attributes.into_iter().map(Kept::attribute).collect()
}

impl Kept {
    fn attribute(attribute: QueryAttribute) -> Self {
        let QueryAttribute { name, type_code, unsigned, value } = attribute;
        let value = match &value {
            None => BindValue::Null,
            Some(raw) => kept(text(type_code, unsigned, raw)),
        };
        Self { name, type_code, value }
    }

    fn to_bind(&self) -> Bind<'_> {
        let value = match &self.value {
            BindValue::Null => BindValue::Null,
            BindValue::Bytes(bytes) => BindValue::Bytes(Cow::Borrowed(bytes)),
            BindValue::Digest { bytes, sha256 } => {
                BindValue::Digest { bytes: *bytes, sha256: *sha256 }
            }
        };
        bind(Some(&self.name), self.type_code, value)
    }
}

fn bound(index: u16, bound: BoundValue<'_>, long_data: &LongData) -> Bind<'static> {
    let value = match bound.content {
        Content::Null => BindValue::Null,
        Content::SentAhead => long_data.value(index),
        Content::Bytes(bytes) => kept(bytes),
    };
    bind(None, bound.type_code, value)
}

fn bind<'a>(name: Option<&'a [u8]>, type_code: u8, value: BindValue<'a>) -> Bind<'a> {
    Bind { name, kind: type_name(type_code), is_number: is_number(type_code), value }
}

impl LongData {
    /// More of the value for a parameter.
    pub fn add(&mut self, parameter: u16, bytes: &[u8]) {
        let fresh = || Long { bytes: 0, hash: Hash(Context::new(&SHA256)) };
        let long = self.0.entry(parameter).or_insert_with(fresh);
        long.bytes = long.bytes.saturating_add(bytes.len() as u64);
        long.hash.0.update(bytes);
    }

    /// Bytes that more of the value for a parameter takes here, whatever it is.
    pub fn room_for(&self, parameter: u16) -> usize {
        if self.0.contains_key(&parameter) { 0 } else { EACH_LONG }
    }

    /// The next execution starts without.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    fn value(&self, parameter: u16) -> BindValue<'static> {
        match self.0.get(&parameter) {
            Some(long) => digested(long.bytes, long.hash.0.clone().finish().as_ref()),
            None => BindValue::Null,
        }
    }
}

fn kept(bytes: Cow<'_, [u8]>) -> BindValue<'static> {
    match bytes.len() <= KEPT_WHOLE {
        true => BindValue::Bytes(Cow::Owned(bytes.into_owned())),
        false => hashed(&bytes),
    }
}

fn hashed(bytes: &[u8]) -> BindValue<'static> {
    digested(bytes.len() as u64, digest(&SHA256, bytes).as_ref())
}

fn digested(bytes: u64, hash: &[u8]) -> BindValue<'static> {
    let mut sha256 = [0; 32];
    sha256.iter_mut().zip(hash).for_each(|(to, from)| *to = *from);
    BindValue::Digest { bytes, sha256 }
}
