//! The kind of a file that was found in place of a checkpoint, detected by its first bytes.
//!
//! Sources of the signatures: the git-lfs specification (docs/spec.md), the ZIP specification (PKWARE APPNOTE), Python's pickle
//! protocol 2 to 5, llama.cpp before August 2023 for the formats older than GGUF.

use std::fmt;

/// The kind of a file that is not of the expected kind. The text of each kind says what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileKind {
    /// A file of zero bytes.
    Empty,
    /// A file whose first bytes are all zero, as an unfinished download leaves them.
    Zeros,
    /// The few lines of text that git keeps in place of a large file.
    GitLfsPointer {
        /// The size in bytes of the file that the pointer stands for.
        size: Option<u64>,
    },
    /// A page of a web server.
    Html,
    /// A JSON document.
    Json,
    /// Other text.
    Text {
        /// The beginning of its first line.
        start: String,
    },
    /// A zip archive, which `torch.save` writes.
    Zip,
    /// A Python pickle, which older versions of `torch.save` write.
    Pickle,
    /// Compressed data or an archive.
    Packed {
        /// The program that packs and unpacks such data.
        by: &'static str,
    },
    /// A model file of ggml from before GGUF.
    OldGgml {
        /// The name of the format: `ggml`, `ggmf`, `ggjt` or `ggla`.
        magic: &'static str,
    },
    /// A GGUF file.
    Gguf,
    /// A safetensors file.
    Safetensors,
    /// A directory.
    Directory,
    /// A device, a pipe or a socket.
    Special,
    /// None of these.
    Unknown {
        /// The first bytes, at most eight.
        start: Vec<u8>,
    },
}

/// Signatures of packed data.
const PACKED: &[(&[u8], &str)] = &[
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\xfd7zXZ\0", "xz"),
    (b"BZh", "bzip2"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"Rar!", "rar"),
];

/// The bytes of a number whose hexadecimal digits spell the name, as little-endian machines wrote it.
const OLD_GGML: &[(&[u8], &str)] = &[(b"lmgg", "ggml"), (b"fmgg", "ggmf"), (b"tjgg", "ggjt"), (b"algg", "ggla")];

/// How many bytes are examined for a kind without a signature.
const LOOKED_AT: usize = 512;

impl FileKind {
    /// Detects the kind of a file by its first bytes; later bytes are ignored.
    ///
    /// ```
    /// use mistral_models::loader::FileKind;
    /// assert_eq!(FileKind::of(b"<!DOCTYPE html><html>"), FileKind::Html);
    /// ```
    pub fn of(bytes: &[u8]) -> Self {
        let first = bytes.get(..LOOKED_AT).unwrap_or(bytes);
        let named = |table: &[(&[u8], &'static str)]| {
            table.iter().find(|(magic, _)| first.starts_with(magic)).map(|(_, name)| *name)
        };
        if first.is_empty() {
            return Self::Empty;
        }
        if first.starts_with(b"GGUF") {
            return Self::Gguf;
        }
        if first.starts_with(b"PK\x03\x04") || first.starts_with(b"PK\x05\x06") {
            return Self::Zip;
        }
        if let Some(by) = named(PACKED) {
            return Self::Packed { by };
        }
        if first.get(257..262) == Some(b"ustar") {
            return Self::Packed { by: "tar" };
        }
        if let Some(magic) = named(OLD_GGML) {
            return Self::OldGgml { magic };
        }
        if first.get(8) == Some(&b'{') && header_length(first).is_some_and(|length| length < 1 << 32) {
            return Self::Safetensors;
        }
        if first.first() == Some(&0x80) && first.get(1).is_some_and(|version| (2..=5).contains(version)) {
            return Self::Pickle;
        }
        if first.iter().all(|byte| *byte == 0) {
            return Self::Zeros;
        }
        Self::text(first).unwrap_or_else(|| Self::Unknown { start: first.iter().take(8).copied().collect() })
    }

    /// Returns the kind of a text, or `None` for other bytes.
    fn text(bytes: &[u8]) -> Option<Self> {
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            // The last character may be cut in two.
            Err(error) if error.error_len().is_none() => std::str::from_utf8(bytes.get(..error.valid_up_to())?).ok()?,
            Err(_) => return None,
        };
        let text = text.trim_start_matches('\u{feff}').trim_start();
        if text.chars().any(|c| c.is_control() && !c.is_whitespace()) {
            return None;
        }
        if text.starts_with("version https://git-lfs.github.com/spec/") {
            let size = text.lines().find_map(|line| line.strip_prefix("size ")?.trim().parse().ok());
            return Some(Self::GitLfsPointer { size });
        }
        let tag = text.get(..text.len().min(14)).unwrap_or_default().to_ascii_lowercase();
        if ["<!doctype html", "<html", "<head", "<?xml", "<body"].iter().any(|known| tag.starts_with(known)) {
            return Some(Self::Html);
        }
        if text.starts_with(['{', '[']) {
            return Some(Self::Json);
        }
        let start = text.lines().next().unwrap_or_default().chars().take(60).collect();
        Some(Self::Text { start })
    }

