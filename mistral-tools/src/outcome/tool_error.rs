//! The error of a call, with the text for the model apart from what the host sees.

use std::{any::Any, borrow::Cow, error::Error as StdError, fmt, io, iter, num::NonZeroU32, time::Duration};

use crate::{
    outcome::{kinds::ErrorKind, text::Text},
    stream::{chunk::Chunk, emitter::EmitError},
};

/// An error of any kind, boxed: the type into which `?` converts foreign errors.
type Source = Box<dyn StdError + Send + Sync>;

/// Why a call failed: a kind to decide by, a text that the model may read, and a source that only the host sees.
///
/// `?` converts every error that a function meets: types that implement [`std::error::Error`], `Box<dyn Error + Send + Sync>`,
/// `anyhow::Error`, `String` and `&'static str`.
///
/// | error | the model reads | the host sees |
/// |---|---|---|
/// | a string, as in `Err("no such city")?` | the string | the string |
/// | any other | "the tool failed" | the error, as the [`source`](Self::source) |
///
/// A plain `Box<dyn Error>` does not convert, because it may not leave its thread. Make it `Box<dyn Error + Send + Sync>`, or turn it into a
/// text that the model reads: `.map_err(|error| error.to_string())?`.
///
/// In the run of an agent, the event `AgentEvent::ToolFailed` has the foreign error as text.
///
/// A string is the tool author's message to the model. A foreign error may hold paths, addresses and secrets, so the model never reads it.
/// If a function knows better, [`OrToolError`] sets another kind and a text.
///
/// The kind is [`Failed`](ErrorKind::Failed), unless the error or the first of its sources is an [`io::Error`]. An [`io::Error`] becomes
/// not found, permission denied or timeout, and is [transient](Self::transient) if a connection was lost. Emitting a chunk in a call that
/// was given up returns [`Cancelled`](ErrorKind::Cancelled).
///
/// ```
/// use mistral_tools::{ErrorKind, ToolError};
///
/// fn days(text: &str) -> Result<u8, ToolError> {
///     let days: u8 = text.parse()?; // a foreign error
///     if days > 7 {
///         return Err("the forecast ends after 7 days".into()); // a text for the model
///     }
///     Ok(days)
/// }
/// assert_eq!(days("9").unwrap_err().text(), "the forecast ends after 7 days");
/// let foreign = days("soon").unwrap_err();
/// assert_eq!(foreign.text(), "the tool failed");
/// assert_eq!(foreign.source().unwrap().to_string(), "invalid digit found in string");
/// ```
///
/// ```
/// use mistral_tools::{ErrorKind, OrToolError, ToolError};
///
/// fn read(path: &str) -> Result<u64, ToolError> {
///     if path.starts_with('/') {
///         return Err(ToolError::new(ErrorKind::PermissionDenied, "only relative paths"));
///     }
///     let text = std::fs::read_to_string(path)?;
///     text.trim().parse().or_tool_error(ErrorKind::InvalidArguments, "the file holds no number")
/// }
/// let error = read("no/such/file").unwrap_err();
/// assert_eq!((error.kind(), error.text()), (ErrorKind::NotFound, "the tool failed"));
/// assert!(error.source().unwrap().downcast_ref::<std::io::Error>().is_some());
/// ```
///
/// An error type of your own can define its own conversion if it does not implement [`std::error::Error`]:
///
/// ```
/// use mistral_tools::{ErrorKind, ToolError};
///
/// enum BankError { NoSuchAccount, Closed }
/// impl From<BankError> for ToolError {
///     fn from(error: BankError) -> Self {
///         match error {
///             BankError::NoSuchAccount => ToolError::new(ErrorKind::NotFound, "no such account"),
///             BankError::Closed => ToolError::failed("the bank is closed").transient(),
///         }
///     }
/// }
/// fn balance(account: u32) -> Result<i64, BankError> {
///     if account == 0 { Err(BankError::NoSuchAccount) } else { Err(BankError::Closed) }
/// }
/// fn tool(account: u32) -> Result<i64, ToolError> {
///     Ok(balance(account)?)
/// }
/// assert_eq!(tool(0).unwrap_err().kind(), ErrorKind::NotFound);
/// assert_eq!(tool(1).unwrap_err().is_transient(), Some(true));
/// ```
///
/// Like the error carriers of other crates, this type does not implement [`std::error::Error`]: otherwise `?` could not convert every
/// error. [`into_source`](Self::into_source) returns the error inside.
pub struct ToolError {
    kind: ErrorKind,
    /// Whether another try may help, where that is known better than by the kind.
    transient: Option<bool>,
    /// Milliseconds.
    retry_after: Option<NonZeroU32>,
    text: Text,
    source: Option<Source>,
}

