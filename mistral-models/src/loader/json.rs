//! Configuration files as JSON objects, with the one liberty that published ones take.

use serde_json::{Map, Value};

use crate::error::Error;
use crate::loader::file_kind::FileKind;
use crate::loader::limits::Limits;

/// Parses a JSON object.
///
/// Python writes infinite numbers as bare `Infinity`, which is not JSON but stands in published configurations. They
/// are read as `{"__float__": "Infinity"}`, the spelling that newer versions of the same software write; likewise
/// `-Infinity` and `NaN`.
pub(crate) fn object(bytes: &[u8], what: &str, limits: &Limits) -> Result<Map<String, Value>, Error> {
    // One more than the separators is at least the number of values; those inside strings are counted too, which does
    // no harm.
    let found = bytes.iter().filter(|b| matches!(b, b',' | b'[' | b'{')).count() as u64 + 1;
    for (measured, found, limit) in
        [("size", bytes.len() as u64, limits.config_bytes), ("number of values", found, limits.config_values)]
    {
        if found > limit {
            return Err(Error::Limit { what: format!("{measured} of {what}"), limit, found });
        }
    }
    serde_json::from_slice(bytes)
        .or_else(|error| match quote_bare_floats(bytes) {
            Some(quoted) => serde_json::from_slice(&quoted),
            None => Err(error),
        })
        .map_err(|error| malformed(bytes, what, &error))
}

/// Returns the error of a file that is not the expected JSON: the kind of the file, or the place of the fault in the JSON.
pub(crate) fn malformed(bytes: &[u8], what: &str, error: &serde_json::Error) -> Error {
    match FileKind::of(bytes) {
        FileKind::Json if error.is_eof() => {
            let detail = format!(
                "is truncated: the JSON text ends early, after {} bytes; fetch the file again ({error})",
                bytes.len()
            );
            Error::malformed(what, detail)
        }
        FileKind::Json | FileKind::Text { .. } | FileKind::Unknown { .. } => Error::malformed(what, error.to_string()),
        found => Error::WrongFile { what: what.to_owned(), expected: "JSON text", found },
    }
}

/// `None` when there is nothing to replace.
fn quote_bare_floats(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    let (mut in_string, mut replaced) = (false, false);
    while let Some((&byte, tail)) = rest.split_first() {
        if !in_string
            && let Some(word) = ["-Infinity", "Infinity", "NaN"].iter().find(|w| rest.starts_with(w.as_bytes()))
        {
            out.extend_from_slice(format!("{{\"__float__\": \"{word}\"}}").as_bytes());
            rest = rest.get(word.len()..).unwrap_or_default();
            replaced = true;
            continue;
        }
        let taken = match byte {
            b'\\' if in_string => 2,
            b'"' => {
                in_string = !in_string;
                1
            }
            _ => 1,
        };
        out.extend(rest.iter().take(taken));
        rest = tail.get(taken - 1..).unwrap_or_default();
    }
    replaced.then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(bytes: &[u8], what: &str) -> Result<Map<String, Value>, Error> {
        super::object(bytes, what, &Limits::default())
    }

    #[test]
    fn bare_infinities_are_read_as_their_quoted_spelling() {
        let read = object(br#"{"a": [0.0, Infinity], "b": -Infinity, "c": "Infinity \" NaN", "d": NaN}"#, "x").unwrap();
        assert_eq!(read["a"][1]["__float__"], "Infinity");
        assert_eq!(read["b"]["__float__"], "-Infinity");
        assert_eq!(read["c"], "Infinity \" NaN");
        assert_eq!(read["d"]["__float__"], "NaN");
    }

    #[test]
    fn damage_is_an_error_with_the_file_name() {
        for text in ["", "[]", "{", "{\"a\": \"\\", "{\"a\": Infinit}", "\u{feff}{}"] {
            assert!(object(text.as_bytes(), "config.json").unwrap_err().to_string().starts_with("config.json"));
        }
        let error = object(b"{\"a\": [1, 2", "config.json").unwrap_err().to_string();
        assert!(error.contains("truncated") && error.contains("after 11 bytes"), "{error}");
        let many = format!("{{\"a\": [{}0]}}", "0,".repeat(100_000));
        assert!(matches!(object(many.as_bytes(), "config.json"), Err(Error::Limit { .. })));
        let deep = "[".repeat(10_000);
        assert!(object(deep.as_bytes(), "config.json").is_err());
    }
}
