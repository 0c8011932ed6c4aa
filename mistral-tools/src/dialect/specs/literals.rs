//! Dialects whose arguments are literals, of Python or of Gemma.

use super::super::family::{Escapes, Family, Form, Literal, Quote, Shape};
use super::super::grammar::{ArgumentsGrammar, CallGrammar};
use super::{Spec, bare, calls, family, shape, within};

const ESCAPED: &str = "<|\"|>";
const ESCAPE: &str = "<escape>";

/// Calls of Python with keyword arguments.
pub(in super::super) const PYTHON: Literal =
    Literal { prefix: "", brackets: (b'(', b')'), assign: b'=', quotes: PYTHON_QUOTES, python: true, lines: false };

const PYTHON_QUOTES: &[Quote] = &[python("'''"), python("\"\"\""), python("'"), python("\"")];

const fn python(mark: &'static str) -> Quote {
    Quote { mark, escapes: Escapes::Python }
}

const fn marked(mark: &'static str) -> Quote {
    Quote { mark, escapes: Escapes::None }
}

/// A JSON string, for text that is not a mark.
const PLAIN: Quote = Quote { mark: "\"", escapes: Escapes::Json };

const PREFIX: &str = "call:";
const GEMMA: Literal = Literal {
    prefix: PREFIX,
    brackets: (b'{', b'}'),
    assign: b':',
    quotes: &[marked(ESCAPED), PLAIN, python("'")],
    python: false,
    lines: false,
};

const PYTHON_CALLS: CallGrammar =
    calls(&[], "", "(", ArgumentsGrammar::Literals { assign: "=", quote: "'", python: true, quoted_keys: true }, ")");

const fn gemma(quote: &'static str) -> ArgumentsGrammar {
    ArgumentsGrammar::Literals { assign: ":", quote, python: false, quoted_keys: false }
}

const PYTHON_START: &str = "<|python_start|>";
pub(in super::super) static LLAMA_4: Spec = Spec {
    detect: &[&[PYTHON_START], &["<|header_start|>"]],
    read: family(&[bare(&[PYTHON_START], "", &["<|python_end|>"], Form::Literal(PYTHON))]),
    write: CallGrammar { triggers: &["["], ..within("[", Some(", "), "]", PYTHON_CALLS) },
};

const FUNCTION_CALLS: &str = "<function_calls>";
const FUNCTION_CALLS_END: &str = "</function_calls>";
pub(in super::super) static OLMO_3: Spec = Spec {
    detect: &[&[FUNCTION_CALLS]],
    read: family(&[shape(&[FUNCTION_CALLS], &[], &[FUNCTION_CALLS_END], Form::Literal(PYTHON))]),
    write: CallGrammar {
        triggers: &[FUNCTION_CALLS],
        ..within(joined!(FUNCTION_CALLS, "\n"), Some("\n"), joined!("\n", FUNCTION_CALLS_END), PYTHON_CALLS)
    },
};

const CALL_START: &str = "<|tool_call_start|>";
const CALL_END: &str = "<|tool_call_end|>";
pub(in super::super) static LFM_2: Spec = Spec {
    detect: &[&[CALL_START], &["<|tool_list_start|>"], &["List of tools: ", "<|im_start|>"]],
    // The template of LFM2.5 writes strings without escapes.
    read: family(&[shape(&[CALL_START], &[], &[CALL_END], Form::Literal(Literal { lines: true, ..PYTHON }))]),
    write: CallGrammar {
        triggers: &[CALL_START],
        ..within(joined!(CALL_START, "["), Some(", "), joined!("]", CALL_END), PYTHON_CALLS)
    },
};

const GEMMA_CALL: &str = "<|tool_call>";
const GEMMA_CALL_END: &str = "<tool_call|>";
pub(in super::super) static GEMMA_4: Spec = Spec {
    detect: &[&[joined!(GEMMA_CALL, PREFIX)]],
    read: Family {
        reasoning: &[("<|channel>thought", "<channel|>")],
        // Ends a turn that waits for results.
        noise: &["<|tool_response>"],
        ..family(&[shape(&[], &[GEMMA_CALL], &[GEMMA_CALL_END], Form::Literal(GEMMA))])
    },
    write: calls(&[GEMMA_CALL], joined!(GEMMA_CALL, PREFIX), "{", gemma(ESCAPED), joined!("}", GEMMA_CALL_END)),
};

const FUNCTION_CALL: &str = "<start_function_call>";
const FUNCTION_CALL_END: &str = "<end_function_call>";
const FUNCTION_SHAPE: Shape = shape(
    &[],
    &[FUNCTION_CALL],
    &[FUNCTION_CALL_END],
    Form::Literal(Literal { quotes: &[marked(ESCAPE), PLAIN, python("'")], ..GEMMA }),
);
pub(in super::super) static FUNCTION_GEMMA: Spec = Spec {
    detect: &[&[FUNCTION_CALL]],
    read: family(&[FUNCTION_SHAPE]),
    write: calls(&[FUNCTION_CALL], joined!(FUNCTION_CALL, PREFIX), "{", gemma(ESCAPE), joined!("}", FUNCTION_CALL_END)),
};
