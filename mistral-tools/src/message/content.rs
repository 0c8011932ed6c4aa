//! What a message or a result holds: text, or a list of text, images and resources.

use std::{borrow::Cow, fmt, sync::Arc};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error as _, SeqAccess, Visitor, value::SeqAccessDeserializer},
};
use serde_json::{Value, json};

use crate::message::base64;

/// The content of a message, or of the result of a tool: a list of parts. Plain text is one part, and is made from a string.
///
/// ```
/// use mistral_tools::{Content, ContentPart, Image, Message};
///
/// let plain = Message::user("What is a tensor?");
/// assert_eq!(plain.content, "What is a tensor?");
///
/// let parts = [ContentPart::from("What is this?"), Image::bytes("image/png", *b"...").into()];
/// let message = Message::user(Content::from_iter(parts));
/// assert_eq!(message.content.as_text(), None); // not only text
/// assert_eq!(message.content.text(), "What is this?"); // the text without the image
/// ```
///
/// # JSON
/// The JSON is that of OpenAI. Plain text is written as a string. Any other content is written as a list of parts:
///
/// | part | JSON |
/// |---|---|
/// | text | `{"type": "text", "text": ".."}` |
/// | image | `{"type": "image_url", "image_url": {"url": ".."}}`, the bytes of an image as a `data:` URL |
/// | resource | `{"type": "resource", "resource": {"uri": "..", "mimeType": "..", "text": ".."}}` as in MCP, bytes as base64 under `blob` |
///
/// Both forms are read, and `null` is read as no content. A part of another type is an error, because a part that is left out would change
/// what the model is asked. Other keys of a part are ignored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Content(Vec<ContentPart>);

/// A part of a [`Content`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ContentPart {
    /// Text, for every model.
    Text(String),
    /// An image, for models that read images.
    Image(Image),
    /// A document with its address. Every model reads the text of a resource. Its bytes are for the host.
    Resource(Resource),
}

/// An image.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Image {
    /// The pixels, or their address.
    pub source: ImageSource,
    /// How closely the model is to look, such as `low` or `high`, in OpenAI's words.
    pub detail: Option<String>,
}

/// The place of an image's pixels.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImageSource {
    /// A file in memory.
    Bytes {
        /// The media type, such as `image/png`.
        media_type: String,
        /// The bytes of the file. Copies share them.
        bytes: Arc<[u8]>,
    },
    /// An address. Nothing in this crate fetches it.
    Url(String),
}

/// A document with its address, as tools of an MCP server return it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resource {
    /// The address.
    pub uri: String,
    /// The media type, such as `text/markdown`, if it is known.
    pub media_type: Option<String>,
    /// The document.
    pub body: ResourceBody,
}

/// The document of a [`Resource`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResourceBody {
    /// Text.
    Text(String),
    /// Bytes. Copies share them.
    Bytes(Arc<[u8]>),
}

impl Content {
    /// Makes a content without parts.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Returns the parts in their order.
    pub fn parts(&self) -> &[ContentPart] {
        &self.0
    }

    /// Returns the parts by value, in their order.
    pub fn into_parts(self) -> Vec<ContentPart> {
        self.0
    }

