//! Waking at a moment: the machine's clock with one thread, and a clock that is moved by hand.

use std::collections::BTreeMap;
use std::fmt;
use std::mem;
use std::panic::{self, AssertUnwindSafe};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use super::{Clock, Moment, SystemClock, nanos};

/// A clock that can also wake who sleeps until a moment of it.
///
/// [`SystemClock`] needs no runtime. To use the timer of a runtime, implement [`Clock`] and this with
/// `Sleep::new(runtime's future)`.
pub trait Timer: Clock {
    /// A future that ends at `deadline`, or at once when that has passed. Dropped, it wakes nobody.
    fn sleep_until(&self, deadline: Moment) -> Sleep;

    /// A future that ends in `duration` from now.
    fn sleep(&self, duration: Duration) -> Sleep {
        self.sleep_until(self.now() + duration)
    }
}

impl<T: Timer + ?Sized> Timer for &T {
    fn sleep_until(&self, deadline: Moment) -> Sleep {
        (**self).sleep_until(deadline)
    }
}

impl<T: Timer + ?Sized> Timer for Arc<T> {
    fn sleep_until(&self, deadline: Moment) -> Sleep {
        (**self).sleep_until(deadline)
    }
}

/// A pause, as a future. It does nothing until it is polled.
#[must_use = "a pause does nothing unless it is awaited"]
pub struct Sleep(Pause);

enum Pause {
    Never,
    Alarm(Alarm),
    Other(Pin<Box<dyn Future<Output = ()> + Send>>),
}

impl Sleep {
    /// A pause that ends when a future of a runtime does.
    pub fn new(future: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(Pause::Other(Box::pin(future)))
    }

    /// A pause that never ends.
    pub const fn never() -> Self {
        Self(Pause::Never)
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.0 {
            Pause::Never => Poll::Pending,
            Pause::Alarm(alarm) => alarm.poll(context),
            Pause::Other(future) => future.as_mut().poll(context),
        }
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Pause::Never => f.write_str("Sleep(never)"),
            Pause::Alarm(alarm) => write!(f, "Sleep({:?})", alarm.deadline),
            Pause::Other(_) => f.write_str("Sleep(..)"),
        }
    }
}

/// Who sleeps, by when to wake them; with the clock they sleep by.
struct Alarms {
    now: Now,
    list: Mutex<List>,
    /// The first alarm has become an earlier one; the thread that waits for it must look.
    sooner: Condvar,
}

enum Now {
    System,
    /// Nanoseconds; changed with `list` locked.
    Manual(AtomicU64),
}

#[derive(Default)]
struct List {
    next: u64,
    wakers: BTreeMap<(Moment, u64), Waker>,
    thread: bool,
}

impl Alarms {
    fn new(now: Now) -> Arc<Self> {
        Arc::new(Self { now, list: Mutex::default(), sooner: Condvar::new() })
    }

