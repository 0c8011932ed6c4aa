//! Calls of tools, by criterion: `cargo bench -p mistral-benches --bench tools -- [WORD ...] [--test]`.
//!
//! Results are checked before anything is measured. The table gives the time of an operation beside what is promised; `calls` gives
//! the calls a second through the asynchronous path, and what it adds to a call at the 95th percentile.

mod measure;

use std::{
    future::poll_fn,
    hint::black_box,
    task::Poll,
    time::{Duration, Instant},
};

use measure::Bench;
use mistral_tools::{
    Conversation, ErrorKind, Invocation, Parameter, Reply, SchemaType, StaticTool, StaticToolRegistry, Tool, ToolBatch,
    ToolBuilder, ToolError, ToolRegistry, Turn, TurnCall, block_on,
    builder::{Borrowed, BorrowedArguments, StaticSchema},
    resilience::{BreakerPolicy, CircuitBreaker},
    stream::ChunkEmitter,
};

const TOOLS: usize = 1_000;

/// What the model wrote, with an escape.
const ARGUMENTS: &[u8] = br#"{"city": "Z\u00fcrich", "days": 3, "unit": "celsius"}"#;
const RESULT: &str = r#"{"degrees":18.5,"days":3,"words":"rain until noon"}"#;

#[derive(serde::Deserialize)]
struct Weather<'a> {
    city: &'a str,
    days: u8,
    unit: &'a str,
}

impl BorrowedArguments for Weather<'static> {
    type At<'a> = Weather<'a>;
}

#[derive(serde::Serialize)]
struct Forecast {
    degrees: f32,
    days: u8,
    words: &'static str,
}

type Args = Borrowed<Weather<'static>>;

const PARAMETERS: &[Parameter] = &[
    Parameter::string("city", "The city"),
    Parameter::integer("days", "How many"),
    Parameter::one_of("unit", &["celsius", "fahrenheit"], "The unit"),
];

fn forecast(weather: &Weather<'_>) -> Result<Forecast, ToolError> {
    match (weather.city, weather.unit) {
        ("Zürich", "celsius") => Ok(Forecast { degrees: 18.5, days: weather.days, words: "rain until noon" }),
        _ => Err(ToolError::new(ErrorKind::NotFound, "no such city")),
    }
}

fn plain(_: &Conversation<'_>, _: &ChunkEmitter<'_>, weather: Weather<'_>) -> Result<Forecast, ToolError> {
    forecast(&weather)
}

static PLAIN: StaticTool<Args, Forecast> =
    StaticTool::<Args, Forecast>::new("weather", "Weather", StaticSchema::inline(PARAMETERS), plain).unwrap();
static STATIC: StaticToolRegistry<1> = StaticToolRegistry::new([PLAIN.entry()]).unwrap();

fn build(name: impl Into<std::borrow::Cow<'static, str>>) -> Result<impl Tool, mistral_tools::Error> {
    ToolBuilder::named(name)
        .description("Current weather in a city")
        .request_schema::<Args>(SchemaType::Inline(PARAMETERS))
        .result_schema::<Forecast>(SchemaType::Inline(&[]))
        .on_invocation(|_, _, weather, ()| forecast(&weather))
        .build()
}