    /// Returns whether there is neither text nor any other part.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the text of a plain content: one part of text, or none. Returns `None` for any other content.
    pub fn as_text(&self) -> Option<&str> {
        match self.0.as_slice() {
            [] => Some(""),
            [ContentPart::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Returns all parts of text, joined without a separator. Images and resources are left out; [`Display`](fmt::Display) names them.
    /// Copies nothing if the content is plain.
    pub fn text(&self) -> Cow<'_, str> {
        match self.as_text() {
            Some(text) => Cow::Borrowed(text),
            None => self.0.iter().filter_map(ContentPart::as_text).collect::<Vec<_>>().concat().into(),
        }
    }

    /// Adds a part. A part of text without characters is left out.
    pub fn push(&mut self, part: impl Into<ContentPart>) {
        let part = part.into();
        if part.as_text() != Some("") {
            self.0.push(part);
        }
    }

    /// Continues the last part, if it is text, or adds a part of text.
    pub fn push_text(&mut self, text: &str) {
        match self.0.last_mut() {
            Some(ContentPart::Text(last)) => last.push_str(text),
            _ => self.push(text),
        }
    }

    /// Adds the parts of another content. Text at the beginning of `other` continues text at the end of this content.
    pub fn append(&mut self, other: &Self) {
        let mut parts = other.0.iter();
        if let Some(ContentPart::Text(text)) = other.0.first() {
            self.push_text(text);
            parts.next();
        }
        self.0.extend(parts.cloned());
    }

    /// Returns the value that chat templates read. Content that is only text is a string. Any other content is a list, in which an image
    /// is `{"type": "image"}`: the model's image processor puts the pixels in its place. The text of a resource is a part of text that
    /// begins with the address; bytes of a resource are their address alone.
    pub fn to_template(&self) -> Value {
        let is_text = |part: &ContentPart| !matches!(part, ContentPart::Image(_));
        if self.0.iter().all(is_text) {
            return match self.as_text() {
                Some(text) => text.into(),
                None => self.to_string().into(),
            };
        }
        let part = |part: &ContentPart| match part {
            ContentPart::Image(_) => json!({"type": "image"}),
            part => json!({"type": "text", "text": part.to_string()}),
        };
        self.0.iter().map(part).collect()
    }
}

impl ContentPart {
    /// Returns the text of a part of text.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl Image {
    /// Makes an image from the bytes of a file and its media type, such as `image/png`.
    pub fn bytes(media_type: impl Into<String>, bytes: impl Into<Arc<[u8]>>) -> Self {
        Self { source: ImageSource::Bytes { media_type: media_type.into(), bytes: bytes.into() }, detail: None }
    }

    /// Makes an image from its address.
    pub fn url(url: impl Into<String>) -> Self {
        Self { source: ImageSource::Url(url.into()), detail: None }
    }
}

impl Resource {
    /// Makes a resource of text.
    pub fn text(uri: impl Into<String>, text: impl Into<String>) -> Self {
        Self { uri: uri.into(), media_type: None, body: ResourceBody::Text(text.into()) }
    }

    /// Makes a resource of bytes.
    pub fn bytes(uri: impl Into<String>, bytes: impl Into<Arc<[u8]>>) -> Self {
        Self { uri: uri.into(), media_type: None, body: ResourceBody::Bytes(bytes.into()) }
    }

    /// Sets the media type, such as `text/markdown`.
    pub fn with_media_type(self, media_type: impl Into<String>) -> Self {
        Self { media_type: Some(media_type.into()), ..self }
    }
}

/// Writes text as it is, and names every other part in brackets. The text of a resource follows the brackets.
impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.as_text() {
            Some(text) => f.pad(text),
            None => self.0.iter().try_for_each(|part| part.fmt(f)),
        }
    }
}

impl fmt::Display for ContentPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Image(Image { source: ImageSource::Bytes { media_type, bytes }, .. }) => {
                write!(f, "[image: {media_type}, {} bytes]", bytes.len())
            }
            Self::Image(Image { source: ImageSource::Url(url), .. }) => write!(f, "[image: {url}]"),
            Self::Resource(Resource { uri, body: ResourceBody::Text(text), .. }) => {
                write!(f, "[resource: {uri}]\n{text}")
            }
            Self::Resource(Resource { uri, body: ResourceBody::Bytes(bytes), .. }) => {
                write!(f, "[resource: {uri}, {} bytes]", bytes.len())
            }
        }
    }
}

impl From<&str> for ContentPart {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for ContentPart {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Image> for ContentPart {
    fn from(image: Image) -> Self {
        Self::Image(image)
    }
}

impl From<Resource> for ContentPart {
    fn from(resource: Resource) -> Self {
        Self::Resource(resource)
    }
}

impl From<ContentPart> for Content {
    fn from(part: ContentPart) -> Self {
        Self::from_iter([part])
    }
}

impl From<&str> for Content {
    fn from(text: &str) -> Self {
        Self::from_iter([text])
    }
}

impl From<String> for Content {
    fn from(text: String) -> Self {
        Self::from_iter([text])
    }
}

impl From<Image> for Content {
    fn from(image: Image) -> Self {
        Self::from_iter([image])
    }
}

impl From<Resource> for Content {
    fn from(resource: Resource) -> Self {
        Self::from_iter([resource])
    }
}

impl From<&String> for Content {
    fn from(text: &String) -> Self {
        text.as_str().into()
    }
}

impl From<Cow<'_, str>> for Content {
    fn from(text: Cow<'_, str>) -> Self {
        text.into_owned().into()
    }
}

impl<T: Into<ContentPart>> Extend<T> for Content {
    fn extend<I: IntoIterator<Item = T>>(&mut self, parts: I) {
        for part in parts {
            self.push(part);
        }
    }
}

impl<T: Into<ContentPart>> FromIterator<T> for Content {
    fn from_iter<I: IntoIterator<Item = T>>(parts: I) -> Self {
        let mut content = Self::new();
        content.extend(parts);
        content
    }
}

/// Whether the content is this text and nothing else.
impl PartialEq<str> for Content {
    fn eq(&self, text: &str) -> bool {
        self.as_text() == Some(text)
    }
}

impl PartialEq<&str> for Content {
    fn eq(&self, text: &&str) -> bool {
        self == *text
    }
}

impl PartialEq<String> for Content {
    fn eq(&self, text: &String) -> bool {
        self == text.as_str()
    }
}

/// The schema of any value: a result that is a content has no shape of its own.
impl JsonSchema for Content {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Content".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        Schema::default()
    }
}