impl ToolError {
    /// An error with a text for the model. A literal allocates nothing.
    pub fn new(kind: ErrorKind, text: impl Into<Text>) -> Self {
        Self { kind, transient: None, retry_after: None, text: text.into(), source: None }
    }

    /// A tool's own error, with a text for the model.
    pub fn failed(text: impl Into<Text>) -> Self {
        Self::new(ErrorKind::Failed, text)
    }

    /// The same with an error for the host.
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same with another kind.
    pub fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.kind = kind;
        self
    }

    /// The same, which may pass by itself: a [`RetryPolicy`](crate::resilience::RetryPolicy) tries again whatever the kind, within its attempts.
    pub fn transient(mut self) -> Self {
        self.transient = Some(true);
        self
    }

    /// The same, which will not pass: nobody tries again whatever the kind.
    pub fn permanent(mut self) -> Self {
        self.transient = Some(false);
        self
    }

    /// Whether another try may help, where the tool said so by [`transient`](Self::transient) or [`permanent`](Self::permanent);
    /// otherwise policies go by the kind.
    pub fn is_transient(&self) -> Option<bool> {
        self.transient
    }

    /// The same, for which another try makes no sense before this time has passed, as servers say that limit a rate. It is
    /// kept in milliseconds, rounded up, up to 49 days.
    pub fn with_retry_after(mut self, pause: Duration) -> Self {
        let millis = pause.as_nanos().div_ceil(1_000_000);
        self.retry_after = NonZeroU32::new(millis.try_into().unwrap_or(u32::MAX));
        self
    }

    /// How long to wait before another try, where that is known.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after.map(|millis| Duration::from_millis(millis.get().into()))
    }

    /// What to decide by.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What the model reads, after the words of the kind.
    pub fn text(&self) -> &str {
        self.text.as_str()
    }

    /// What only the host sees.
    pub fn source(&self) -> Option<&(dyn StdError + Send + Sync + 'static)> {
        self.source.as_deref()
    }

    /// The source by value.
    pub fn into_source(self) -> Option<Box<dyn StdError + Send + Sync>> {
        self.source
    }
}

/// Strings become the text that the model reads. Every other error is kept as the source, which the model never sees.
impl<E: Into<Box<dyn StdError + Send + Sync>> + 'static> From<E> for ToolError {
    fn from(error: E) -> Self {
        match text(error) {
            Ok(text) => Self::failed(text),
            Err(error) => Self::foreign(error.into()),
        }
    }
}

/// Returns the text of an error that is a string, or else the error unchanged.
fn text<E: 'static>(error: E) -> Result<Text, E> {
    let mut slot = Some(error);
    let any: &mut dyn Any = &mut slot;
    if let Some(Some(text)) = any.downcast_ref::<Option<&'static str>>() {
        return Ok((*text).into());
    }
    if let Some(text) = any.downcast_mut::<Option<String>>().and_then(Option::take) {
        return Ok(text.into());
    }
    if let Some(text) = any.downcast_mut::<Option<Cow<'static, str>>>().and_then(Option::take) {
        return Ok(match text {
            Cow::Borrowed(text) => text.into(),
            Cow::Owned(text) => text.into(),
        });
    }
    // Still there: only a string is taken out.
    slot.map_or_else(|| Ok(FAILED.into()), Err)
}

/// The text that the model reads in place of an error that it must not see.
const FAILED: &str = "the tool failed";

