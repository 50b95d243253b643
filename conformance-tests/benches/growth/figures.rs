//! Medians, percentiles and tables of figures.

use std::time::Duration;

/// The value that half of them don't pass.
pub(crate) fn median<T: PartialOrd + Copy>(values: &[T]) -> T {
    of_sorted(values, 50)
}

/// The 99th percentile.
pub(crate) fn p99(values: &[Duration]) -> Duration {
    of_sorted(values, 99)
}

/// Whole microseconds.
pub(crate) const fn micros(duration: Duration) -> u128 {
    duration.as_micros()
}

/// How many times the other one.
pub(crate) fn ratio(one: Duration, other: Duration) -> f64 {
    one.as_secs_f64() / other.as_secs_f64()
}

fn of_sorted<T: PartialOrd + Copy>(values: &[T], percent: usize) -> T {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(|a, b| a.partial_cmp(b).expect("no figure is NaN"));
    sorted[(sorted.len() - 1) * percent / 100]
}
