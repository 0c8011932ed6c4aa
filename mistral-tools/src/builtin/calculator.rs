//! A calculator: exact arithmetic with functions and units, by `fend-core`, behind guards of its own.
//!
//! `fend-core` is a language for people, and some of its texts never end: its parser takes exponential time in nested
//! parentheses and recurses without a bound, lambdas recurse, shifts and logarithms of huge numbers do not look at its interrupt,
//! and a few numbers panic. So a text is [scanned](scan) first and taken apart into statements without parentheses, with every
//! product explicit; what a calculator has no use for (variables, lambdas, strings, dates, shifts, dice) is refused there, with a
//! reason the model can act on. What is left runs on a thread with a stack of its own, under a deadline.

mod scan;
#[cfg(test)]
mod tests;

use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use fend_core::SpanKind;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize, Serializer};

use crate::{Callable, CancellationToken, ErrorKind, Invoke, SchemaType, ToolBuilder, ToolError};

/// Twice what the deepest text that the scan lets pass needs without optimisation, which is 8 to 16 MiB on x86-64; a tenth of it
/// with. Only pages that are used cost memory.
const STACK: usize = 32 << 20;
/// How long a caller waits beyond the deadline for the evaluation to notice it.
const GRACE: Duration = Duration::from_millis(100);
/// How often a waiting caller looks at its token.
const LOOK: Duration = Duration::from_millis(10);

/// The arguments of the calculator.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct Expression {
    /// The expression, for example `37 * 43`, `sqrt(2)^3`, `20% of 85` or `5 miles to km`.
    pub expression: String,
}

/// What came out of an expression. A model reads an exact whole number as a number, as far as it has 128 bits, and anything else as a text,
/// which begins with `approx.` if the number is rounded: small models read that better than an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calculation {
    /// The number, with its unit if it has one.
    pub result: String,
    /// Whether the number is rounded; otherwise it is exact.
    pub approximate: bool,
}

impl Serialize for Calculation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { result, approximate } = self;
        match result.parse() {
            _ if *approximate => serializer.collect_str(&format_args!("approx. {result}")),
            Ok(whole) => serializer.serialize_i128(whole),
            Err(_) => serializer.serialize_str(result),
        }
    }
}

impl JsonSchema for Calculation {
    fn schema_name() -> Cow<'static, str> {
        "Calculation".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["integer", "string"]})
    }
}

/// Why an expression has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CalculatorError {
    /// The expression is not one, or has no value; in words for the model.
    #[error("{0}")]
    Expression(String),
    /// It is longer than [`Calculator::MAX_EXPRESSION`], in bytes.
    #[error("the expression has {0} bytes; at most {max} are read", max = Calculator::MAX_EXPRESSION)]
    TooLong(usize),
    /// The result is longer than [`Calculator::MAX_RESULT`], in bytes.
    #[error("the result has {0} characters; ask for fewer, for example with `to 6 sf`")]
    TooLarge(usize),
    /// It took longer than [`Calculator::time_limit`] allows.
    #[error("the calculation takes too long; use smaller numbers")]
    Timeout,
    /// The token of the call was cancelled.
    #[error("cancelled")]
    Cancelled,
    /// [`Calculator::MAX_CONCURRENT`] calculations are under way.
    #[error("too many calculations at once")]
    Busy,
    /// The evaluation failed by itself: it panicked, or there was no thread for it.
    #[error("the calculation failed")]
    Failed,
}

impl CalculatorError {
    /// What a host decides by.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Expression(_) | Self::TooLong(_) | Self::TooLarge(_) => ErrorKind::InvalidArguments,
            Self::Timeout => ErrorKind::Timeout,
            Self::Cancelled => ErrorKind::Cancelled,
            Self::Busy => ErrorKind::RateLimited,
            Self::Failed => ErrorKind::Handler,
        }
    }

    fn into_tool_error(self) -> ToolError {
        ToolError::new(self.kind(), self.to_string()).with_source(self)
    }
}

