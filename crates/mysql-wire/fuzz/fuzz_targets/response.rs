//! A replica's response: walked in pieces, as a socket brings them, it is what it is when
//! walked at once: the same bytes go on, the same end, the same rows, the same fault.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mysql_wire::response::{
    Caps, Expect, Over, ResponseEnd, ResponseFault, ResponseForm, ResponseWalker,
};

const EXPECTED: [Expect; 6] = [
    Expect::Results,
    Expect::Prepare,
    Expect::CursorRows,
    Expect::FieldList,
    Expect::Ack,
    Expect::Statistics,
];

/// Everything that a walk leaves behind.
#[derive(Debug, PartialEq)]
struct Seen {
    forwarded: Vec<u8>,
    end: Option<ResponseEnd>,
    over: Option<Over>,
    rows: u64,
    next_sequence_id: u8,
    client_border: Option<u8>,
}

/// Feeds `wire` in pieces and keeps what has not gone on, as the relay does.
fn walk<'a>(
    mut walker: ResponseWalker,
    pieces: impl Iterator<Item = &'a [u8]>,
) -> Result<Seen, ResponseFault> {
    let (mut buffer, mut forwarded) = (Vec::new(), Vec::new());
    let (mut end, mut over) = (None, None);
    for piece in pieces {
        buffer.extend_from_slice(piece);
        let walk = walker.walk(&mut buffer)?;
        assert!(walk.forward <= buffer.len(), "more goes on than there is");
        forwarded.extend(buffer.drain(..walk.forward));
        (end, over) = (walk.end, walk.over);
        if end.is_some() || over.is_some() {
            break;
        }
    }
    Ok(Seen {
        forwarded,
        end,
        over,
        rows: walker.rows(),
        next_sequence_id: walker.next_client_sequence_id(),
        client_border: walker.client_border(),
    })
}

fuzz_target!(|input: &[u8]| {
    let [kind, flags, cut, client_id, rows, bytes, wire @ ..] = input else { return };
    let expect = EXPECTED[usize::from(kind % 6)];
    let form = ResponseForm { deprecate_eof: flags & 1 != 0, optional_metadata: flags & 2 != 0 };
    let cap = |flag: u8, cap: &u8| (flags & flag != 0).then(|| u64::from(*cap));
    let caps = Caps { rows: cap(4, rows), bytes: cap(8, bytes) };
    let new = || {
        let walker = ResponseWalker::new(expect, form, 1, *client_id);
        walker.with_more_after(flags & 16 != 0).with_caps(caps)
    };
    let whole = walk(new(), std::iter::once(wire));
    let cut = usize::from(*cut);
    assert_eq!(walk(new(), wire.chunks(cut.max(1))), whole);
    let (head, tail) = wire.split_at(cut.min(wire.len()));
    assert_eq!(walk(new(), [head, tail].into_iter()), whole);
    if wire.len() <= 256 {
        for at in 0..wire.len() {
            let (head, tail) = wire.split_at(at);
            assert_eq!(walk(new(), [head, tail].into_iter()), whole, "cut at {at}");
        }
    }
    if let Ok(Seen { end: Some(_), forwarded, .. }) = whole {
        assert!(forwarded.len() >= 4, "an end is a packet");
    }
});
