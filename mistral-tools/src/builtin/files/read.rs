//! The tool that reads a text file, page by page.

use std::io::Read;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Directories, FileError, check, encoding, failed};
use crate::{
    builder::{
        invoke::Invoke,
        schema::SchemaType,
        steps::{Callable, ToolBuilder},
    },
    conversation::cancel::CancellationToken,
};

/// Bytes of a file that are read at once; the encoding is told by the first.
const CHUNK: usize = 64 << 10;

/// The arguments of the tool that reads files.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, JsonSchema)]
pub struct ReadFile {
    /// The file: the name of a directory, and the path within, with `/` in between.
    pub path: String,
    /// The first line to read, from 1; left out for the start.
    #[serde(default)]
    pub line: Option<u64>,
    /// Bytes of the first line to leave out; left out for none.
    #[serde(default)]
    pub column: Option<u64>,
    /// The most lines to read; left out for as many as fit.
    #[serde(default)]
    pub lines: Option<u64>,
}

/// A part of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FileText {
    /// The text.
    pub text: String,
    /// The encoding of the file.
    pub encoding: &'static str,
    /// Whether bytes that mean nothing in the encoding were replaced by U+FFFD, in what was read so far.
    pub replaced: bool,
    /// Where to go on, if this is not the end.
    pub next: Option<Position>,
}

/// A place in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct Position {
    /// The line, from 1.
    pub line: u64,
    /// The bytes of the line before it, in UTF-8.
    pub column: u64,
}

impl Directories {
    /// The most bytes of text in one reply.
    pub const MAX_TEXT: usize = 32 << 10;
    /// The most bytes of a file that are gone through to find a line.
    pub const MAX_FILE: u64 = 64 << 20;

    /// The tool that reads text files, named `read_file`; hooks may be added before it is built.
    pub fn read_tool(&self) -> Callable<ReadFile, FileText, Self, impl Invoke<ReadFile, Self, FileText>> {
        ToolBuilder::named("read_file")
            .description(
                "Reads a text file, or a part of it from a line on. A reply that is not the end says where to go on.",
            )
            .with(self.clone())
            .request_schema::<ReadFile>(SchemaType::Serde)
            .result_schema::<FileText>(SchemaType::Serde)
            .on_invocation(|conversation, _, arguments, directories| {
                let token = conversation.execution().token();
                directories.read_with(&arguments, token).map_err(FileError::into_tool_error)
            })
    }

    /// Reads a part of a text file, without a tool around it.
    ///
    /// # Errors
    /// [`FileError`]; [`FileError::Binary`] for what is not text, and [`FileError::Beyond`] for a place after the end or after
    /// [`MAX_FILE`](Self::MAX_FILE).
    ///
    /// ```
    /// use mistral_tools::builtin::{Directories, FileError, ReadFile};
    /// let nothing = Directories::new();
    /// let file = ReadFile { path: "/etc/passwd".into(), ..ReadFile::default() };
    /// assert!(matches!(nothing.read(&file), Err(FileError::Outside)));
    /// ```
    pub fn read(&self, arguments: &ReadFile) -> Result<FileText, FileError> {
        self.read_with(arguments, None)
    }

    fn read_with(&self, arguments: &ReadFile, token: Option<&CancellationToken>) -> Result<FileText, FileError> {
        let mut file = self.open(&arguments.path)?;
        let mut bytes = vec![0; CHUNK];
        let mut filled = fill(&mut file, &mut bytes)?;
        let mut is_last = filled < CHUNK;
        let encoding = encoding::detect(bytes.get(..filled).unwrap_or_default(), is_last)?;
        let mut decoder = encoding.new_decoder_with_bom_removal();
        let mut page = Page::new(arguments);
        let (mut replaced, mut total) = (false, 0_u64);
        let mut text = String::new();
        loop {
            check(token)?;
            let chunk = bytes.get(..filled).unwrap_or_default();
            text.clear();
            text.reserve(decoder.max_utf8_buffer_length(chunk.len()).unwrap_or(3 * CHUNK + 16));
            let (_, _, had_errors) = decoder.decode_to_string(chunk, &mut text, is_last);
            replaced |= had_errors;
            if text.contains('\0') {
                return Err(FileError::Binary("application/octet-stream"));
            }
            if page.take(&text) || is_last {
                break;
            }
            total += filled as u64;
            if total >= Self::MAX_FILE {
                // What was found so far is given; the rest is not read.
                if page.text.is_empty() {
                    return Err(FileError::Beyond);
                }
                page.next = Some(page.at);
                break;
            }
            filled = fill(&mut file, &mut bytes)?;
            is_last = filled < CHUNK;
        }
        let asked_for_more = page.start > Position { line: 1, column: 0 };
        if page.text.is_empty() && page.next.is_none() && asked_for_more && page.at < page.start {
            return Err(FileError::Beyond);
        }
        Ok(FileText { text: page.text, encoding: encoding.name(), replaced, next: page.next })
    }
}

/// Fills the buffer as far as the file goes.
fn fill(file: &mut impl Read, bytes: &mut [u8]) -> Result<usize, FileError> {
    let mut filled = 0;
    while let Some(free) = bytes.get_mut(filled..).filter(|free| !free.is_empty()) {
        match file.read(free) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(filled)
}

/// The part of a text that was asked for, cut at [`Directories::MAX_TEXT`].
struct Page {
    start: Position,
    /// The first line that is not wanted.
    end: u64,
    at: Position,
    text: String,
    next: Option<Position>,
}

impl Page {
    fn new(arguments: &ReadFile) -> Self {
        let line = arguments.line.unwrap_or(1).max(1);
        let start = Position { line, column: arguments.column.unwrap_or(0) };
        let end = line.saturating_add(arguments.lines.unwrap_or(u64::MAX).max(1));
        Self { start, end, at: Position { line: 1, column: 0 }, text: String::new(), next: None }
    }

    /// Goes through more of the text; true when no more is wanted.
    fn take(&mut self, text: &str) -> bool {
        for character in text.chars() {
            let len = character.len_utf8();
            if self.at >= self.start {
                if self.at.line >= self.end || self.text.len() + len > Directories::MAX_TEXT {
                    self.next = Some(self.at);
                    return true;
                }
                self.text.push(character);
            }
            self.at = if character == '\n' {
                Position { line: self.at.line + 1, column: 0 }
            } else {
                Position { line: self.at.line, column: self.at.column + len as u64 }
            };
        }
        false
    }
}
