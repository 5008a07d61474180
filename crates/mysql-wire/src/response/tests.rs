//! Responses as MySQL 9.7 and MariaDB 10.11 send them, cut at every byte.
use bytes::BytesMut;

use super::*;
use crate::packet::put_payload;

const CLASSIC: ResponseForm = ResponseForm { deprecate_eof: false, optional_metadata: false };
const NEW: ResponseForm = ResponseForm { deprecate_eof: true, optional_metadata: false };
const DEFINITION: &[u8] =
    b"\x03def\x00\x00\x00\x011\x00\x0c\x3f\x00\x02\x00\x00\x00\x08\x81\x00\x00\x00\x00";
const EOF: &[u8] = &[0xfe, 0, 0, 2, 0];
const EOF_MORE: &[u8] = &[0xfe, 0, 0, 10, 0];
const EOF_CURSOR: &[u8] = &[0xfe, 0, 0, 0x42, 0];
const OK: &[u8] = &[0, 0, 0, 2, 0, 0, 0];
const OK_AS_EOF: &[u8] = &[0xfe, 0, 0, 2, 0, 0, 0];
const ROW: &[u8] = &[1, b'1'];

fn wire(first: u8, payloads: &[&[u8]]) -> BytesMut {
    let mut out = BytesMut::new();
    payloads.iter().fold(first, |id, payload| put_payload(&mut out, id, &[payload]));
    out
}

/// Feeds the bytes in two pieces, cut at each place, and checks that all of them, as they are, and
/// nothing before the end, is forwarded.
fn ends_after_all(expect: Expect, form: ResponseForm, payloads: &[&[u8]]) -> (ResponseEnd, u64) {
    let whole = wire(1, payloads);
    let mut result = None;
    for cut in 0..whole.len() {
        let mut walker = ResponseWalker::new(expect, form, 1, 1);
        let mut head = whole[..cut].to_vec();
        let walk = walker.walk(&mut head).unwrap();
        assert_eq!(walk.end, None, "ended {} bytes early", whole.len() - cut);
        let mut rest = whole[walk.forward..].to_vec();
        let last = walker.walk(&mut rest).unwrap();
        assert_eq!(last.forward, rest.len());
        assert_eq!([&head[..walk.forward], &rest].concat(), *whole);
        result = Some((last.end.expect("an end"), walker.rows()));
    }
    result.unwrap()
}

fn ok() -> ResponseEnd {
    ResponseEnd::Ok(StatusFlags::SERVER_STATUS_AUTOCOMMIT)
}

#[test]
fn classic_result_ends_at_its_second_eof() {
    let payloads = [&[1][..], DEFINITION, EOF, ROW, ROW, EOF];
    assert_eq!(ends_after_all(Expect::Results, CLASSIC, &payloads), (ok(), 2));
}

#[test]
fn result_without_eof_ends_at_the_ok_that_stands_for_it() {
    let payloads = [&[1][..], DEFINITION, ROW, ROW, ROW, OK_AS_EOF];
    assert_eq!(ends_after_all(Expect::Results, NEW, &payloads), (ok(), 3));
}

#[test]
fn an_ok_or_err_alone_is_a_whole_response() {
    assert_eq!(ends_after_all(Expect::Results, NEW, &[OK]), (ok(), 0));
    let err = b"\xff\x7a\x04#42S02no table";
    let (end, _) = ends_after_all(Expect::Results, CLASSIC, &[err]);
    let ResponseEnd::Err(err) = end else { panic!("{end:?}") };
    assert_eq!((err.code, err.message.as_slice()), (1146, &b"no table"[..]));
}

