//! Goes through the moves of a manifest page by page: a long recording has too many to hold all in
//! memory.

use std::ops::Range;

use crate::object::DELETE_LIMIT;

/// Objects to look up, store and delete together: one page of a listing.
pub(super) const PAGE: u32 = 1000;

const _: () = assert!(PAGE as usize <= DELETE_LIMIT);

/// Pages of move numbers, first to last.
pub(super) fn forwards(count: u32) -> impl Iterator<Item = Range<u32>> {
    let starts = (0..count).step_by(PAGE as usize);
    starts.map(move |start| start..count.min(start + PAGE))
}

pub(super) fn backwards(count: u32) -> impl Iterator<Item = Range<u32>> {
    let ends = (1..=count).rev().step_by(PAGE as usize);
    ends.map(|end| end.saturating_sub(PAGE)..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_on_one_page() {
        let ends = |page: Range<u32>| (page.start, page.end);
        for (count, forward, backward) in [
            (0, &[][..], &[][..]),
            (1, &[(0, 1)], &[(0, 1)]),
            (1000, &[(0, 1000)], &[(0, 1000)]),
            (1001, &[(0, 1000), (1000, 1001)], &[(1, 1001), (0, 1)]),
        ] {
            assert_eq!(forwards(count).map(ends).collect::<Vec<_>>(), forward);
            assert_eq!(backwards(count).map(ends).collect::<Vec<_>>(), backward);
        }
    }
}
