//! The laws of all dialects, and what each reads.

mod examples;
mod goldens;
mod hostile;
mod laws;
mod strays;
mod turns;

use super::*;
use serde_json::json;

/// Tools with all kinds of parameters.
fn tools() -> Vec<ToolSpec> {
    let parameters = json!({"type": "object", "properties": {
        "text": {"type": "string"}, "count": {"type": "integer"}, "flag": {"type": ["boolean", "null"]},
        "list": {"type": "array"}, "tree": {"type": "object"}}});
    let tool = |name| ToolSpec::new(name, "", parameters.clone()).unwrap();
    vec![tool("get_weather"), tool("add"), tool("now-2")]
}

/// What a text gives when it comes in these chunks.
fn in_chunks<'t>(parser: &mut Parser, chunks: impl Iterator<Item = &'t str>) -> ParsedMessage {
    let mut message = ParsedMessage::default();
    for chunk in chunks {
        parser.parse_into(chunk, &mut |delta| message.push(delta));
    }
    parser.finish(&mut |delta| message.push(delta));
    parser.reset();
    message
}
