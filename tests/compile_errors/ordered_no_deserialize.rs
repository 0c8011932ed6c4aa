use mistral_tools::{SchemaType, ToolBuilder};

struct Numbers;

fn main() {
    let _ = ToolBuilder::named("f").description("").request_schema::<Numbers>(SchemaType::JsonSchema("{}"));
}
