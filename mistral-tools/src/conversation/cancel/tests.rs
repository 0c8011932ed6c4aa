//! Families of tokens, who is woken, and many threads.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};
use std::thread;

use proptest::prelude::*;

use super::*;
use crate::sync::park::block_on;

/// Counts how often it was woken.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// The obviously right family: every token's ancestors by index, all flags in one place.
#[derive(Default)]
struct Family {
    parents: Vec<Option<usize>>,
    cancelled: Vec<bool>,
}

impl Family {
    fn add(&mut self, parent: Option<usize>) {
        self.parents.push(parent);
        self.cancelled.push(false);
    }

    fn is_cancelled(&self, token: usize) -> bool {
        self.cancelled[token] || self.parents[token].is_some_and(|parent| self.is_cancelled(parent))
    }
}

proptest! {
    #[test]
    fn tokens_are_cancelled_with_those_above(steps in prop::collection::vec((0u8..3, any::<usize>()), 1..40)) {
        let mut family = Family::default();
        let mut tokens = vec![CancellationToken::new()];
        family.add(None);
        for (step, index) in steps {
            let index = index % tokens.len();
            match step {
                0 => {
                    tokens.push(CancellationToken::new());
                    family.add(None);
                }
                1 => {
                    tokens.push(tokens[index].child());
                    family.add(Some(index));
                }
                _ => {
                    tokens[index].clone().cancel();
                    family.cancelled[index] = true;
                }
            }
            for (index, token) in tokens.iter().enumerate() {
                prop_assert_eq!(token.is_cancelled(), family.is_cancelled(index));
            }
        }
    }
}

#[test]
fn who_waits_is_woken_and_only_the_cancelled_end() {
    let parent = CancellationToken::new();
    let (first, second) = (parent.child(), parent.child().child());
    let count = Arc::new(Count::default());
    let waker = Waker::from(count.clone());
    let mut context = Context::from_waker(&waker);
    let (mut one, mut two) = (first.cancelled(), second.cancelled());
    assert!(Pin::new(&mut one).poll(&mut context).is_pending());
    assert!(Pin::new(&mut two).poll(&mut context).is_pending());
    first.cancel();
    assert!(count.0.load(Ordering::SeqCst) >= 1);
    assert!(Pin::new(&mut one).poll(&mut context).is_ready());
    assert!(Pin::new(&mut two).poll(&mut context).is_pending());
    let before = count.0.load(Ordering::SeqCst);
    parent.cancel();
    assert_eq!(count.0.load(Ordering::SeqCst), before + 1);
    assert!(Pin::new(&mut two).poll(&mut context).is_ready());
    // Cancelled twice wakes nobody; a child of a cancelled token is born cancelled.
    parent.cancel();
    assert_eq!(count.0.load(Ordering::SeqCst), before + 1);
    assert!(parent.child().is_cancelled());
    assert_eq!(
        format!("{:?} {:?}", CancellationToken::default(), first),
        "CancellationToken(false) CancellationToken(true)"
    );
}

#[test]
fn threads_that_wait_are_let_go() {
    for _ in 0..50 {
        let token = CancellationToken::new();
        let child = token.child();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| block_on(child.cancelled()));
            }
            scope.spawn(|| token.cancel());
        });
    }
}

#[test]
fn a_long_line_of_children_is_dropped_without_recursion() {
    let mut token = CancellationToken::new();
    for _ in 0..100_000 {
        token = token.child();
    }
    assert!(!token.is_cancelled());
    drop(token);
}
