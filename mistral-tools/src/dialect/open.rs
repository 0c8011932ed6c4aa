//! Recognising a call: from its mark to its arguments, and from one call to the next of the same list.
//!
//! A mark alone is no call: text may speak of `<tool_call>`. A call begins when its name and the beginning of its arguments are there.

use std::borrow::Cow;

use super::cursor::{self, Cursor, Read, Stop};
use super::family::{Form, Literal, Named, Shape, Tagged};
use super::ids::numbered;
use super::json::is_value;
use super::literal;
use super::schema::Signatures;

/// Keys of an envelope for the id of the call.
const IDS: [&str; 3] = ["id", "tool_call_id", "call_id"];
/// Keys of an envelope that say nothing about the call.
const IGNORED: [&str; 2] = ["type", "index"];

/// A call that was recognised.
#[derive(Debug, PartialEq)]
pub(super) struct Open<'t> {
    /// The tool.
    pub(super) name: Cow<'t, str>,
    /// Its id, if that comes before the arguments.
    pub(super) id: Option<Cow<'t, str>>,
    /// Bytes that were read.
    pub(super) length: usize,
    /// What comes now.
    pub(super) body: Body<'t>,
    /// Where the call stands.
    pub(super) place: Place,
}

/// What follows the beginning of a call.
#[derive(Debug, PartialEq)]
pub(super) enum Body<'t> {
    /// Arguments as the form writes them.
    Follows,
    /// Nothing: the arguments have been read.
    Read(Cow<'t, str>),
}

/// What follows the arguments in an envelope.
#[derive(Debug, PartialEq)]
pub(super) enum Rest<'t> {
    /// Another key; the id if it is one.
    Key(usize, Option<Cow<'t, str>>),
    /// A key that contradicts the text so far: a second name or second arguments.
    Again(usize),
    /// The end of an object.
    Close(usize),
    /// Another call in the same object.
    Call(Open<'t>),
}

/// The degree of certainty that a JSON object is a call and not an answer.
#[derive(Debug, Clone, Copy)]
pub(super) enum Sure<'s> {
    /// A mark says so.
    Marked,
    /// The object stands at the beginning of a message or in a fence. It is a call if it calls one of these tools, or if it has a name,
    /// arguments and nothing else.
    Alone(&'s Signatures),
    /// The object stands within text. It is a call if it has arguments and calls one of these tools, or any tool if it begins a line.
    Within(&'s Signatures, bool),
}

impl Sure<'_> {
    fn tools(&self) -> Option<&Signatures> {
        match self {
            Self::Marked => None,
            Self::Alone(tools) | Self::Within(tools, _) => Some(tools),
        }
    }

    /// Returns whether a name alone shows that the object is a call.
    fn knows(&self, name: &str) -> bool {
        match self {
            Self::Marked => true,
            Self::Alone(tools) => tools.is_empty() || tools.position(name).is_some(),
            Self::Within(tools, _) => tools.position(name).is_some(),
        }
    }

    /// Returns whether the call may be a call of an unknown tool.
    fn takes_others(&self) -> bool {
        !matches!(self, Self::Within(_, false))
    }

    /// Returns whether a call may come without arguments.
    fn takes_none(&self) -> bool {
        match self {
            Self::Marked => true,
            Self::Alone(tools) => !tools.is_empty(),
            Self::Within(..) => false,
        }
    }
}

/// What is still to be closed around a call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// A list of calls.
    pub(super) list: bool,
    /// Objects around the arguments.
    pub(super) objects: u8,
    /// Whether the call has an id.
    pub(super) identified: bool,
}

