//! Conversions that can't fail on machines we build for, and can't panic on others.

/// `value` as `u64`.
pub(crate) fn u64_of(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

/// `value` as a length in memory, the longest there is where it does not fit.
pub(crate) fn usize_of(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// The next `length` bytes of `rest`, which is moved past them; fewer when there are fewer.
pub(crate) fn take_front<'a>(rest: &mut &'a mut [u8], length: u64) -> &'a mut [u8] {
    let whole = std::mem::take(rest);
    let at = usize_of(length).min(whole.len());
    match whole.split_at_mut_checked(at) {
        Some((front, back)) => {
            *rest = back;
            front
        }
        None => &mut [],
    }
}
