//! Template text to tokens, with the whitespace rules of Jinja2 under `trim_blocks` and `lstrip_blocks`.
//!
//! Source of the rules: Jinja2 3.1 documentation, "Whitespace Control", and the behaviour of its lexer: newlines become `\n`, one
//! trailing newline is dropped, a block or comment alone at the start of its line swallows the blanks before it and the newline after it.

use std::sync::Arc;

use super::Fault;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Text(Arc<str>),
    BlockBegin,
    BlockEnd,
    OutputBegin,
    OutputEnd,
    Name(Arc<str>),
    Str(Arc<str>),
    Int(i128),
    Float(f64),
    Operator(&'static str),
}

#[derive(Debug, Clone)]
pub(super) struct Spanned {
    pub(super) token: Token,
    pub(super) line: usize,
}

/// Python's `str.isspace`: Unicode white space and the four separators U+001C..U+001F.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

pub(super) fn tokenize(source: &str) -> Result<Vec<Spanned>, Fault> {
    let mut text = source.replace("\r\n", "\n").replace('\r', "\n");
    if text.ends_with('\n') {
        text.pop();
    }
    let mut lexer = Lexer { source: &text, at: 0, line: 1, line_starting: true, tokens: Vec::new() };
    lexer.run()?;
    Ok(lexer.tokens)
}

/// Longest first.
const OPERATORS: [&str; 26] = [
    "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}", ">", "<", "=", ".",
    ":", "|", ",", ";",
];

