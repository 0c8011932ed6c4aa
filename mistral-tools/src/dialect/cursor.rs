//! Reading the beginning of a text of which the rest may not be there yet.
//!
//! Every answer is final: what is `Ok` or [`Stop::No`] for a text is the same for every longer text that begins with it. This is why
//! chunks do not matter: a decision is made late or early, but never differently.

/// Why a reading did not succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// No continuation of the text makes it succeed.
    No,
    /// The text ends before that is known.
    More,
}

pub(super) type Read<T> = Result<T, Stop>;

/// One step of reading arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Bytes that were read.
    Read(usize),
    /// The number of bytes read; the arguments end there.
    End(usize, Ending),
}

/// How arguments end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// The arguments end where they should, and are valid.
    Whole,
    /// The arguments end where they should, but are wrong.
    Broken,
    /// The arguments end too early.
    Cut,
}

/// The longest name that is taken for one.
const NAME_LIMIT: usize = 128;

/// A place in a text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'t> {
    pub(super) text: &'t str,
    pub(super) at: usize,
}

impl<'t> Cursor<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, at: 0 }
    }

    pub(super) fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or("")
    }

    /// The next byte.
    pub(super) fn peek(&self) -> Read<u8> {
        self.text.as_bytes().get(self.at).copied().ok_or(Stop::More)
    }

    /// Passes the whitespace that is there.
    pub(super) fn space(&mut self) {
        while self.peek().is_ok_and(|c| matches!(c, b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Whether a literal follows, which is then passed.
    pub(super) fn optional(&mut self, literal: &str) -> Read<bool> {
        match starts_with(self.rest(), literal) {
            Ok(()) => {
                self.at += literal.len();
                Ok(true)
            }
            Err(Stop::No) => Ok(false),
            Err(Stop::More) => Err(Stop::More),
        }
    }

    /// Passes a literal.
    pub(super) fn literal(&mut self, literal: &str) -> Read<()> {
        if self.optional(literal)? { Ok(()) } else { Err(Stop::No) }
    }

    /// Passes the longest of the literals that follows.
    pub(super) fn any(&mut self, literals: &[&str]) -> Read<()> {
        let mut best = None;
        for literal in literals {
            match starts_with(self.rest(), literal) {
                Ok(()) => best = best.max(Some(literal.len())),
                Err(Stop::No) => {}
                Err(Stop::More) => return Err(Stop::More),
            }
        }
        self.at += best.ok_or(Stop::No)?;
        Ok(())
    }

    /// Returns whether one of the literals follows.
    pub(super) fn follows<'l>(&self, literals: impl Iterator<Item = &'l &'l str>) -> Read<()> {
        let mut all = Err(Stop::No);
        for literal in literals {
            match starts_with(self.rest(), literal) {
                Ok(()) => return Ok(()),
                Err(Stop::More) => all = Err(Stop::More),
                Err(Stop::No) => {}
            }
        }
        all
    }

    /// Skips a name as [`name`](Self::name) does, with or without quotes around it.
    pub(super) fn quoted_name(&mut self) -> Read<&'t str> {
        let quote = match self.peek()? {
            b'"' => "\"",
            b'\'' => "'",
            _ => "",
        };
        self.literal(quote)?;
        let name = self.name()?;
        self.literal(quote)?;
        Ok(name)
    }

    /// Passes the text up to the first of some literals, and that; gives the text and which. It is at most 128 bytes in one line.
    pub(super) fn until(&mut self, ends: &[&str]) -> Read<(&'t str, usize)> {
        let rest = self.rest();
        let (length, found) = match find(rest, ends.iter().copied()) {
            Ok((at, which)) => (at, Some(which)),
            Err(at) => (at, None),
        };
        if length > NAME_LIMIT || rest[..length].contains('\n') {
            return Err(Stop::No);
        }
        let which = found.ok_or(Stop::More)?;
        self.at += length + ends[which].len();
        Ok((&rest[..length], which))
    }

    /// Passes a name of a tool or of a parameter: letters, digits and `_-.:/$@`, at least one and ended by something else.
    pub(super) fn name(&mut self) -> Read<&'t str> {
        let rest = self.rest();
        let length = rest.bytes().take_while(|&c| is_name(c)).count();
        if length > NAME_LIMIT {
            return Err(Stop::No);
        }
        if length == rest.len() {
            return Err(Stop::More);
        }
        if length == 0 {
            return Err(Stop::No);
        }
        self.at += length;
        Ok(&rest[..length])
    }

    /// Passes a JSON string; gives what is between the quotes, escapes as they stand.
    pub(super) fn string(&mut self) -> Read<&'t str> {
        self.literal("\"")?;
        let rest = self.rest();
        let mut bytes = rest.bytes().enumerate();
        while let Some((i, c)) = bytes.next() {
            match c {
                b'"' => {
                    self.at += i + 1;
                    return Ok(&rest[..i]);
                }
                b'\\' => {
                    bytes.next();
                }
                _ => {}
            }
        }
        Err(Stop::More)
    }

    /// Passes a JSON value, of which only the nesting, the strings and the alphabet of the rest are checked.
    pub(super) fn value(&mut self) -> Read<&'t str> {
        let start = self.at;
        let mut depth = 0usize;
        loop {
            match self.peek()? {
                b'"' => {
                    self.string()?;
                }
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' if depth > 0 => {
                    depth -= 1;
                    self.at += 1;
                }
                b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' if depth > 0 => self.at += 1,
                c if is_scalar(c) => {
                    while is_scalar(self.peek()?) {
                        self.at += 1;
                    }
                }
                _ => return Err(Stop::No),
            }
            if depth == 0 {
                return Ok(&self.text[start..self.at]);
            }
        }
    }
}

