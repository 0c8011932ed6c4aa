//! The parser: chunks in, deltas out, no input or output of its own.

use super::arguments::{Arguments, Step};
use super::cursor::{Cursor, Read, Stop, find_from};
use super::family::Family;
use super::open::{Body, Open, Place, Rest, rest_of_envelope};
use super::schema::Signatures;
use super::state::{Leading, Mark, Prose, State};
use super::{Delta, Message};
use crate::ToolSpec;

/// Up to this much held-back text is looked at again with every chunk; beyond, when it has grown by a quarter.
const EAGER: usize = 256;

/// Reads what a model writes, while it is written: [`parse_into`](Self::parse_into) for each chunk, then [`finish`](Self::finish);
/// [`reset`](Self::reset) or [`reset_after`](Self::reset_after) before the next turn.
///
/// Chunks are `&str`, so they are cut between characters; how they are cut does not change what is found. Text is given on at once
/// unless it can be the beginning of markup. Special tokens must be in the text; those that end a turn should not be.
///
/// Everything that is not markup comes out. Line breaks after a mark, and whitespace between marks, count as markup.
/// What is held back is kept in one buffer; chunks are not allocated for otherwise.
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
            marks.extend((0..).zip(shape.close).map(|(bit, &text)| (text, Mark::Close(i, 1 << bit))));
        }
        let mut starts = [false; 256];
        for first in marks.iter().filter_map(|(text, _)| text.bytes().next()) {
            starts[usize::from(first)] = true;
        }
        let state = State::Prose(Prose::START);
        let tools = Signatures::new(tools);
        Self { family, tools, marks, starts, held: String::new(), retry_at: 0, state, calls: 0 }
    }

    /// Forgets what was read, keeps dialect and tools.
    pub fn reset(&mut self) {
        self.reset_after("");
    }

    /// As [`reset`](Self::reset), for a turn that continues a prompt: it begins in the reasoning that the prompt has opened, if it
    /// has. Templates of some models end the prompt with `<think>`.
    pub fn reset_after(&mut self, prompt: &str) {
        self.held.clear();
        self.retry_at = 0;
        self.calls = 0;
        let reasoning = open_reasoning(self.family, prompt);
        let leading = if reasoning.is_some() { Leading::Mark } else { Leading::Start };
        self.state = State::Prose(Prose { reasoning, leading, close: None });
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
                // A mark can be the beginning of another mark; now nothing follows.
                let word = rest.trim_ascii_start();
                let whole = |&(text, mark): &(&str, Mark)| match mark {
                    Mark::Close(shape, bit) => prose.closes(shape, bit) && text == word,
                    Mark::Noise => prose.reasoning.is_none() && text == word,
                    Mark::Header(end, leading) => end.is_empty() && prose.header(leading) && text == word,
                    Mark::Open | Mark::Think(_) | Mark::Answer(_) => false,
                };
                let blank = prose.leading == Leading::Mark && word.is_empty();
                if !blank && !self.marks.iter().any(whole) {
                    give(Delta::Fragment(rest), out);
                }
            }
            State::After(shape, place) => {
                let mut passed = 0;
                let _ = self.family.shapes[*shape].next(rest, *place, &mut passed);
                if !rest[passed..].trim().is_empty() {
                    give(Delta::Fragment(&rest[passed..]), out);
                }
            }
            State::Closing(..) => {
                out(Delta::End { index, complete: true });
                if !rest.trim().is_empty() {
                    out(Delta::Fragment(rest));
                }
            }
            State::Arguments(_, _, arguments) => {
                let used = arguments.finish(rest, &mut |text| give(Delta::Arguments { index, text }, out));
                out(Delta::End { index, complete: false });
                if !used && !rest.trim().is_empty() {
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
    pub fn parse(&mut self, text: &str) -> Message {
        let mut message = Message::default();
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
                let mut give = |text: &str| give(Delta::Arguments { index, text }, out);
                match arguments.step(text, &self.tools, shapes[shape].close, &mut give)? {
                    Step::Read(read) => Ok(read),
                    Step::End(read, true) => {
                        self.close(shape, place, out);
                        Ok(read)
                    }
                    Step::End(read, false) => {
                        out(Delta::End { index, complete: false });
                        self.state = State::after(shape);
                        Ok(read)
                    }
                }
            }
            State::Closing(shape, place) => {
                let (shape, place) = (*shape, *place);
                match rest_of_envelope(text) {
                    Ok(Rest::Key(read, id)) => {
                        if let Some(id) = id.filter(|_| !place.identified) {
                            out(Delta::Id { index, id });
                            self.state = State::Closing(shape, Place { identified: true, ..place });
                        }
                        Ok(read)
                    }
                    Ok(Rest::Close(read)) => {
                        self.close(shape, Place { objects: place.objects.saturating_sub(1), ..place }, out);
                        Ok(read)
                    }
                    Err(Stop::More) => Err(Stop::More),
                    Err(Stop::No) => {
                        out(Delta::End { index, complete: true });
                        self.state = State::after(shape);
                        Ok(0)
                    }
                }
            }
            State::After(shape, place) => {
                let shape = *shape;
                let mut passed = 0;
                match shapes[shape].next(text, *place, &mut passed) {
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
            out(Delta::End { index: self.calls.saturating_sub(1), complete: true });
            self.state = State::After(shape, place);
        }
    }

    /// Begins a call.
    fn begin(&mut self, shape: usize, open: Open<'_>, out: Out<'_>) -> usize {
        let index = self.calls;
        self.calls += 1;
        out(Delta::Call { index, name: open.name });
        if let Some(id) = open.id {
            out(Delta::Id { index, id });
        }
        let place = Place { identified: open.id.is_some(), ..open.place };
        let mut give = |text: &str| give(Delta::Arguments { index, text }, out);
        match open.body {
            Body::Read(text) => {
                give(&text);
                self.close(shape, place, out);
            }
            Body::Follows => {
                let tool = self.tools.position(open.name);
                let arguments = Arguments::begin(&self.family.shapes[shape].form, tool, &mut give);
                self.state = State::Arguments(shape, place, arguments);
            }
        }
        open.length
    }

    /// Text or reasoning up to the next mark, or the mark.
    fn prose(&mut self, prose: Prose, text: &str, out: Out<'_>) -> Read<usize> {
        let family = self.family;
        let active = |mark: Mark| match (mark, prose.reasoning) {
            (Mark::Answer(i), Some(reasoning)) => i == reasoning,
            (Mark::Open, Some(_)) => family.calls_end_reasoning,
            (_, Some(_)) | (Mark::Answer(_), None) => false,
            (Mark::Header(_, leading), None) => prose.header(leading),
            (Mark::Open | Mark::Noise, None) => true,
            (Mark::Close(shape, bit), None) => prose.closes(shape, bit),
            (Mark::Think(_), None) => prose.leading != Leading::Text,
        };
        // An inactive mark is as good as none: no text begins with NUL.
        let literals = self.marks.iter().map(|&(text, mark)| if active(mark) { text } else { "" });
        let found = find_from(text, literals, |c| self.starts[usize::from(c)]);
        let (Ok((at, _)) | Err(at)) = found;
        let before = &text[..at];
        let word = before.trim_ascii_start();
        if prose.leading == Leading::Text && at > 0 {
            give(prose.delta(before), out);
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
            self.state = State::Prose(Prose { leading: Leading::Text, ..prose });
            return Ok(at);
        }
        // Here the text is whitespace, then a mark, the beginning of one, or nothing.
        let (at, which) = found.map_err(|_| Stop::More)?;
        let (literal, mark) = self.marks[which];
        let next = Prose { leading: Leading::Mark, ..prose };
        let mut read = at + literal.len();
        let recognised = match mark {
            Mark::Open => match self.open(&text[at..]) {
                Ok((shape, open)) => return Ok(at + self.begin(shape, open, out)),
                Err(stop) => Err(stop),
            },
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
                read = at + text[at..].chars().next().map_or(0, char::len_utf8);
                give(prose.delta(prose.kept(&text[..read], at)), out);
                State::Prose(Prose { leading: Leading::Text, ..prose })
            }
        };
        Ok(read)
    }

    fn open<'t>(&self, text: &'t str) -> Read<(usize, Open<'t>)> {
        for (i, shape) in self.family.shapes.iter().enumerate() {
            match shape.open(text) {
                Err(Stop::No) => {}
                read => return read.map(|open| (i, open)),
            }
        }
        Err(Stop::No)
    }

    /// A call without a mark: of a known tool, or with arguments if no tools are known.
    fn bare<'t>(&self, text: &'t str) -> Read<(usize, Open<'t>)> {
        for (i, shape) in self.family.shapes.iter().enumerate().filter(|(_, shape)| shape.bare.is_some()) {
            match shape.open_bare(text) {
                Err(Stop::No) => {}
                // A word that begins the name of no tool needs no waiting.
                Err(Stop::More) if shape.bare == Some("") && shape.named() && !self.tools.may_begin(text) => {}
                Err(Stop::More) => return Err(Stop::More),
                Ok(open) => {
                    let known = match (self.tools.is_empty(), &open.body) {
                        (false, _) => self.tools.position(open.name).is_some(),
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

fn give(delta: Delta<'_>, out: Out<'_>) {
    if !matches!(
        delta,
        Delta::Text("") | Delta::Reasoning("") | Delta::Fragment("") | Delta::Arguments { text: "", .. }
    ) {
        out(delta);
    }
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
