//! The version of a row's data: it names the write that made it, and the write before that one. So
//! when a write is sent again, the row shows whether it was made before. Not here: comparing and
//! swapping, see the stores; when a write is sent again, see `request::storing`.
//!
//! A version is a number of 62 bits. From the highest bit down it holds: 30 random bits that the
//! write has drawn (its *own*), the own bits of the version that it was based on (its *base*), and
//! two zeros. Older releases add one for each write instead; the two low bits leave room for that.
//! Rows that only they have written hold small numbers, whose own bits are zero.

use std::hash::{BuildHasher, Hasher, RandomState};

const BITS: u32 = 30;
const MASK: i64 = (1 << BITS) - 1;
/// The low bits, which older releases count up.
const COUNT_BITS: u32 = 2;

/// What the version of a row says about a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It was made. At most one other write is on top of it.
    Made,
    /// It wasn't made yet: the row still has the version that the write is based on. It can still
    /// be made.
    Open,
    /// It wasn't made and never will be: another write was first.
    Never,
    /// Other requests have written at least twice since. The write may have been made before
    /// theirs, or never.
    Unknown,
}

/// What a row of version `row` says about the write that turns `based_on` into `becomes`.
pub(crate) const fn fate(row: i64, based_on: i64, becomes: i64) -> Fate {
    if row == based_on {
        Fate::Open
    } else if own(row) == own(becomes) || base(row) == own(becomes) {
        Fate::Made
    } else if own(row) == own(based_on) || base(row) == own(based_on) {
        // The version that it was based on was counted up, or another write is on top of that
        // version.
        Fate::Never
    } else {
        Fate::Unknown
    }
}

/// The version that a new write makes of `based_on`.
pub(crate) fn drawn(based_on: i64) -> i64 {
    next(based_on, random())
}

/// The version on top of `based_on` with these random bits as its own.
const fn next(based_on: i64, random: u64) -> i64 {
    let below = own(based_on);
    let mut drawn = random.cast_signed() & MASK;
    while drawn == 0 || drawn == below || drawn == base(based_on) {
        drawn = (drawn + 1) & MASK;
    }
    drawn << (BITS + COUNT_BITS) | below << COUNT_BITS
}

const fn own(version: i64) -> i64 {
    (version >> (BITS + COUNT_BITS)) & MASK
}

const fn base(version: i64) -> i64 {
    (version >> COUNT_BITS) & MASK
}

