//! Logging in to a replica with the shared account: what to answer to each step.
//!
//! Passwords go out only as scrambles, or whole inside TLS. Plugins that would send
//! the password in the clear without TLS, or in the old insecure form, are refused.
//!
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase.html>
use zeroize::Zeroizing;

use crate::{AuthPlugin, Nonce, Password};

/// Why the replica can't be logged in to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplicaAuthFault {
    /// It wants a method that readgate doesn't speak or doesn't trust.
    #[error("the replica asks for the authentication method {0:?}, which readgate does not use")]
    Plugin(String),
    /// It sent something that isn't part of the exchange.
    #[error("the replica broke the rules of the login exchange")]
    Malformed,
    /// It wants the password itself and the connection isn't encrypted.
    #[error("the replica asks for the password itself, which goes out only inside TLS")]
    NeedsTls,
}

/// The login exchange after the greeting, seen from the client's end.
#[derive(Debug)]
pub struct ReplicaLogin {
    plugin: AuthPlugin,
    nonce: Nonce,
    password: Password,
    encrypted: bool,
}

/// A byte of caching_sha2_password: the scramble was right, OK follows.
const FAST_AUTH_OK: u8 = 3;
/// A byte of caching_sha2_password: send the password.
const FULL_AUTH: u8 = 4;

impl ReplicaLogin {
    /// Starts with the nonce of the greeting. A method that readgate doesn't speak starts
    /// as caching_sha2_password: the replica will ask to switch.
    pub fn new(
        plugin: &[u8],
        nonce: &[u8],
        password: Password,
        encrypted: bool,
    ) -> Result<Self, ReplicaAuthFault> {
        let plugin = AuthPlugin::from_name(plugin).unwrap_or(AuthPlugin::CachingSha2Password);
        let nonce = Nonce::from_bytes(nonce).ok_or(ReplicaAuthFault::Malformed)?;
        Ok(Self { plugin, nonce, password, encrypted })
    }

    /// The method that the handshake response names.
    pub fn plugin(&self) -> AuthPlugin {
        self.plugin
    }

    /// The proof for the handshake response.
    pub fn scramble(&self) -> Vec<u8> {
        match self.plugin {
            AuthPlugin::CachingSha2Password => crate::sha2::scramble(&self.password, &self.nonce),
            AuthPlugin::MysqlNativePassword => crate::native::scramble(&self.password, &self.nonce),
        }
    }

    /// Answers an AuthSwitchRequest (`body`: payload after its 0xFE).
    pub fn switch(&mut self, body: &[u8]) -> Result<Vec<u8>, ReplicaAuthFault> {
        let end = body.iter().position(|&b| b == 0).ok_or(ReplicaAuthFault::Malformed)?;
        let (name, rest) = body.split_at(end);
        self.plugin = AuthPlugin::from_name(name)
            .ok_or_else(|| ReplicaAuthFault::Plugin(String::from_utf8_lossy(name).into_owned()))?;
        self.nonce =
            rest.get(1..).and_then(Nonce::from_bytes).ok_or(ReplicaAuthFault::Malformed)?;
        Ok(self.scramble())
    }

    /// Answers AuthMoreData (`body`: payload after its 0x01); `None`: nothing to send.
    pub fn more_data(&self, body: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, ReplicaAuthFault> {
        match (self.plugin, body) {
            (AuthPlugin::CachingSha2Password, [FAST_AUTH_OK]) => Ok(None),
            (AuthPlugin::CachingSha2Password, [FULL_AUTH]) if self.encrypted => {
                let mut answer = Zeroizing::new(self.password.reveal().to_vec());
                answer.push(0);
                Ok(Some(answer))
            }
            (AuthPlugin::CachingSha2Password, [FULL_AUTH]) => Err(ReplicaAuthFault::NeedsTls),
            _ => Err(ReplicaAuthFault::Malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NativeVerifier, Sha2Verifier};

    const NONCE: &[u8] = b"abcdefghijklmnopqrst";

    fn login(encrypted: bool) -> ReplicaLogin {
        ReplicaLogin::new(b"caching_sha2_password", NONCE, Password::new("pw"), encrypted).unwrap()
    }

    #[test]
    fn proves_the_password_in_both_methods() {
        let nonce = Nonce::from_bytes(NONCE).unwrap();
        let sha2 = Sha2Verifier::from_password(&Password::new("pw"));
        assert!(sha2.verify_scramble(&nonce, &login(true).scramble()));
        let mut switched = login(true);
        let answer = switched.switch(b"mysql_native_password\0ABCDEFGHIJKLMNOPQRST\0").unwrap();
        let nonce = Nonce::from_bytes(b"ABCDEFGHIJKLMNOPQRST").unwrap();
        let native = NativeVerifier::from_password(&Password::new("pw"));
        assert!(native.verify_scramble(&nonce, &answer));
    }

    #[test]
    fn password_itself_goes_out_only_inside_tls() {
        assert_eq!(login(true).more_data(&[4]).unwrap().unwrap().as_slice(), b"pw\0");
        assert_eq!(login(false).more_data(&[4]), Err(ReplicaAuthFault::NeedsTls));
        assert_eq!(login(false).more_data(&[3]), Ok(None));
        assert_eq!(login(true).more_data(&[]), Err(ReplicaAuthFault::Malformed));
    }

    #[test]
    fn insecure_methods_are_refused() {
        for name in ["mysql_clear_password", "mysql_old_password", "dialog"] {
            let body = [name.as_bytes(), b"\0", NONCE, b"\0"].concat();
            let fault = ReplicaAuthFault::Plugin(name.to_owned());
            assert_eq!(login(true).switch(&body), Err(fault));
        }
        assert_eq!(login(true).switch(b"no end"), Err(ReplicaAuthFault::Malformed));
    }
}
