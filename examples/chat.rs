//! Talk to a model: `chat [--model PATH_OR_ID] [--prompt TEXT] [--system TEXT] [--max-tokens N] [--temperature T] [--top-p P] [--seed N]`.
//!
//! Without `--model` it is the small model inside the crate; without `--prompt` every line you type is a turn, an empty line
//! starts over and the end of the input ends the program.

use std::io::{self, BufRead, IsTerminal, Write};

use mistral_core::tools::ToolRegistry;
use mistral_core::{Agent, AgentEvent, ChatSession, Request};

/// Runs one turn and streams the answer to the screen. The session keeps the conversation, whatever happens.
fn answer(agent: &Agent, session: &mut ChatSession, text: &str) -> Result<(), mistral_examples::Failure> {
    for event in agent.chat(session, text)? {
        if let AgentEvent::Text(piece) | AgentEvent::Reasoning(piece) = event? {
            print!("{piece}");
            io::stdout().flush()?;
        }
    }
    println!();
    Ok(())
}

fn main() -> Result<(), mistral_examples::Failure> {
    let mut args = mistral_examples::arguments(include_str!("chat.rs"));
    let builder = mistral_examples::builder(&mut args)?;
    let prompt: Option<String> = args.opt_value_from_str(["-p", "--prompt"])?;
    let system: Option<String> = args.opt_value_from_str("--system")?;
    let max_tokens: usize = args.opt_value_from_str("--max-tokens")?.unwrap_or(512);
    let temperature: f32 = args.opt_value_from_str("--temperature")?.unwrap_or(0.0);
    let top_p: f32 = args.opt_value_from_str("--top-p")?.unwrap_or(1.0);
    let seed: Option<u64> = args.opt_value_from_str("--seed")?;
    mistral_examples::finish(args)?;

    let mut request = Request::chat([]).max_tokens(max_tokens).temperature(temperature).top_p(top_p);
    request.seed = seed;
    let mut agent = Agent::new(builder.load()?, ToolRegistry::new()).request(request);
    if let Some(system) = system {
        agent = agent.instructions(system);
    }
    let mut session = ChatSession::new();
    if let Some(prompt) = prompt {
        return answer(&agent, &mut session, &prompt);
    }
    let ask = || {
        if io::stdin().is_terminal() {
            eprint!("> ");
        }
    };
    ask();
    for line in io::stdin().lock().lines() {
        let line = line?;
        if line.trim().is_empty() {
            session = ChatSession::new();
        } else if let Err(error) = answer(&agent, &mut session, &line) {
            // The conversation continues: a turn that could not begin is not in it.
            eprintln!("{error:?}");
        }
        ask();
    }
    Ok(())
}
