//! How fast the clean-up is: how many rows the next batch has, how long to rest before it, and when
//! a backlog has lasted too long. Pure: what each batch did is passed in, and it reads no clock.

use std::num::NonZeroU32;
use std::time::Duration;

/// Rows of the first batch.
pub(super) const FIRST: NonZeroU32 = NonZeroU32::new(100).expect("not zero");
/// The fewest and the most rows of a batch.
const FEWEST: u32 = 50;
const MOST: u32 = 400;
/// A full batch that took less than `SHORT` is followed by a larger one, and one that took more
/// than `LONG` by a smaller one: a request may have to wait for as long as a batch takes.
const SHORT: Duration = Duration::from_millis(8);
const LONG: Duration = Duration::from_millis(25);

/// Until a backlog has lasted this long, the clean-up rests this many times as long as a batch
/// took. So it has a tenth of one connection's time at first, then a fifth, and in the end half.
const RESTS: [(Duration, u32); 2] = [(Duration::from_secs(10), 9), (Duration::from_secs(60), 4)];
const LAST_REST: u32 = 1;
/// The shortest and the longest rest: a store that answers at once doesn't take a whole core, and
/// one that hardly answers is still asked again.
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_secs(30);

/// A pass ends once it has taken this long.
const PASS: Duration = Duration::from_secs(60);
/// After this many passes in a row that left rows, the clean-up is behind.
const TOO_MANY: u32 = 5;

/// The rest after a failure doubles with each further failure in a row, from the first value up to
/// the last.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(64);

/// What has been done so far, as far as the next rest depends on it.
#[derive(Debug)]
pub(super) struct Pace {
    batch: u32,
    backlog: Backlog,
    failures: u32,
}

/// What was done since nothing was left last, with the time of the rests.
#[derive(Debug, Default)]
struct Backlog {
    took: Duration,
    deleted: u64,
    /// How many passes left rows.
    passes: u32,
    /// The part of `took` that belongs to this pass.
    pass: Duration,
}

/// What follows a batch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Another batch of this pass, after a rest.
    Batch(Duration),
    /// Another pass, after a rest, as rows are left.
    Pass(Duration),
    /// The same, and with this pass the clean-up has fallen behind: how long it has worked on the
    /// backlog, and how many rows it has deleted.
    Behind { rest: Duration, at_it: Duration, deleted: u64 },
    /// Nothing is left.
    Done,
}

impl Pace {
    pub(super) const fn new() -> Self {
        let backlog = Backlog { took: Duration::ZERO, deleted: 0, passes: 0, pass: Duration::ZERO };
        Self { batch: FIRST.get(), backlog, failures: 0 }
    }

    /// How many rows the next batch deletes at most.
    pub(super) fn batch(&self) -> NonZeroU32 {
        NonZeroU32::new(self.batch).unwrap_or(FIRST)
    }

    /// What follows a batch that deleted this many rows in this time.
    pub(super) fn after(&mut self, deleted: u64, took: Duration) -> Next {
        self.failures = 0;
        if deleted < u64::from(self.batch) {
            self.backlog = Backlog::default();
            return Next::Done;
        }
        if took < SHORT {
            self.batch = (self.batch * 2).min(MOST);
        } else if took > LONG {
            self.batch = (self.batch / 2).max(FEWEST);
        }
        let backlog = &mut self.backlog;
        let times = RESTS.iter().find(|(until, _)| backlog.took < *until).map_or(LAST_REST, |(_, times)| *times);
        let rest = took.saturating_mul(times).clamp(SHORTEST, LONGEST);
        let both = took.saturating_add(rest);
        backlog.took = backlog.took.saturating_add(both);
        backlog.pass = backlog.pass.saturating_add(both);
        backlog.deleted += deleted;
        if backlog.pass < PASS {
            return Next::Batch(rest);
        }
        backlog.pass = Duration::ZERO;
        backlog.passes += 1;
        if backlog.passes == TOO_MANY {
            return Next::Behind { rest, at_it: backlog.took, deleted: backlog.deleted };
        }
        Next::Pass(rest)
    }