/// Waits once, as if for an answer of the network that is there already.
fn build_async(name: &'static str) -> Result<impl Tool, mistral_tools::Error> {
    ToolBuilder::named(name)
        .description("Current weather in a city")
        .request_schema::<Args>(SchemaType::Inline(PARAMETERS))
        .result_schema::<Forecast>(SchemaType::Inline(&[]))
        .on_invocation_async(async |_, _, weather, ()| {
            let mut waited = false;
            poll_fn(|context| {
                context.waker().wake_by_ref();
                if std::mem::replace(&mut waited, true) { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
            forecast(&weather)
        })
        .build()
}

fn registry() -> Result<ToolRegistry, mistral_tools::Error> {
    let mut batch = ToolBatch::with_capacity(TOOLS);
    for tool in 0..TOOLS - 1 {
        batch.add(build(format!("weather_{tool}"))?);
    }
    batch.add(build_async("asynchronous")?);
    let registry = ToolRegistry::new();
    registry.publish(batch)?;
    Ok(registry)
}

fn main() -> Result<(), mistral_tools::Error> {
    let mut bench = Bench::new(std::env::args().skip(1).collect());
    let registry = registry()?;
    let names: Vec<String> = (0..TOOLS - 1).map(|tool| format!("weather_{tool}")).collect();
    let breaker = CircuitBreaker::new(BreakerPolicy::new());
    let invocation = Invocation::default();
    let mut reply = Reply::with_capacity(256);

    assert_eq!(registry.len(), TOOLS);
    for name in names.iter().map(String::as_str).chain(["asynchronous"]) {
        assert!(registry.get(name).is_ok_and(|tool| tool.name() == name));
        assert!(registry.call(name, &invocation, ARGUMENTS, &mut reply).is_success());
        assert_eq!(reply.as_str(), RESULT);
    }
    assert!(STATIC.call("weather", &invocation, ARGUMENTS, &mut reply).is_success() && reply.as_str() == RESULT);
    let outcome = registry.call(&names[0], &invocation, b"{}", &mut reply);
    assert_eq!(outcome.error_kind(), Some(ErrorKind::InvalidArguments));

    let mut next = 0;
    let mut name = move || {
        // A stride without a common factor: no name is looked up twice in a row, and all are.
        next = (next + 389) % (TOOLS - 1);
        next
    };
    let mut lines = Vec::new();
    let mut line = |bench: &mut Bench, what: &'static str, promise: &'static str, call: &mut dyn FnMut()| {
        if bench.wants(what)
            && let Some(seconds) = bench.seconds(what, call)
        {
            lines.push(format!("{what:36} {:9.1} ns   {promise}", seconds * 1e9));
        }
    };
    line(&mut bench, "lookup/1000", "< 100 ns", &mut || {
        black_box(registry.get(black_box(&names[name()])).is_ok());
    });
    line(&mut bench, "call/1000", "< 1 us", &mut || {
        black_box(registry.call(&names[name()], &invocation, black_box(ARGUMENTS), &mut reply).is_success());
    });
    line(&mut bench, "call/static", "< 1 us", &mut || {
        black_box(STATIC.call("weather", &invocation, black_box(ARGUMENTS), &mut reply).is_success());
    });
    line(&mut bench, "call/invalid", "", &mut || {
        black_box(registry.call(&names[name()], &invocation, black_box(br#"{"city": 7}"#), &mut reply).is_success());
    });
    line(&mut bench, "call/asynchronous", "", &mut || {
        black_box(block_on(registry.call_async("asynchronous", &invocation, ARGUMENTS, &mut reply)).is_success());
    });
    let mut batch = ToolBatch::with_capacity(1 << 16);
    line(&mut bench, "build and stage", "< 100 ns", &mut || {
        if batch.len() == 1 << 16 {
            batch = ToolBatch::with_capacity(1 << 16);
        }
        if let Ok(tool) = build("weather") {
            batch.add(tool);
        }
    });
    drop(batch);
    let small = ToolRegistry::new();
    line(&mut bench, "publish/0", "in batches", &mut || {
        let mut batch = ToolBatch::new();
        batch.remove("nothing");
        black_box(small.publish(batch).is_ok());
    });
    line(&mut bench, "publish/1000", "in batches", &mut || {
        let mut batch = ToolBatch::new();
        batch.remove("nothing");
        black_box(registry.publish(batch).is_ok());
    });
    line(&mut bench, "breaker", "< 20 ns", &mut || {
        if let Ok(permit) = black_box(&breaker).check() {
            permit.success();
        }
    });
    for line in lines {
        println!("{line}");
    }
    if bench.wants("calls") {
        calls(&registry, bench.only_checks());
    }
    println!("{TOOLS} tools checked");
    Ok(())
}

/// Turns of asynchronous calls through the registry, all in one future on this thread; and the time of each call on its own.
fn calls(registry: &ToolRegistry, only_checks: bool) {
    const TURN: usize = 16;
    let arguments = std::str::from_utf8(ARGUMENTS).unwrap_or_default();
    let calls: Vec<_> = (0..TURN).map(|_| TurnCall::new("asynchronous", arguments)).collect();
    let turn = Turn::new(Conversation::default(), &calls).limit(TURN);
    let answers = block_on(turn.call_async(registry));
    assert!(answers.iter().all(|answer| answer.outcome.is_success() && answer.reply.as_str() == RESULT));
    if only_checks {
        return;
    }
    let (start, mut made) = (Instant::now(), 0);
    while start.elapsed() < Duration::from_secs(1) {
        let answers = block_on(turn.call_async(registry));
        assert!(answers.iter().all(|answer| answer.outcome.is_success()));
        made += answers.len();
    }
    println!("{:36} {:9.0} /s   > 10,000", "calls in turns of 16", made as f64 / start.elapsed().as_secs_f64());

    let (mut reply, invocation) = (Reply::with_capacity(256), Invocation::default());
    let mut times: Vec<Duration> = (0..100_000)
        .map(|_| {
            let start = Instant::now();
            black_box(block_on(registry.call_async("asynchronous", &invocation, ARGUMENTS, &mut reply)).is_success());
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    let at = |share: f64| times[(times.len() as f64 * share) as usize].as_nanos();
    println!("{:36} {:9} ns   < 50 us; median {} ns, P99 {} ns", "latency of a call, P95", at(0.95), at(0.5), at(0.99));
}
