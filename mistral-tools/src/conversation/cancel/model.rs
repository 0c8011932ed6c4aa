//! Every interleaving of a few threads, by loom: `RUSTFLAGS="--cfg loom" cargo test -p mistral-tools --lib model`.

use super::*;
use crate::sync::AtomicU64;
use crate::sync::park::block_on;

#[test]
fn a_cancellation_is_not_slept_through_and_brings_what_was_written_before() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(|| {
        let token = CancellationToken::new();
        let child = token.child();
        let reason = Arc::new(AtomicU64::new(0));
        let canceller = {
            let reason = reason.clone();
            loom::thread::spawn(move || {
                reason.store(7, Ordering::Relaxed);
                token.cancel();
            })
        };
        block_on(child.cancelled());
        assert_eq!(reason.load(Ordering::Relaxed), 7);
        canceller.join().unwrap();
    });
}