struct Lexer<'a> {
    source: &'a str,
    at: usize,
    line: usize,
    line_starting: bool,
    tokens: Vec<Spanned>,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        self.source.get(self.at..).unwrap_or_default()
    }

    fn fail<T>(&self, detail: impl Into<String>) -> Result<T, Fault> {
        Err(Fault::at(self.line, detail))
    }

    fn push(&mut self, token: Token) {
        self.tokens.push(Spanned { token, line: self.line });
    }

    /// Steps over `len` bytes, counting lines.
    fn advance(&mut self, len: usize) {
        let passed = self.rest().get(..len).unwrap_or_default();
        self.line += passed.bytes().filter(|&b| b == b'\n').count();
        if let Some(last) = passed.bytes().last() {
            self.line_starting = last == b'\n';
        }
        self.at += len;
    }

    fn run(&mut self) -> Result<(), Fault> {
        while self.at < self.source.len() {
            let rest = self.rest();
            let Some(open) = find_open(rest) else {
                self.text(rest, rest.len());
                return Ok(());
            };
            let tag = &rest[open..];
            let sign = tag[2..].chars().next().filter(|c| matches!(c, '-' | '+'));
            self.text(strip_before(&rest[..open], sign, !tag.starts_with("{{"), self.line_starting), open);
            let begin = 2 + sign.map_or(0, char::len_utf8);
            if tag.starts_with("{#") {
                self.advance(begin);
                self.comment()?;
            } else if let Some(len) = tag.starts_with("{%").then(|| raw_begin(tag)).flatten() {
                self.advance(len);
                self.raw()?;
            } else {
                let block = tag.starts_with("{%");
                self.advance(begin);
                self.push(if block { Token::BlockBegin } else { Token::OutputBegin });
                self.inside(block)?;
            }
        }
        Ok(())
    }

    fn text(&mut self, text: &str, len: usize) {
        if !text.is_empty() {
            self.push(Token::Text(text.into()));
        }
        self.advance(len);
    }

    fn comment(&mut self) -> Result<(), Fault> {
        let Some(end) = self.rest().find("#}") else { return self.fail("missing end of comment tag") };
        let sign = self.rest()[..end].chars().next_back().filter(|c| matches!(c, '-' | '+'));
        self.advance(end + 2);
        self.after_tag(sign);
        Ok(())
    }

    /// Swallows what the end of a block or comment swallows: all white space after `-`, one newline without a sign.
    fn after_tag(&mut self, sign: Option<char>) {
        let rest = self.rest();
        match sign {
            Some('-') => self.advance(rest.len() - rest.trim_start_matches(is_space).len()),
            None if rest.starts_with('\n') => self.advance(1),
            _ => {}
        }
    }

    fn raw(&mut self) -> Result<(), Fault> {
        let rest = self.rest();
        let mut from = 0;
        while let Some(open) = rest[from..].find("{%").map(|i| i + from) {
            let tag = &rest[open + 2..];
            let sign = tag.chars().next().filter(|c| matches!(c, '-' | '+'));
            let name = tag[sign.map_or(0, char::len_utf8)..].trim_start_matches(is_space);
            let Some(end) = name.strip_prefix("endraw").map(|t| t.trim_start_matches(is_space)) else {
                from = open + 2;
                continue;
            };
            let end_sign = end.chars().next().filter(|c| matches!(c, '-' | '+'));
            let close = &end[end_sign.map_or(0, char::len_utf8)..];
            if !close.starts_with("%}") {
                from = open + 2;
                continue;
            }
            self.text(strip_before(&rest[..open], sign, true, self.line_starting), open);
            self.advance(rest.len() - open - close.len() + 2);
            self.after_tag(end_sign);
            return Ok(());
        }
        self.fail("missing end of raw directive")
    }

    /// The tokens of one `{% %}` or `{{ }}`.
    fn inside(&mut self, block: bool) -> Result<(), Fault> {
        let mut brackets = Vec::new();
        loop {
            let rest = self.rest();
            let Some(c) = rest.chars().next() else { return self.fail("unexpected end of template inside a tag") };
            if is_space(c) {
                self.advance(rest.len() - rest.trim_start_matches(is_space).len());
                continue;
            }
            if brackets.is_empty() && self.close(block) {
                return Ok(());
            }
            if c == '"' || c == '\'' {
                self.string(c)?;
            } else if c.is_ascii_digit() {
                self.number()?;
            } else if c == '_' || c.is_alphabetic() {
                let len = rest.find(|c: char| !(c == '_' || c.is_alphanumeric())).unwrap_or(rest.len());
                self.push(Token::Name(rest[..len].into()));
                self.advance(len);
            } else if let Some(&operator) = OPERATORS.iter().find(|o| rest.starts_with(**o)) {
                match operator {
                    "(" => brackets.push(")"),
                    "[" => brackets.push("]"),
                    "{" => brackets.push("}"),
                    ")" | "]" | "}" if brackets.pop() != Some(operator) => {
                        return self.fail(format!("unexpected '{operator}'"));
                    }
                    _ => {}
                }
                self.push(Token::Operator(operator));
                self.advance(operator.len());
            } else {
                return self.fail(format!("unexpected char {c:?}"));
            }
        }
    }

    /// Steps over the end of the tag when it stands here.
    fn close(&mut self, block: bool) -> bool {
        let rest = self.rest();
        let end = if block { "%}" } else { "}}" };
        let sign = rest.chars().next().filter(|c| *c == '-' || (block && *c == '+'));
        if !rest[sign.map_or(0, char::len_utf8)..].starts_with(end) {
            return false;
        }
        self.push(if block { Token::BlockEnd } else { Token::OutputEnd });
        self.advance(2 + sign.map_or(0, char::len_utf8));
        if block || sign.is_some() {
            self.after_tag(sign);
        }
        true
    }

    fn string(&mut self, quote: char) -> Result<(), Fault> {
        let rest = self.rest();
        let mut escaped = false;
        for (i, c) in rest.char_indices().skip(1) {
            if escaped {
                escaped = false;
            } else if c == '\\' {
                escaped = true;
            } else if c == quote {
                let value = unescape(&rest[1..i]).or_else(|detail| self.fail(detail))?;
                self.push(Token::Str(value.into()));
                self.advance(i + 1);
                return Ok(());
            }
        }
        self.fail("string without end")
    }

    fn number(&mut self) -> Result<(), Fault> {
        let rest = self.rest();
        let bytes = rest.as_bytes();
        let byte = |i: usize| bytes.get(i).copied().unwrap_or(0);
        let run = |from: usize, radix: u32| {
            let mut i = from;
            while (byte(i) as char).is_digit(radix) || (byte(i) == b'_' && (byte(i + 1) as char).is_digit(radix)) {
                i += 1;
            }
            i
        };
        let radix = match (byte(0), byte(1).to_ascii_lowercase()) {
            (b'0', b'x') => 16,
            (b'0', b'o') => 8,
            (b'0', b'b') => 2,
            _ => 10,
        };
        let mut end = if radix == 10 { run(0, 10) } else { run(2, radix) };
        let mut float = false;
        // `1.2` is a float except after a dot (`a.0.1`), as the lexer's look-behind has it.
        let after_dot = matches!(self.tokens.last(), Some(Spanned { token: Token::Operator("."), .. }));
        if radix == 10 && !after_dot {
            if byte(end) == b'.' && byte(end + 1).is_ascii_digit() {
                end = run(end + 1, 10);
                float = true;
            }
            let sign = usize::from(matches!(byte(end + 1), b'+' | b'-'));
            if byte(end).eq_ignore_ascii_case(&b'e') && byte(end + 1 + sign).is_ascii_digit() {
                end = run(end + 1 + sign, 10);
                float = true;
            }
        }
        let digits = rest[..end].replace('_', "");
        let token = if float {
            digits.parse().ok().map(Token::Float)
        } else if radix == 10 {
            digits.parse().ok().map(Token::Int)
        } else {
            i128::from_str_radix(&digits[2..], radix).ok().map(Token::Int)
        };
        let Some(token) = token else { return self.fail(format!("number {digits} cannot be represented")) };
        self.push(token);
        self.advance(end);
        Ok(())
    }
}

