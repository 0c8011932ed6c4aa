//! What each dialect reads, written down by hand.