#[test]
fn what_is_no_result_set_ends_where_its_command_says() {
    let cases: [(Expect, ResponseForm, &[&[u8]], u64); 8] = [
        (Expect::Statistics, NEW, &[b"Uptime: 5  Threads: 1"], 0),
        (Expect::Statistics, NEW, &[b""], 0),
        (Expect::Ack, CLASSIC, &[EOF], 0),
        (Expect::Ack, NEW, &[OK_AS_EOF], 0),
        (Expect::FieldList, CLASSIC, &[DEFINITION, DEFINITION, EOF], 0),
        (Expect::FieldList, NEW, &[DEFINITION, OK_AS_EOF], 0),
        (Expect::CursorRows, CLASSIC, &[&[0, 0, 1], &[0, 4], EOF], 2),
        (Expect::CursorRows, NEW, &[&[0, 0, 1], OK_AS_EOF], 1),
    ];
    for (expect, form, payloads, rows) in cases {
        let (end, passed) = ends_after_all(expect, form, payloads);
        let ResponseEnd::Ok(status) = end else { panic!("{expect:?}: {end:?}") };
        assert_eq!(passed, rows, "{expect:?}");
        let told = expect != Expect::Statistics;
        assert_eq!(status.contains(StatusFlags::SERVER_STATUS_AUTOCOMMIT), told, "{expect:?}");
    }
    let err = b"\xff\x25\x05#70100interrupted";
    for expect in [Expect::Statistics, Expect::Ack, Expect::FieldList, Expect::CursorRows] {
        let (end, _) = ends_after_all(expect, NEW, &[err]);
        assert!(matches!(end, ResponseEnd::Err(_)), "{expect:?}");
    }
}

#[test]
fn a_first_packet_that_counts_no_columns_is_malformed() {
    let with_flag = ResponseForm { deprecate_eof: true, optional_metadata: true };
    let cases: [(ResponseForm, &[u8]); 7] = [
        (NEW, b""),
        (NEW, &[0xfc, 0, 0]),
        (NEW, &[1, 0]),
        (NEW, &[0xfd, 0, 0, 1]),
        (NEW, &[0xff]),
        (with_flag, &[1]),
        (with_flag, &[1, 1, 0]),
    ];
    for (form, payload) in cases {
        let mut walker = ResponseWalker::new(Expect::Results, form, 1, 1);
        let fault = walker.walk(&mut wire(1, &[payload])).unwrap_err();
        assert!(matches!(fault, ResponseFault::Malformed(_)), "{payload:?}: {fault:?}");
    }
    let most = ResponseWalker::new(Expect::Results, NEW, 1, 1)
        .walk(&mut wire(1, &[&[0xfc, 0xff, 0xff], DEFINITION]))
        .unwrap();
    assert_eq!((most.end, most.over), (None, None));
}

#[test]
fn results_and_prepared_statements_without_definitions_end_in_time() {
    let left_out = |deprecate_eof| ResponseForm { deprecate_eof, optional_metadata: true };
    let none: &[u8] = &[3, 0];
    let new = [none, ROW, OK_AS_EOF];
    assert_eq!(ends_after_all(Expect::Results, left_out(true), &new), (ok(), 1));
    let classic = [none, EOF, ROW, EOF];
    assert_eq!(ends_after_all(Expect::Results, left_out(false), &classic), (ok(), 1));
    let followed = [&[1, 1], DEFINITION, ROW, OK_AS_EOF];
    assert_eq!(ends_after_all(Expect::Results, left_out(true), &followed), (ok(), 1));
    let prepare_ok: &[u8] = &[0, 7, 0, 0, 0, 1, 0, 2, 0, 0, 0, 0, 0];
    ends_after_all(Expect::Prepare, left_out(true), &[prepare_ok]);
    ends_after_all(Expect::Prepare, left_out(false), &[prepare_ok, EOF, EOF]);
}

/// Whose first byte hasn't come is waited for; whatever steers and is that long is not.
#[test]
fn a_long_row_may_come_byte_by_byte_but_nothing_that_steers_is_so_long() {
    let row = vec![b'x'; 2 * MAX_STEERING_LEN];
    let whole = wire(1, &[&[1], DEFINITION, &row, OK_AS_EOF]);
    let before = wire(1, &[&[1], DEFINITION]).len();
    for len in before..before + HEADER_LEN + 2 {
        let mut walker = ResponseWalker::new(Expect::Results, NEW, 1, 1);
        let mut head = whole[..len].to_vec();
        let walk = walker.walk(&mut head).unwrap();
        let end = walker.walk(&mut whole[walk.forward..].to_vec()).unwrap().end;
        assert_eq!(end, Some(ok()), "{len} bytes first");
    }
    let header = &wire(1, &[&row])[..HEADER_LEN];
    for expect in [Expect::Results, Expect::Prepare, Expect::Ack, Expect::FieldList] {
        let mut walker = ResponseWalker::new(expect, NEW, 1, 1);
        assert!(walker.walk(&mut header.to_vec()).is_err(), "{expect:?}");
    }
}

