//! JSON while it arrives: where a value ends, and text written as a JSON string.

use std::collections::HashSet;
use std::hash::{BuildHasher, DefaultHasher, Hasher};

use super::cursor::{Stop, is_scalar, starts_with};

/// Where a value ends, found without looking twice at a byte. Brackets are counted, not matched: what is wrong with the value is for
/// its reader to say, who can tell the model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
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

/// Checks one JSON value as it arrives, by the grammar of RFC 8259. Values that are nested deeper than `serde_json` can read are wrong.
#[derive(Debug, Clone, Default)]
pub(super) struct Check {
    /// The open brackets: true for an object's bracket, false for a list's.
    open: Vec<bool>,
    expects: Expects,
    /// Whether no key of the outermost object may come twice.
    distinct: bool,
    /// The hashes of the keys of the outermost object, and the hash of the key that is read.
    keys: HashSet<u64>,
    key: DefaultHasher,
}

/// The tokens that may come next.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Expects {
    #[default]
    Value,
    /// A value, or the end of a list that has just begun.
    Item,
    /// A key, or the end of an object that has just begun.
    Member,
    Key,
    Colon,
    /// A comma or a closing bracket; only whitespace after the outermost value.
    Next,
    /// More of a string, and whether that is a key.
    String(bool),
    Escape(bool),
    /// The number of hexadecimal digits that a string still needs.
    Digits(bool, u8),
    Number(Number),
    /// The rest of a constant.
    Word(&'static str),
    /// Nothing: the text is already wrong.
    Wrong,
}

/// The part of a number that has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Number {
    Sign,
    Zero,
    Integer,
    Point,
    Fraction,
    Exponent,
    ExponentSign,
    ExponentDigits,
}

impl Check {
    /// Begins with another value, in the same memory. With `distinct`, an object in which a key comes twice is wrong; objects inside the
    /// object are not looked at.
    pub(super) fn reset(&mut self, distinct: bool) {
        self.open.clear();
        self.keys.clear();
        (self.expects, self.distinct) = (Expects::default(), distinct);
    }

    /// One level less than the recursion limit of `serde_json`.
    const DEPTH: usize = 127;

    /// Reads more text.
    pub(super) fn read(&mut self, text: &str) {
        for c in text.bytes() {
            let before = self.expects;
            self.expects = self.next(c);
            if self.distinct && self.open.len() == 1 {
                self.compare(before, c);
            }
        }
    }

    /// Compares the keys of the outermost object, of which `c` may be a part.
    fn compare(&mut self, before: Expects, c: u8) {
        match (before, self.expects) {
            (Expects::Member | Expects::Key, Expects::String(true)) => self.key = self.keys.hasher().build_hasher(),
            (Expects::String(true), Expects::Colon) if !self.keys.insert(self.key.finish()) => self.spoil(),
            (Expects::String(true) | Expects::Escape(true) | Expects::Digits(true, _), _) => self.key.write_u8(c),
            _ => {}
        }
    }

    /// Marks the value as wrong, whatever was read or follows.
    pub(super) fn spoil(&mut self) {
        self.expects = Expects::Wrong;
    }

    /// Returns whether the text read so far is one whole value.
    pub(super) fn is_whole(&self) -> bool {
        let ended = match self.expects {
            Expects::Next => true,
            Expects::Number(number) => number.ends(),
            _ => false,
        };
        ended && self.open.is_empty()
    }

