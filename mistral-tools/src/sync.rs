//! What the lock-free parts are built of; loom's models of the same when they are checked by loom.

pub(crate) mod park;

pub(crate) use event_listener::{Event, EventListener};
#[cfg(all(test, loom))]
pub(crate) use loom::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{Thread, current, park},
};
#[cfg(not(all(test, loom)))]
pub(crate) use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{Thread, current, park},
};
