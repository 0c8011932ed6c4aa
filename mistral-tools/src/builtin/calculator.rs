//! A calculator: exact arithmetic with functions and units, by `fend-core`, behind guards of its own.
//!
//! `fend-core` is a language for people, and evaluating some texts never ends. Its parser takes exponential time in nested parentheses and
//! recurses without a bound. It divides only by the 2 in `100 km / 2 hours`. Lambdas recurse, shifts and logarithms of huge numbers ignore
//! its interrupt, and a few numbers panic.
//!
//! This module therefore [parses](scan) a text itself and takes it apart into statements of one operation each. Features that a calculator
//! does not need (variables, lambdas, strings, dates, shifts, dice) are refused, with a reason that the model can act on. The statements
//! run on a thread with a stack of its own, under a deadline.

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

use scan::{GROUP, Statement};

use crate::{
    builder::{
        invoke::Invoke,
        schema::SchemaType,
        steps::{Callable, ToolBuilder},
    },
    conversation::cancel::CancellationToken,
    outcome::{kinds::ErrorKind, tool_error::ToolError},
};

/// The evaluation never recurses deeper than one operation; the rest of the stack is for arithmetic. Only pages that are used cost memory.
const STACK: usize = 8 << 20;
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
            Self::Failed => ErrorKind::Failed,
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

fn run(statements: &[Statement], limit: &Limit) -> Result<Calculation, CalculatorError> {
    // Without a source of random numbers and of exchange rates: there are none.
    let mut evaluation = Evaluation { context: fend_core::Context::new(), limit };
    let (last, groups) = statements.split_last().ok_or(CalculatorError::Failed)?;
    for (index, statement) in groups.iter().enumerate() {
        let text = evaluation.prepared(statement)?;
        evaluation.assign(&format!("{GROUP}{index}"), &text)?;
    }
    let text = evaluation.prepared(last)?;
    let value = evaluation.value(&text)?;
    let Calculation { result, approximate } = &value;
    // What a function of floats gives when it leaves their range.
    if *approximate && result.trim_start_matches('-').starts_with("18446744073709551616") {
        return Err(CalculatorError::Expression("the numbers are too large for this function".into()));
    }
    if result.len() > Calculator::MAX_RESULT {
        return Err(CalculatorError::TooLarge(result.len()));
    }
    Ok(value)
}

/// Values of statements, by name.
struct Evaluation<'a> {
    context: fend_core::Context,
    limit: &'a Limit,
}

