//! A million calls through a registry allocate nothing: results, and every kind of error on the way. Nor does reading calls.
//!
//! A test binary of its own, because its allocator is that of the process; it counts for each thread, so for each test.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

use mistral_tools::{
    Conversation, ErrorKind, Invocation, Message, Outcome, Parameter, Reply, SchemaType, StaticTool,
    StaticToolRegistry, ToolBatch, ToolBuilder, ToolError, ToolRegistry, block_on,
    builder::{Borrowed, BorrowedArguments, StaticSchema},
    stream::ChunkEmitter,
};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

fn count() {
    // Not counted while the thread ends, when the cell is gone.
    let _ = ALLOCATIONS.try_with(|allocations| allocations.set(allocations.get() + 1));
}

// SAFETY: every function hands its arguments to the system's allocator unchanged and returns what that returns; counting touches a
// `Cell` without a destructor, which does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's layout, as it came.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's layout, as it came.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's pointer, layout and size, as they came; the pointer is the system's.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's pointer and layout, as they came; the pointer is the system's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[derive(serde::Deserialize)]
struct Weather<'a> {
    city: &'a str,
    #[serde(default)]
    days: Option<u8>,
}

impl BorrowedArguments for Weather<'static> {
    type At<'a> = Weather<'a>;
}

#[derive(serde::Serialize)]
struct Forecast {
    letters: usize,
    degrees: f32,
    words: &'static str,
}

const PARAMETERS: &[Parameter] =
    &[Parameter::string("city", "The city"), Parameter::integer("days", "Days").optional()];

fn forecast(weather: &Weather<'_>) -> Result<Forecast, ToolError> {
    match weather.city {
        "Atlantis" => Err(ToolError::new(ErrorKind::NotFound, "it is under water")),
        city => Ok(Forecast { letters: city.len(), degrees: 18.5, words: "rain \"until\" noon" }),
    }
}

fn plain(_: &Conversation<'_>, _: &ChunkEmitter<'_>, weather: Weather<'_>) -> Result<Forecast, ToolError> {
    forecast(&weather)
}

static PLAIN: StaticTool<Borrowed<Weather<'static>>, Forecast> =
    StaticTool::<Borrowed<Weather<'static>>, Forecast>::new(
        "plain",
        "The weather",
        StaticSchema::inline(PARAMETERS),
        plain,
    )
    .unwrap();
static TOOLS: StaticToolRegistry<1> = StaticToolRegistry::new([PLAIN.entry()]).unwrap();

fn registry() -> Result<ToolRegistry, mistral_tools::Error> {
    let weather = ToolBuilder::named("weather")
        .description("The weather")
        .with(7_u8)
        .request_schema::<Borrowed<Weather<'static>>>(SchemaType::Inline(PARAMETERS))
        .result_schema::<Forecast>(SchemaType::JsonSchema("{}"))
        .on_invocation(|conversation, emitter, weather, most| {
            assert_eq!(conversation.iter().filter(|message| message.content.text().contains("weather")).count(), 1);
            emitter.emit_blocking_with(|| weather.city.to_owned()).map_err(|_| ToolError::failed("nobody listens"))?;
            if weather.days.is_some_and(|days| days > *most) {
                return Err(ToolError::failed("too far ahead"));
            }
            forecast(&weather)
        })
        .on_request(|_, chain, weather, _| match weather.city {
            "Area 51" => chain.deny("not that one"),
            "here" => chain.skip("look out of the window"),
            _ => chain.proceed(),
        })
        .on_error(|_, chain, _, _| chain.retry(1))
        .on_error(|_, chain, error, _| match error.kind() {
            ErrorKind::Failed => chain.fail(ToolError::new(ErrorKind::RateLimited, "ask for fewer days")),
            _ => chain.propagate(),
        })
        .on_result(|_, _, forecast, _| Forecast { degrees: forecast.degrees + 1.0, ..forecast })
        .build()?;
    let registry = ToolRegistry::new();
    let mut batch = ToolBatch::new();
    batch.add(weather).add(&PLAIN);
    registry.publish(batch)?;
    Ok(registry)
}

