//! Arguments as elements, of which each tag stands after a mark, transcribed to a JSON object: objects and lists are elements inside of
//! elements, everything else is text, of which the schema tells what it is.

use super::cursor::{Cursor, Ending, Read, Step, Stop, starts_with};
use super::json::quoted;
use super::schema::{Signatures, Types};
use super::value::{Reach, Value};

/// The key of what is in a list.
const ITEM: &str = "item";
/// The key of the call itself.
const CALL: &str = "invoke";

/// Where in the arguments a text goes on.
#[derive(Debug, Clone)]
pub(super) struct Elements {
    tool: Option<usize>,
    /// The elements that are open, from the call inwards.
    open: Vec<Element>,
    /// What the innermost is.
    inside: Inside,
}

#[derive(Debug, Clone)]
struct Element {
    /// The tag that ends it, with its mark.
    end: String,
    list: bool,
    /// Whether something is in it.
    some: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inside {
    /// An object or a list.
    Tree,
    /// A tree or a value of these types.
    Either(Types),
    /// A value.
    Value(Value),
}

impl Element {
    fn new(mark: &str, key: &str) -> Self {
        Self { end: [mark, "</", key, ">"].concat(), list: false, some: false }
    }

    fn key(&self, mark: &str) -> &str {
        self.end.get(mark.len() + 2..self.end.len() - 1).unwrap_or("")
    }
}

impl Elements {
    /// Arguments of a tool, by its place in the signatures.
    pub(super) fn new(tool: Option<usize>, mark: &str) -> Self {
        Self { tool, open: vec![Element::new(mark, CALL)], inside: Inside::Tree }
    }

    /// Reads on. `close` are marks that end the call early.
    pub(super) fn step(
        &mut self,
        text: &str,
        mark: &str,
        tools: &Signatures,
        close: &[&str],
        out: &mut dyn FnMut(&str),
    ) -> Read<Step> {
        let reach = match self.inside {
            Inside::Value(_) => self.reach(text, mark, tools, close),
            _ => Reach::Open(0),
        };
        let Some(innermost) = self.open.last_mut() else { return Ok(Step::End(0, Ending::Cut)) };
        match self.inside {
            Inside::Value(value) => {
                let (read, ended) = value.step(text, reach, out)?;
                if ended {
                    self.open.pop();
                    self.inside = Inside::Tree;
                }
                Ok(Step::Read(read))
            }
            Inside::Either(types) => {
                let tree = is_tree(text, mark, &innermost.end, types)?;
                match tree {
                    Some(list) => {
                        innermost.list = list;
                        out(if list { "[" } else { "{" });
                        self.inside = Inside::Tree;
                    }
                    None => self.inside = Inside::Value(Value::begin(types, out)),
                }
                Ok(Step::Read(0))
            }
            Inside::Tree => match self.tag(text, mark, tools, close, out) {
                Err(Stop::No) => Ok(Step::End(0, Ending::Cut)),
                read => read,
            },
        }
    }

    /// Finds the end of a value. Its closing tag counts if another tag follows. A value without a closing tag ends at the tag of a known
    /// parameter of its parent, or at the closing tag of its parent.
    fn reach(&self, text: &str, mark: &str, tools: &Signatures, close: &[&str]) -> Reach {
        let [.., parent, innermost] = self.open.as_slice() else { return Reach::Open(0) };
        let tag = [mark, "<"].concat();
        Reach::of(text, &[&innermost.end, &tag], |at, which| {
            let mut cursor = Cursor { text, at };
            let (length, mut passed) = (at, at);
            if which == 0 {
                cursor.literal(&innermost.end)?;
                passed = cursor.at;
            } else if !cursor.optional(&parent.end)? {
                cursor.literal(&tag)?;
                let (key, _) = cursor.until(&[">"])?;
                let path = self.path(mark).take(self.open.len().saturating_sub(2)).chain([Some(key)]);
                return if tools.declares(self.tool, path) { Ok((length, passed)) } else { Err(Stop::No) };
            }
            cursor.space();
            cursor.follows(close.iter().chain(&[tag.as_str()]))?;
            Ok((length, passed))
        })
    }

    /// Returns the keys from the call to the innermost element; list items have no key.
    fn path<'e>(&'e self, mark: &'e str) -> impl ExactSizeIterator<Item = Option<&'e str>> {
        self.open.windows(2).map(|pair| (!pair[0].list).then(|| pair[1].key(mark)))
    }

    /// A tag inside of an object or a list: one more element, or its end.
    fn tag(
        &mut self,
        text: &str,
        mark: &str,
        tools: &Signatures,
        close: &[&str],
        out: &mut dyn FnMut(&str),
    ) -> Read<Step> {
        let outermost = self.open.len() == 1;
        let innermost = self.open.last_mut().ok_or(Stop::No)?;
        let mut cursor = Cursor::new(text);
        cursor.space();
        let (ended, list) = (cursor.optional(&innermost.end)?, innermost.list);
        if ended
            || cursor
                .any(close)
                .map_or_else(|stop| if stop == Stop::No { Ok(false) } else { Err(stop) }, |()| Ok(true))?
        {
            if ended || outermost {
                out(if list { "]" } else { "}" });
                self.open.pop();
            }
            let end = outermost || !ended;
            return Ok(if end {
                Step::End(cursor.at, if outermost { Ending::Whole } else { Ending::Cut })
            } else {
                Step::Read(cursor.at)
            });
        }
        cursor.literal(mark)?;
        cursor.literal("<")?;
        let (key, _) = cursor.until(&[">"])?;
        if key.is_empty() || key.starts_with('/') || (list && key != ITEM) {
            return Err(Stop::No);
        }
        out(if std::mem::replace(&mut innermost.some, true) { "," } else { "" });
        if !list {
            quoted(key, out);
            out(":");
        }
        self.open.push(Element::new(mark, key));
        self.inside = Inside::Either(tools.types_within(self.tool, self.path(mark)));
        Ok(Step::Read(cursor.at))
    }

    /// Passes on what was held back of a value, as the beginning of a string; the arguments stay open. `None` if no value is open.
    pub(super) fn finish(&self, rest: &str, out: &mut dyn FnMut(&str)) -> Option<Ending> {
        match self.inside {
            Inside::Tree => return None,
            Inside::Either(types) => Value::Held(types).finish(rest, out),
            Inside::Value(value) => value.finish(rest, out),
        }
        Some(Ending::Cut)
    }
}

/// Whether what follows a tag is a tree, and then whether that is a list.
fn is_tree(text: &str, mark: &str, end: &str, types: Types) -> Read<Option<bool>> {
    let mut cursor = Cursor::new(text);
    cursor.space();
    match starts_with(cursor.rest(), end) {
        Ok(()) => return Ok(None),
        Err(Stop::More) => return Err(Stop::More),
        Err(Stop::No) => {}
    }
    if !(cursor.optional(mark)? && cursor.optional("<")?) {
        return Ok(None);
    }
    let item = cursor.optional(ITEM)? && cursor.optional(">")?;
    Ok(Some(item && types.list()))
}
