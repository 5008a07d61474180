//! The one cursor over bytes that a peer sent: every read is checked, nothing panics.

/// The bytes are not what the protocol prescribes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed {0}")]
pub struct Malformed(pub &'static str);

/// Whether a bit of a NULL bitmap is set: a statement's parameters, eight a byte, lowest first.
pub(crate) fn is_set(bits: &[u8], index: usize) -> bool {
    bits.get(index / 8).is_some_and(|bits| bits >> (index % 8) & 1 == 1)
}

/// Reads a payload front to back.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    /// Starts at the first byte; `what` names the payload in errors.
    pub fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { rest: bytes, what }
    }

    /// What has not been read.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether everything has been read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The error of this payload.
    pub fn malformed(&self) -> Malformed {
        Malformed(self.what)
    }

    /// The next `len` bytes.
    pub fn bytes(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (head, tail) = self.rest.split_at_checked(len).ok_or(Malformed(self.what))?;
        self.rest = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, tail) = self.rest.split_first_chunk().ok_or(Malformed(self.what))?;
        self.rest = tail;
        Ok(*head)
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// Two bytes, little-endian.
    pub fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_le_bytes)
    }

    /// Four bytes, little-endian.
    pub fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }

    /// Bytes up to the next NUL, which is read too.
    pub fn until_nul(&mut self) -> Result<&'a [u8], Malformed> {
        let len = self.rest.iter().position(|&b| b == 0).ok_or(Malformed(self.what))?;
        let head = self.bytes(len)?;
        self.bytes(1)?;
        Ok(head)
    }

    /// Bytes up to the next NUL, or all that is left where a sender forgot it.
    pub fn until_nul_or_end(&mut self) -> Result<&'a [u8], Malformed> {
        if self.rest.contains(&0) { self.until_nul() } else { self.bytes(self.rest.len()) }
    }

    /// A length-encoded integer. The markers 0xFB (NULL) and 0xFF (ERR) are malformed here.
    ///
    /// <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_dt_integers.html>
    pub fn lenenc_int(&mut self) -> Result<u64, Malformed> {
        match self.u8()? {
            0xfb | 0xff => Err(Malformed(self.what)),
            0xfc => self.u16().map(u64::from),
            0xfd => {
                let [a, b, c] = self.array()?;
                Ok(u64::from(u32::from_le_bytes([a, b, c, 0])))
            }
            0xfe => self.array().map(u64::from_le_bytes),
            small => Ok(u64::from(small)),
        }
    }

    /// A length-encoded string; its length must fit what is left.
    pub fn lenenc_bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let len = usize::try_from(self.lenenc_int()?).map_err(|_| Malformed(self.what))?;
        self.bytes(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_beyond_the_payload_are_malformed() {
        assert!(Reader::new(&[5, b'a'], "test").lenenc_bytes().is_err());
        let mut huge = vec![0xfe];
        huge.extend(u64::MAX.to_le_bytes());
        assert!(Reader::new(&huge, "test").lenenc_bytes().is_err());
        assert!(Reader::new(&[0xfb], "test").lenenc_int().is_err());
        assert!(Reader::new(&[], "test").u8().is_err());
        assert!(Reader::new(b"abc", "test").until_nul().is_err());
    }

    #[test]
    fn reads_all_sizes_of_integers() {
        assert_eq!(Reader::new(&[250], "test").lenenc_int(), Ok(250));
        assert_eq!(Reader::new(&[0xfc, 1, 2], "test").lenenc_int(), Ok(0x201));
        assert_eq!(Reader::new(&[0xfd, 1, 2, 3], "test").lenenc_int(), Ok(0x3_0201));
        let mut eight = vec![0xfe];
        eight.extend(u64::MAX.to_le_bytes());
        assert_eq!(Reader::new(&eight, "test").lenenc_int(), Ok(u64::MAX));
        for value in [0, 250, 251, 0xffff, 0x1_0000, 0xff_ffff, 0x100_0000, u64::MAX] {
            let mut written = bytes::BytesMut::new();
            crate::writer::put_lenenc_int(&mut written, value);
            let mut reader = Reader::new(&written, "test");
            assert_eq!((reader.lenenc_int(), reader.is_empty()), (Ok(value), true));
        }
    }

    #[test]
    fn a_forgotten_nul_is_forgiven() {
        for (bytes, rest) in [(&b"ab\0c"[..], &b"c"[..]), (b"ab\0", b""), (b"ab", b"")] {
            let mut reader = Reader::new(bytes, "test");
            assert_eq!((reader.until_nul_or_end(), reader.rest()), (Ok(&b"ab"[..]), rest));
        }
    }
}