    fn next(&mut self, c: u8) -> Expects {
        let space = matches!(c, b' ' | b'\t' | b'\n' | b'\r');
        match (self.expects, c) {
            (Expects::String(key), b'"') => {
                if key {
                    Expects::Colon
                } else {
                    Expects::Next
                }
            }
            (Expects::String(key), b'\\') => Expects::Escape(key),
            (Expects::String(_), 0..0x20) => Expects::Wrong,
            (Expects::String(key), _) => Expects::String(key),
            (Expects::Escape(key), b'u') => Expects::Digits(key, 4),
            (Expects::Escape(key), b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Expects::String(key),
            (Expects::Digits(key, 1), c) if c.is_ascii_hexdigit() => Expects::String(key),
            (Expects::Digits(key, left), c) if c.is_ascii_hexdigit() => Expects::Digits(key, left - 1),
            (Expects::Word(rest), c) => match rest.as_bytes().split_first() {
                Some((first, [])) if *first == c => Expects::Next,
                Some((first, _)) if *first == c => Expects::Word(rest.get(1..).unwrap_or("")),
                _ => Expects::Wrong,
            },
            (Expects::Number(number), c) => match number.next(c) {
                Some(number) => Expects::Number(number),
                None if number.ends() => {
                    self.expects = Expects::Next;
                    self.next(c)
                }
                None => Expects::Wrong,
            },
            (Expects::Wrong | Expects::Escape(_) | Expects::Digits(..), _) => Expects::Wrong,
            (expects, _) if space => expects,
            (Expects::Item, b']') | (Expects::Member, b'}') => self.close(c),
            (Expects::Value | Expects::Item, c) => self.value(c),
            (Expects::Member | Expects::Key, b'"') => Expects::String(true),
            (Expects::Colon, b':') => Expects::Value,
            (Expects::Next, b',') => match self.open.last() {
                Some(true) => Expects::Key,
                Some(false) => Expects::Value,
                None => Expects::Wrong,
            },
            (Expects::Next, b'}' | b']') => self.close(c),
            _ => Expects::Wrong,
        }
    }

    fn value(&mut self, c: u8) -> Expects {
        match c {
            b'{' | b'[' if self.open.len() >= Self::DEPTH => Expects::Wrong,
            b'{' | b'[' => {
                self.open.push(c == b'{');
                if c == b'{' { Expects::Member } else { Expects::Item }
            }
            b'"' => Expects::String(false),
            b't' => Expects::Word("rue"),
            b'f' => Expects::Word("alse"),
            b'n' => Expects::Word("ull"),
            b'-' => Expects::Number(Number::Sign),
            b'0' => Expects::Number(Number::Zero),
            b'1'..=b'9' => Expects::Number(Number::Integer),
            _ => Expects::Wrong,
        }
    }

    fn close(&mut self, c: u8) -> Expects {
        if self.open.pop() == Some(c == b'}') { Expects::Next } else { Expects::Wrong }
    }
}

impl Number {
    fn next(self, c: u8) -> Option<Self> {
        match (self, c) {
            (Self::Sign, b'0') => Some(Self::Zero),
            (Self::Sign, b'1'..=b'9') | (Self::Integer, b'0'..=b'9') => Some(Self::Integer),
            (Self::Zero | Self::Integer, b'.') => Some(Self::Point),
            (Self::Point | Self::Fraction, b'0'..=b'9') => Some(Self::Fraction),
            (Self::Zero | Self::Integer | Self::Fraction, b'e' | b'E') => Some(Self::Exponent),
            (Self::Exponent, b'+' | b'-') => Some(Self::ExponentSign),
            (Self::Exponent | Self::ExponentSign | Self::ExponentDigits, b'0'..=b'9') => Some(Self::ExponentDigits),
            _ => None,
        }
    }

    fn ends(self) -> bool {
        matches!(self, Self::Zero | Self::Integer | Self::Fraction | Self::ExponentDigits)
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
    fn values_are_checked_as_serde_json_does() {
        let pieces = [
            "{",
            "}",
            "[",
            "]",
            ":",
            ",",
            "\"",
            "\"a\"",
            "\\",
            "\\u00e9",
            "\\u12",
            "1",
            "-",
            "0",
            "01",
            ".",
            "e",
            "E+",
            "2.5e-3",
            "true",
            "nul",
            "null",
            " ",
            "\n",
            "\u{1}",
            "é",
            "\"\\n\\/\"",
            "\"x\": ",
            "[]",
            "{}",
        ];
        let (mut seed, mut right) = (7u64, 0);
        for _ in 0..60_000 {
            let mut text = String::new();
            for _ in 0..1 + seed % 7 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                text += pieces[usize::try_from(seed >> 33).unwrap() % pieces.len()];
            }
            let mut check = Check::default();
            check.read(&text);
            assert_eq!(check.is_whole(), is_value(&text), "{text}");
            right += usize::from(check.is_whole());
        }
        assert!(right > 1_000, "{right}");
        for depth in [126, 127, 128, 129] {
            let text = ["[".repeat(depth), "]".repeat(depth)].concat();
            let mut check = Check::default();
            check.read(&text);
            assert_eq!(check.is_whole(), serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{depth}");
        }
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
