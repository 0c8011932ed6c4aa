use mistral_tools::{SchemaType, ToolBuilder};

#[derive(serde::Deserialize, mistral_tools::schemars::JsonSchema)]
#[schemars(crate = "mistral_tools::schemars")]
struct Numbers {
    a: i64,
    b: i64,
}

fn main() {
    let _ = ToolBuilder::named("f")
        .description("")
        .request_schema::<Numbers>(SchemaType::Serde)
        .result_schema::<i64>(SchemaType::Serde)
        .on_invocation(|numbers| Ok(numbers.a + numbers.b));
}