fn find_open(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    (0..bytes.len().saturating_sub(1)).find(|&i| bytes[i] == b'{' && matches!(bytes[i + 1], b'%' | b'{' | b'#'))
}

/// The text before a tag, less what the tag's sign or `lstrip_blocks` takes from its end.
fn strip_before(text: &str, sign: Option<char>, lstrip: bool, line_starting: bool) -> &str {
    match sign {
        Some('-') => text.trim_end_matches(is_space),
        None if lstrip => {
            let line = text.rfind('\n').map_or(0, |i| i + 1);
            let blank = text[line..].chars().all(is_space);
            if blank && (line > 0 || line_starting) { &text[..line] } else { text }
        }
        _ => text,
    }
}

/// The length of `{% raw %}` when it stands at the start of `tag`, with the white space that `-%}` takes.
fn raw_begin(tag: &str) -> Option<usize> {
    let after = tag.strip_prefix("{%")?;
    let after = after.strip_prefix(['-', '+']).unwrap_or(after).trim_start_matches(is_space);
    let after = after.strip_prefix("raw")?.trim_start_matches(is_space);
    let rest = match after.strip_prefix("-%}") {
        Some(rest) => rest.trim_start_matches(is_space),
        None => after.strip_prefix("%}")?,
    };
    Some(tag.len() - rest.len())
}

/// Python's string escapes; an unknown one keeps its backslash.
fn unescape(text: &str) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        let Some(escape) = chars.next() else { break };
        let hex = match escape {
            'x' => 2,
            'u' => 4,
            'U' => 8,
            _ => 0,
        };
        match escape {
            '\n' => {}
            '\\' | '\'' | '"' => out.push(escape),
            'n' => out.push('\n'),
            't' => out.push('\t'),
            'r' => out.push('\r'),
            'a' => out.push('\u{7}'),
            'b' => out.push('\u{8}'),
            'f' => out.push('\u{c}'),
            'v' => out.push('\u{b}'),
            '0'..='7' => {
                let mut code = escape.to_digit(8).unwrap_or(0);
                for _ in 0..2 {
                    let Some(digit) = chars.peek().and_then(|c| c.to_digit(8)) else { break };
                    code = code * 8 + digit;
                    chars.next();
                }
                out.extend(char::from_u32(code));
            }
            _ if hex > 0 => {
                let digits: String = chars.by_ref().take(hex).collect();
                let code = u32::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == hex);
                match code.and_then(char::from_u32) {
                    Some(c) => out.push(c),
                    None => return Err(format!("string escape \\{escape}{digits} is not a character")),
                }
            }
            'N' => return Err("string escape \\N{...} is not supported".into()),
            _ => out.extend(['\\', escape]),
        }
    }
    Ok(out)
}
