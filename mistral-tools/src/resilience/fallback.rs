//! What stands in for a result that a tool could not give.

use crate::outcome::kinds::{ErrorKind, ErrorKinds};

/// Which failures have a substitute, and what it is.
///
/// `T` is a result of the tool: its own type, or what a model is shown.
///
/// ```
/// use mistral_tools::{ErrorKind, resilience::{ErrorKinds, Fallback, Substitute}};
/// let cached = Fallback::result("about 20 °C (cached)");
/// assert_eq!(cached.substitute(ErrorKind::Timeout), Some(&Substitute::Result("about 20 °C (cached)")));
/// // Wrong arguments are for the model to correct.
/// assert_eq!(cached.substitute(ErrorKind::InvalidArguments), None);
///
/// let other: Fallback<String> = Fallback::tool("weather_backup").on(ErrorKinds::NONE.with(ErrorKind::Unavailable));
/// assert!(other.substitute(ErrorKind::Timeout).is_none());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fallback<T> {
    kinds: ErrorKinds,
    substitute: Substitute<T>,
}

/// What is given in place of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Substitute<T> {
    /// This result.
    Result(T),
    /// The result of another tool of this name, called with the same arguments. It has no fallback of its own while it
    /// stands in, so that tools which name each other do not call each other for ever.
    Tool(String),
}

impl<T> Fallback<T> {
    /// The kinds that have a substitute unless said otherwise: those of which the tool, not its user, is the cause.
    pub const KINDS: ErrorKinds = ErrorKinds::TRANSIENT.with(ErrorKind::Failed);

    /// A result that is known beforehand.
    pub const fn result(result: T) -> Self {
        Self { kinds: Self::KINDS, substitute: Substitute::Result(result) }
    }

    /// Another tool, by its name.
    pub fn tool(name: impl Into<String>) -> Self {
        Self { kinds: Self::KINDS, substitute: Substitute::Tool(name.into()) }
    }

    /// The kinds of errors that have a substitute.
    #[must_use]
    pub const fn on(mut self, kinds: ErrorKinds) -> Self {
        self.kinds = kinds;
        self
    }

    /// The substitute for a failure of this kind.
    pub const fn substitute(&self, kind: ErrorKind) -> Option<&Substitute<T>> {
        if self.kinds.contains(kind) { Some(&self.substitute) } else { None }
    }

    /// The same with the result in another type, as when a typed tool is erased.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Fallback<U> {
        let substitute = match self.substitute {
            Substitute::Result(result) => Substitute::Result(f(result)),
            Substitute::Tool(name) => Substitute::Tool(name),
        };
        Fallback { kinds: self.kinds, substitute }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_kinds_asked_for_are_replaced() {
        let fallback = Fallback::result(7);
        for kind in ErrorKind::ALL {
            let alone = fallback.clone().on(ErrorKinds::NONE.with(kind));
            for other in ErrorKind::ALL {
                assert_eq!(alone.substitute(other).is_some(), kind == other);
            }
            assert_eq!(fallback.substitute(kind).is_some(), Fallback::<i32>::KINDS.contains(kind));
        }
        assert_eq!(fallback.map(|seven| seven.to_string()), Fallback::result("7".to_string()));
        let tool = Fallback::<i32>::tool("b").map(i64::from);
        assert_eq!(tool.substitute(ErrorKind::Failed), Some(&Substitute::Tool("b".into())));
    }
}
