//! The parser: chunks in, deltas out, no input or output of its own.

use super::arguments::Arguments;
use super::cursor::{Cursor, Ending, Read, Step, Stop, find_from};
use super::delta::Delta;
use super::family::{Family, Form};
use super::json::{Check, Reach, ValueScan};
use super::message::ParsedMessage;
use super::open::{Body, Open, Place, Rest, Sure};
use super::schema::Signatures;
use super::state::{Leading, Mark, Prose, State};
use crate::tool::spec::ToolSpec;

/// Up to this much held-back text is looked at again with every chunk; beyond, when it has grown by a quarter.
const EAGER: usize = 256;

/// Reads the text of a model while it is generated. Call [`parse_into`](Self::parse_into) for each chunk, then [`finish`](Self::finish).
/// Before the next turn, call [`reset`](Self::reset) or [`reset_after`](Self::reset_after).
///
/// Templates of some models end the prompt with `<think>`. The model's text then begins in its reasoning, without a mark. Make a parser for
/// such a turn with [`Dialect::parser_after`](super::Dialect::parser_after), or reset it with [`reset_after`](Self::reset_after).
///
/// Chunks are `&str`, so cuts fall between characters. The result does not depend on the cuts. Text is passed on at once unless it can be
/// the beginning of markup. Special tokens must be in the text, except the tokens that end a turn.
///
/// All text that is not markup comes out. Line breaks after a mark, and whitespace between marks, count as markup. Text that is held back
/// is kept in one buffer. Literals of Python and Gemma become JSON in memory of their own; other chunks cause no allocation.
///
/// ```
/// use mistral_tools::dialect::{Delta, Dialect};
///
/// let mut parser = Dialect::Hermes.parser(&[]);
/// let mut found = String::new();
/// for chunk in ["One <tool", "_call>{\"name\": \"clo", "ck\", \"arguments\": {}}</tool_call>"] {
///     parser.parse_into(chunk, &mut |delta| match delta {
///         Delta::Text(text) => found += text,
///         Delta::Call { name, .. } => found += name,
///         _ => {}
///     });
/// }
/// parser.finish(&mut |_| {});
/// assert_eq!(found, "One clock");
/// ```
#[derive(Debug, Clone)]
pub struct Parser {
    family: &'static Family,
    tools: Signatures,
    marks: Vec<(&'static str, Mark)>,
    /// The bytes that marks begin with.
    starts: [bool; 256],
    held: String,
    /// The length that the held-back text must reach to be looked at again.
    retry_at: usize,
    state: State,
    calls: usize,
    /// Checks the arguments of the open call: if they are not JSON, the call is incomplete.
    check: Check,
}

type Out<'o> = &'o mut dyn FnMut(Delta<'_>);

impl Parser {
    pub(super) fn new(family: &'static Family, tools: &[ToolSpec]) -> Self {
        let mut marks: Vec<(&'static str, Mark)> = Vec::new();
        for (i, &(think, answer)) in family.reasoning.iter().enumerate() {
            marks.extend([(think, Mark::Think(i)), (answer, Mark::Answer(i))]);
        }
        marks.extend(family.noise.iter().map(|&noise| (noise, Mark::Noise)));
        marks.extend(family.headers.iter().map(|&(text, end)| (text, Mark::Header(end, false))));
        marks.extend(family.leading.iter().map(|&(text, end)| (text, Mark::Header(end, true))));
        for (i, shape) in family.shapes.iter().enumerate() {
            marks.extend(shape.openers().map(|text| (text, Mark::Open)));
            if shape.is_json() {
                marks.extend([("{", Mark::Json), ("[", Mark::Json)]);
            }
            marks.extend((0..).zip(shape.close).map(|(bit, &text)| (text, Mark::Close(i, 1 << bit))));
        }
        let mut starts = [false; 256];
        for first in marks.iter().filter_map(|(text, _)| text.bytes().next()) {
            starts[usize::from(first)] = true;
        }
        let state = State::Prose(Prose::START);
        let tools = Signatures::new(tools);
        Self {
            family,
            tools,
            marks,
            starts,
            held: String::new(),
            retry_at: 0,
            state,
            calls: 0,
            check: Check::default(),
        }
    }

    /// Forgets the text read so far, and keeps the dialect and the tools. The next turn begins in the answer.
    pub fn reset(&mut self) {
        self.reset_after("");
    }

    /// Does as [`reset`](Self::reset), for a turn that continues a rendered prompt. If the prompt ends with the mark that opens
    /// reasoning, the turn begins in reasoning.
    pub fn reset_after(&mut self, prompt: &str) {
        self.held.clear();
        self.retry_at = 0;
        self.calls = 0;
        let reasoning = open_reasoning(self.family, prompt);
        let leading = if reasoning.is_some() { Leading::Mark } else { Leading::Start };
        self.state = State::Prose(Prose { reasoning, leading, ..Prose::START });
        self.check.reset(false);
    }

    /// Reads the next chunk and gives what is certain now. The deltas borrow from the chunk and from the parser.
    pub fn parse_into(&mut self, chunk: &str, out: Out<'_>) {
        if self.held.is_empty() {
            let read = self.advance(chunk, out);
            self.held.push_str(&chunk[read..]);
        } else {
            self.held.push_str(chunk);
            if self.held.len() < self.retry_at {
                return;
            }
            let mut held = std::mem::take(&mut self.held);
            let read = self.advance(&held, out);
            held.drain(..read);
            self.held = held;
        }
        let length = self.held.len();
        self.retry_at = if length < EAGER { 0 } else { length.saturating_add(length / 4) };
    }

    /// Ends the turn: gives what was held back, ends a call that is open, and resets the parser.
    pub fn finish(&mut self, out: Out<'_>) {
        let held = std::mem::take(&mut self.held);
        let read = self.advance(&held, out);
        let rest = &held[read..];
        let index = self.calls.saturating_sub(1);
        match &mut self.state {
            State::Prose(prose) => {
                // A mark can be the beginning of another mark, and text can follow one; now nothing follows.
                let active = |&&(_, mark): &&(&str, Mark)| match mark {
                    Mark::Close(shape, bit) => prose.closes(shape, bit),
                    Mark::Noise => prose.reasoning.is_none(),
                    Mark::Header(end, leading) => end.is_empty() && prose.header(leading),
                    Mark::Open | Mark::Json | Mark::Think(_) | Mark::Answer(_) => false,
                };
                let whole = |word: &str| self.marks.iter().filter(active).any(|(text, _)| *text == word);
                let word = rest.trim_ascii();
                // Two marks, where the second may be a beginning only.
                let first =
                    self.marks.iter().filter(|(text, _)| word.starts_with(text)).max_by_key(|(text, _)| text.len());
                let noise =
                    first.filter(|(_, mark)| *mark == Mark::Noise).map_or(word, |(text, _)| &word[text.len()..]);
                let begins = |text: &str| !text.is_empty() && self.marks.iter().any(|(mark, _)| mark.starts_with(text));
                let second = Some(noise.trim_ascii_start()).filter(|text| text.len() < word.len() && begins(text));
                let rest = second.filter(|_| prose.reasoning.is_none() && !whole(word)).unwrap_or(rest);
                let blank = prose.leading == Leading::Mark && word.is_empty();
                if !blank && !whole(rest.trim_ascii()) {
                    give(Delta::Fragment(rest), out);
                }
            }
            State::After(shape, place) => {
                let mut passed = 0;
                let _ = self.family.shapes[*shape].next(rest, *place, &self.tools, &mut passed);
                if !rest[passed..].trim().is_empty() {
                    give(Delta::Fragment(&rest[passed..]), out);
                }
            }
            State::Closing(..) => {
                out(Delta::End { index, complete: self.check.is_whole() });
                if !rest.trim().is_empty() {
                    out(Delta::Fragment(rest));
                }
            }
            State::Arguments(shape, _, arguments) => {
                let check = &mut self.check;
                let mut give = |text: &str| {
                    check.read(text);
                    give(Delta::Arguments { index, text }, out);
                };
                let ending = arguments.finish(rest, &self.tools, &self.family.shapes[*shape], &mut give);
                out(Delta::End { index, complete: ending == Some(Ending::Whole) && self.check.is_whole() });
                if ending.is_none() && !rest.trim().is_empty() {
                    out(Delta::Fragment(rest));
                }
            }
        }
        self.held = held;
        self.reset();
    }

    /// Whether what was read last is reasoning: what looks like a call there is none.
    pub fn in_reasoning(&self) -> bool {
        matches!(&self.state, State::Prose(prose) if prose.reasoning.is_some())
    }

    /// Reads a whole message.
    pub fn parse(&mut self, text: &str) -> ParsedMessage {
        let mut message = ParsedMessage::default();
        self.parse_into(text, &mut |delta| message.push(delta));
        self.finish(&mut |delta| message.push(delta));
        message
    }

    /// Reads as much as is certain; gives how much that is.
    fn advance(&mut self, text: &str, out: Out<'_>) -> usize {
        let mut at = 0;
        while at < text.len() {
            match self.step(&text[at..], out) {
                Ok(read) => at += read,
                Err(_) => break,
            }
        }
        at
    }

    /// One step: what it read, which is nothing only if the state changed. Never [`Stop::No`].
    fn step(&mut self, text: &str, out: Out<'_>) -> Read<usize> {
        let shapes = self.family.shapes;
        let index = self.calls.saturating_sub(1);
        match &mut self.state {
            State::Prose(prose) => {
                let prose = *prose;
                self.prose(prose, text, out)
            }
            State::Arguments(shape, place, arguments) => {
                let (shape, place) = (*shape, *place);
                let check = &mut self.check;
                let mut give = |text: &str| {
                    check.read(text);
                    give(Delta::Arguments { index, text }, out);
                };
                let (read, ending) = match arguments.step(text, &self.tools, &shapes[shape], &mut give)? {
                    Step::Read(read) => return Ok(read),
                    Step::End(read, ending) => (read, ending),
                };
                match ending {
                    Ending::Whole => self.close(shape, place, out),
                    Ending::Broken => {
                        out(Delta::End { index, complete: false });
                        self.state = State::After(shape, place);
                    }
                    Ending::Cut => {
                        out(Delta::End { index, complete: false });
                        self.state = State::after(shape);
                    }
                }
                Ok(read)
            }
            State::Closing(shape, place) => {
                let (shape, place) = (*shape, *place);
                match shapes[shape].rest(text, place) {
                    Ok(Rest::Key(read, id)) => {
                        if let Some(id) = id.filter(|_| !place.identified) {
                            out(Delta::Id { index, id: &id });
                            self.state = State::Closing(shape, Place { identified: true, ..place });
                        }
                        Ok(read)
                    }
                    Ok(Rest::Again(read)) => {
                        self.check.spoil();
                        Ok(read)
                    }
                    Ok(Rest::Close(read)) => {
                        self.close(shape, Place { objects: place.objects.saturating_sub(1), ..place }, out);
                        Ok(read)
                    }
                    Ok(Rest::Call(open)) => {
                        out(Delta::End { index, complete: self.check.is_whole() });
                        Ok(self.begin(shape, open, out))
                    }
                    Err(Stop::More) => Err(Stop::More),
                    Err(Stop::No) => {
                        out(Delta::End { index, complete: self.check.is_whole() });
                        self.state = State::after(shape);
                        Ok(0)
                    }
                }
            }
            State::After(shape, place) => {
                let shape = *shape;
                let mut passed = 0;
                match shapes[shape].next(text, *place, &self.tools, &mut passed) {
                    Ok(open) => Ok(self.begin(shape, open, out)),
                    Err(Stop::More) => Err(Stop::More),
                    Err(Stop::No) => {
                        self.state = State::after(shape);
                        Ok(passed)
                    }
                }
            }
        }
    }

    /// Goes on after arguments that are complete.
    fn close(&mut self, shape: usize, place: Place, out: Out<'_>) {
        if place.objects > 0 {
            self.state = State::Closing(shape, place);
        } else {
            out(Delta::End { index: self.calls.saturating_sub(1), complete: self.check.is_whole() });
            self.state = State::After(shape, place);
        }
    }

    /// Begins a call.
    fn begin(&mut self, shape: usize, open: Open<'_>, out: Out<'_>) -> usize {
        let index = self.calls;
        self.calls += 1;
        out(Delta::Call { index, name: &open.name });
        if let Some(id) = &open.id {
            out(Delta::Id { index, id });
        }
        let place = Place { identified: open.id.is_some(), ..open.place };
        // Arguments in JSON are passed on as they are; other readers of JSON let the last of equal keys count.
        let form = &self.family.shapes[shape].form;
        self.check.reset(matches!(form, Form::Tagged(_) | Form::Elements(_) | Form::Literal(_)));
        let check = &mut self.check;
        let mut give = |text: &str| {
            check.read(text);
            give(Delta::Arguments { index, text }, out);
        };
        match open.body {
            Body::Read(text) => {
                give(&text);
                self.close(shape, place, out);
            }
            Body::Follows => {
                let tool = self.tools.position(&open.name);
                let arguments = Arguments::begin(self.family, shape, tool, &mut give);
                self.state = State::Arguments(shape, place, arguments);
            }
        }
        open.length
    }

    /// Text or reasoning up to the next mark, or the mark.
    fn prose(&mut self, prose: Prose, text: &str, out: Out<'_>) -> Read<usize> {
        let family = self.family;
        if let Some(mut scan) = prose.json {
            let (read, json) = match scan.scan(text, &[]) {
                Reach::Open(read) => (read, Some(scan)),
                Reach::Closed(read) | Reach::Cut(read, _) => (read, None),
            };
            give(prose.delta(&text[..read]), out);
            self.state = State::Prose(Prose { json, ..prose.after(&text[..read]) });
            return Ok(read);
        }
        // An inactive mark is as good as none: no text begins with NUL.
        let literals = self.marks.iter().map(|&(text, mark)| if is_active(family, mark, &prose) { text } else { "" });
        let found = find_from(text, literals, |c| self.starts[usize::from(c)]);
        let (Ok((at, _)) | Err(at)) = found;
        let before = &text[..at];
        let word = before.trim_ascii_start();
        if prose.leading == Leading::Text && at > 0 {
            give(prose.delta(before), out);
            self.state = State::Prose(prose.after(before));
            return Ok(at);
        }
        if !word.is_empty() {
            let space = before.len() - word.len();
            if prose.reasoning.is_none() && self.calls == 0 {
                match self.bare(&text[space..]) {
                    Ok((shape, open)) => return Ok(space + self.begin(shape, open, out)),
                    Err(Stop::More) => return Err(Stop::More),
                    Err(Stop::No) => {}
                }
            }
            give(prose.delta(prose.kept(before, space)), out);
            self.state = State::Prose(prose.after(before));
            return Ok(at);
        }
        // Here the text is whitespace, then a mark, the beginning of one, or nothing.
        let (at, which) = found.map_err(|_| Stop::More)?;
        let (literal, mark) = self.marks[which];
        let next = Prose { leading: Leading::Mark, ..prose };
        let mut read = at + literal.len();
        let recognised = match mark {
            Mark::Open | Mark::Json => match self.open(&text[at..], mark, prose) {
                Ok((shape, open)) => return Ok(at + self.begin(shape, open, out)),
                Err(stop) => Err(stop),
            },
            // A line break at the end of a mark makes it one wherever it stands.
            Mark::Noise if prose.leading == Leading::Text && !literal.ends_with('\n') => {
                let mut cursor = Cursor { text, at: read };
                cursor.space();
                let others =
                    self.marks.iter().filter(|&&(_, mark)| mark != Mark::Json && is_active(family, mark, &next));
                let others: Vec<&str> = others.map(|&(text, _)| text).collect();
                cursor.peek().and_then(|_| cursor.follows(others.iter())).map(|()| next)
            }
            Mark::Header(end, _) => header(&text[read..], end).map(|length| {
                read += length;
                next
            }),
            Mark::Think(i) => Ok(Prose { reasoning: Some(i), ..next }),
            Mark::Answer(_) => Ok(Prose { reasoning: None, ..next }),
            Mark::Close(shape, bit) => Ok(Prose { close: next.close.map(|(_, passed)| (shape, passed | bit)), ..next }),
            Mark::Noise => Ok(next),
        };
        self.state = match recognised {
            Ok(next) => State::Prose(next),
            Err(Stop::More) => return Err(Stop::More),
            Err(Stop::No) => {
                let json = if mark == Mark::Json { json(&text[at..])? } else { None };
                read = at + text[at..].chars().next().map_or(0, char::len_utf8);
                give(prose.delta(prose.kept(&text[..read], at)), out);
                State::Prose(Prose { json, ..prose.after(&text[..read]) })
            }
        };
        Ok(read)
    }

    /// Opens a call that begins with a mark or with a JSON bracket.
    fn open<'t>(&self, text: &'t str, mark: Mark, prose: Prose) -> Read<(usize, Open<'t>)> {
        let alone = prose.leading != Leading::Text && self.calls == 0;
        let sure = if alone { Sure::Alone(&self.tools) } else { Sure::Within(&self.tools, prose.line) };
        for (i, shape) in self.family.shapes.iter().enumerate() {
            let read = match mark {
                Mark::Json if shape.is_json() => shape.open_bare(text, sure),
                Mark::Json => Err(Stop::No),
                _ => shape.open(text, &self.tools),
            };
            match read {
                Err(Stop::No) => {}
                read => return read.map(|open| (i, open)),
            }
        }
        Err(Stop::No)
    }

    /// A call without a mark: of a known tool, or with arguments if no tools are known.
    fn bare<'t>(&self, text: &'t str) -> Read<(usize, Open<'t>)> {
        for (i, shape) in self.family.shapes.iter().enumerate() {
            if shape.is_json() {
                continue;
            }
            match shape.open_bare(text, Sure::Marked) {
                Err(Stop::No) => {}
                // A word that begins the name of no tool needs no waiting.
                Err(Stop::More) if shape.bare == Some("") && shape.named() && !self.tools.may_begin(text) => {}
                Err(Stop::More) => return Err(Stop::More),
                Ok(open) => {
                    let known = match (self.tools.is_empty(), &open.body) {
                        (false, _) => self.tools.position(&open.name).is_some(),
                        (true, Body::Read(text)) => text != "{}",
                        (true, Body::Follows) => true,
                    };
                    if known {
                        return Ok((i, open));
                    }
                }
            }
        }
        Err(Stop::No)
    }
}

/// Returns whether a mark counts at a place.
fn is_active(family: &Family, mark: Mark, prose: &Prose) -> bool {
    match (mark, prose.reasoning) {
        (Mark::Answer(i), Some(reasoning)) => i == reasoning,
        (Mark::Open, Some(_)) => family.calls_end_reasoning,
        (_, Some(_)) | (Mark::Answer(_), None) => false,
        (Mark::Header(_, leading), None) => prose.header(leading),
        (Mark::Open | Mark::Json | Mark::Noise, None) => true,
        (Mark::Close(shape, bit), None) => prose.closes(shape, bit),
        (Mark::Think(_), None) => prose.leading != Leading::Text,
    }
}

fn give(delta: Delta<'_>, out: Out<'_>) {
    if !matches!(
        delta,
        Delta::Text("") | Delta::Reasoning("") | Delta::Fragment("") | Delta::Arguments { text: "", .. }
    ) {
        out(delta);
    }
}

/// Returns a scan of a JSON value after its bracket, if the text looks like a JSON value.
fn json(text: &str) -> Read<Option<ValueScan>> {
    let mut cursor = Cursor::new(text);
    let first = cursor.peek()?;
    cursor.at += 1;
    cursor.space();
    let next = cursor.peek()?;
    let is_json = match first {
        b'{' => matches!(next, b'"' | b'}'),
        _ => matches!(next, b'"' | b'{' | b'[' | b']' | b'-' | b'0'..=b'9'),
    };
    let mut scan = ValueScan::default();
    Ok((is_json && scan.scan(&text[..1], &[]) == Reach::Open(1)).then_some(scan))
}

/// The length of a name and of the mark after it.
fn header(text: &str, end: &str) -> Read<usize> {
    let mut cursor = Cursor::new(text);
    if !end.is_empty() {
        cursor.name()?;
        cursor.literal(end)?;
    }
    Ok(cursor.at)
}

/// The pair of marks that a prompt ends in: the last that it opens and does not close.
fn open_reasoning(family: &Family, prompt: &str) -> Option<usize> {
    let prompt = prompt.trim_ascii_end();
    family.reasoning.iter().position(|(think, _)| prompt.ends_with(think.trim_ascii_end()))
}