    fn system() -> &'static Arc<Self> {
        static SYSTEM: OnceLock<Arc<Alarms>> = OnceLock::new();
        SYSTEM.get_or_init(|| Self::new(Now::System))
    }

    fn lock(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Moment {
        match &self.now {
            Now::System => SystemClock.now(),
            Now::Manual(nanos) => Moment::from_nanos(nanos.load(Ordering::Relaxed)),
        }
    }

    /// Sees to it that someone will look at the list: the thread of the machine's clock, or whoever moves the other by hand.
    fn attend(self: &Arc<Self>, list: &mut List) -> bool {
        if matches!(self.now, Now::System) && !list.thread {
            let alarms = self.clone();
            let started = thread::Builder::new().name("mistral-timer".into()).spawn(move || alarms.ring());
            list.thread = started.is_ok();
            return list.thread;
        }
        true
    }

    /// Wakes all that are due, for ever.
    fn ring(&self) {
        let mut list = self.lock();
        loop {
            let now = self.now();
            let due = list.due(now);
            if !due.is_empty() {
                drop(list);
                for waker in due {
                    // A waker that panics must not take everyone's timer with it.
                    drop(panic::catch_unwind(AssertUnwindSafe(|| waker.wake())));
                }
                list = self.lock();
                continue;
            }
            let first = list.wakers.first_key_value().map(|(&(moment, _), _)| moment.since(now));
            list = match first {
                None => self.sooner.wait(list).unwrap_or_else(PoisonError::into_inner),
                Some(rest) => self.sooner.wait_timeout(list, rest).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
    }
}

impl List {
    fn due(&mut self, now: Moment) -> Vec<Waker> {
        if self.wakers.first_key_value().is_none_or(|(&(moment, _), _)| moment > now) {
            return Vec::new();
        }
        let later = now.as_nanos().checked_add(1).map(|next| self.wakers.split_off(&(Moment::from_nanos(next), 0)));
        mem::replace(&mut self.wakers, later.unwrap_or_default()).into_values().collect()
    }
}

/// One sleeper.
struct Alarm {
    alarms: Arc<Alarms>,
    deadline: Moment,
    id: Option<u64>,
}

impl Alarm {
    fn poll(&mut self, context: &Context<'_>) -> Poll<()> {
        let mut list = self.alarms.lock();
        if self.alarms.now() >= self.deadline {
            let old = self.id.take().and_then(|id| list.wakers.remove(&(self.deadline, id)));
            drop(list);
            drop(old); // A waker may run anything when dropped; not under the lock.
            return Poll::Ready(());
        }
        let id = *self.id.get_or_insert_with(|| {
            list.next += 1;
            list.next
        });
        let old = list.wakers.insert((self.deadline, id), context.waker().clone());
        if !self.alarms.attend(&mut list) {
            // No thread could be started: be polled again, dearly, rather than sleep through the deadline.
            context.waker().wake_by_ref();
        }
        if list.wakers.first_key_value().is_some_and(|(&key, _)| key == (self.deadline, id)) {
            self.alarms.sooner.notify_one();
        }
        drop(list);
        drop(old);
        Poll::Pending
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            let old = self.alarms.lock().wakers.remove(&(self.deadline, id));
            drop(old);
        }
    }
}

fn sleep(alarms: &Arc<Alarms>, deadline: Moment) -> Sleep {
    if deadline == Moment::FAR {
        return Sleep::never();
    }
    Sleep(Pause::Alarm(Alarm { alarms: alarms.clone(), deadline, id: None }))
}

/// One thread for the process, started when someone first sleeps and asleep itself between alarms.
impl Timer for SystemClock {
    fn sleep_until(&self, deadline: Moment) -> Sleep {
        sleep(Alarms::system(), deadline)
    }
}

/// A clock that stands still until it is told to move, and wakes who sleeps by it as it passes their moments.
///
/// A clone is another hand on the same clock.
///
/// ```
/// use std::time::Duration;
/// use mistral_tools::time::{Clock, ManualClock};
/// let clock = ManualClock::new();
/// let before = clock.now();
/// clock.advance(Duration::from_secs(3600));
/// assert_eq!(clock.now().since(before), Duration::from_secs(3600));
/// ```
#[derive(Clone)]
pub struct ManualClock(Arc<Alarms>);

impl ManualClock {
    /// A clock at its origin.
    pub fn new() -> Self {
        Self::at(Moment::ORIGIN)
    }

    /// A clock at a moment.
    pub fn at(moment: Moment) -> Self {
        Self(Alarms::new(Now::Manual(AtomicU64::new(moment.as_nanos()))))
    }

    /// Moves on and wakes everyone whose moment has come, in the order of their moments.
    pub fn advance(&self, duration: Duration) {
        let mut list = self.0.lock();
        let Now::Manual(time) = &self.0.now else { return };
        let now = time.load(Ordering::Relaxed).saturating_add(nanos(duration));
        time.store(now, Ordering::Relaxed);
        let due = list.due(Moment::from_nanos(now));
        drop(list);
        due.into_iter().for_each(Waker::wake);
    }

    /// The next moment at which someone wakes; none when nobody sleeps.
    pub fn next_alarm(&self) -> Option<Moment> {
        self.0.lock().wakers.first_key_value().map(|(&(moment, _), _)| moment)
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Moment {
        self.0.now()
    }
}

impl Timer for ManualClock {
    fn sleep_until(&self, deadline: Moment) -> Sleep {
        sleep(&self.0, deadline)
    }
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ManualClock({:?})", self.now())
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests;
