//! What a reload has changed, in as many records as that takes: what one record can hold is limited,
//! and the list of users of a whole hospital is not.

use config::whole_or_begun;

/// A key, what it was, what it is: none of them is long.
pub(super) type Difference = (String, String, String);

/// Bytes of differences in one record. Each of them may become six in JSON.
const PART: usize = 128 << 10;

/// The differences of each record, of one at least.
pub(super) fn of(differences: Vec<Difference>) -> Vec<Vec<Difference>> {
    let mut parts = vec![Vec::new()];
    let mut room = PART;
    for difference in differences {
        let len = difference.0.len() + difference.1.len() + difference.2.len();
        match parts.last_mut().filter(|_| len <= room) {
            Some(part) => part.push(difference),
            None => {
                room = PART;
                parts.push(vec![difference]);
            }
        }
        room = room.saturating_sub(len);
    }
    parts
}

/// The beginning of a reason, of one that is too long: a problem for each of thousands of users.
pub(super) fn shortened(why: &str) -> String {
    whole_or_begun(why, PART)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_differences_are_told_whole_in_parts() {
        let users =
            (0..20_000).map(|user| (format!("user[{user}].role"), String::new(), "x".into()));
        let all: Vec<Difference> = users.collect();
        let parts = of(all.clone());
        let len = |part: &Vec<Difference>| serde_json::to_string(part).unwrap().len();
        assert!(parts.len() > 1 && parts.iter().all(|part| len(part) < 1 << 20));
        assert_eq!(parts.concat(), all);
        assert_eq!(of(Vec::new()), [Vec::new()]);
    }

    #[test]
    fn a_long_reason_is_told_by_its_beginning() {
        assert_eq!(shortened("no such role"), "no such role");
        let long = shortened(&"é".repeat(PART + 1));
        assert!(long.ends_with("é... and 2 bytes more"), "{}", long.len());
    }
}
