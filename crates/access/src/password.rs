//! New passwords: made of the system's randomness, with all four classes of characters,
//! and the same rules for those that people choose. Nothing is kept of either.
use mysql_auth::Password;
use mysql_auth::nonce::NoRandomness;
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

const LOWER: &[u8] = b"abcdefghijklmnopqrstuvwxyz";
const UPPER: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const DIGITS: &[u8] = b"0123456789";
/// None that a shell, a URL, an ODBC string or an option file reads as something else.
const SYMBOLS: &[u8] = b"-_.,";

/// What a generated password is like, and whether people may choose one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PasswordRules {
    /// Characters of a generated password.
    pub length: u32,
    /// What a chosen one must be like; `None`: nobody chooses.
    pub chosen: Option<ChosenRules>,
}

/// What a chosen password must be like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChosenRules {
    /// The fewest characters.
    pub length: u32,
    /// The lowest estimate of zxcvbn, 0 to 4.
    pub strength: u8,
}

/// Why a chosen password is refused. Says nothing about its characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Weak {
    /// Too short.
    #[error("the password has fewer than {0} characters")]
    Short(u32),
    /// Not all of lower case, upper case, digits and others.
    #[error("the password needs lower case, upper case, digits and other characters")]
    Classes,
    /// It is the user's name with something around it.
    #[error("the password holds the user's name")]
    HoldsName,
    /// Words, dates, rows of keys, repetitions: sooner found than its length says.
    #[error("the password is too easy to guess")]
    Guessable,
    /// Clients and option files would cut or change it.
    #[error("the password holds a control character")]
    ControlCharacter,
}

impl PasswordRules {
    /// Makes a password. Every password that keeps the rules is equally likely.
    ///
    /// # Errors
    /// If the system's random generator fails.
    pub fn generate(&self) -> Result<Password, NoRandomness> {
        let alphabet = Zeroizing::new([LOWER, UPPER, DIGITS, SYMBOLS].concat());
        let length = usize::try_from(self.length).unwrap_or(usize::MAX);
        // Drawn anew until all classes are there: putting them in would be predictable.
        loop {
            let mut password = Zeroizing::new(Vec::with_capacity(length));
            while password.len() < length {
                password.extend(random_character(&alphabet)?);
            }
            if has_all_classes(&password) {
                return Ok(Password::new(password.to_vec()));
            }
        }
    }
}

impl ChosenRules {
    /// Whether a user of that name may choose this password. `about` is what else others
    /// know of the user, which a guess would begin with.
    ///
    /// # Errors
    /// The first rule it breaks.
    pub fn check(&self, password: &Password, user: &str, about: &[&str]) -> Result<(), Weak> {
        let bytes = password.reveal();
        let characters = String::from_utf8_lossy(bytes).chars().count();
        if u32::try_from(characters).unwrap_or(u32::MAX) < self.length {
            return Err(Weak::Short(self.length));
        }
        if bytes.iter().any(u8::is_ascii_control) {
            return Err(Weak::ControlCharacter);
        }
        if !has_all_classes(bytes) {
            return Err(Weak::Classes);
        }
        let (lower, name) = (bytes.to_ascii_lowercase(), user.to_ascii_lowercase());
        if lower.windows(name.len().max(1)).any(|part| part == name.as_bytes()) {
            return Err(Weak::HoldsName);
        }
        let text = Zeroizing::new(String::from_utf8_lossy(bytes).into_owned());
        let words = about.iter().flat_map(|text| text.split(|c: char| !c.is_alphanumeric()));
        let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
        match u8::from(zxcvbn::zxcvbn(&text, &words).score()) < self.strength {
            true => Err(Weak::Guessable),
            false => Ok(()),
        }
    }
}

fn has_all_classes(password: &[u8]) -> bool {
    let has = |class: fn(&u8) -> bool| password.iter().any(class);
    has(u8::is_ascii_lowercase)
        && has(u8::is_ascii_uppercase)
        && has(u8::is_ascii_digit)
        && has(|byte| !byte.is_ascii_alphanumeric())
}

/// A character, each equally likely; `None` if the byte drawn would favour some.
fn random_character(alphabet: &[u8]) -> Result<Option<u8>, NoRandomness> {
    let mut byte = [0];
    SystemRandom::new().fill(&mut byte).map_err(|_| NoRandomness)?;
    let [byte] = byte.map(usize::from);
    let fair = 256 - 256 % alphabet.len().max(1);
    Ok(alphabet.get(byte % alphabet.len().max(1)).copied().filter(|_| byte < fair))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const RULES: PasswordRules = PasswordRules { length: 44, chosen: None };
    const CHOSEN: ChosenRules = ChosenRules { length: 12, strength: 0 };

    #[test]
    fn a_generated_password_keeps_the_rules_and_never_comes_twice() {
        let mut seen = BTreeSet::new();
        for _ in 0..200 {
            let password = RULES.generate().unwrap();
            assert_eq!(password.reveal().len(), 44);
            let strict = ChosenRules { length: 44, strength: 4 };
            assert_eq!(strict.check(&password, "alice", &[]), Ok(()));
            assert!(seen.insert(password.reveal().to_vec()));
        }
        let used: BTreeSet<u8> = seen.into_iter().flatten().collect();
        // 8,800 characters out of 66: none is left out but by a broken draw.
        assert_eq!(used.len(), 66);
    }

    #[test]
    fn the_shortest_password_still_has_all_classes() {
        for _ in 0..20 {
            let password = PasswordRules { length: 4, ..RULES }.generate().unwrap();
            assert!(has_all_classes(password.reveal()));
        }
    }

    #[test]
    fn a_chosen_password_is_refused_by_the_first_rule_it_breaks() {
        for (password, verdict) in [
            ("aA1-aA1-aA1", Err(Weak::Short(12))),
            ("aA1-aA1-aA1-", Ok(())),
            ("äÄ1-äÄ1-äÄ1-", Err(Weak::Classes)),
            ("aA11aA11aA11", Err(Weak::Classes)),
            ("aaa-aaa-aaa-1", Err(Weak::Classes)),
            ("AAA-AAA-AAA-1", Err(Weak::Classes)),
            ("aAa-aAa-aAa-", Err(Weak::Classes)),
            ("aA1-aA1-aA1\n", Err(Weak::ControlCharacter)),
            ("xx1-ALICE-xx1", Err(Weak::HoldsName)),
        ] {
            assert_eq!(CHOSEN.check(&Password::new(password), "alice", &[]), verdict, "{password}");
        }
    }

    #[test]
    fn what_is_soon_guessed_is_no_password_however_long() {
        let rules = ChosenRules { strength: 4, ..CHOSEN };
        let about = ["Alice Liddell", "liddell@example.org"];
        for (password, verdict) in [
            ("Password1234!", Err(Weak::Guessable)),
            ("Liddell-2026-", Err(Weak::Guessable)),
            ("aA1-aA1-aA1-aA1-", Err(Weak::Guessable)),
            ("Vk7-quiet-Lantern-2x", Ok(())),
        ] {
            assert_eq!(rules.check(&Password::new(password), "al", &about), verdict, "{password}");
        }
    }
}
