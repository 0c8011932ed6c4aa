//! A call that waits for approval: `approval [--model PATH_OR_ID] [--ask] [--deny] [--state FILE]`.
//!
//! The model wants to call `calculator`, whose gate pauses every call. The session is written to a file as JSON, with the waiting call, and
//! read again as another process would read it. The chat then continues by the decision: from the terminal with `--ask`, denied with
//! `--deny`, or approved by default.

use std::io::{self, Write};
use std::path::PathBuf;

use mistral_core::agent::AgentStop;
use mistral_core::models::loader::OutputFile;
use mistral_core::tools::{Approval, PausedCall, SchemaType, ToolBuilder, ToolError, ToolRegistry};
use mistral_core::{Agent, AgentEvent, ChatSession, Model};
use serde::Deserialize;

#[derive(Deserialize)]
struct Calculation {
    expression: String,
}

const CALCULATION: &str =
    r#"{"type": "object", "properties": {"expression": {"type": "string"}}, "required": ["expression"]}"#;

/// The same tools in both processes; no call passes without an approval.
fn agent(model: Model) -> Result<Agent, mistral_examples::Failure> {
    let registry = ToolRegistry::new().with_gate(|_, chain, _, _| chain.pause("May the calculator be used?"));
    let calculator = ToolBuilder::named("calculator")
        .description("Computes the value of an expression.")
        .request_schema::<Calculation>(SchemaType::JsonSchema(CALCULATION))
        .result_schema::<i64>(SchemaType::Serde)
        .on_invocation(|_, _, Calculation { expression }, ()| {
            let factors: Option<Vec<i64>> = expression.split('*').map(|factor| factor.trim().parse().ok()).collect();
            let product = factors.and_then(|all| all.into_iter().try_fold(1i64, i64::checked_mul));
            product.ok_or(ToolError::failed("only products"))
        })
        .build()?;
    registry.add(calculator)?;
    Ok(Agent::new(model, registry))
}

fn decide(paused: &PausedCall, ask: bool, deny: bool) -> io::Result<Approval> {
    println!("{} {} {}", paused.question(), paused.tool(), paused.arguments());
    let mut approved = !deny;
    if ask {
        print!("y or n: ");
        io::stdout().flush()?;
        let mut line = String::new();
        io::stdin().read_line(&mut line)?;
        approved = line.trim() == "y";
    }
    Ok(if approved { Approval::Approved } else { Approval::Denied("the user does not want it".into()) })
}

fn main() -> Result<(), mistral_examples::Failure> {
    let mut args = mistral_examples::arguments(include_str!("approval.rs"));
    let builder = mistral_examples::builder(&mut args)?;
    let (ask, deny) = (args.contains("--ask"), args.contains("--deny"));
    let state: Option<PathBuf> = args.opt_value_from_str("--state")?;
    mistral_examples::finish(args)?;

    let model = builder.load()?;
    let mut session = ChatSession::new();
    let answer = agent(model.clone())?.chat(&mut session, "What is 37 * 43?")?.complete()?;
    if answer.stop != AgentStop::Paused {
        return Err(format!("the model made no call: {}", answer.text).into());
    }
    let mut json = session.save();
    if let Some(path) = state {
        OutputFile::write(&path, json.as_bytes())?;
        json = std::fs::read_to_string(&path)?;
    }

    // From here on nothing is left of the first process but the text.
    let mut session = ChatSession::load(&json)?;
    let waiting = session.suspended().into_iter().flat_map(|suspended| suspended.paused());
    let decisions: Vec<Approval> = waiting.map(|paused| decide(paused, ask, deny)).collect::<Result<_, _>>()?;
    let mut decisions = decisions.into_iter();
    let agent = agent(model)?;
    let nobody = || Approval::Denied("nobody decided".into());
    for event in agent.resume_chat(&mut session, |_| decisions.next().unwrap_or_else(nobody))? {
        match event? {
            AgentEvent::Answer { content, end, .. } => println!("[{content}] {end:?}"),
            AgentEvent::Text(text) => print!("{text}"),
            AgentEvent::Finished(stop) => println!("\n({stop:?})"),
            _ => {}
        }
    }
    Ok(())
}
