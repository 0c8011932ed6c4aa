//! A model answers by calling a tool: `tools [--model PATH_OR_ID] [--prompt TEXT] [--max-tokens N]`, with `--features
//! mistral-examples/builtin` for the calculator.
//!
//! The model inside the crate was trained to answer arithmetic questions by a call of `calculator` and to read the response.
//! Everything here is its own greedy decoding: that it calls, what it writes into the call, and the sentence afterwards. It does
//! not calculate: the tool does. Nor does it know other tools; a larger model does, with the same program.

use std::io::{self, Write};

use mistral_core::tools::{ToolRegistry, builtin::Calculator};
use mistral_core::{Agent, AgentEvent, AgentLimits};

fn main() -> Result<(), mistral_examples::Failure> {
    let mut args = mistral_examples::arguments(include_str!("tools.rs"));
    let builder = mistral_examples::builder(&mut args)?;
    let prompt: String = args.opt_value_from_str(["-p", "--prompt"])?.unwrap_or("What is 37 * 43?".into());
    let max_tokens: usize = args.opt_value_from_str("--max-tokens")?.unwrap_or(512);
    mistral_examples::finish(args)?;

    let registry = ToolRegistry::new();
    registry.add(Calculator::new().tool().build()?)?;

    let limits = AgentLimits::default().max_turns(4).max_tokens(max_tokens);
    let agent = Agent::new(builder.load()?, registry).limits(limits);
    for event in agent.run(prompt)? {
        match event? {
            AgentEvent::Text(text) => {
                print!("{text}");
                io::stdout().flush()?;
            }
            AgentEvent::Call(call) => println!("[{} {}]", call.name, call.arguments),
            AgentEvent::Answer { content, end, .. } => println!("[{content}] {end:?}"),
            AgentEvent::Shortened { kept, bytes, .. } => eprintln!("[the model reads {kept} of {bytes} bytes]"),
            AgentEvent::Unenforced(part) => eprintln!("[{part}]"),
            AgentEvent::Usage { turn, .. } => eprintln!("[{} + {} tokens]", turn.prompt_tokens, turn.generated_tokens),
            AgentEvent::Finished(stop) => println!("\n({stop:?})"),
            _ => {}
        }
    }
    Ok(())
}