#[test]
fn an_ok_that_stands_for_eof_may_tell_of_the_session() {
    let long = [OK_AS_EOF, &[0, 60], &[b's'; 60]].concat();
    let payloads = [&[1][..], DEFINITION, ROW, &long];
    assert_eq!(ends_after_all(Expect::Results, NEW, &payloads), (ok(), 1));
}

#[test]
fn an_error_among_rows_or_definitions_ends_the_response() {
    let err = b"\xff\x25\x05#70100interrupted";
    for payloads in [&[&[1][..], DEFINITION, ROW, err][..], &[&[2][..], DEFINITION, err]] {
        let (end, _) = ends_after_all(Expect::Results, NEW, payloads);
        assert!(matches!(end, ResponseEnd::Err(_)));
    }
}

#[test]
fn several_results_are_one_response() {
    let payloads = [&[1][..], DEFINITION, EOF, ROW, EOF_MORE, &[1], DEFINITION, EOF, ROW, EOF];
    assert_eq!(ends_after_all(Expect::Results, CLASSIC, &payloads), (ok(), 2));
}

#[test]
fn an_open_cursor_ends_the_response_after_its_definitions() {
    let (end, rows) = ends_after_all(Expect::Results, CLASSIC, &[&[1], DEFINITION, EOF_CURSOR]);
    let ResponseEnd::Ok(status) = end else { panic!("{end:?}") };
    assert!(status.contains(StatusFlags::SERVER_STATUS_CURSOR_EXISTS));
    assert_eq!(rows, 0);
}

#[test]
fn prepare_ends_after_parameters_and_columns() {
    let prepare_ok = [0, 7, 0, 0, 0, 1, 0, 2, 0, 0, 0, 0];
    let classic = [&prepare_ok[..], DEFINITION, DEFINITION, EOF, DEFINITION, EOF];
    ends_after_all(Expect::Prepare, CLASSIC, &classic);
    ends_after_all(Expect::Prepare, NEW, &[&prepare_ok, DEFINITION, DEFINITION, DEFINITION]);
    ends_after_all(Expect::Prepare, CLASSIC, &[&[0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]]);
    let mut walker = ResponseWalker::new(Expect::Prepare, NEW, 1, 1);
    walker.walk(&mut wire(1, &[&prepare_ok])).unwrap();
    assert_eq!(walker.prepared().unwrap().statement_id, 7);
}

#[test]
fn a_plain_ok_is_no_answer_to_prepare() {
    let mut walker = ResponseWalker::new(Expect::Prepare, NEW, 1, 1);
    assert!(walker.walk(&mut wire(1, &[OK])).is_err());
}

#[test]
fn rows_that_look_like_an_end_are_rows() {
    // A classic row that starts with the 8-byte length marker is at least 9 bytes long.
    let mut long = vec![0xfe, 16, 0, 0, 0, 0, 0, 0, 0];
    long.extend([b'x'; 16]);
    let payloads = [&[1][..], DEFINITION, EOF, &long, &[0xfb], &[0], EOF];
    assert_eq!(ends_after_all(Expect::Results, CLASSIC, &payloads).1, 3);
}