impl ToolError {
    fn foreign(source: Source) -> Self {
        if let Some(EmitError::Cancelled(_)) = source.downcast_ref::<EmitError<Chunk>>() {
            return Self::new(ErrorKind::Cancelled, "the call was given up").with_source(source);
        }
        let first: &(dyn StdError + 'static) = &*source;
        let system = iter::successors(Some(first), |&error| error.source()).find_map(<dyn StdError>::downcast_ref);
        let kind = system.map(io::Error::kind);
        let error = Self::failed(FAILED).with_source(source);
        match kind {
            Some(kind) => error.of_io(kind),
            None => error,
        }
    }

    /// The same as an error of the system is.
    fn of_io(self, kind: io::ErrorKind) -> Self {
        use io::ErrorKind as Io;
        match kind {
            Io::NotFound => self.with_kind(ErrorKind::NotFound),
            Io::PermissionDenied => self.with_kind(ErrorKind::PermissionDenied),
            Io::TimedOut => self.with_kind(ErrorKind::Timeout),
            // The other side, not the tool: what it has to say may come at the next try.
            Io::ConnectionRefused
            | Io::ConnectionReset
            | Io::ConnectionAborted
            | Io::NotConnected
            | Io::BrokenPipe
            | Io::UnexpectedEof
            | Io::WouldBlock
            | Io::Interrupted
            | Io::ResourceBusy => self.transient(),
            _ => self,
        }
    }
}

/// Names the kind of what went wrong, and what the model reads of it. For results, whose error is kept as the source, and for options.
///
/// ```
/// use mistral_tools::{ErrorKind, OrToolError, ToolError};
///
/// fn price(of: &str) -> Result<f64, ToolError> {
///     let text = match of { "tea" => Some("2.50"), "air" => Some("free"), _ => None };
///     let text = text.or_tool_error(ErrorKind::NotFound, "there is no such thing")?;
///     text.parse().or_tool_error(ErrorKind::Failed, "it has no price")
/// }
/// assert_eq!(price("tea").unwrap(), 2.5);
/// assert_eq!(price("sand").unwrap_err().kind(), ErrorKind::NotFound);
/// assert!(price("air").unwrap_err().source().is_some());
/// ```
pub trait OrToolError<T>: Sized {
    /// The value, or an error of this kind with this text for the model.
    ///
    /// # Errors
    /// If there is no value.
    fn or_tool_error(self, kind: ErrorKind, text: impl Into<Text>) -> Result<T, ToolError>;
}

impl<T, E: Into<Box<dyn StdError + Send + Sync>>> OrToolError<T> for Result<T, E> {
    fn or_tool_error(self, kind: ErrorKind, text: impl Into<Text>) -> Result<T, ToolError> {
        self.map_err(|error| ToolError::new(kind, text).with_source(error))
    }
}

impl<T> OrToolError<T> for Option<T> {
    fn or_tool_error(self, kind: ErrorKind, text: impl Into<Text>) -> Result<T, ToolError> {
        self.ok_or_else(|| ToolError::new(kind, text))
    }
}

impl fmt::Debug for ToolError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, transient, retry_after: _, text, source } = self;
        let mut debug = formatter.debug_struct("ToolError");
        debug.field("kind", kind).field("text", text).field("source", source);
        if let Some(transient) = transient {
            debug.field("transient", transient);
        }
        debug.finish()
    }
}

