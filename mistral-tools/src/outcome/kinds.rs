//! The kinds of error as a list and as sets.

use std::fmt;

/// Why a call gave no result. Hosts decide by it whether to try again; a model only sees the text of the error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The arguments are not JSON, or not what the schema says.
    InvalidArguments,
    /// It took longer than it was given.
    Timeout,
    /// The caller gave it up.
    Cancelled,
    /// There is no tool, file or thing of this name.
    NotFound,
    /// The host or the tool does not allow it.
    PermissionDenied,
    /// Too many calls; later ones may pass.
    RateLimited,
    /// The tool is known to fail now: its circuit breaker is open.
    Unavailable,
    /// The tool's own error.
    Failed,
}

impl ErrorKind {
    /// In words for a model.
    pub const fn words(self) -> &'static str {
        match self {
            Self::InvalidArguments => "invalid arguments",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
            Self::NotFound => "not found",
            Self::PermissionDenied => "permission denied",
            Self::RateLimited => "too many calls",
            Self::Unavailable => "unavailable",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.words())
    }
}

impl ErrorKind {
    /// Every kind, in the order of their declaration.
    pub const ALL: [Self; 8] = [
        Self::InvalidArguments,
        Self::Timeout,
        Self::Cancelled,
        Self::NotFound,
        Self::PermissionDenied,
        Self::RateLimited,
        Self::Unavailable,
        Self::Failed,
    ];

    /// Its name in statistics and logs: lower case with underscores.
    pub const fn name(self) -> &'static str {
        match self {
            Self::InvalidArguments => "invalid_arguments",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
            Self::NotFound => "not_found",
            Self::PermissionDenied => "permission_denied",
            Self::RateLimited => "rate_limited",
            Self::Unavailable => "unavailable",
            Self::Failed => "failed",
        }
    }

    /// Its place in [`ALL`](Self::ALL).
    pub(crate) const fn index(self) -> usize {
        self as usize
    }
}

/// A set of kinds of error, such as those worth another try.
///
/// ```
/// use mistral_tools::{ErrorKind, resilience::ErrorKinds};
/// const WEATHER: ErrorKinds = ErrorKinds::TRANSIENT.with(ErrorKind::Failed);
/// assert!(WEATHER.contains(ErrorKind::Timeout) && !WEATHER.contains(ErrorKind::InvalidArguments));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ErrorKinds(u16);

impl ErrorKinds {
    /// No kind.
    pub const NONE: Self = Self(0);
    /// Every kind.
    pub const ALL: Self = Self((1 << ErrorKind::ALL.len()) - 1);
    /// What may pass by itself: [`Timeout`](ErrorKind::Timeout), [`RateLimited`](ErrorKind::RateLimited) and
    /// [`Unavailable`](ErrorKind::Unavailable). The tool's own errors are not among them: only who wrote the tool knows.
    pub const TRANSIENT: Self =
        Self::NONE.with(ErrorKind::Timeout).with(ErrorKind::RateLimited).with(ErrorKind::Unavailable);
    /// What says that the tool is broken rather than wrongly used: [`Timeout`](ErrorKind::Timeout) and
    /// [`Failed`](ErrorKind::Failed). Circuit breakers count these.
    pub const FAULTS: Self = Self::NONE.with(ErrorKind::Timeout).with(ErrorKind::Failed);

    /// The set with one kind more.
    #[must_use]
    pub const fn with(self, kind: ErrorKind) -> Self {
        Self(self.0 | 1 << kind.index())
    }

    /// The set without a kind.
    #[must_use]
    pub const fn without(self, kind: ErrorKind) -> Self {
        Self(self.0 & !(1 << kind.index()))
    }

    /// Whether the kind is in the set.
    pub const fn contains(self, kind: ErrorKind) -> bool {
        self.0 >> kind.index() & 1 == 1
    }

    /// Whether no kind is in the set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The kinds, in the order of [`ErrorKind::ALL`].
    pub fn iter(self) -> impl Iterator<Item = ErrorKind> {
        ErrorKind::ALL.into_iter().filter(move |&kind| self.contains(kind))
    }
}

impl FromIterator<ErrorKind> for ErrorKinds {
    fn from_iter<I: IntoIterator<Item = ErrorKind>>(kinds: I) -> Self {
        kinds.into_iter().fold(Self::NONE, Self::with)
    }
}

impl fmt::Debug for ErrorKinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_in_order_and_names_differ() {
        for (index, kind) in ErrorKind::ALL.into_iter().enumerate() {
            assert_eq!(kind.index(), index);
            // The name is the variant's, in snake case.
            let camel: String = kind.name().split('_').map(|word| word[..1].to_uppercase() + &word[1..]).collect();
            assert_eq!(camel, format!("{kind:?}"));
        }
    }

    #[test]
    fn every_set_is_what_was_put_in() {
        for bits in 0..1u16 << ErrorKind::ALL.len() {
            let set: ErrorKinds = ErrorKind::ALL.into_iter().filter(|kind| bits >> kind.index() & 1 == 1).collect();
            assert_eq!(set, ErrorKinds(bits));
            assert_eq!(set.iter().collect::<ErrorKinds>(), set);
            assert_eq!(set.is_empty(), bits == 0);
            for kind in ErrorKind::ALL {
                assert!(set.with(kind).contains(kind) && !set.without(kind).contains(kind));
                assert_eq!(set.with(kind).without(kind) == set, !set.contains(kind));
            }
        }
        assert_eq!(ErrorKind::ALL.into_iter().collect::<ErrorKinds>(), ErrorKinds::ALL);
    }
}
