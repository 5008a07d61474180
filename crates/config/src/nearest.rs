//! The known word nearest to one that isn't, for suggestions.

/// The candidate at the fewest edits from `word`, unless even that is a third of it away.
pub(crate) fn nearest<'c>(
    word: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Option<&'c str> {
    let most = (word.chars().count() / 3).max(1);
    let distances = candidates.into_iter().map(|known| (edits(word, known), known));
    distances.filter(|(distance, _)| *distance <= most).min().map(|(_, known)| known)
}

/// Levenshtein distance, over characters.
fn edits(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, from) in a.chars().enumerate() {
        // `corner` is the cell up and left of the one being filled.
        let mut corner = i;
        let mut left = i + 1;
        for (cell, to) in row.iter_mut().skip(1).zip(b.chars()) {
            let replaced = corner + usize::from(from != to);
            corner = *cell;
            left = replaced.min(*cell + 1).min(left + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_edits() {
        for (a, b, distance) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
            ("ca_file", "ca_fil", 1),
            ("flaw", "lawn", 2),
        ] {
            assert_eq!(edits(a, b), distance, "{a} {b}");
            assert_eq!(edits(b, a), distance, "{b} {a}");
        }
    }

    #[test]
    fn suggests_only_what_is_near() {
        let keys = ["address", "name", "sources"];
        assert_eq!(nearest("adress", keys), Some("address"));
        assert_eq!(nearest("source", keys), Some("sources"));
        assert_eq!(nearest("port", keys), None);
    }
}