impl Shape {
    /// Reads the beginning of a call, which stands at the beginning of a text.
    pub(super) fn open<'t>(&self, text: &'t str, tools: &Signatures) -> Read<Open<'t>> {
        let mut cursor = Cursor::new(text);
        let section = pass(&mut cursor, self.section)?;
        if section {
            cursor.space();
        }
        let call = pass(&mut cursor, self.call)?;
        if !call && (!section || !self.call.is_empty()) {
            return Err(Stop::No);
        }
        cursor.space();
        let open = self.begin(cursor, self.sure(tools), true)?;
        if let Form::Tagged(tagged) = &self.form
            && !section
        {
            // Without the mark around it, the mark of a call may stand in prose: a parameter or the end of the call must follow.
            let mut rest = Cursor { text, at: open.length };
            rest.space();
            rest.any(&[tagged.key, tagged.close])?;
        }
        Ok(open)
    }

    /// Reads the beginning of a call without a mark.
    pub(super) fn open_bare<'t>(&self, text: &'t str, sure: Sure<'_>) -> Read<Open<'t>> {
        let mut cursor = Cursor::new(text);
        cursor.literal(self.bare.ok_or(Stop::No)?)?;
        self.begin(cursor, sure, false)
    }

    /// Returns how certain the marks of the shape make a call.
    fn sure<'s>(&self, tools: &'s Signatures) -> Sure<'s> {
        if self.is_json() { Sure::Alone(tools) } else { Sure::Marked }
    }

    fn begin<'t>(&self, mut cursor: Cursor<'t>, sure: Sure<'_>, marked: bool) -> Read<Open<'t>> {
        let mut place = Place::default();
        if matches!(self.form, Form::Envelope { .. } | Form::Keyed | Form::Literal(_)) {
            place.list = cursor.optional("[")?;
            self.skip(&mut cursor, Place { list: place.list && marked, ..place })?;
        }
        self.item(cursor, place, sure)
    }

    /// Skips whitespace between calls, and the comments in a list of Python.
    fn skip(&self, cursor: &mut Cursor<'_>, place: Place) -> Read<()> {
        match &self.form {
            Form::Literal(literal) if place.list => literal::blank(cursor, literal)?,
            _ => cursor.space(),
        }
        Ok(())
    }

    /// Reads the beginning of a call in its list.
    fn item<'t>(&self, cursor: Cursor<'t>, place: Place, sure: Sure<'_>) -> Read<Open<'t>> {
        match &self.form {
            Form::Envelope { name, arguments, .. } => envelope(cursor, place, name, arguments, sure),
            Form::Keyed => keyed(cursor, place),
            Form::Named(named) => named.item(cursor, self.close),
            Form::Tagged(tagged) => tagged.item(cursor),
            Form::Elements(_) => element(cursor),
            Form::Literal(literal) => literal.item(cursor, place),
        }
    }

    /// Reads on after a call: the next call of the list if there is one. `passed` is how much was markup, also if
    /// nothing more is.
    pub(super) fn next<'t>(
        &self,
        text: &'t str,
        place: Place,
        tools: &Signatures,
        passed: &mut usize,
    ) -> Read<Open<'t>> {
        let mut cursor = Cursor::new(text);
        match &self.form {
            Form::Named(named) if named.fence => {
                cursor.space();
                cursor.literal("```")?;
                *passed = cursor.at;
                return Err(Stop::No);
            }
            Form::Named(_) | Form::Tagged(_) | Form::Elements(_) => return Err(Stop::No),
            Form::Envelope { .. } | Form::Keyed | Form::Literal(_) => {}
        }
        self.skip(&mut cursor, place)?;
        match cursor.peek()? {
            b']' if place.list => {
                *passed = cursor.at + 1;
                return Err(Stop::No);
            }
            b',' | b';' => {
                cursor.at += 1;
                self.skip(&mut cursor, place)?;
                if place.list && cursor.peek()? == b']' {
                    *passed = cursor.at + 1;
                    return Err(Stop::No);
                }
            }
            _ if place.list => return Err(Stop::No),
            _ => {}
        }
        self.item(cursor, place, self.sure(tools))
    }

    /// Continues reading after the arguments within an object.
    pub(super) fn rest<'t>(&self, text: &'t str, place: Place) -> Read<Rest<'t>> {
        let mut cursor = Cursor::new(text);
        cursor.space();
        if !cursor.optional(",")? {
            cursor.literal("}")?;
            return Ok(Rest::Close(cursor.at));
        }
        cursor.space();
        if cursor.optional("}")? {
            // A comma too many.
            return Ok(Rest::Close(cursor.at));
        }
        if matches!(self.form, Form::Keyed) {
            return keyed_member(cursor, place).map(Rest::Call);
        }
        let key = unescaped(cursor.string()?);
        cursor.space();
        cursor.literal(":")?;
        cursor.space();
        let value = cursor.value()?;
        let again = match &self.form {
            Form::Envelope { name, arguments, .. } => {
                name.first() == Some(&key.as_ref()) || arguments.contains(&key.as_ref())
            }
            _ => false,
        };
        let id = id(value).filter(|_| IDS.contains(&key.as_ref()));
        Ok(if again { Rest::Again(cursor.at) } else { Rest::Key(cursor.at, id) })
    }
}

/// Passes one of some marks if one is there.
fn pass(cursor: &mut Cursor<'_>, marks: &[&str]) -> Read<bool> {
    match cursor.any(marks) {
        Ok(()) => Ok(true),
        Err(Stop::No) => Ok(false),
        Err(Stop::More) => Err(Stop::More),
    }
}

/// Returns the text that the inside of a JSON string stands for. A text with an escape that JSON does not have stands for itself.
fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    serde_json::from_str(&["\"", text, "\""].concat()).map_or(Cow::Borrowed(text), Cow::Owned)
}

