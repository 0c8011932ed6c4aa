use mistral_tools::{SchemaType, ToolBuilder};

#[derive(serde::Deserialize)]
struct Numbers {}

fn main() {
    let _ = ToolBuilder::named("f").description("").request_schema::<Numbers>(SchemaType::Serde);
}