#[test]
fn the_tail_of_a_long_row_is_not_looked_into() {
    // What would end the rows if it were taken for a packet's start, and what would be one of them.
    for (start, tail, len) in [(b'x', 0xfe, 5), (b'x', b'x', 300), (0xfe, 0xfe, 5), (b'x', b'x', 0)]
    {
        let mut row = vec![b'x'; MAX_PACKET_LEN + len];
        row[0] = start;
        row[MAX_PACKET_LEN..].iter_mut().take(1).for_each(|byte| *byte = tail);
        for form in [CLASSIC, NEW] {
            let (eof, end): (&[&[u8]], _) =
                if form.deprecate_eof { (&[], OK_AS_EOF) } else { (&[EOF], EOF) };
            let rows = [ROW; 40];
            let payloads = [&[&[1], DEFINITION], eof, &[&row[..]], &rows[..], &[end]].concat();
            let whole = wire(1, &payloads);
            let begun = wire(1, &[&[&[1], DEFINITION], eof, &[&row[..]]].concat()).len();
            let cap = begun as u64 - 1;
            for (bytes, expected) in [(None, (whole.len(), 41)), (Some(cap), (begun, 1))] {
                let caps = Caps { rows: None, bytes };
                let mut walker = ResponseWalker::new(Expect::Results, form, 1, 1).with_caps(caps);
                let walk = walker.walk(&mut whole.clone()).unwrap();
                assert_eq!((walk.forward, walker.rows()), expected, "a row begun is sent whole");
                assert_eq!(
                    (walk.end.is_some(), walk.over),
                    (bytes.is_none(), bytes.map(Over::Bytes))
                );
            }
        }
    }
}

#[test]
fn sequence_ids_are_checked_and_rewritten() {
    let mut walker = ResponseWalker::new(Expect::Results, NEW, 1, 4).with_more_after(true);
    let mut whole = wire(1, &[&[1], DEFINITION, ROW, OK_AS_EOF]);
    walker.walk(&mut whole).unwrap();
    let mut expected = wire(4, &[&[1], DEFINITION, ROW, &[0xfe, 0, 0, 10, 0, 0, 0]]);
    assert_eq!(whole, expected);
    assert_eq!(walker.next_client_sequence_id(), 8);
    let mut strict = ResponseWalker::new(Expect::Results, NEW, 1, 1);
    let fault = strict.walk(&mut expected).unwrap_err();
    assert_eq!(fault, ResponseFault::OutOfOrder { expected: 1, found: 4 });
}

#[test]
fn more_results_flag_is_set_where_the_status_stands() {
    let counting = [0xfe, 0xfc, 0, 2, 0];
    let cases: [(ResponseForm, &[&[u8]], usize); 5] = [
        (CLASSIC, &[&[1], DEFINITION, EOF, ROW, EOF], 3),
        (CLASSIC, &[&[1], DEFINITION, EOF, ROW, &counting], 3),
        (CLASSIC, &[OK], 3),
        (CLASSIC, &[&[0, 0xfc, 1, 2, 0xfd, 1, 2, 3, 2, 0, 0, 0]], 8),
        (NEW, &[&[1], DEFINITION, ROW, &[0xfe, 0xfc, 1, 2, 0, 2, 0, 0, 0]], 5),
    ];
    for (form, payloads, at) in cases {
        let mut whole = wire(1, payloads);
        ResponseWalker::new(Expect::Results, form, 1, 1)
            .with_more_after(true)
            .walk(&mut whole)
            .unwrap();
        let last = payloads.last().unwrap().len();
        assert_eq!(whole[whole.len() - last + at], 10);
    }
}

#[test]
fn warnings_are_those_of_the_last_result() {
    let results: [(ResponseForm, &[&[u8]]); 3] = [
        (CLASSIC, &[&[1], DEFINITION, EOF, ROW, &[0xfe, 7, 0, 2, 0]]),
        (NEW, &[&[1], DEFINITION, ROW, &[0xfe, 0, 0, 2, 0, 7, 0]]),
        (NEW, &[&[0, 1, 0, 10, 0, 3, 0], &[0, 1, 0, 2, 0, 7, 0]]),
    ];
    for (form, payloads) in results {
        let mut walker = ResponseWalker::new(Expect::Results, form, 1, 1);
        assert_eq!(walker.walk(&mut wire(1, payloads)).unwrap().end, Some(ok()));
        assert_eq!(walker.warnings(), 7);
    }
}

