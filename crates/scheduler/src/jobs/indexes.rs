//! Lists of indexes as a job's status has them: `0,2-4,7`.

/// The text for sorted indexes.
pub(super) fn text(indexes: &[i64]) -> String {
    let mut runs: Vec<(i64, i64)> = Vec::new();
    for index in indexes {
        match runs.last_mut() {
            Some((_, end)) if *end + 1 == *index => *end = *index,
            _ => runs.push((*index, *index)),
        }
    }
    let run = |(start, end): (i64, i64)| match end - start {
        0 => start.to_string(),
        // Two in a row are shorter than a range, and so Kubernetes writes them.
        1 => format!("{start},{end}"),
        _ => format!("{start}-{end}"),
    };
    runs.into_iter().map(run).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn runs_are_joined() {
        for (indexes, expected) in [(&[][..], ""), (&[3], "3"), (&[1, 2], "1,2"), (&[0, 1, 2, 4, 6, 7, 8], "0-2,4,6-8")]
        {
            assert_eq!(text(indexes), expected);
        }
    }

    proptest! {
        #[test]
        fn nothing_is_lost(indexes in prop::collection::btree_set(0_i64..200, 0..80)) {
            let list: Vec<i64> = indexes.iter().copied().collect();
            let mut back = BTreeSet::new();
            for part in text(&list).split(',').filter(|part| !part.is_empty()) {
                let (start, end) = part.split_once('-').unwrap_or((part, part));
                back.extend(start.parse::<i64>().unwrap()..=end.parse().unwrap());
            }
            prop_assert_eq!(back, indexes);
        }
    }
}
