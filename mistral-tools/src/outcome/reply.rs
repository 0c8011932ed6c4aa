//! The buffer that a call writes for the model.

use std::{
    any::Any,
    fmt::{self, Write},
};

use serde_json::Value;

use crate::{
    json::text,
    message::content::{Content, ContentPart},
    outcome::{Outcome, kinds::ErrorKind, text::Text, tool_error::ToolError, unknown_tool::write_unknown},
};

/// The content that the model reads after a call: the text or JSON of the result, or the text of the error. A result may also have images
/// and resources, and structured content for the host. The memory of the text is kept from call to call. A loop that reuses one `Reply`
/// stops allocating once the longest result has been seen.
///
/// ```
/// use mistral_tools::Reply;
/// let mut reply = Reply::new();
/// reply.set_text("18 degrees");
/// assert_eq!(reply.as_str(), "18 degrees");
///
/// use mistral_tools::Image;
/// reply.push(Image::bytes("image/png", *b"..."));
/// assert_eq!(reply.as_str(), "18 degrees");
/// assert_eq!(reply.content().to_string(), "18 degrees[image: image/png, 3 bytes]");
/// ```
#[derive(Debug, Default)]
pub struct Reply {
    bytes: Vec<u8>,
    /// Images and resources, each with the number of bytes of text before it.
    parts: Vec<(usize, ContentPart)>,
    structured: Option<Value>,
    /// Unescaped strings of the arguments, for as long as the call lasts.
    pub(crate) scratch: Vec<u8>,
}

impl Reply {
    /// An empty reply; allocates nothing.
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), parts: Vec::new(), structured: None, scratch: Vec::new() }
    }

    /// A reply with room for a text of this many bytes, and for as many of arguments.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), scratch: Vec::with_capacity(bytes), ..Self::new() }
    }

    /// Returns the text, without images and resources.
    pub fn as_str(&self) -> &str {
        match std::str::from_utf8(&self.bytes) {
            Ok(text) => text,
            // Only a serializer that writes broken JSON gets here.
            Err(error) => {
                std::str::from_utf8(self.bytes.get(..error.valid_up_to()).unwrap_or_default()).unwrap_or_default()
            }
        }
    }

    /// Returns the bytes of the text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Replaces the text.
    pub fn set_text(&mut self, text: &str) {
        self.clear();
        self.bytes.extend_from_slice(text.as_bytes());
    }

    /// Replaces the text with the result of a tool. A string is written as it is, without quotes and escapes; anything else is written as
    /// JSON. [`Json`](crate::Json) keeps the quotes of a string. A function of a tool may also return a [`Content`], whose images and
    /// resources are kept.
    ///
    /// ```
    /// use mistral_tools::{Json, Reply};
    /// let mut reply = Reply::new();
    /// reply.set_result("line 1\nline \"2\"")?;
    /// assert_eq!(reply.as_str(), "line 1\nline \"2\"");
    /// reply.set_result(&["a", "b"])?;
    /// assert_eq!(reply.as_str(), r#"["a","b"]"#);
    /// reply.set_result(&Json("a"))?;
    /// assert_eq!(reply.as_str(), r#""a""#);
    /// # Ok::<(), mistral_tools::ToolError>(())
    /// ```
    ///
    /// # Errors
    /// A value that JSON cannot carry, for instance a map whose keys are not strings.
    pub fn set_result<T: serde::Serialize + ?Sized>(&mut self, value: &T) -> Result<(), ToolError> {
        self.clear();
        text::write(value, &mut self.bytes)
    }

    /// Replaces everything with the result of a typed function: a [`Content`] with its parts, any other value as
    /// [`set_result`](Self::set_result) does.
    pub(crate) fn set_typed<T: serde::Serialize + 'static>(&mut self, value: &T) -> Result<(), ToolError> {
        match (value as &dyn Any).downcast_ref::<Content>() {
            Some(content) => {
                self.set_content(content.clone());
                Ok(())
            }
            None => self.set_result(value),
        }
    }

    /// Replaces the text with the JSON of a value.
    ///
    /// # Errors
    /// A value that JSON cannot carry, for instance a map whose keys are not strings.
    pub fn set_json<T: serde::Serialize + ?Sized>(&mut self, value: &T) -> Result<(), ToolError> {
        self.clear();
        serde_json::to_writer(&mut self.bytes, value).map_err(ToolError::from)
    }

    /// Returns everything that the model reads: the text, with images and resources where they were added.
    pub fn content(&self) -> Content {
        let (text, mut content, mut begin) = (self.as_str(), Content::new(), 0);
        for (end, part) in &self.parts {
            content.push(text.get(begin..*end).unwrap_or_default());
            content.push(part.clone());
            begin = *end;
        }
        content.push(text.get(begin..).unwrap_or_default());
        content
    }

    /// Adds a part. Text continues the text that is there.
    pub fn push(&mut self, part: impl Into<ContentPart>) {
        match part.into() {
            ContentPart::Text(text) => self.bytes.extend_from_slice(text.as_bytes()),
            part => self.parts.push((self.bytes.len(), part)),
        }
    }

    /// Replaces the text and all parts with a content, such as the result of a tool of an MCP server.
    pub fn set_content(&mut self, content: Content) {
        self.clear();
        content.into_parts().into_iter().for_each(|part| self.push(part));
    }

    /// Returns the result as a value for the host, if the tool set one. The model reads only the [`content`](Self::content).
    pub fn structured(&self) -> Option<&Value> {
        self.structured.as_ref()
    }

    /// Sets the result as a value for the host, next to the text that the model reads: `structuredContent` of MCP. Setting or clearing the
    /// text afterwards removes the value.
    pub fn set_structured(&mut self, value: Value) {
        self.structured = Some(value);
    }

    /// Removes text, parts and structured content. The memory of the text is kept.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.parts.clear();
        self.structured = None;
    }

    /// Replaces the text by what the model reads of an outcome without a result; a success keeps the text.
    pub fn set_outcome(&mut self, outcome: &Outcome) {
        let written = match outcome {
            Outcome::Success => return,
            Outcome::Error(error) => self.write(format_args!("Error ({}): {}", error.kind(), error.text())),
            Outcome::Denied(text) => self.write(format_args!("Denied: {text}")),
            Outcome::Skipped(text) => self.write(format_args!("Skipped: {text}")),
            Outcome::Paused(paused) => self.write(format_args!("Waiting for approval: {}", paused.question())),
        };
        debug_assert!(written.is_ok(), "texts do not fail to format");
    }

    /// The outcome of a call of a tool that there is not; the text lists those that there are.
    pub(crate) fn set_unknown_tool<'a>(
        &mut self,
        name: &str,
        available: impl ExactSizeIterator<Item = &'a str>,
    ) -> Outcome {
        let written = self.write(format_args!("Error ({}): ", ErrorKind::NotFound));
        let written = written.and_then(|()| write_unknown(self, name, available));
        debug_assert!(written.is_ok(), "texts do not fail to format");
        let text = Text::format(format_args!("there is no tool `{name}`"));
        Outcome::Error(ToolError::new(ErrorKind::NotFound, text))
    }

    fn write(&mut self, arguments: fmt::Arguments<'_>) -> fmt::Result {
        self.clear();
        self.write_fmt(arguments)
    }
}

/// Appends.
impl Write for Reply {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

impl AsRef<str> for Reply {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}
