use std::sync::atomic::{AtomicI64, Ordering};

use mistral_tools::{SchemaType, ToolBuilder};

fn main() {
    let counter = AtomicI64::new(0);
    let _ = ToolBuilder::named("f")
        .description("")
        .request_schema::<()>(SchemaType::Serde)
        .result_schema::<i64>(SchemaType::Serde)
        .on_invocation_async(async move |_, _, (), ()| Ok(counter.fetch_add(1, Ordering::Relaxed)));
}
