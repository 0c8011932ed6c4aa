//! The other direction: what a model must write to make a call, for constraining generation to it.

/// How calls are written in a dialect, in pieces of text that a constraint can be built from.
///
/// Text is free until the model writes one of `triggers`; from there on it has begun `begin before_name`, which the trigger is the
/// beginning of, and must go on with it:
///
/// ```text
/// begin  before_name NAME after_name ARGUMENTS after_arguments  [ separator before_name NAME .. ]  end
/// ```
///
/// NAME is one of the tools, ARGUMENTS follow its schema in the form of `arguments`. After `after_arguments` comes either `separator`
/// and the next call, or `end`; without a separator there is one call to a section. A digit in `before_name` or `after_name`, as in
/// Kimi's `:0`, is an example of a number: models count the calls there. [`Dialect::write`](super::Dialect::write) does too.
///
/// ```
/// use mistral_tools::dialect::{ArgumentsGrammar, Dialect};
///
/// let grammar = Dialect::Hermes.grammar();
/// assert_eq!(grammar.triggers, ["<tool_call>"]);
/// let call = [grammar.begin, grammar.before_name, "clock", grammar.after_name, "{}", grammar.after_arguments, grammar.end].concat();
/// assert_eq!(call, "<tool_call>\n{\"name\": \"clock\", \"arguments\": {}}\n</tool_call>");
/// assert_eq!(grammar.arguments, ArgumentsGrammar::Json);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallGrammar {
    /// Texts that begin a call. A trigger can be an ordinary character, as `{`: then it counts only at the beginning of a message.
    pub triggers: &'static [&'static str],
    /// Opens a section of calls.
    pub begin: &'static str,
    /// Stands before the name.
    pub before_name: &'static str,
    /// Stands between name and arguments.
    pub after_name: &'static str,
    /// How arguments are written.
    pub arguments: ArgumentsGrammar,
    /// Stands after the arguments.
    pub after_arguments: &'static str,
    /// Stands between calls; nothing if a turn has at most one.
    pub separator: Option<&'static str>,
    /// Closes a section.
    pub end: &'static str,
}

/// How arguments are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ArgumentsGrammar {
    /// A JSON object.
    Json,
    /// Each parameter between marks: `before_key KEY after_key VALUE after_value`. Strings are written as they are and end with
    /// `after_value`; everything else is JSON. `after_key_json` stands in place of `after_key` before what is not a string;
    /// where it names a type, `"object"`, that is an example.
    Parameters {
        /// Stands before a key.
        before_key: &'static str,
        /// Stands between a key and text.
        after_key: &'static str,
        /// Stands between a key and JSON.
        after_key_json: &'static str,
        /// Stands after a value.
        after_value: &'static str,
    },
    /// Each parameter as an element whose tags stand after a mark, `mark<KEY>VALUEmark</KEY>`: strings as they are, numbers and
    /// constants as in JSON, objects as such elements one after the other, lists as elements with the key `item`. Null and what is
    /// empty cannot be told apart from empty text, other than by the schema.
    Elements {
        /// Stands before each tag.
        mark: &'static str,
    },
    /// `KEY assign VALUE`, with `,` between: strings in quotes, numbers as in JSON, lists in `[]`, objects in `{}`.
    Literals {
        /// Stands between a key and its value; in objects inside of values it is always `:`.
        assign: &'static str,
        /// Stands around strings.
        quote: &'static str,
        /// Whether strings and constants are Python's: `\` escapes, `True`, `False`, `None`; if not, there are no escapes and the
        /// constants are JSON's.
        python: bool,
        /// Whether the keys of objects inside of values have quotes.
        quoted_keys: bool,
    },
}
