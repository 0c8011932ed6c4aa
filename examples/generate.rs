//! Continue a text: `generate [--model PATH_OR_ID] [--prompt TEXT] [--max-tokens N] [--temperature T] [--top-k N] [--top-p P] [--min-p P]
//! [--repetition-penalty R] [--seed N] [--stop TEXT] [--logprobs N]`. Prints the text, and how it ended to stderr.

use std::io::{self, Write};

use mistral_core::Request;

fn main() -> Result<(), mistral_examples::Failure> {
    let mut args = mistral_examples::arguments(include_str!("generate.rs"));
    let builder = mistral_examples::builder(&mut args)?;
    let prompt: String = args.opt_value_from_str(["-p", "--prompt"])?.unwrap_or_else(|| "Once upon a time".into());
    let mut request = Request::new(&prompt).max_tokens(args.opt_value_from_str("--max-tokens")?.unwrap_or(128));
    if let Some(temperature) = args.opt_value_from_str("--temperature")? {
        request = request.temperature(temperature);
    }
    if let Some(k) = args.opt_value_from_str("--top-k")? {
        request = request.top_k(k);
    }
    if let Some(p) = args.opt_value_from_str("--top-p")? {
        request = request.top_p(p);
    }
    if let Some(p) = args.opt_value_from_str("--min-p")? {
        request = request.min_p(p);
    }
    if let Some(penalty) = args.opt_value_from_str("--repetition-penalty")? {
        request = request.repetition_penalty(penalty);
    }
    if let Some(seed) = args.opt_value_from_str("--seed")? {
        request = request.seed(seed);
    }
    for stop in args.values_from_str::<_, String>("--stop")? {
        request = request.stop(stop);
    }
    let alternatives: Option<usize> = args.opt_value_from_str("--logprobs")?;
    if let Some(alternatives) = alternatives {
        request = request.logprobs(alternatives);
    }
    mistral_examples::finish(args)?;

    let model = builder.load()?;
    print!("{prompt}");
    let mut generation = model.generate(request)?;
    for piece in &mut generation {
        let piece = piece?;
        print!("{piece}");
        io::stdout().flush()?;
        for logprobs in &piece.logprobs {
            eprintln!("{logprobs:?}");
        }
    }
    println!();
    if let (Some(reason), Some(usage)) = (generation.reason(), generation.usage()) {
        eprintln!("[{reason:?}: {} prompt tokens, {} generated]", usage.prompt_tokens, usage.generated_tokens);
    }
    Ok(())
}
