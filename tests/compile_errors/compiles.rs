//! The re-exported derive is enough, and captures need no clone by hand.
use std::sync::Arc;

use mistral_tools::{FunctionTool, SchemaType, ToolBuilder};

#[derive(serde::Deserialize, mistral_tools::schemars::JsonSchema)]
#[schemars(crate = "mistral_tools::schemars")]
struct Numbers {
    a: i64,
    b: i64,
}

fn main() {
    let offset = Arc::new(1_i64);
    let shared = offset.clone();
    let _ = FunctionTool::new("add", "", async move |numbers: Numbers| Ok(numbers.a + numbers.b + *shared));
    let built = ToolBuilder::named("add")
        .description("")
        .request_schema::<Numbers>(SchemaType::Serde)
        .result_schema::<i64>(SchemaType::Serde)
        .on_invocation_async(async move |_, _, numbers, ()| Ok(numbers.a + numbers.b + *offset));
    assert!(built.build().is_ok());
}