/// Evaluates arithmetic: whole numbers and fractions exactly, roots and functions rounded, with units and percentages.
///
/// It reads `+ - * / ^ !`, `mod`, parentheses, `%`, `nCr`, `and`, `or`, `xor`, the functions of [`Calculator::FUNCTIONS`], the
/// constants `pi`, `e`, `phi` and `i`, units and conversions (`to`). `log` has base 10; angles are radians unless a unit says
/// otherwise (`sin(30 degrees)`). There are no variables, and currencies have no rates.
///
/// The evaluation behind panics on a few powers of `i`, such as `i^-1000`. That ends its thread and is
/// [`CalculatorError::Failed`], except where a panic is made to abort the process.
///
/// A calculation ends by its [`time_limit`](Self::time_limit), and by the token of its call. It costs a thread while it lasts.
///
/// ```
/// use mistral_tools::{ErrorKind, Invocation, Reply, Tool, builtin::Calculator};
///
/// let calculator = Calculator::new().tool().build()?;
/// let mut reply = Reply::new();
/// assert!(calculator.call(&Invocation::default(), br#"{"expression": "37 * 43"}"#, &mut reply).is_success());
/// assert_eq!(reply.as_str(), "1591");
///
/// let outcome = calculator.call(&Invocation::default(), br#"{"expression": "1 / 0"}"#, &mut reply);
/// assert_eq!(outcome.error_kind(), Some(ErrorKind::InvalidArguments));
/// assert_eq!(reply.as_str(), "Error (invalid arguments): division by zero");
/// # Ok::<(), mistral_tools::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Calculator {
    time_limit: Duration,
    running: Arc<AtomicUsize>,
}

impl Calculator {
    /// The longest expression that is read, in bytes.
    pub const MAX_EXPRESSION: usize = 1000;
    /// The longest result that is given, in bytes.
    pub const MAX_RESULT: usize = 2000;
    /// The most calculations under way at once in a calculator and its clones. A few operations on huge numbers notice late that
    /// their time is over; this bounds how many can be.
    pub const MAX_CONCURRENT: usize = 32;
    /// The functions, each called with one argument in parentheses.
    pub const FUNCTIONS: &[&str] = scan::FUNCTIONS;

    /// A calculator with a time limit of two seconds.
    pub fn new() -> Self {
        Self { time_limit: Duration::from_secs(2), running: Arc::default() }
    }

