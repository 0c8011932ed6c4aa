//! Contents, held against the goldens that `goldens/contents.py` makes with the `openai` package.

use super::*;
use crate::message::Message;

#[derive(Deserialize)]
struct Golden {
    name: String,
    json: Value,
    /// Whether the JSON is written as it was read.
    written: Option<Value>,
    parts: Vec<[String; 2]>,
}

/// Returns the kind of a part, and its text or the hexadecimal digits of its bytes.
fn shown(part: &ContentPart) -> [String; 2] {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let (kind, value) = match part {
        ContentPart::Text(text) => ("text".to_owned(), text.clone()),
        ContentPart::Image(Image { source: ImageSource::Url(url), .. }) => ("image".to_owned(), url.clone()),
        ContentPart::Image(Image { source: ImageSource::Bytes { media_type, bytes }, .. }) => {
            (media_type.clone(), hex(bytes))
        }
        ContentPart::Resource(Resource { uri, body: ResourceBody::Text(text), .. }) => (uri.clone(), text.clone()),
        ContentPart::Resource(Resource { uri, body: ResourceBody::Bytes(bytes), .. }) => (uri.clone(), hex(bytes)),
    };
    [kind, value]
}

#[test]
fn messages_of_openai_are_read_and_written() {
    let goldens: Vec<Golden> = serde_json::from_str(include_str!("../../../goldens/contents.json")).unwrap();
    assert!(goldens.len() >= 12);
    for Golden { name, json, written, parts } in goldens {
        let message: Message = serde_json::from_value(json.clone()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(message.content.parts().iter().map(shown).collect::<Vec<_>>(), parts, "{name}");
        let again = serde_json::to_value(&message).unwrap();
        assert_eq!(again["content"], written.unwrap_or(json["content"].clone()), "{name}");
        assert_eq!(serde_json::from_value::<Message>(again).unwrap(), message, "{name}");
        // From text as well, where strings are borrowed.
        assert_eq!(serde_json::from_str::<Message>(&json.to_string()).unwrap(), message, "{name}");
    }
}

#[test]
fn parts_that_are_not_known_or_contradict_themselves_are_errors() {
    let error = |json: Value| serde_json::from_value::<Content>(json).unwrap_err().to_string();
    let audio = error(json!([{"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}]));
    assert!(audio.contains("`input_audio`") && audio.contains("`text`, `image_url`, `resource`"), "{audio}");
    for (part, expected) in [
        (json!({"text": "a"}), "type"),
        (json!({"type": "text"}), "text"),
        (json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,a"}}), "not base64"),
        (json!({"type": "resource", "resource": {"uri": "a:b"}}), "`a:b` needs either `text` or `blob`"),
        (json!({"type": "resource", "resource": {"uri": "a:b", "text": "", "blob": ""}}), "either"),
        (json!({"type": "resource", "resource": {"uri": "a:b", "blob": "?"}}), "`blob` of resource `a:b`"),
        (json!("a"), "part"),
    ] {
        let text = error(json!([part]));
        assert!(part.is_string() || text.contains(expected), "{text}");
    }
    assert!(error(json!(7)).contains("a text, a list of parts, or null"));
    assert!(error(json!({"type": "text", "text": "a"})).contains("a list of parts"));
}

#[test]
fn plain_text_is_as_easy_as_a_string() {
    let mut content = Content::from("a");
    content.push_text("b");
    assert_eq!((content.as_text(), content.parts().len(), content.to_string()), (Some("ab"), 1, "ab".to_owned()));
    assert_eq!(format!("{content:>4}|"), "  ab|");
    assert_eq!((Content::from(""), Content::default()), (Content::new(), Content::from(String::new())));
    assert!(content == "ab" && content == *"ab" && content != "a");
    content.push(Image::url("http://a/b.png"));
    assert!(content != "ab" && content.as_text().is_none());
    let mut all = Content::from(">");
    all.append(&content);
    all.append(&"c".into());
    assert_eq!((all.parts().len(), all.text().as_ref(), &*all.to_string()), (3, ">abc", ">ab[image: http://a/b.png]c"));
}

#[test]
fn templates_read_text_as_a_string_and_images_as_marks() {
    let resource = ContentPart::from(Resource::text("file:///a.md", "# A").with_media_type("text/markdown"));
    let template = |parts: &[ContentPart]| parts.iter().cloned().collect::<Content>().to_template();
    assert_eq!(template(&["a".into()]), json!("a"));
    assert_eq!(template(&["a".into(), "b".into()]), json!("ab"));
    assert_eq!(template(&["a\n".into(), resource.clone()]), json!("a\n[resource: file:///a.md]\n# A"));
    let image = ContentPart::from(Image::bytes("image/png", *b"abc"));
    assert_eq!(
        template(&["a".into(), image, resource]),
        json!([{"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": "[resource: file:///a.md]\n# A"}])
    );
}
