//! JSON while it arrives: where a value ends, and text written as a JSON string.

use super::cursor::{Stop, is_scalar, starts_with};

/// Where a value ends, found without looking twice at a byte. Brackets are counted, not matched: what is wrong with the value is for
/// its reader to say, who can tell the model.
#[derive(Debug, Clone, Default)]
pub(super) struct ValueScan {
    depth: usize,
    string: bool,
    escape: bool,
    scalar: bool,
}

/// How far a value goes in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Through all of it, or to where a mark may begin.
    Open(usize),
    /// To here, where it is complete.
    Closed(usize),
    /// To here, where a mark of this length cuts it off.
    Cut(usize, usize),
}

impl ValueScan {
    /// Goes on with the next text. Marks that begin with what JSON has no use for outside of strings end a value early.
    pub(super) fn scan(&mut self, text: &str, marks: &[&str]) -> Reach {
        let mut escaped = std::mem::take(&mut self.escape);
        for (i, c) in text.bytes().enumerate() {
            if self.string {
                match c {
                    _ if escaped => escaped = false,
                    b'\\' => escaped = true,
                    b'"' => {
                        self.string = false;
                        if self.depth == 0 {
                            return Reach::Closed(i + 1);
                        }
                    }
                    _ => {}
                }
                continue;
            }
            if self.scalar && !is_scalar(c) {
                return Reach::Closed(i);
            }
            match c {
                b'"' => self.string = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' if self.depth <= 1 => return Reach::Closed(if self.depth == 1 { i + 1 } else { i }),
                b'}' | b']' => self.depth -= 1,
                b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' => {}
                c if is_scalar(c) => self.scalar = self.depth == 0,
                _ => {
                    let mut cut = None;
                    for mark in marks.iter().filter(|mark| mark.as_bytes().first() == Some(&c)) {
                        match starts_with(&text[i..], mark) {
                            Ok(()) => cut = cut.max(Some(mark.len())),
                            Err(Stop::No) => {}
                            Err(Stop::More) => return Reach::Open(i),
                        }
                    }
                    if let Some(length) = cut {
                        return Reach::Cut(i, length);
                    }
                }
            }
        }
        self.escape = escaped;
        Reach::Open(text.len())
    }
}

/// Gives text as the inside of a JSON string, in pieces.
pub(super) fn escape(text: &str, out: &mut dyn FnMut(&str)) {
    let mut from = 0;
    for (i, c) in text.bytes().enumerate() {
        let mut code = *b"\\u0000";
        let escaped = match c {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0..0x20 => {
                code[4] = b"01"[usize::from(c >> 4)];
                code[5] = b"0123456789abcdef"[usize::from(c & 15)];
                str::from_utf8(&code).unwrap_or("")
            }
            _ => continue,
        };
        if from < i {
            out(&text[from..i]);
        }
        out(escaped);
        from = i + 1;
    }
    if from < text.len() {
        out(&text[from..]);
    }
}

/// Gives text as a JSON string.
pub(super) fn quoted(text: &str, out: &mut dyn FnMut(&str)) {
    out("\"");
    escape(text, out);
    out("\"");
}

/// Whether a text is one JSON value. Deep nesting is refused, not followed.
pub(super) fn is_value(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_measured_across_chunks() {
        for (text, length) in
            [(r#"{"a": "}\"\\"} x"#, 14), ("12 ", 2), (r#""a\"" "#, 5), ("[[[1]]]}", 7), ("{}", 2), ("}", 0)]
        {
            for split in 0..text.len() {
                let mut scan = ValueScan::default();
                let found = match scan.scan(&text[..split], &[]) {
                    Reach::Open(at) if at == split => match scan.scan(&text[split..], &[]) {
                        Reach::Closed(at) => split + at,
                        other => panic!("{other:?}"),
                    },
                    Reach::Closed(at) => at,
                    other => panic!("{other:?}"),
                };
                assert_eq!(found, length, "{text} at {split}");
            }
        }
        assert_eq!(ValueScan::default().scan("{\"a\": [1</x> b", &["</x>"]), Reach::Cut(8, 4));
        assert_eq!(ValueScan::default().scan("{\"a\": \"</x>\", </", &["</x>"]), Reach::Open(14));
    }

    #[test]
    fn text_becomes_a_json_string() {
        for text in ["", "a\"b\\c\n\r\té\u{1f}\u{0}｜", "\u{7f}\u{2028}"] {
            let mut json = String::from("\"");
            escape(text, &mut |piece| json.push_str(piece));
            json.push('"');
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }
}