    /// The same, with another time for a calculation. Most take less than a millisecond; compound interest over many years
    /// takes some tenths of a second, for fractions are exact.
    #[must_use]
    pub const fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit;
        self
    }

    /// The tool, named `calculator`; hooks may be added before it is built.
    pub fn tool(self) -> Callable<Expression, Calculation, Self, impl Invoke<Expression, Self, Calculation>> {
        ToolBuilder::named("calculator")
            .description(
                "Evaluates an arithmetic expression exactly. Knows + - * / ^ ! mod, parentheses, sqrt, ln, log (base 10), sin \
                 (radians) and the like, percentages (20% of 85) and unit conversion (5 miles to km).",
            )
            .with(self)
            .request_schema::<Expression>(SchemaType::Serde)
            .result_schema::<Calculation>(SchemaType::Serde)
            .on_invocation(|conversation, _, arguments, calculator| {
                calculator
                    .evaluate_with(&arguments.expression, conversation.execution().token())
                    .map_err(CalculatorError::into_tool_error)
            })
    }

    /// Evaluates an expression, without a tool around it.
    ///
    /// # Errors
    /// [`CalculatorError`].
    ///
    /// ```
    /// use mistral_tools::builtin::{Calculator, CalculatorError};
    /// let calculator = Calculator::new();
    /// assert_eq!(calculator.evaluate("2^64")?.result, "18446744073709551616");
    /// assert_eq!(calculator.evaluate("5 km to m")?.result, "5000 m");
    /// assert!(calculator.evaluate("1/3")?.approximate);
    /// assert!(matches!(calculator.evaluate("x = 3"), Err(CalculatorError::Expression(_))));
    /// # Ok::<(), CalculatorError>(())
    /// ```
    pub fn evaluate(&self, expression: &str) -> Result<Calculation, CalculatorError> {
        self.evaluate_with(expression, None)
    }

    fn evaluate_with(
        &self,
        expression: &str,
        token: Option<&CancellationToken>,
    ) -> Result<Calculation, CalculatorError> {
        let statements = scan::statements(expression)?;
        // A time too long to add is no limit that anybody waits for.
        let deadline = Instant::now().checked_add(self.time_limit);
        let limit = Limit { deadline, token: token.cloned() };
        let place = Place::take(&self.running).ok_or(CalculatorError::Busy)?;
        let (sender, receiver) = mpsc::sync_channel(1);
        let theirs = limit.clone();
        let run = move || {
            let _place = place;
            // Nobody listens any more when the caller went away.
            let _ = sender.send(run(&statements, &theirs));
        };
        thread::Builder::new()
            .name("calculator".into())
            .stack_size(STACK)
            .spawn(run)
            .map_err(|_| CalculatorError::Failed)?;
        let patience = deadline.and_then(|deadline| deadline.checked_add(GRACE));
        loop {
            match receiver.recv_timeout(LOOK) {
                Ok(result) => return result,
                Err(RecvTimeoutError::Disconnected) => return Err(CalculatorError::Failed),
                Err(RecvTimeoutError::Timeout) if limit.is_cancelled() => return Err(CalculatorError::Cancelled),
                Err(RecvTimeoutError::Timeout) if patience.is_some_and(|end| Instant::now() >= end) => {
                    return Err(CalculatorError::Timeout);
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
}

impl Default for Calculator {
    fn default() -> Self {
        Self::new()
    }
}

/// One of the calculations that may be under way.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(running: &Arc<AtomicUsize>) -> Option<Self> {
        // Only the number counts; it guards no memory.
        let taken = running.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
            (count < Calculator::MAX_CONCURRENT).then_some(count + 1)
        });
        taken.ok().map(|_| Self(running.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// When to stop.
#[derive(Clone)]
struct Limit {
    deadline: Option<Instant>,
    token: Option<CancellationToken>,
}

impl Limit {
    fn is_cancelled(&self) -> bool {
        self.token.as_ref().is_some_and(CancellationToken::is_cancelled)
    }

    fn is_over(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }
}

impl fend_core::Interrupt for Limit {
    fn should_interrupt(&self) -> bool {
        self.is_over() || self.is_cancelled()
    }
}

fn run(statements: &[String], limit: &Limit) -> Result<Calculation, CalculatorError> {
    // Without a source of random numbers and of exchange rates: there are none.
    let mut context = fend_core::Context::new();
    let mut evaluate = |statement: &str, is_last| {
        // Only the last value is ever written as text.
        context.set_echo_result(is_last);
        fend_core::evaluate_with_interrupt(statement, &mut context, limit).map_err(|words| {
            if limit.is_cancelled() {
                CalculatorError::Cancelled
            } else if limit.is_over() {
                CalculatorError::Timeout
            } else {
                CalculatorError::Expression(words)
            }
        })
    };
    let (last, groups) = statements.split_last().ok_or(CalculatorError::Failed)?;
    for group in groups {
        evaluate(group, false)?;
    }
    let value = evaluate(last, true)?;
    let whole = value.get_main_result();
    let is_number = value
        .get_main_result_spans()
        .all(|span| matches!(span.kind(), SpanKind::Number | SpanKind::Ident | SpanKind::Boolean | SpanKind::String));
    if !is_number || whole.is_empty() {
        return Err(CalculatorError::Expression("the expression is no number; a function needs an argument".into()));
    }
    let (result, approximate) = match whole.strip_prefix("approx. ") {
        Some(result) => (result, true),
        None => (whole, false),
    };
    // What a function of floats gives when it leaves their range.
    if approximate && result.trim_start_matches('-').starts_with("18446744073709551616") {
        return Err(CalculatorError::Expression("the numbers are too large for this function".into()));
    }
    if result.len() > Calculator::MAX_RESULT {
        return Err(CalculatorError::TooLarge(result.len()));
    }
    Ok(Calculation { result: result.into(), approximate })
}
