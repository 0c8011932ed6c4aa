//! A model answers by calling a tool: `tools [--model PATH_OR_ID] [--prompt TEXT] [--max-tokens N]`.
//!
//! The model inside the crate was trained to answer arithmetic questions by a call of `calculator` and to read the response.
//! Everything here is its own greedy decoding: that it calls, what it writes into the call, and the sentence afterwards. It does
//! not calculate: the tool does. Nor does it know other tools; a larger model does, with the same program.

use std::io::{self, Write};

use mistral_core::tools::{SchemaType, ToolBatch, ToolBuilder, ToolError, ToolRegistry};
use mistral_core::{Agent, AgentEvent, AgentLimits, Message};
use serde::Deserialize;

#[derive(Deserialize)]
struct Calculation {
    expression: String,
}

const CALCULATION: &str = r#"{"type": "object",
    "properties": {"expression": {"type": "string", "description": "For instance 3 * 4"}}, "required": ["expression"]}"#;

/// Two whole numbers and an operator between them.
fn calculate(expression: &str) -> Result<i64, ToolError> {
    // A sign in front of the first number is no operator.
    let operator = expression.char_indices().skip(1).find(|(_, c)| "+-*/".contains(*c));
    let (at, operator) = operator.ok_or(ToolError::handler("no operator: one of + - * /"))?;
    let number = |text: &str| text.trim().parse().map_err(|_| ToolError::handler("not a whole number"));
    let (a, b): (i64, i64) = (number(&expression[..at])?, number(&expression[at + 1..])?);
    let result = match operator {
        '+' => a.checked_add(b),
        '-' => a.checked_sub(b),
        '*' => a.checked_mul(b),
        _ => a.checked_div(b).filter(|quotient| quotient * b == a),
    };
    result.ok_or(ToolError::handler("no whole number of 64 bits"))
}

fn main() -> Result<(), mistral_examples::Failure> {
    let mut args = pico_args::Arguments::from_env();
    let builder = mistral_examples::builder(&mut args)?;
    let prompt: String = args.opt_value_from_str(["-p", "--prompt"])?.unwrap_or("What is 37 * 43?".into());
    let max_tokens: usize = args.opt_value_from_str("--max-tokens")?.unwrap_or(512);
    mistral_examples::finish(args)?;

    let calculator = ToolBuilder::named("calculator")
        .description("Computes the value of an expression.")
        .request_schema::<Calculation>(SchemaType::JsonSchema(CALCULATION))
        .result_schema::<i64>(SchemaType::Serde)
        .on_invocation(|_, _, Calculation { expression }, ()| calculate(&expression))
        .build()?;
    let registry = ToolRegistry::new();
    let mut batch = ToolBatch::new();
    batch.add(calculator);
    registry.publish(batch)?;

    let limits = AgentLimits::default().max_turns(4).max_tokens(max_tokens);
    let agent = Agent::new(builder.load()?, registry).limits(limits);
    for event in agent.run([Message::user(prompt)])? {
        match event? {
            AgentEvent::Text(text) => {
                print!("{text}");
                io::stdout().flush()?;
            }
            AgentEvent::Call(call) => println!("[{} {}]", call.name, call.arguments),
            AgentEvent::Answer { text, end, .. } => println!("[{text}] {end:?}"),
            AgentEvent::Usage { turn, .. } => eprintln!("[{} + {} tokens]", turn.prompt_tokens, turn.generated_tokens),
            AgentEvent::Finished(stop) => println!("\n({stop:?})"),
            _ => {}
        }
    }
    Ok(())
}
