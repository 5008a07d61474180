//! PROXY headers: a header ends where it says, whatever follows it, and every start of one
//! asks for more, never for more than there is.
#![no_main]

use libfuzzer_sys::fuzz_target;

// The parser is pure; taken as a file, it is fuzzed without the daemon around it.
#[path = "../../src/connection/proxy_header.rs"]
mod proxy_header;

use proxy_header::{Parsed, parse};

fuzz_target!(|bytes: &[u8]| {
    match parse(bytes) {
        Ok(Parsed::Header(header, len)) => {
            assert!((1..=bytes.len()).contains(&len));
            for cut in 0..len {
                let Ok(Parsed::NeedAtLeast(more)) = parse(&bytes[..cut]) else {
                    panic!("a header of {len} bytes counts after {cut}")
                };
                assert!(cut < more && more <= len, "{more} of {len} bytes asked for after {cut}");
            }
            assert_eq!(parse(&bytes[..len]), Ok(Parsed::Header(header, len)));
        }
        Ok(Parsed::NeedAtLeast(more)) => assert!(more > bytes.len() && more < 5000),
        Err(fault) => {
            // What no header starts with can't become one.
            assert_eq!(parse(&[bytes, b"\r\n"].concat()), Err(fault));
        }
    }
});
