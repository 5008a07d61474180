//! `[[listener]]`: where clients connect, from where, and with which certificate.
use std::collections::BTreeSet;

use crate::error::Wrong;
use crate::keys::{Counts, Form, Kind, Section, default, optional, required};
use crate::model::{ClientTls, Listener, ListenerTls};
use crate::secret::SecretFile;
use crate::sections::{Addresses, Unique, check_source_names};
use crate::table::Table;
use crate::values;

pub(crate) static LISTENER: Section = Section {
    name: "listener",
    form: Form::Several,
    meaning: "A socket that clients connect to.",
    counts: Counts::AtReload,
    keys: &[
        required("name", Kind::Name, "\"main\"", "Unique name, shown in ledger and metrics.")
            .at_next_start(),
        required(
            "address",
            Kind::Address,
            "\"0.0.0.0:3307\"",
            "IP address and port to listen on. Port 0 lets the system choose one. `[::]` takes IPv4 too, unless another address of this file has that port in IPv4.",
        )
        .at_next_start(),
        required(
            "sources",
            Kind::List(&Kind::Name),
            "[\"office\"]",
            "Names of the `[[source]]` entries that may use it. An empty list lets nobody in.",
        ),
        optional(
            "proxy_protocol_from",
            Kind::List(&Kind::Network),
            "[\"10.0.0.0/24\"]",
            "Networks of TCP balancers. From them a PROXY header (v1 or v2) is mandatory and names the client; from elsewhere none is read.",
        ),
    ],
    sections: &[&TLS],
};

static TLS: Section = Section {
    name: "tls",
    form: Form::One,
    meaning: "The listener's end of TLS.",
    counts: Counts::AtReload,
    keys: &[
        required(
            "certificate_file",
            Kind::Path,
            "\"certs/readgate.crt\"",
            "PEM: the listener's certificate, then intermediates.",
        ),
        required(
            "private_key_file",
            Kind::Path,
            "\"certs/readgate.key\"",
            "PEM: the key of the certificate. Only readgate's account may read the file.",
        ),
        default(
            "required",
            Kind::Flag,
            "true",
            "true",
            "Whether a client must use TLS. With false it may log in without.",
        ),
    ],
    sections: &[&CLIENTS],
};

static CLIENTS: Section = Section {
    name: "clients",
    form: Form::OneOrNone,
    meaning: "Clients' own certificates. With this table they are asked for one, and one that is presented must be the user's: see `certificates` of `[[user]]`.",
    counts: Counts::AtReload,
    keys: &[
        required(
            "ca_file",
            Kind::Path,
            "\"certs/people-ca.crt\"",
            "PEM: the authorities that sign clients' certificates.",
        ),
        optional(
            "crl_file",
            Kind::Path,
            "\"certs/people.crl\"",
            "PEM: revocation lists of these authorities, read again at each reload. With it, every certificate must be covered by a list whose next update is still to come.",
        ),
        default(
            "required",
            Kind::Flag,
            "true",
            "false",
            "Whether clients must present one. With false they may come without.",
        ),
        default(
            "suffices",
            Kind::Flag,
            "false",
            "true",
            "Whether a user's certificate is proof enough. With false the password is asked for too.",
        ),
    ],
    sections: &[],
};

pub(super) fn read(
    root: &Table<'_, '_>,
    known_sources: &BTreeSet<String>,
    addresses: &mut Addresses,
) -> Option<Vec<Listener>> {
    let mut names = Unique::default();
    let tables = root.children("listener");
    let listeners = tables.iter().map(|table| {
        let listener = read_one(table, known_sources, &mut names);
        if let Some(listener) = &listener {
            addresses.note(table, listener.address);
        }
        listener
    });
    // Not a short-circuit: every listener is looked at.
    let listeners: Vec<Option<Listener>> = listeners.collect();
    listeners.into_iter().collect()
}

fn read_one(
    table: &Table<'_, '_>,
    known_sources: &BTreeSet<String>,
    names: &mut Unique,
) -> Option<Listener> {
    let name = table.get("name", values::name);
    names.note(table, "name", name.clone());
    let address = table.get("address", values::address);
    let sources = table.list("sources", values::name);
    let proxy_protocol_from = table.list("proxy_protocol_from", values::network);
    let tls = table.child("tls").and_then(|tls| read_tls(&tls));
    check_source_names(table, "sources", sources.items(), known_sources);
    let sources = sources.values();
    if sources.as_ref().is_some_and(Vec::is_empty) {
        let right = "list the [[source]] entries that may use this listener";
        table.warning("sources", Wrong::new("is empty: nobody can connect", right));
    }
    Some(Listener {
        name: name?,
        address: address?,
        sources: sources?.into_iter().collect(),
        proxy_protocol_from: proxy_protocol_from.values()?,
        tls: tls?,
    })
}

fn read_tls(table: &Table<'_, '_>) -> Option<ListenerTls> {
    let certificate = table.get("certificate_file", values::text);
    let private_key = table.get("private_key_file", values::text);
    let required = table.get("required", values::flag);
    if required == Some(false) {
        let right = "keep it so only where the way to the clients is protected otherwise";
        table.warning("required", Wrong::new("clients may log in without TLS", right));
    }
    let clients = read_clients(table);
    let document = table.document();
    Some(ListenerTls {
        clients: clients?,
        certificate_file: document.resolve(&certificate?),
        private_key: SecretFile::new(document.resolve(&private_key?)),
        required: required?,
    })
}

/// `Some(None)`: clients are not asked for a certificate.
fn read_clients(tls: &Table<'_, '_>) -> Option<Option<ClientTls>> {
    if !tls.has("clients") {
        return Some(None);
    }
    let table = tls.child("clients")?;
    let ca_file = table.get("ca_file", values::text);
    let crl_file = table.optional("crl_file", values::text);
    let required = table.get("required", values::flag);
    let suffices = table.get("suffices", values::flag);
    let document = table.document();
    Some(Some(ClientTls {
        ca_file: document.resolve(&ca_file?),
        crl_file: crl_file?.map(|file| document.resolve(&file)),
        required: required?,
        suffices: suffices?,
    }))
}
