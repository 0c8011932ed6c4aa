//! Talk to a model: `chat [--model PATH_OR_ID] [--prompt TEXT] [--system TEXT] [--max-tokens N] [--temperature T] [--top-p P] [--seed N]`.
//!
//! Without `--model` it is the small model inside the crate; without `--prompt` every line you type is a turn, an empty line
//! starts over and the end of the input ends the program.

use std::io::{self, BufRead, IsTerminal, Write};

use mistral_core::{Message, Model, Request};

/// One turn: streams the answer to the screen and returns it.
fn answer(model: &Model, request: Request) -> Result<String, mistral_examples::Failure> {
    let mut text = String::new();
    let mut generation = model.generate(request)?;
    for piece in &mut generation {
        let piece = piece?;
        print!("{piece}");
        io::stdout().flush()?;
        text += &piece.text;
    }
    println!();
    Ok(text)
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

    let model = builder.load()?;
    let system: Vec<Message> = system.into_iter().map(Message::system).collect();
    let request = |messages: &[Message]| {
        let request = Request::chat(messages.to_vec()).max_tokens(max_tokens).temperature(temperature).top_p(top_p);
        if let Some(seed) = seed { request.seed(seed) } else { request }
    };
    let mut messages = system.clone();
    if let Some(prompt) = prompt {
        messages.push(Message::user(prompt));
        answer(&model, request(&messages))?;
        return Ok(());
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
            messages.clone_from(&system);
        } else {
            messages.push(Message::user(line));
            // A turn that cannot be answered (the context is full) is said and left out; the conversation goes on.
            match answer(&model, request(&messages)) {
                Ok(text) => messages.push(Message::assistant(text)),
                Err(error) => {
                    messages.pop();
                    eprintln!("{error:?}");
                }
            }
        }
        ask();
    }
    Ok(())
}