/// Name, arguments, what the model reads.
const CALLS: [(&str, &str, &str); 12] = [
    ("weather", r#"{"city": "Paris", "days": 3}"#, r#"{"letters":5,"degrees":19.5,"words":"rain \"until\" noon"}"#),
    (
        "weather",
        r#"{"city": "\u0050\ud83d\ude00", "more": [1, {}]}"#,
        r#"{"letters":5,"degrees":19.5,"words":"rain \"until\" noon"}"#,
    ),
    ("weather", r#"{"city": "Atlantis"}"#, "Error (not found): it is under water"),
    ("weather", r#"{"city": "Paris", "days": 9}"#, "Error (too many calls): ask for fewer days"),
    ("weather", r#"{"days": 9}"#, "Error (invalid arguments): missing field `city` at byte 10"),
    (
        "weather",
        r#"{"city": 7}"#,
        "Error (invalid arguments): invalid type: integer `7`, expected a borrowed string at byte 10",
    ),
    ("weather", r#"{"city": "Par"#, "Error (invalid arguments): unexpected end in a string at byte 13"),
    ("weather", "", "Error (invalid arguments): missing field `city` at byte 1"),
    ("weather", r#"{"city": "Area 51"}"#, "Denied: not that one"),
    ("weather", r#"{"city": "here"}"#, "Skipped: look out of the window"),
    ("forecast", "{}", "Error (not found): there is no tool `forecast`; there are: plain, weather"),
    ("plain", r#"{"city": "Paris"}"#, r#"{"letters":5,"degrees":18.5,"words":"rain \"until\" noon"}"#),
];

fn check(outcome: &Outcome, reply: &Reply, expected: &str) {
    assert_eq!(reply.as_str(), expected);
    assert_eq!(outcome.is_success(), expected.starts_with('{'));
}

#[test]
fn a_million_calls_allocate_nothing() {
    const CALLS_EACH: usize = 400_000;
    let registry = registry().unwrap();
    let messages = [Message::system("Be brief."), Message::user("And the weather?")];
    let invocation = Invocation::new(Conversation::new(&messages));
    let mut reply = Reply::with_capacity(256);
    let mut round = |calls: usize| {
        for call in 0..calls {
            let (name, arguments, expected) = CALLS[call % CALLS.len()];
            let outcome = registry.call(name, &invocation, arguments.as_bytes(), &mut reply);
            check(&outcome, &reply, expected);
        }
        for call in 0..calls {
            let (name, arguments, expected) = CALLS[call % CALLS.len()];
            let outcome = block_on(registry.call_async(name, &invocation, arguments.as_bytes(), &mut reply));
            check(&outcome, &reply, expected);
        }
        for _ in 0..calls / 2 {
            let outcome = TOOLS.call("plain", &invocation, CALLS[11].1.as_bytes(), &mut reply);
            check(&outcome, &reply, CALLS[11].2);
            let outcome = TOOLS.call("other", &invocation, b"{}", &mut reply);
            check(&outcome, &reply, "Error (not found): there is no tool `other`; there are: plain");
        }
    };
    // Once for what is made at first use: the sorted list of names, the buffers of the reply.
    round(CALLS.len());
    let before = ALLOCATIONS.get();
    round(CALLS_EACH);
    let allocations = ALLOCATIONS.get() - before;
    assert_eq!(allocations, 0, "in {} calls", 3 * CALLS_EACH);

    // The count counts.
    drop(std::hint::black_box(Box::new(1)));
    assert_eq!(ALLOCATIONS.get() - before, 1);
}

/// Chunks of text, reasoning and calls, once the buffer for held-back text has its size. Literals of Python become JSON in memory of their
/// own, a little per value.
#[test]
fn parsing_a_models_text_allocates_nothing() {
    use mistral_tools::dialect::{Delta, Dialect};
    let json =
        "Well < now. <tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\": 1, \"b\": \"x\"}}\n</tool_call> So.";
    let words = "[add(a=1, b='x\\n', c=[True, None])]";
    for (dialect, text, most) in [(Dialect::Hermes, json, 0), (Dialect::Llama4, words, 10)] {
        let mut parser = dialect.parser(&[]);
        let (mut calls, mut before) = (0, 0);
        for turn in 0..1_000 {
            if turn == 1 {
                before = ALLOCATIONS.get();
            }
            for chunk in text.split_inclusive([' ', '_', '"']) {
                parser.parse_into(chunk, &mut |delta| calls += usize::from(matches!(delta, Delta::Call { .. })));
            }
            parser.finish(&mut |_| {});
        }
        assert_eq!((ALLOCATIONS.get() - before, calls), (most * 999, 1_000), "{dialect:?}");
    }
}
