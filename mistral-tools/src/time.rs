//! Time as the resilience parts see it: given from outside, so that tests move it by hand and need no sleeping.

pub(crate) mod timer;

use std::fmt;
use std::ops::Add;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

pub use timer::{ManualClock, Sleep, Timer};

/// A moment of a monotonic clock: nanoseconds since an origin of the clock's own.
///
/// Moments of different clocks have nothing to do with each other.
///
/// ```
/// use std::time::Duration;
/// use mistral_tools::time::Moment;
/// let start = Moment::from_nanos(5);
/// let later = start + Duration::from_secs(1);
/// assert_eq!(later.since(start), Duration::from_secs(1));
/// assert_eq!(start.since(later), Duration::ZERO);
/// assert_eq!(start + Duration::MAX, Moment::FAR);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(u64);

impl Moment {
    /// The origin of a clock.
    pub const ORIGIN: Self = Self(0);
    /// The last moment there is, 584 years after the origin: what never comes.
    pub const FAR: Self = Self(u64::MAX);

    /// The moment this long after the origin.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the origin.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; zero when it is before.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    /// That much later, and at most [`FAR`](Self::FAR).
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanos(duration)))
    }
}

impl fmt::Debug for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::FAR { f.write_str("never") } else { write!(f, "+{:?}", Duration::from_nanos(self.0)) }
    }
}

/// Nanoseconds of a duration; `u64::MAX` when they are more.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Says what time it is. Moments never go back.
pub trait Clock: Send + Sync {
    /// The moment it is.
    fn now(&self) -> Moment;
}

impl<C: Clock + ?Sized> Clock for &C {
    fn now(&self) -> Moment {
        (**self).now()
    }
}

impl<C: Clock + ?Sized> Clock for Arc<C> {
    fn now(&self) -> Moment {
        (**self).now()
    }
}

/// The clock of the machine, through [`Instant`]. All values are the same clock; its origin is when it was first asked.
///
/// ```
/// use mistral_tools::time::{Clock, SystemClock};
/// let start = SystemClock.now();
/// assert!(SystemClock.now() >= start);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SystemClock;

/// The origin of [`SystemClock`].
fn origin() -> Instant {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    *ORIGIN.get_or_init(Instant::now)
}

impl SystemClock {
    /// The instant of the standard library at which a moment of this clock is. None when it is too far off to be one.
    pub fn instant(self, moment: Moment) -> Option<Instant> {
        origin().checked_add(moment.since(Moment::ORIGIN))
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Moment {
        let origin = origin();
        Moment::ORIGIN + Instant::now().saturating_duration_since(origin)
    }
}