/// Random bits that tell writes apart. They needn't be secret, so they are the keys of the standard
/// library's hash maps, which ask the system for randomness once for each thread.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    /// Versions that a row may have: small numbers of older releases, and drawn ones, counted up or
    /// not.
    fn any_version() -> impl Strategy<Value = i64> {
        let drawn = (any::<u64>(), any::<u64>(), 0i64..4).prop_map(|(a, b, count)| next(next(0, a), b) + count);
        prop_oneof![0i64..1000, drawn]
    }

    proptest! {
        #[test]
        fn a_version_names_itself_and_its_base_and_leaves_room(based_on in any_version(), random: u64) {
            let version = next(based_on, random);
            prop_assert_eq!(base(version), own(based_on));
            prop_assert!(![0, own(based_on), base(based_on)].contains(&own(version)));
            prop_assert!(version > 0 && version < 1 << 62);
            prop_assert_eq!(version & 3, 0);
            prop_assert!(version != based_on);
        }

        /// The own bits of each differ, as they always do but once in 2^30 times.
        #[test]
        fn a_write_is_found_by_the_row(based_on in any_version(), [a, b, c, d] in distinct()) {
            let mine = next(based_on, a);
            let fate = |row| fate(row, based_on, mine);
            prop_assert_eq!(fate(based_on), Fate::Open);
            prop_assert_eq!(fate(mine), Fate::Made);
            prop_assert_eq!(fate(next(mine, b)), Fate::Made);
            prop_assert_eq!(fate(next(next(mine, b), c)), Fate::Unknown);
            prop_assert_eq!(fate(next(next(next(mine, b), c), d)), Fate::Unknown);
            prop_assert_eq!(fate(next(based_on, b)), Fate::Never);
            prop_assert_eq!(fate(next(next(based_on, b), c)), Fate::Unknown);
            prop_assert_eq!(fate(next(next(next(based_on, b), c), d)), Fate::Unknown);
        }

        /// Here older releases have counted versions up.
        #[test]
        fn rows_that_were_counted_up_tell_the_same(based_on in any_version(), [a, b, c, _] in distinct(), count in 1i64..4) {
            let mine = next(based_on, a);
            let fate = |row| fate(row, based_on, mine);
            prop_assert_eq!(fate(mine + count), Fate::Made);
            prop_assert_eq!(fate(next(mine, b) + count), Fate::Made);
            prop_assert_eq!(fate(next(mine + count, b)), Fate::Made, "written on the counted one");
            prop_assert_eq!(fate(based_on + count), Fate::Never);
            prop_assert_eq!(fate(next(based_on, b) + count), Fate::Never);
            prop_assert_eq!(fate(next(based_on + count, b)), Fate::Never, "written on the counted one");
            prop_assert_eq!(fate(next(next(mine, b), c) + count), Fate::Unknown);
        }

        /// Counted up more than three times, a version's count runs into its base. A write on top
        /// may then be unknown, but it is never taken for another one.
        #[test]
        fn rows_that_were_counted_up_often_are_never_misread(
            based_on in any_version(), [a, b, _, _] in distinct(), count in 4i64..1_000_000
        ) {
            let mine = next(based_on, a);
            // Not those whose bits differ by no more than the count, as happens once in some
            // thousand times.
            let near = |x: i64, y: i64| (x - y).abs() <= count;
            let others = [own(based_on), base(based_on), own(next(based_on, b))];
            prop_assume!(others.iter().all(|other| !near(own(mine), *other)));
            let fate = |row| fate(row, based_on, mine);
            // Where the count runs over into the own bits, the fate is unknown.
            let told = |version, fate| if base(version) + count > MASK { Fate::Unknown } else { fate };
            prop_assert!([told(mine, Fate::Made), Fate::Made].contains(&fate(mine + count)));
            prop_assert_ne!(fate(next(mine, b) + count), Fate::Never);
            prop_assert!([told(based_on, Fate::Never), Fate::Never].contains(&fate(based_on + count)));
            prop_assert_ne!(fate(next(based_on, b) + count), Fate::Made);
        }

        #[test]
        fn no_number_is_refused(row: i64, based_on: i64, random: u64) {
            let mine = next(based_on, random);
            prop_assert!(mine > 0 && mine < 1 << 62);
            fate(row, based_on, mine);
        }
    }

    /// Random bits whose low 30 differ from each other by more than a few, and from those of
    /// [`any_version`] nearly always.
    fn distinct() -> impl Strategy<Value = [u64; 4]> {
        let apart = |bits: &[u64; 4]| {
            let own: Vec<_> = bits.iter().map(|bits| bits & MASK.cast_unsigned()).collect();
            own.iter().enumerate().all(|(i, a)| *a > 8 && own[..i].iter().all(|b| a.abs_diff(*b) > 8))
        };
        any::<[u64; 4]>().prop_filter("own bits that differ", apart)
    }

    #[test]
    fn bits_that_are_taken_are_passed_over() {
        let first = next(0, 0);
        assert_eq!((own(first), base(first)), (1, 0));
        assert_eq!(own(next(first, 1)), 2);
        let last = next(0, MASK.cast_unsigned());
        assert_eq!(own(last), MASK);
        assert_eq!(own(next(last, MASK.cast_unsigned())), 1);
        let second = next(first, 5);
        assert_eq!(own(next(second, 1)), 2, "nor its base's base: the row would seem to be written");
    }

    #[test]
    fn writes_draw_different_versions() {
        let drawn: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| (0..250).map(|_| drawn(0)).collect())).collect();
            threads.into_iter().flat_map(|thread| -> Vec<_> { thread.join().unwrap() }).collect()
        });
        let different: HashSet<_> = drawn.iter().collect();
        // Two of a thousand are the same once in two thousand times.
        assert!(different.len() >= drawn.len() - 1, "{}", different.len());
    }
}