/// Whether a text begins with a literal.
pub(super) fn starts_with(text: &str, literal: &str) -> Read<()> {
    starts_with_bytes(text.as_bytes(), literal.as_bytes())
}

fn starts_with_bytes(text: &[u8], literal: &[u8]) -> Read<()> {
    if text.len() >= literal.len() {
        if text.starts_with(literal) { Ok(()) } else { Err(Stop::No) }
    } else if literal.starts_with(text) {
        Err(Stop::More)
    } else {
        Err(Stop::No)
    }
}

pub(super) fn is_name(c: u8) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-' | b'.' | b':' | b'/' | b'$' | b'@')
}

/// Bytes of JSON's numbers and words.
pub(super) fn is_scalar(c: u8) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, b'-' | b'+' | b'.')
}

/// The first of some literals in a text: where and which, the longest where several begin at one place. If none is there, `Err` is
/// where the end of the text begins that a longer text can make one of them. One pass.
pub(super) fn find<'l>(text: &str, literals: impl Iterator<Item = &'l str> + Clone) -> Result<(usize, usize), usize> {
    find_from(text, literals, |_| true)
}

/// The same, for literals that begin only with some bytes.
pub(super) fn find_from<'l>(
    text: &str,
    literals: impl Iterator<Item = &'l str> + Clone,
    starts: impl Fn(u8) -> bool,
) -> Result<(usize, usize), usize> {
    let bytes = text.as_bytes();
    for (at, _) in bytes.iter().enumerate().filter(|&(_, &c)| starts(c)) {
        let (mut best, mut open) = (None, false);
        for (which, literal) in literals.clone().enumerate() {
            if literal.as_bytes().first() == Some(&bytes[at]) {
                match starts_with_bytes(&bytes[at..], literal.as_bytes()) {
                    Ok(()) => best = best.max(Some((literal.len(), which))),
                    Err(stop) => open |= stop == Stop::More,
                }
            }
        }
        match best {
            _ if open => return Err(at),
            Some((_, which)) => return Ok((at, which)),
            None => {}
        }
    }
    Err(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_end_where_they_end() {
        let value = |text| Cursor::new(text).value();
        assert_eq!(value(r#"{"a}": [1, "\"]"]} x"#), Ok(r#"{"a}": [1, "\"]"]}"#));
        assert_eq!(value("12,"), Ok("12"));
        assert_eq!(value("12"), Err(Stop::More));
        assert_eq!(value("{\"a\": <"), Err(Stop::No));
        assert_eq!(value(&"[".repeat(100_000)), Err(Stop::More));
    }

    #[test]
    fn the_first_and_longest_literal_is_found() {
        let find = |text: &str, literals: &[&str]| super::find(text, literals.iter().copied());
        assert_eq!(find("a<b>c<bc>", &["<bc>", "<b>"]), Ok((1, 1)));
        assert_eq!(find("a<b>c", &["<b>", "<b>c"]), Ok((1, 1)));
        assert_eq!(find("a<b>", &["b>", "<b>c"]), Err(1));
        assert_eq!(find("ab<", &["<b>", "c"]), Err(2));
        assert_eq!(find("ab", &["<b>"]), Err(2));
        assert_eq!(find("aé｜", &["｜x"]), Err(3));
    }
}
