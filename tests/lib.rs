//! What the integration tests share: where the reference data lies and how tensors are read from it.

use std::io::Write;
use std::path::PathBuf;

/// A folder of the reference data that is kept beside the repository, or `None`, said aloud, when it is not there.
///
/// # Panics
/// In CI (`CI` is set), where the data must be there.
pub fn shared(folder: &str) -> Option<PathBuf> {
    let found = std::env::var_os("MISTRAL_SHARED").map(|root| PathBuf::from(root).join(folder)).filter(|p| p.is_dir());
    if found.is_none() {
        let in_ci = std::env::var_os("CI").is_some_and(|v| !v.is_empty());
        assert!(!in_ci, "CI must set MISTRAL_SHARED to a folder that has `{folder}`");
        // Written past the capture of the test runner, which hides what passing tests print.
        let _ = writeln!(std::io::stderr(), "SKIPPED: MISTRAL_SHARED does not name a folder that has `{folder}`");
    }
    found
}

/// The programs of the README compile and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
