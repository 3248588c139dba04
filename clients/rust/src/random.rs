//! Randomness from the operating system, for ids and for spreading waits.

use std::time::Duration;

/// Panics when the operating system has no randomness, without which no id can be made.
pub(crate) fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

/// Waits that double up to a longest, each drawn evenly from the upper half of that, so that
/// clients that failed together do not come back together.
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    pub(crate) fn new(first: Duration, longest: Duration) -> Self {
        let next = first;
        Self {
            first,
            longest,
            next,
        }
    }

    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }

    pub(crate) fn next_wait(&mut self) -> Duration {
        let whole = self.next;
        self.next = (whole * 2).min(self.longest);
        let part = f64::from(u32::from_be_bytes(random_bytes())) / f64::from(u32::MAX);
        whole.mul_f64(0.5 + part / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_within_their_upper_halves() {
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_millis(180));
        for most in [50, 100, 180, 180] {
            let wait = backoff.next_wait().as_micros();
            assert!(
                (most * 500..=most * 1000).contains(&wait),
                "{wait} of {most} ms"
            );
        }
        backoff.reset();
        assert!(backoff.next_wait() <= Duration::from_millis(50));
    }
}