impl Evaluation<'_> {
    fn evaluate(&mut self, text: &str, echo: bool) -> Result<fend_core::FendResult, CalculatorError> {
        // Writing a value as text may take longer than computing it.
        self.context.set_echo_result(echo);
        fend_core::evaluate_with_interrupt(text, &mut self.context, self.limit).map_err(|words| {
            if self.limit.is_cancelled() {
                CalculatorError::Cancelled
            } else if self.limit.is_over() {
                CalculatorError::Timeout
            } else {
                CalculatorError::Expression(words)
            }
        })
    }

    fn assign(&mut self, name: &str, text: &str) -> Result<(), CalculatorError> {
        self.evaluate(&format!("{name} = {text}"), false).map(drop)
    }

    fn value(&mut self, text: &str) -> Result<Calculation, CalculatorError> {
        let value = self.evaluate(text, true)?;
        let whole = value.get_main_result();
        let is_number = value.get_main_result_spans().all(|span| {
            matches!(span.kind(), SpanKind::Number | SpanKind::Ident | SpanKind::Boolean | SpanKind::String)
        });
        if !is_number || whole.is_empty() {
            return Err(CalculatorError::Expression(
                "the expression is no number; a function needs an argument".into(),
            ));
        }
        Ok(match whole.strip_prefix("approx. ") {
            Some(result) => Calculation { result: result.into(), approximate: true },
            None => Calculation { result: whole.into(), approximate: false },
        })
    }

    /// Returns the text of a statement to evaluate. A call whose exact value is known is replaced by that value, because `fend-core`
    /// computes functions with floats and marks their results as approximate at best.
    fn prepared(&mut self, statement: &Statement) -> Result<String, CalculatorError> {
        let text = statement.text.clone();
        let Some((function, argument)) = &statement.call else { return Ok(text) };
        match *function {
            "floor" | "ceil" | "round" => Ok(self.whole(function, argument)?.unwrap_or(text)),
            // The real root: the principal one of a negative number is complex.
            "cbrt" if self.value(argument)?.result.parse::<f64>().is_ok_and(|number| number < 0.0) => {
                self.assign("group_positive", &format!("-{argument}"))?;
                let root = "cbrt group_positive".to_owned();
                let root = self.exact("cbrt", "group_positive", &root)?.unwrap_or(root);
                self.assign("group_root", &root)?;
                Ok("-group_root".into())
            }
            _ => Ok(self.exact(function, argument, &text)?.unwrap_or(text)),
        }
    }

    /// Returns the exact value of a function that is computed with floats: the rounded value, if the argument shows that nothing was lost.
    fn exact(&mut self, function: &str, argument: &str, call: &str) -> Result<Option<String>, CalculatorError> {
        const FLOATS: &[&str] = &[
            "acos", "acosh", "asin", "asinh", "atan", "atanh", "cbrt", "cosh", "exp", "ln", "log", "log10", "log2",
            "sinh", "sqrt", "tan", "tanh",
        ];
        if !FLOATS.contains(&function) {
            return Ok(None);
        }
        let Calculation { result, approximate: true } = self.value(call)? else { return Ok(None) };
        let Ok(number) = result.parse::<f64>() else { return Ok(None) };
        if number.abs() > 5_000.0 || result.len() > 16 {
            return Ok(None);
        }
        let result = match result.contains('.') {
            true => result.trim_end_matches('0').trim_end_matches('.'),
            false => &result,
        };
        let inverse = match function {
            // A root of high order would take long, and is rational by accident only.
            "log" | "log10" | "log2" if result.contains('.') => return Ok(None),
            "log2" => format!("2 ^ {result}"),
            "log" | "log10" => format!("10 ^ {result}"),
            "cbrt" => format!("{result} ^ 3"),
            "sqrt" => format!("{result} ^ 2"),
            "ln" if argument == "e" => return Ok(Some("1".into())),
            "tan" => return Ok(self.tangent(argument).filter(|exact| exact.parse() == Ok(number))),
            // Of rational numbers, only these have rational values.
            "ln" | "acosh" | "acos" if number == 0.0 => "1".into(),
            "exp" | "cosh" if number == 1.0 => "0".into(),
            "sinh" | "tanh" | "asin" | "atan" | "asinh" | "atanh" if number == 0.0 => "0".into(),
            _ => return Ok(None),
        };
        self.assign("group_inverse", &inverse)?;
        let difference = self.value(&format!("group_inverse - {argument}"));
        Ok(difference.is_ok_and(|zero| !zero.approximate && zero.result == "0").then(|| result.to_owned()))
    }

    /// Returns the tangent of a whole number of eighths of a circle, if it is finite.
    fn tangent(&mut self, angle: &str) -> Option<String> {
        let degrees = self.value(&format!("{angle} to degrees")).ok().filter(|degrees| !degrees.approximate)?;
        let degrees: i64 = degrees.result.split(' ').next()?.parse().ok()?;
        match degrees.rem_euclid(180) {
            0 => Some("0".into()),
            45 => Some("1".into()),
            135 => Some("-1".into()),
            _ => None,
        }
    }

    /// Returns the whole number next to an exact number; halves are rounded away from 0. Returns `None` for numbers with units and for
    /// rounded numbers.
    fn whole(&mut self, function: &str, argument: &str) -> Result<Option<String>, CalculatorError> {
        let Ok(Calculation { result, approximate: false }) = self.value(&format!("{argument} to fraction")) else {
            return Ok(None);
        };
        let (above, below) = result.split_once('/').unwrap_or((&result, "1"));
        let (negative, above) = above.strip_prefix('-').map_or((false, above), |above| (true, above));
        if ![above, below].iter().all(|text| text.bytes().all(|byte| byte.is_ascii_digit())) || above.is_empty() {
            return Ok(None);
        }
        self.assign("group_above", above)?;
        self.assign("group_below", below)?;
        self.assign("group_rest", "group_above mod group_below")?;
        self.assign("group_whole", "group_above - group_rest")?;
        let away = match function {
            "round" => {
                self.assign("group_twice", "2 * group_rest")?;
                let over = self.value("group_twice - group_below")?.result;
                !over.starts_with('-')
            }
            _ => self.value("group_rest")?.result != "0" && negative == (function == "floor"),
        };
        self.assign("group_whole", "group_whole / group_below")?;
        let sign = if negative { "-" } else { "" };
        if away {
            self.assign("group_whole", "group_whole + 1")?;
        }
        Ok(Some(format!("{sign}group_whole")))
    }
}