    /// Returns whether these bytes stand in place of the requested file: nothing, a pointer or a web page.
    pub(crate) fn stands_in(&self) -> bool {
        matches!(self, Self::Empty | Self::Zeros | Self::GitLfsPointer { .. } | Self::Html)
    }
}

/// Returns the length of the header of a safetensors file.
fn header_length(bytes: &[u8]) -> Option<u64> {
    bytes.first_chunk().map(|length| u64::from_le_bytes(*length))
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("an empty file; fetch the file again"),
            Self::Zeros => {
                f.write_str("zeros at its start, as an unfinished download leaves them; fetch the file again")
            }
            Self::GitLfsPointer { size } => {
                f.write_str("a git-lfs pointer")?;
                if let Some(size) = size {
                    write!(f, " to a file of {size} bytes")?;
                }
                f.write_str("; fetch the file itself, for example with `git lfs pull`")
            }
            Self::Html => {
                f.write_str("an HTML page, such as the login or error page of a server; fetch the file itself")
            }
            Self::Json => f.write_str("JSON text; fetch the file itself"),
            Self::Text { start } => write!(f, "text that begins with {start:?}; fetch the file itself"),
            Self::Zip => f.write_str(
                "a zip archive; a checkpoint of `torch.save` must be converted to safetensors, another archive unpacked",
            ),
            Self::Pickle => {
                f.write_str("a Python pickle, such as a checkpoint of `torch.save`; convert it to safetensors")
            }
            Self::Packed { by } => write!(f, "data packed by {by}; unpack it first"),
            Self::OldGgml { magic } => {
                write!(f, "a file of the format `{magic}`, older than GGUF; convert the original model to GGUF")
            }
            Self::Gguf => f.write_str("a GGUF file; give it a name that ends in `.gguf`"),
            Self::Safetensors => f.write_str(
                "a safetensors file; give it a name that ends in `.safetensors` and put its `config.json` next to it",
            ),
            Self::Directory => f.write_str("a directory"),
            Self::Special => f.write_str("a device, a pipe or a socket"),
            Self::Unknown { start } => write!(f, "data of an unknown kind that begins with the bytes {start:02x?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_by_their_first_bytes() {
        let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 16069404\n";
        let mut tar = vec![b'a'; 512];
        tar[100..110].fill(0);
        tar[257..262].copy_from_slice(b"ustar");
        for (bytes, kind, advice) in [
            (b"".as_slice(), FileKind::Empty, "empty"),
            (&[0; 100], FileKind::Zeros, "zeros"),
            (pointer.as_bytes(), FileKind::GitLfsPointer { size: Some(16_069_404) }, "git lfs pull"),
            (b"\n <!DOCTYPE HTML>\n<html>", FileKind::Html, "HTML page"),
            (b"\xef\xbb\xbf<html lang=\"en\">", FileKind::Html, "HTML page"),
            (b"{\"error\": \"Repository not found\"}", FileKind::Json, "JSON"),
            (b"Entry not found", FileKind::Text { start: "Entry not found".into() }, "Entry not found"),
            (b"PK\x03\x04\0\0", FileKind::Zip, "torch.save"),
            (b"\x80\x02}q\0", FileKind::Pickle, "safetensors"),
            (b"\x1f\x8b\x08\0", FileKind::Packed { by: "gzip" }, "unpack"),
            (&tar, FileKind::Packed { by: "tar" }, "unpack"),
            (b"tjgg\x03\0\0\0", FileKind::OldGgml { magic: "ggjt" }, "older than GGUF"),
            (b"GGUF\x03\0\0\0", FileKind::Gguf, ".gguf"),
            (b"\x02\0\0\0\0\0\0\0{}", FileKind::Safetensors, "config.json"),
            (b"\x01\x02\x03", FileKind::Unknown { start: vec![1, 2, 3] }, "01, 02, 03"),
            (b"\xff\xfe<\0h\0", FileKind::Unknown { start: b"\xff\xfe<\0h\0".to_vec() }, "ff, fe"),
        ] {
            let found = FileKind::of(bytes);
            assert_eq!(found, kind);
            assert!(found.to_string().contains(advice), "{found}");
        }
    }

    #[test]
    fn text_that_is_cut_inside_a_character_is_text() {
        let text = "ü".repeat(LOOKED_AT);
        assert!(matches!(FileKind::of(&text.as_bytes()[..LOOKED_AT - 1]), FileKind::Text { .. }));
        assert!(matches!(FileKind::of(text.as_bytes()), FileKind::Text { .. }));
    }
}