/// Returns the id that a value stands for: numbers are as good as strings.
fn id(value: &str) -> Option<Cow<'_, str>> {
    let text = value.strip_prefix('"').and_then(|text| text.strip_suffix('"')).map_or(Cow::Borrowed(value), unescaped);
    Some(text).filter(|text| !matches!(text.as_ref(), "" | "null"))
}

/// The most bytes of an object before the name of its tool, where other keys come first.
const BEFORE_NAME: usize = 1024;

fn envelope<'t>(
    mut cursor: Cursor<'t>,
    place: Place,
    names: &[&str],
    arguments: &[&str],
    sure: Sure<'_>,
) -> Read<Open<'t>> {
    cursor.literal("{")?;
    let (mut objects, mut name, mut known, mut read) = (1u8, None::<Cow<'t, str>>, None, None::<Cow<'t, str>>);
    // Whether there is a key that no call needs.
    let mut more = false;
    loop {
        cursor.space();
        if cursor.optional("}")? {
            let called = name.as_deref().ok_or(Stop::No)?;
            objects -= 1;
            if !sure.knows(called) && objects > 0 {
                cursor.space();
                if cursor.peek()? == b',' {
                    cursor.at += 1;
                }
                continue;
            }
            let is_call = match &read {
                Some(read) => sure.knows(called) || (sure.takes_others() && holds_object(read)),
                None => sure.takes_none() && sure.knows(called) && (!more || sure.tools().is_none()),
            };
            if !is_call {
                return Err(Stop::No);
            }
            let (name, body) = (name.unwrap_or_default(), Body::Read(read.unwrap_or(Cow::Borrowed("{}"))));
            return Ok(Open { name, id: known, length: cursor.at, body, place: Place { objects, ..place } });
        }
        let key = unescaped(cursor.string()?);
        let key = key.as_ref();
        cursor.space();
        cursor.literal(":")?;
        cursor.space();
        let first = cursor.peek()?;
        if name.is_none() && key == "function" && first == b'{' && objects == 1 {
            cursor.at += 1;
            objects = 2;
            continue;
        } else if names.contains(&key) && (name.is_none() || names.first() == Some(&key)) {
            let text = tool(&mut cursor, sure, more)?;
            if let Some(read) = read.take_if(|_| sure.knows(&text)) {
                let place = Place { objects, ..place };
                return Ok(Open { name: text, id: known, length: cursor.at, body: Body::Read(read), place });
            }
            name = Some(text);
        } else if arguments.contains(&key) {
            match name.take_if(|name| sure.knows(name)) {
                Some(_) if first != b'"' && !matches!(first, b'{' | b'[' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => {
                    return Err(Stop::No);
                }
                Some(name) => {
                    let body = if first == b'"' { Body::Read(unquoted(cursor.value()?)) } else { Body::Follows };
                    let place = Place { objects, ..place };
                    return Ok(Open { name, id: known, length: cursor.at, body, place });
                }
                None => read = Some(unquoted(cursor.value()?)),
            }
        } else if IDS.contains(&key) {
            let value = cursor.value()?;
            known = known.or_else(|| id(value));
        } else if IGNORED.contains(&key) {
            cursor.value()?;
        } else {
            more = true;
            skip(&mut cursor, name.as_deref(), sure)?;
        }
        cursor.space();
        match cursor.peek()? {
            b',' => cursor.at += 1,
            b'}' => {}
            _ => return Err(Stop::No),
        }
    }
}

/// Reads the name of the tool. `more` says that a key that no call needs came before.
fn tool<'t>(cursor: &mut Cursor<'t>, sure: Sure<'_>, more: bool) -> Read<Cow<'t, str>> {
    let text = unescaped(cursor.string()?);
    let is_name = sure.tools().is_none() || sure.knows(&text) || text.bytes().all(cursor::is_name);
    if text.is_empty() || text.len() > 128 || !is_name {
        return Err(Stop::No);
    }
    if !sure.knows(&text) && (!sure.takes_others() || more && sure.tools().is_some()) {
        return Err(Stop::No);
    }
    Ok(text)
}

/// Skips the value of a key that no call needs, if the object can still be a call.
fn skip(cursor: &mut Cursor<'_>, name: Option<&str>, sure: Sure<'_>) -> Read<()> {
    if sure.tools().is_none() || name.is_some_and(|name| sure.knows(name)) {
        return cursor.value().map(drop);
    }
    if name.is_some() || sure.tools().is_none_or(Signatures::is_empty) {
        return Err(Stop::No);
    }
    // A known tool may be named later; until then, an answer in JSON is not held back for long.
    match cursor.value() {
        Ok(_) if cursor.at <= BEFORE_NAME => Ok(()),
        Err(Stop::More) if cursor.text.len() <= BEFORE_NAME => Err(Stop::More),
        _ => Err(Stop::No),
    }
}

/// Returns whether JSON text is an object.
fn holds_object(json: &str) -> bool {
    json.starts_with('{') && is_value(json)
}