#[test]
fn an_error_is_put_in_between_packets_alone_and_a_share_counts_from_there() {
    let whole = wire(1, &[&[1], DEFINITION, ROW, ROW, ROW, ROW, OK_AS_EOF]);
    let border = wire(1, &[&[1], DEFINITION, ROW]).len();
    for (len, expected) in [(border, Some(9)), (border + 5, None), (border + 3, Some(9))] {
        let mut walker = ResponseWalker::new(Expect::Results, NEW, 1, 6);
        let forward = walker.walk(&mut whole[..len].to_vec()).unwrap().forward;
        assert_eq!(walker.client_border(), expected, "after {len} bytes");
        // The rest of the row under way, one more, and no second one.
        let rest = if expected.is_none() { 1 } else { 0 };
        let before = walker.rows();
        walker.leave(rest + 6);
        walker.leave(rest + 60);
        let walk = walker.walk(&mut whole[forward..].to_vec()).unwrap();
        assert_eq!((walk.over.is_some(), walker.rows()), (true, before + 1), "after {len} bytes");
    }
}

#[test]
fn a_cap_stops_before_the_row_that_exceeds_it() {
    let start = [&[1][..], DEFINITION];
    let fits = wire(1, &[&start[..], &[ROW; 2]].concat()).len();
    let whole = |rows| wire(1, &[&start[..], &vec![ROW; rows], &[OK_AS_EOF]].concat());
    let bytes = fits as u64;
    for (caps, over) in [
        (Caps { rows: Some(2), bytes: None }, Over::Rows(2)),
        (Caps { rows: None, bytes: Some(bytes) }, Over::Bytes(bytes)),
        (Caps { rows: None, bytes: Some(bytes + 5) }, Over::Bytes(bytes + 5)),
    ] {
        for rows in [3, 100] {
            let mut walker = ResponseWalker::new(Expect::Results, NEW, 1, 1).with_caps(caps);
            let walk = walker.walk(&mut whole(rows)).unwrap();
            assert_eq!((walk.over, walk.end), (Some(over), None));
            assert_eq!((walk.forward, walker.rows()), (fits, 2));
        }
        let mut walker = ResponseWalker::new(Expect::Results, NEW, 1, 1).with_caps(caps);
        assert_eq!(walker.walk(&mut whole(2)).unwrap().end, Some(ok()));
    }
}

#[test]
fn a_request_for_a_local_file_is_a_fault() {
    let mut whole = wire(1, &[b"\xfb/etc/passwd"]);
    let fault = ResponseWalker::new(Expect::Results, NEW, 1, 1).walk(&mut whole).unwrap_err();
    assert_eq!(fault, ResponseFault::LocalInfile);
}

#[test]
fn nothing_after_the_end_is_forwarded() {
    let mut whole = wire(1, &[OK]);
    let len = whole.len();
    whole.extend_from_slice(&wire(2, &[OK]));
    let walk = ResponseWalker::new(Expect::Ack, NEW, 1, 1).walk(&mut whole).unwrap();
    assert_eq!(walk.forward, len);
}

#[test]
fn an_empty_packet_is_no_row_and_no_definition_whatever_follows_it() {
    for (payloads, what) in [
        (vec![&[1][..], DEFINITION, b"", ROW, OK_AS_EOF], "row"),
        (vec![&[2][..], b"", DEFINITION, OK_AS_EOF], "packet after the end"),
    ] {
        let mut walker = ResponseWalker::new(Expect::Results, NEW, 1, 1);
        assert_eq!(walker.walk(&mut wire(1, &payloads)), Err(ResponseFault::Malformed(what)));
    }
}

#[test]
fn both_ends_of_a_classic_result_announce_the_next_one() {
    let mut walker = ResponseWalker::new(Expect::Results, CLASSIC, 1, 1).with_more_after(true);
    let mut buffer = wire(1, &[&[1], DEFINITION, EOF, ROW, EOF]);
    assert_eq!(walker.walk(&mut buffer).unwrap().end, Some(ok()));
    assert_eq!(buffer, wire(1, &[&[1], DEFINITION, EOF_MORE, ROW, EOF_MORE]));
}

