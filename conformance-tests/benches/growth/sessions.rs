//! Which sessions a filled table holds: the same rule here as in the SQL that fills it, so that nothing has to be kept in
//! memory to find any of millions.

use session_core::{SessionId, TokenRef, UserId};
use sha2::{Digest, Sha256};
use time::macros::datetime;
use time::{Duration, OffsetDateTime};

/// When all operations happen.
pub(crate) const NOW: OffsetDateTime = datetime!(2030-01-01 0:00 UTC);

/// The sessions were made over this time, one after the other.
const MADE_OVER: Duration = Duration::weeks(2);

/// Users come in groups of ten, who have 1, 2, 3 … 10 sessions.
pub(crate) const GROUP: u64 = 10;
/// All sessions of a group.
pub(crate) const GROUP_SESSIONS: u64 = 55;

/// Sessions that were made in one go. Session `number` is the number-th that was made; its user has others that were made
/// long before or after.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sessions {
    /// The first one's number.
    pub(crate) first: u64,
    /// How many.
    pub(crate) count: u64,
    /// Before now, when the last one was made.
    pub(crate) ago: Duration,
}

impl Sessions {
    /// Sessions that live.
    pub(crate) const fn live(count: u64) -> Self {
        Self { first: 0, count, ago: Duration::ZERO }
    }

    /// How far apart the sessions of two neighbours are in the order of users: no common divisor with the count, so that each
    /// place is taken once.
    pub(crate) fn stride(self) -> u64 {
        let golden = self.count / 1000 * 618 + 1;
        (golden..).find(|stride| divisor(*stride, self.count) == 1).expect("a number without a common divisor")
    }

    /// How many users have them.
    pub(crate) fn users(self) -> u64 {
        user_at(self.count - 1) + 1
    }

    /// Whose session this one is.
    pub(crate) fn user_of(self, number: u64) -> UserId {
        user(user_at(number * self.stride() % self.count))
    }

    /// When the first one was made, in microseconds since 1970.
    pub(crate) fn start(self) -> i64 {
        micros(NOW - self.ago) - whole(MADE_OVER)
    }

    /// Microseconds from each to the next.
    pub(crate) fn step(self) -> i64 {
        whole(MADE_OVER) / i64::try_from(self.count).expect("a count")
    }

    /// What a browser's cookie says of this session.
    pub(crate) fn token(self, number: u64) -> [TokenRef; 1] {
        [TokenRef { shard: self.user_of(number).shard(), id: self.id_of(number) }]
    }

    /// Which session it is: when it was made, in milliseconds, and then bits in no order, as in any UUID of version 7.
    fn id_of(self, number: u64) -> SessionId {
        let created = self.start() + i64::try_from(number - self.first).expect("a count") * self.step();
        let random = u128::from_be_bytes(Sha256::digest(format!("id {number}"))[..16].try_into().expect("16 bytes"));
        // What the SQL puts together of hexadecimal digits: 12 of the time, `7`, 3 at random, `8`, and the next 15.
        let millis = u128::try_from(created / 1000).expect("after 1970");
        let bits = millis << 80 | 7 << 76 | random >> 116 << 64 | 8 << 60 | random << 12 >> 68;
        SessionId::from_bytes(bits.to_be_bytes())
    }
}

/// The user of this number.
pub(crate) fn user(number: u64) -> UserId {
    UserId::parse(&format!("user-{number}")).expect("a short text")
}

/// The number of the user whose session is at this place in the order of users.
fn user_at(place: u64) -> u64 {
    let mut rest = place % GROUP_SESSIONS;
    let mut user = place / GROUP_SESSIONS * GROUP;
    let mut sessions = 1;
    while rest >= sessions {
        rest -= sessions;
        sessions += 1;
        user += 1;
    }
    user
}

/// Microseconds since 1970.
pub(crate) fn micros(at: OffsetDateTime) -> i64 {
    i64::try_from(at.unix_timestamp_nanos() / 1000).expect("a time of this century")
}

/// Microseconds.
pub(crate) fn whole(duration: Duration) -> i64 {
    i64::try_from(duration.whole_microseconds()).expect("some weeks")
}

fn divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { divisor(b, a % b) }
}

/// Numbers in no order, the same in every run.
#[derive(Debug, Default)]
pub(crate) struct Pick(u64);

impl Pick {
    /// Other numbers than those of another seed.
    pub(crate) const fn seeded(seed: u64) -> Self {
        Self(seed << 32)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 += 1;
        let hash = Sha256::digest(format!("pick {}", self.0));
        u64::from_be_bytes(hash[..8].try_into().expect("8 bytes")) % end
    }
}
