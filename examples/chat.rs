//! placeholder
fn main() -> Result<(), mistral_core::Error> {
    use mistral_core::{Message, Model, Request};
    let model = Model::embedded()?;
    for p in ["Once upon a time", "One day, a little fox"] {
        for piece in model.generate(Request::new(p).max_tokens(100))? {
            print!("{}", piece?);
        }
        println!("\n--");
    }
    for q in ["Hello! Who are you?", "Tell me a story about a cat and a red ball.", "What does a cow say?"] {
        for piece in model.chat([Message::user(q)])? {
            print!("{}", piece?);
        }
        println!("\n--");
    }
    println!("{:?}", model.metrics());
    Ok(())
}