#[test]
fn a_capped_response_can_be_walked_to_its_end() {
    let forms: [(ResponseForm, &[&[u8]]); 3] = [
        (NEW, &[&[1], DEFINITION, ROW, ROW, ROW, OK_AS_EOF]),
        (CLASSIC, &[&[1], DEFINITION, EOF, ROW, ROW, ROW, EOF]),
        (CLASSIC, &[&[1], DEFINITION, EOF, ROW, EOF_MORE, &[1], DEFINITION, EOF, ROW, EOF]),
    ];
    for (form, payloads) in forms {
        let whole = wire(1, payloads);
        for cap in 1..whole.len() as u64 {
            let caps = Caps { rows: None, bytes: Some(cap) };
            let mut walker = ResponseWalker::new(Expect::Results, form, 1, 1).with_caps(caps);
            let mut left = whole.clone();
            let first = walker.walk(&mut left).unwrap();
            if first.over.is_none() {
                assert!(first.end.is_some(), "cap {cap}");
                continue;
            }
            assert_eq!(walker.bytes(), first.forward as u64, "cap {cap}");
            walker.lift_caps();
            let mut left = left.split_off(first.forward);
            let rest = walker.walk(&mut left).unwrap();
            assert!(rest.end.is_some(), "cap {cap}");
            assert_eq!(rest.forward, left.len(), "cap {cap}");
        }
    }
}

/// A cap that is never reached makes the walk take the long way.
#[test]
fn both_ways_over_rows_pass_the_same() {
    let long_row = vec![b'x'; 300];
    let count = [3];
    let payloads = [&count[..], DEFINITION, DEFINITION, DEFINITION, EOF, ROW, &long_row]
        .into_iter()
        .chain([ROW; 300])
        .chain([EOF_MORE, &[1], DEFINITION, EOF, ROW, &[0xfe; 300], ROW, EOF]);
    let whole = wire(1, &payloads.collect::<Vec<_>>());
    let pieces = |len: usize, caps: Caps| {
        let mut walker = ResponseWalker::new(Expect::Results, CLASSIC, 1, 250).with_caps(caps);
        let (mut inbox, mut out, mut end) = (Vec::new(), Vec::new(), None);
        for piece in whole.chunks(len) {
            inbox.extend_from_slice(piece);
            let walk = walker.walk(&mut inbox).unwrap();
            out.extend(inbox.drain(..walk.forward));
            end = walk.end;
        }
        (out, end, walker.rows(), walker.bytes(), walker.next_client_sequence_id())
    };
    let all = Caps { rows: Some(u64::MAX), bytes: Some(u64::MAX) };
    let expected = pieces(1, all);
    assert_eq!((expected.1.clone(), expected.2), (Some(ok()), 305));
    for len in (1..40).chain(128..200).chain([whole.len() / 2, whole.len()]) {
        assert_eq!(pieces(len, Caps::default()), expected, "in pieces of {len}");
        assert_eq!(pieces(len, all), expected, "in pieces of {len}");
    }
}

#[test]
fn the_short_way_over_rows_heeds_what_the_long_one_does() {
    let start = [&[1][..], DEFINITION];
    let all = [&start[..], &[ROW; 50], &[b""], &[ROW; 50], &[OK_AS_EOF]].concat();
    let mut walker = ResponseWalker::new(Expect::Results, NEW, 1, 1);
    assert_eq!(walker.walk(&mut wire(1, &all)), Err(ResponseFault::Malformed("row")));
    let before = wire(1, &[&start[..], &[ROW; 50]].concat());
    let mut whole = before.clone();
    whole.extend_from_slice(&wire(54, &[ROW; 50]));
    let mut walker = ResponseWalker::new(Expect::Results, NEW, 1, 1);
    let fault = ResponseFault::OutOfOrder { expected: 53, found: 54 };
    assert_eq!(walker.walk(&mut whole), Err(fault));
    let mut definitions = wire(1, &[&[&[20][..]], &[DEFINITION; 10][..]].concat());
    definitions.extend_from_slice(&wire(7, &[DEFINITION; 10]));
    let mut walker = ResponseWalker::new(Expect::Results, NEW, 1, 1);
    let fault = ResponseFault::OutOfOrder { expected: 12, found: 7 };
    assert_eq!(walker.walk(&mut definitions), Err(fault));
}
