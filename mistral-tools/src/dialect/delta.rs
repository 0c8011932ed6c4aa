//! What a parser finds, in the order of the text.

/// A piece of what a model said. Pieces of one kind that follow each other belong together; where one ends and the next begins
/// depends on the chunks and means nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Delta<'a> {
    /// Thoughts that are not part of the answer.
    Reasoning(&'a str),
    /// The answer.
    Text(&'a str),
    /// A call begins. Calls do not overlap.
    Call {
        /// Counts the calls since the parser was made or reset.
        index: usize,
        /// The tool, as the model wrote it; there may be none of this name.
        name: &'a str,
    },
    /// The id that the model gave the call that began last, if it gave one: between its beginning and its end, at most once.
    Id {
        /// Of the call.
        index: usize,
        /// As the model wrote it; other calls may have the same. See [`Dialect::call_id`](super::Dialect::call_id).
        id: &'a str,
    },
    /// More of the arguments of the call that began last: JSON text, exactly as the model wrote it where its dialect writes JSON,
    /// transcribed where it does not. It need not be valid JSON.
    Arguments {
        /// Of the call.
        index: usize,
        /// To be appended to what came before.
        text: &'a str,
    },
    /// The call that began last ends.
    End {
        /// Of the call.
        index: usize,
        /// Whether its arguments were closed; if not, the text ended or went astray inside of the call, which must not be run.
        complete: bool,
    },
    /// What the text ends with if it can be the beginning of markup: a lone `<`, or a call of which the name is not known yet. After
    /// a model ended its turn by itself this is text; after a limit cut it short it is best left out. It comes last and at
    /// most once.
    Fragment(&'a str),
}