/// The text for the host's log: the kind, the text for the model, and the error with all of its sources. A source whose text the error before
/// already ends with is left out.
impl fmt::Display for ToolError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // "failed: the tool failed" says it twice.
        match (self.kind, self.text()) {
            (ErrorKind::Failed, FAILED) => formatter.write_str(FAILED)?,
            (kind, text) => write!(formatter, "{kind}: {text}")?,
        }
        let first = self.source.as_deref().map(|source| source as &(dyn StdError + 'static));
        let mut before = String::new();
        for source in iter::successors(first, |&source| source.source()) {
            let text = source.to_string();
            if !before.ends_with(&text) {
                write!(formatter, ": {text}")?;
                before = text;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::chunk::Chunk;

    #[test]
    fn foreign_errors_have_the_kind_that_can_be_told() {
        let io = |kind| ToolError::from(io::Error::from(kind));
        for (kind, expected, transient) in [
            (io::ErrorKind::NotFound, ErrorKind::NotFound, None),
            (io::ErrorKind::PermissionDenied, ErrorKind::PermissionDenied, None),
            (io::ErrorKind::TimedOut, ErrorKind::Timeout, None),
            (io::ErrorKind::ConnectionReset, ErrorKind::Failed, Some(true)),
            (io::ErrorKind::InvalidData, ErrorKind::Failed, None),
        ] {
            let error = io(kind);
            assert_eq!((error.kind(), error.is_transient(), error.text()), (expected, transient, "the tool failed"));
            assert!(error.source().is_some_and(|source| source.downcast_ref::<io::Error>().is_some()));
        }
        let chunk = || Chunk { call: 0, text: "secret".into() };
        let kind = |error: EmitError<Chunk>| ToolError::from(error).kind();
        assert_eq!(kind(EmitError::Cancelled(chunk())), ErrorKind::Cancelled);
        assert_eq!(kind(EmitError::Closed(chunk())), ErrorKind::Failed);
        assert_eq!(ToolError::from(fmt::Error).permanent().is_transient(), Some(false));
    }

    #[test]
    fn strings_are_for_the_model_and_errors_are_not() {
        let texts: [ToolError; 3] = ["no".into(), String::from("no").into(), Cow::Borrowed("no").into()];
        for error in texts {
            assert_eq!((error.kind(), error.text(), error.source().is_none()), (ErrorKind::Failed, "no", true));
        }
        let boxed: Source = "secret".into();
        let error = ToolError::from(boxed);
        assert_eq!((error.text(), error.source().unwrap().to_string().as_str()), (FAILED, "secret"));
    }

    #[test]
    fn the_host_reads_the_whole_chain_of_sources() {
        /// An error that says its own text only, as those of anyhow do.
        #[derive(Debug)]
        struct Layer(&'static str, Option<Box<Self>>);
        impl fmt::Display for Layer {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(self.0)
            }
        }
        impl StdError for Layer {
            fn source(&self) -> Option<&(dyn StdError + 'static)> {
                self.1.as_deref().map(|source| source as _)
            }
        }
        #[derive(Debug, thiserror::Error)]
        #[error("asking the server: {0}")]
        struct Repeats(#[source] Layer);

        let chain = || Layer("loading", Some(Box::new(Layer("reading", Some(Box::new(Layer("no disk", None)))))));
        assert_eq!(ToolError::from(chain()).to_string(), "the tool failed: loading: reading: no disk");
        let boxed: Source = Box::new(chain());
        assert_eq!(ToolError::from(boxed).to_string(), "the tool failed: loading: reading: no disk");
        let anyhow = anyhow::Error::from(chain()).context("starting");
        assert_eq!(ToolError::from(anyhow).to_string(), "the tool failed: starting: loading: reading: no disk");
        let repeats = ToolError::from(Repeats(Layer("no disk", None)));
        assert_eq!(repeats.to_string(), "the tool failed: asking the server: no disk");
        let named = ToolError::new(ErrorKind::NotFound, "no such city").with_source(chain());
        assert_eq!(named.to_string(), "not found: no such city: loading: reading: no disk");
        assert_eq!(ToolError::failed("too far").to_string(), "failed: too far");
    }

    #[test]
    fn boxed_and_chained_errors_have_the_kind_of_the_system_error_inside() {
        #[derive(Debug, thiserror::Error)]
        #[error("reading the settings")]
        struct Settings(#[source] io::Error);

        let missing = || io::Error::from(io::ErrorKind::NotFound);
        let boxed: Source = Box::new(missing());
        assert_eq!(ToolError::from(boxed).kind(), ErrorKind::NotFound);
        let error = ToolError::from(Settings(missing()));
        assert_eq!((error.kind(), error.text()), (ErrorKind::NotFound, FAILED));
        assert!(error.source().unwrap().downcast_ref::<Settings>().is_some());
        let cancelled: Source = Box::new(EmitError::Cancelled(Chunk { call: 0, text: "secret".into() }));
        assert_eq!(ToolError::from(cancelled).kind(), ErrorKind::Cancelled);
        let anyhow = anyhow::Error::from(missing()).context("reading the settings");
        assert_eq!((ToolError::from(anyhow).kind()), ErrorKind::NotFound);
    }
}