/// A part in JSON.
#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Written<'a> {
    Text { text: Cow<'a, str> },
    ImageUrl { image_url: WrittenImage<'a> },
    Resource { resource: WrittenResource<'a> },
}

#[derive(Serialize, Deserialize)]
struct WrittenImage<'a> {
    url: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    detail: Option<Cow<'a, str>>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WrittenResource<'a> {
    uri: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mime_type: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    blob: Option<Cow<'a, str>>,
}

/// The mark between the media type of a `data:` URL and its bytes.
const BASE64: &str = ";base64,";

impl Serialize for ContentPart {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let base64 = |mut text: String, bytes: &[u8]| {
            base64::encode(bytes, &mut text);
            Cow::Owned(text)
        };
        match self {
            Self::Text(text) => Written::Text { text: text.into() },
            Self::Image(Image { source, detail }) => {
                let url = match source {
                    ImageSource::Bytes { media_type, bytes } => base64(format!("data:{media_type}{BASE64}"), bytes),
                    ImageSource::Url(url) => url.into(),
                };
                Written::ImageUrl { image_url: WrittenImage { url, detail: detail.as_ref().map(Into::into) } }
            }
            Self::Resource(Resource { uri, media_type, body }) => {
                let (text, blob) = match body {
                    ResourceBody::Text(text) => (Some(text.into()), None),
                    ResourceBody::Bytes(bytes) => (None, Some(base64(String::new(), bytes))),
                };
                let mime_type = media_type.as_ref().map(Into::into);
                Written::Resource { resource: WrittenResource { uri: uri.into(), mime_type, text, blob } }
            }
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ContentPart {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Written::deserialize(deserializer)? {
            Written::Text { text } => Self::Text(text.into_owned()),
            Written::ImageUrl { image_url: WrittenImage { url, detail } } => {
                let split = url.strip_prefix("data:").and_then(|data| data.split_once(BASE64));
                let source = match split {
                    Some((media_type, data)) => {
                        let bytes = base64::decode(data)
                            .ok_or_else(|| D::Error::custom("the `data:` URL of an image is not base64"))?;
                        ImageSource::Bytes { media_type: media_type.into(), bytes: bytes.into() }
                    }
                    None => ImageSource::Url(url.into_owned()),
                };
                Self::Image(Image { source, detail: detail.map(Cow::into_owned) })
            }
            Written::Resource { resource: WrittenResource { uri, mime_type, text, blob } } => {
                let body = match (text, blob) {
                    (Some(text), None) => ResourceBody::Text(text.into_owned()),
                    (None, Some(blob)) => ResourceBody::Bytes(
                        base64::decode(&blob)
                            .ok_or_else(|| D::Error::custom(format!("the `blob` of resource `{uri}` is not base64")))?
                            .into(),
                    ),
                    _ => return Err(D::Error::custom(format!("resource `{uri}` needs either `text` or `blob`"))),
                };
                Self::Resource(Resource { uri: uri.into_owned(), media_type: mime_type.map(Cow::into_owned), body })
            }
        })
    }
}

impl Serialize for Content {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.as_text() {
            Some(text) => serializer.serialize_str(text),
            None => self.0.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Forms;

        impl<'de> Visitor<'de> for Forms {
            type Value = Content;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, a list of parts, or null")
            }

            fn visit_str<E>(self, text: &str) -> Result<Content, E> {
                Ok(text.into())
            }

            fn visit_string<E>(self, text: String) -> Result<Content, E> {
                Ok(text.into())
            }

            fn visit_unit<E>(self) -> Result<Content, E> {
                Ok(Content::new())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, parts: A) -> Result<Content, A::Error> {
                Ok(Content::from_iter(Vec::<ContentPart>::deserialize(SeqAccessDeserializer::new(parts))?))
            }
        }

        deserializer.deserialize_any(Forms)
    }
}

#[cfg(test)]
mod tests;
