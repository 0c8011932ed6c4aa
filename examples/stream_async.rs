//! Streams, awaited in two ways: with an executor of ten lines, and inside tokio next to other work, where an agent's tool uses the
//! timers of the runtime. The crate itself knows neither. `stream_async [--model PATH_OR_ID]`

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use futures_core::Stream;
use mistral_core::tools::{SchemaType, ToolBuilder, ToolError, ToolRegistry};
use mistral_core::{Agent, AgentEvent, AgentRun, Error, Generation, Model, Request};

/// Wakes a thread that is parked.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future on this thread.
fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// Awaits the pieces of a generation; `StreamExt::next` of any futures crate does the same.
async fn collect(mut generation: Generation) -> Result<String, Error> {
    let mut text = String::new();
    while let Some(piece) = poll_fn(|context| Pin::new(&mut generation).poll_next(context)).await {
        text += &piece?.text;
    }
    Ok(text)
}

#[derive(serde::Deserialize)]
struct Calculation {
    expression: String,
}

const CALCULATION: &str =
    r#"{"type": "object", "properties": {"expression": {"type": "string"}}, "required": ["expression"]}"#;

/// Makes an agent whose tool waits for a timer of tokio. The tool is polled where the run is polled, so it finds the runtime.
fn slow_calculator(model: Model) -> Result<Agent, mistral_examples::Failure> {
    let calculator = ToolBuilder::named("calculator")
        .description("Computes the value of an expression.")
        .request_schema::<Calculation>(SchemaType::JsonSchema(CALCULATION))
        .result_schema::<i64>(SchemaType::Serde)
        .on_invocation_async(async |_, _, Calculation { expression }, ()| {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            let factors = expression.split('*').map(|factor| factor.trim().parse::<i64>().ok());
            factors.product::<Option<i64>>().ok_or(ToolError::failed("only products"))
        })
        .build()?;
    let registry = ToolRegistry::new();
    registry.add(calculator)?;
    Ok(Agent::new(model, registry))
}

/// Awaits the answer of an agent.
async fn answer(mut run: AgentRun) -> Result<String, Error> {
    let mut text = String::new();
    while let Some(event) = poll_fn(|context| Pin::new(&mut run).poll_next(context)).await {
        if let AgentEvent::Text(piece) = event? {
            text += &piece;
        }
    }
    Ok(text)
}

fn main() -> Result<(), mistral_examples::Failure> {
    let mut args = mistral_examples::arguments(include_str!("stream_async.rs"));
    let builder = mistral_examples::builder(&mut args)?;
    mistral_examples::finish(args)?;
    let model: Model = builder.load()?;
    let request = |prompt: &str| Request::new(prompt).max_tokens(40);

    let alone = block_on(collect(model.generate(request("Once upon a time"))?))?;
    println!("without a runtime: Once upon a time{alone}\n");

    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    runtime.block_on(async {
        let first = tokio::spawn(collect(model.generate(request("Once upon a time"))?));
        let second = tokio::spawn(collect(model.generate(request("One day,"))?));
        // Dropped after a moment: the engine notices within one step and goes on with the others.
        let dropped = model.generate(Request::new("There was").ignore_eos(true))?;
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        drop(dropped);
        let (first, second) = (first.await??, second.await??);
        println!("inside tokio: Once upon a time{first}\n\ninside tokio: One day,{second}");
        let run = slow_calculator(model.clone())?.run("What is 37 * 43?")?;
        println!("\nan agent inside tokio: {}", tokio::spawn(answer(run)).await??);
        if first != alone {
            return Err("the same request gave another text next to others".into());
        }
        Ok(())
    })
}