/// Some models write the arguments as a string that holds JSON, as OpenAI's interface does.
fn unquoted(value: &str) -> Cow<'_, str> {
    match serde_json::from_str::<String>(value) {
        Ok(text) if holds_object(text.trim_start()) => Cow::Owned(text),
        _ => Cow::Borrowed(value),
    }
}

fn keyed<'t>(mut cursor: Cursor<'t>, place: Place) -> Read<Open<'t>> {
    cursor.literal("{")?;
    cursor.space();
    keyed_member(cursor, Place { objects: 1, ..place })
}

fn keyed_member<'t>(mut cursor: Cursor<'t>, place: Place) -> Read<Open<'t>> {
    let name = unescaped(cursor.string()?);
    cursor.space();
    cursor.literal(":")?;
    cursor.space();
    if name.is_empty() || name.len() > 128 || cursor.peek()? != b'{' {
        return Err(Stop::No);
    }
    Ok(Open { name, id: None, length: cursor.at, body: Body::Follows, place })
}

impl Named {
    fn item<'t>(&self, mut cursor: Cursor<'t>, close: &[&str]) -> Read<Open<'t>> {
        let (start, mut id) = (cursor.at, None);
        if !self.prefix.is_empty() {
            cursor.optional(self.prefix)?;
        }
        if !self.after_id.is_empty() {
            id = Some(Cow::Borrowed(cursor.name()?));
            cursor.literal(self.after_id)?;
        }
        let mut name = cursor.name()?;
        if self.numbered
            && let Some((before, _)) = numbered(name)
        {
            id = cursor.text.get(start..cursor.at).map(Cow::Borrowed);
            name = before;
        }
        if !self.before_id.is_empty() && cursor.optional(self.before_id)? {
            id = Some(Cow::Borrowed(cursor.name()?));
        }
        // Some separators begin with whitespace, some models put whitespace before others.
        let mut spaced = cursor;
        spaced.space();
        cursor = match (cursor.any(self.separators), spaced.any(self.separators)) {
            (Ok(()), _) => cursor,
            (Err(Stop::More), _) | (_, Err(Stop::More)) => return Err(Stop::More),
            (_, Ok(())) => spaced,
            (Err(Stop::No), Err(Stop::No)) => return Err(Stop::No),
        };
        cursor.space();
        if self.fence && cursor.optional("```json")? {
            cursor.space();
        }
        if cursor.peek()? == b'{' {
            return Ok(Open { name: name.into(), id, length: cursor.at, body: Body::Follows, place: Place::default() });
        }
        let length = cursor.at;
        cursor.any(close)?;
        let body = Body::Read(Cow::Borrowed("{}"));
        Ok(Open { name: name.into(), id, length, body, place: Place::default() })
    }
}

impl Tagged {
    fn item<'t>(&self, mut cursor: Cursor<'t>) -> Read<Open<'t>> {
        let name = if self.name_end.starts_with('"') { cursor.name()? } else { cursor.quoted_name()? };
        if self.name_end.is_empty() {
            cursor.space();
            let length = cursor.at;
            cursor.any(&[self.key, self.close])?;
            cursor.at = length;
        } else {
            cursor.literal(self.name_end)?;
        }
        if !self.after_number.is_empty() {
            while cursor.peek()?.is_ascii_digit() {
                cursor.at += 1;
            }
            cursor.literal(self.after_number)?;
        }
        Ok(Open { name: name.into(), id: None, length: cursor.at, body: Body::Follows, place: Place::default() })
    }
}

fn element(mut cursor: Cursor<'_>) -> Read<Open<'_>> {
    let name = cursor.quoted_name()?;
    cursor.literal(">")?;
    Ok(Open { name: name.into(), id: None, length: cursor.at, body: Body::Follows, place: Place::default() })
}

impl Literal {
    fn item<'t>(&self, mut cursor: Cursor<'t>, place: Place) -> Read<Open<'t>> {
        cursor.literal(self.prefix)?;
        // `:` is part of names, but not where it stands between keys and values.
        let name = cursor.name()?;
        let (open, close) = self.brackets;
        if cursor.peek()? != open {
            return Err(Stop::No);
        }
        cursor.at += 1;
        let length = cursor.at;
        literal::blank(&mut cursor, self)?;
        if cursor.peek()? != close {
            let key = literal::key(&mut cursor, self)?;
            literal::blank(&mut cursor, self)?;
            let is_name = |c: u8| c.is_ascii_alphanumeric() || c == b'_' || c == b'-';
            if key.len() > 128 || !key.bytes().all(is_name) || cursor.peek()? != self.assign {
                return Err(Stop::No);
            }
        }
        Ok(Open { name: name.into(), id: None, length, body: Body::Follows, place })
    }
}
