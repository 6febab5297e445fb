//! Search that starts where the last one ended.

/// How many items at the front of `sorted` are `before` the place that is sought, as
/// [`partition_point`](slice::partition_point) counts them. It is sought from `hint` on in steps
/// that grow, so that a place near the hint costs next to nothing, wherever the hint is.
pub(crate) fn seek<T>(sorted: &[T], hint: usize, mut before: impl FnMut(&T) -> bool) -> usize {
    let hint = hint.min(sorted.len());
    let (front, behind) = sorted.split_at(hint);
    if front.last().is_some_and(|item| !before(item)) {
        return front.partition_point(before);
    }
    let (mut from, mut step) = (0usize, 1usize);
    while let Some(item) = behind.get(from.saturating_add(step - 1)) {
        if !before(item) {
            break;
        }
        from = from.saturating_add(step);
        step = step.saturating_mul(2);
    }
    let to = from.saturating_add(step - 1).min(behind.len());
    let within = behind.get(from..to).unwrap_or_default();
    hint + from + within.partition_point(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_is_found_from_every_hint() {
        for length in 0..20u32 {
            let sorted: Vec<u32> = (0..length).map(|n| n * 2).collect();
            for sought in 0..=2 * length {
                let expected = sorted.partition_point(|item| *item < sought);
                for hint in 0..=sorted.len() + 1 {
                    let found = seek(&sorted, hint, |item| *item < sought);
                    assert_eq!(found, expected, "{sought} of {length} from {hint}");
                }
            }
        }
    }
}
