//! The arguments of a call while they arrive, in any form.

use super::cursor::{Ending, Read, Step, Stop};
use super::elements::Elements;
use super::family::{Family, Form, Literal, Shape, Tagged};
use super::json::{Reach, ValueScan};
use super::literal::Literals;
use super::parameters::Parameters;
use super::schema::Signatures;

/// Where in the arguments a text goes on.
#[derive(Debug, Clone)]
pub(super) enum Arguments {
    /// JSON, given as it stands.
    Json(ValueScan),
    /// Parameters between marks.
    Parameters(&'static Tagged, Parameters),
    /// Elements inside of elements, by the mark before their tags.
    Elements(&'static str, Elements),
    /// Literals.
    Literals(&'static Literal, Literals),
}

impl Arguments {
    /// Arguments of a tool, by its place in the signatures.
    pub(super) fn begin(family: &'static Family, shape: usize, tool: Option<usize>, out: &mut dyn FnMut(&str)) -> Self {
        let arguments = match &family.shapes[shape].form {
            Form::Envelope { .. } | Form::Keyed | Form::Named(_) => return Self::Json(ValueScan::default()),
            Form::Tagged(form) => Self::Parameters(form, Parameters::new(tool, family.noise)),
            Form::Elements(mark) => Self::Elements(mark, Elements::new(tool, mark)),
            Form::Literal(form) => Self::Literals(form, Literals::default()),
        };
        out("{");
        arguments
    }

    /// Continues reading, in a call of a shape whose closing marks may end the arguments early.
    pub(super) fn step(
        &mut self,
        text: &str,
        tools: &Signatures,
        shape: &Shape,
        out: &mut dyn FnMut(&str),
    ) -> Read<Step> {
        match self {
            Self::Json(scan) => {
                let (read, step) = match scan.scan(text, shape.close) {
                    Reach::Open(0) => return Err(Stop::More),
                    // Marks are looked for again from where they may begin.
                    Reach::Open(read) => (read, Step::Read(read)),
                    Reach::Closed(read) => (read, Step::End(read, Ending::Whole)),
                    Reach::Cut(read, mark) => (read, Step::End(read + mark, Ending::Cut)),
                };
                out(&text[..read]);
                Ok(step)
            }
            Self::Parameters(form, parameters) => parameters.step(text, form, tools, shape, out),
            Self::Elements(mark, elements) => elements.step(text, mark, tools, shape.close, out),
            Self::Literals(form, literals) => literals.step(text, form, shape.close, out),
        }
    }

    /// Reads what was held back when the turn ends. Returns how the arguments end, or `None` if the text is not part of the arguments.
    pub(super) fn finish(
        &self,
        rest: &str,
        tools: &Signatures,
        shape: &Shape,
        out: &mut dyn FnMut(&str),
    ) -> Option<Ending> {
        match self {
            Self::Json(_) => {
                out(rest);
                Some(Ending::Cut)
            }
            Self::Parameters(form, parameters) => parameters.finish(rest, form, tools, shape, out),
            Self::Elements(_, elements) => elements.finish(rest, out),
            Self::Literals(_, literals) => Some(literals.finish(rest, out)),
        }
    }
}
