//! The MySQL client/server protocol as values: packets, payloads, the connection
//! phase, and where a response ends. No I/O: the daemon moves the bytes.
//!
//! Peer bytes are touched only through [`reader::Reader`], which returns errors and
//! bounds every length.

pub mod bound;
pub mod capabilities;
pub mod change_user;
pub mod command;
pub mod compression;
pub mod err_packet;
pub mod error_code;
pub mod execute;
pub mod greeting;
pub mod handshake_response;
pub mod latin1;
pub mod ok_packet;
pub mod packet;
pub mod prepare;
pub mod query_attributes;
pub mod reader;
pub mod response;
pub mod writer;

pub use capabilities::{Capabilities, StatusFlags};
pub use command::Command;
pub use err_packet::{ErrPacket, SqlState};
pub use ok_packet::OkPacket;
pub use packet::{MAX_PACKET_LEN, PacketHeader};
pub use reader::{Malformed, Reader};