    /// The longest rest after a failure; half of it is the shortest.
    pub(super) fn after_failure(&mut self) -> Duration {
        let rest = FIRST_RETRY.saturating_mul(1 << self.failures.min(16)).min(LAST_RETRY);
        self.failures += 1;
        rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    /// Full batches that take `took` each, until the time `until` has passed.
    fn full(pace: &mut Pace, took: Duration, until: Duration) -> Vec<Next> {
        let (mut all, mut passed) = (Vec::new(), Duration::ZERO);
        while passed < until {
            let next = pace.after(u64::from(pace.batch().get()), took);
            let (Next::Batch(rest) | Next::Pass(rest) | Next::Behind { rest, .. }) = next else { panic!("{next:?}") };
            passed += took + rest;
            all.push(next);
        }
        all
    }

    #[test]
    fn short_batches_grow_and_long_ones_shrink_within_bounds() {
        let mut pace = Pace::new();
        let mut sizes = |took: u32| {
            [(); 4].map(|()| {
                pace.after(u64::from(pace.batch().get()), MILLI * took);
                pace.batch().get()
            })
        };
        assert_eq!(sizes(3), [200, 400, 400, 400]);
        assert_eq!(sizes(15), [400; 4]);
        assert_eq!(sizes(30), [200, 100, 50, 50]);
    }

    #[test]
    fn it_takes_a_tenth_of_the_time_then_a_fifth_then_half() {
        let mut pace = Pace::new();
        let took = MILLI * 10;
        let mut rests = |times| full(&mut pace, took, times).pop();
        assert_eq!(rests(Duration::from_secs(10)), Some(Next::Batch(took * 9)));
        assert_eq!(rests(Duration::from_secs(49)), Some(Next::Batch(took * 4)));
        assert_eq!(rests(Duration::from_secs(30)), Some(Next::Batch(took)));
        assert_eq!(pace.after(0, took), Next::Done);
        assert_eq!(rest_of(&pace.after(u64::from(pace.batch), took)), took * 9, "the next backlog begins anew");
    }

    fn rest_of(next: &Next) -> Duration {
        match next {
            Next::Batch(rest) | Next::Pass(rest) | Next::Behind { rest, .. } => *rest,
            Next::Done => Duration::ZERO,
        }
    }

    #[test]
    fn rests_have_bounds() {
        let mut pace = Pace::new();
        assert_eq!(pace.after(100, Duration::ZERO), Next::Batch(SHORTEST));
        assert_eq!(rest_of(&pace.after(200, Duration::from_secs(20))), LONGEST);
        assert_eq!(rest_of(&pace.after(100, Duration::MAX)), LONGEST);
    }

    #[test]
    fn two_thousand_rows_a_second_take_two_hundred_rows_in_ten_milliseconds() {
        let mut pace = Pace::new();
        full(&mut pace, MILLI * 7, Duration::from_secs(1));
        let rows = pace.batch().get();
        let rest = rest_of(&pace.after(u64::from(rows), MILLI * 10));
        assert!(f64::from(rows) / (MILLI * 10 + rest).as_secs_f64() >= 2000.0, "{rows} rows, then {rest:?}");
    }

    #[test]
    fn a_pass_ends_after_a_minute_and_after_five_in_a_row_it_is_behind_once() {
        let mut pace = Pace::new();
        let all = full(&mut pace, MILLI * 10, PASS * 12);
        let passes: Vec<_> = all.iter().filter(|next| !matches!(next, Next::Batch(_))).collect();
        assert!((11..=12).contains(&passes.len()), "{passes:?}");
        let behind: Vec<_> = passes.iter().map(|next| matches!(next, Next::Behind { .. })).collect();
        assert_eq!(behind[..6], [false, false, false, false, true, false]);
        assert_eq!(behind.iter().filter(|is| **is).count(), 1);
        let Next::Behind { at_it, deleted, .. } = passes[4] else { panic!("{passes:?}") };
        assert!((PASS * 5..PASS * 5 + Duration::from_secs(1)).contains(at_it), "{at_it:?}");
        assert!(*deleted > 100 * 1000, "{deleted}");

        assert_eq!(pace.after(0, MILLI), Next::Done);
        let again = full(&mut pace, MILLI * 10, PASS * 6);
        assert!(again.iter().any(|next| matches!(next, Next::Behind { .. })), "once more, as it had caught up");
    }

    #[test]
    fn failures_are_tried_again_soon_then_less_soon() {
        let mut pace = Pace::new();
        let rests: Vec<_> = (0..9).map(|_| pace.after_failure().as_secs()).collect();
        assert_eq!(rests, [1, 2, 4, 8, 16, 32, 64, 64, 64]);
        pace.after(0, MILLI);
        assert_eq!(pace.after_failure().as_secs(), 1, "after a batch that worked");
        for _ in 0..100 {
            pace.after_failure();
        }
    }
}
