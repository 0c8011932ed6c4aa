//! What a dialect is made of. A family of models is one [`Family`], a value; the parsers are one for each [`Form`].

/// How the models of a family write.
#[derive(Debug)]
pub(super) struct Family {
    /// Pairs of marks around thoughts. They open only where an answer has not begun.
    pub(super) reasoning: &'static [(&'static str, &'static str)],
    /// Whether a call also ends thoughts that were not closed.
    pub(super) calls_end_reasoning: bool,
    /// Marks without meaning for the caller.
    pub(super) noise: &'static [&'static str],
    /// Pairs of marks with a name in between, without meaning for the caller.
    pub(super) headers: &'static [(&'static str, &'static str)],
    /// The same at the beginning of a message only. If the second is empty, there is no name.
    pub(super) leading: &'static [(&'static str, &'static str)],
    /// How calls are written; the first that fits is it.
    pub(super) shapes: &'static [Shape],
}

/// A way to write calls: `section (call name arguments call_close)* section_close`.
#[derive(Debug)]
pub(super) struct Shape {
    /// What opens a list of calls; may be left out if `call` is not empty.
    pub(super) section: &'static [&'static str],
    /// What opens a call. If empty, a section opens it.
    pub(super) call: &'static [&'static str],
    /// What opens a call instead, at the beginning of a message and for known tools only.
    pub(super) bare: Option<&'static str>,
    /// What closes a call or a section. It is passed over after a call, not in other text.
    pub(super) close: &'static [&'static str],
    /// What is between.
    pub(super) form: Form,
}

impl Shape {
    /// The marks that may begin a call anywhere.
    pub(super) fn openers(&self) -> impl Iterator<Item = &'static str> {
        self.section.iter().chain(self.call).copied()
    }

    /// Returns whether a call looks like any other JSON object.
    pub(super) fn is_json(&self) -> bool {
        matches!(self.form, Form::Envelope { plain: true, .. })
    }

    /// Whether calls begin with their names.
    pub(super) fn named(&self) -> bool {
        matches!(&self.form, Form::Named(Named { prefix: "", after_id: "", .. }))
    }
}

/// How a name and arguments are written.
#[derive(Debug)]
pub(super) enum Form {
    /// `{"name": "f", "arguments": {..}}`, or a list of such.
    Envelope {
        /// Keys of the name.
        name: &'static [&'static str],
        /// Keys of the arguments.
        arguments: &'static [&'static str],
        /// Whether other JSON can stand in the same place, so that the object itself must show that it is a call. Such a call needs no mark
        /// at the beginning of a message or within text.
        plain: bool,
    },
    /// `{"f": {..}}`, or a list of such.
    Keyed,
    /// A name, a separator, arguments as JSON.
    Named(Named),
    /// A name, then a pair of marks around each parameter.
    Tagged(Tagged),
    /// A name, then elements whose tags stand after this mark: objects and lists are elements inside of elements.
    Elements(&'static str),
    /// `f(a=1, b='x')` and the like, with or without a list around it.
    Literal(Literal),
}

/// See [`Form::Named`].
#[derive(Debug)]
pub(super) struct Named {
    /// Stands before the name, or not.
    pub(super) prefix: &'static str,
    /// Stands between an id and the name; empty if no id comes first.
    pub(super) after_id: &'static str,
    /// Whether `:` and a number stand after the name. Prefix, name and number are then the id.
    pub(super) numbered: bool,
    /// Stands between the name and an id; empty if no id comes after.
    pub(super) before_id: &'static str,
    /// One of these stands between name and arguments, whitespace aside.
    pub(super) separators: &'static [&'static str],
    /// Whether the arguments can stand in a fence of Markdown.
    pub(super) fence: bool,
}

/// See [`Form::Tagged`].
#[derive(Debug)]
pub(super) struct Tagged {
    /// Ends the name; if empty, the first parameter or the end of the call does.
    pub(super) name_end: &'static str,
    /// If not empty, `name_end` is followed by a number, and that by this.
    pub(super) after_number: &'static str,
    /// Opens a key.
    pub(super) key: &'static str,
    /// Each ends a key and says what the value is.
    pub(super) key_end: &'static [(&'static str, Declared)],
    /// Opens a value, after whitespace; may be empty.
    pub(super) value: &'static str,
    /// Closes a value.
    pub(super) value_end: &'static str,
    /// Closes the call.
    pub(super) close: &'static str,
    /// Whether the line breaks around a value are not part of it. The marks that can end the value then begin lines.
    pub(super) lines: bool,
}

/// What a dialect says of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Declared {
    /// Nothing: the schema of the tool tells.
    Nothing,
    /// It is text.
    Text,
    /// It is JSON.
    Json,
}

/// See [`Form::Literal`].
#[derive(Debug)]
pub(super) struct Literal {
    /// Stands before the name.
    pub(super) prefix: &'static str,
    /// Opens and closes the arguments.
    pub(super) brackets: (u8, u8),
    /// Stands between a key and its value.
    pub(super) assign: u8,
    /// The quotes of strings, longer marks first.
    pub(super) quotes: &'static [Quote],
    /// Whether values are Python's; otherwise keys need no quotes.
    pub(super) python: bool,
    /// Whether a line break may stand within quotes of Python.
    pub(super) lines: bool,
}

/// A mark around a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Quote {
    pub(super) mark: &'static str,
    /// The meaning of `\` inside the string.
    pub(super) escapes: Escapes,
}

/// The meaning of a backslash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Escapes {
    /// The backslash itself.
    None,
    /// The backslash itself; the next character does not end the string.
    Raw,
    /// An escape of Python.
    Python,
    /// An escape of JSON.
    Json,
}
