//! The parts of tools' schemas that are not enforced while calls are written.

use std::fmt;

/// A part of a tool's schema that is not enforced while calls are written. Check such calls when they are complete.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unenforced {
    /// The name of the tool.
    pub tool: String,
    /// The place of the schema that has the keyword, as a JSON pointer into the parameters of the tool.
    pub at: String,
    /// The keyword, if a single one is not enforced.
    pub keyword: Option<String>,
    /// How the constraint treats the part.
    pub treatment: Treatment,
    /// The reason, as the end of a sentence that begins with "the schema"; empty where the keyword says enough.
    pub detail: String,
}

/// How a constraint treats a part of a schema that it does not enforce.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Treatment {
    /// The keyword is ignored; all others of its schema are enforced.
    Ignored,
    /// The whole schema is ignored: any value can be written at its place, or any object as the arguments of the tool.
    Degraded,
    /// The property is never written, because the dialect cannot write its name.
    LeftOut,
}

impl fmt::Display for Unenforced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tool `{}`: ", self.tool)?;
        if !self.at.is_empty() {
            write!(f, "{}: ", self.at)?;
        }
        match (self.treatment, &self.keyword) {
            (Treatment::LeftOut, _) => f.write_str("the property is never written")?,
            (Treatment::Degraded, _) if self.at.is_empty() => f.write_str("calls are held to any object only")?,
            (Treatment::Degraded, _) => f.write_str("the value is not held to its schema while the call is written")?,
            (_, Some(keyword)) => write!(f, "`{keyword}` is not enforced while the call is written")?,
            (_, None) => f.write_str("the schema is not enforced while the call is written")?,
        }
        if self.detail.is_empty() { Ok(()) } else { write!(f, ": the schema {}", self.detail) }
    }
}

/// An [`Unenforced`] part before its tool is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) at: String,
    pub(super) keyword: Option<String>,
    pub(super) treatment: Treatment,
    pub(super) detail: String,
}

impl Finding {
    pub(super) fn of(self, tool: &str) -> Unenforced {
        let Self { at, keyword, treatment, detail } = self;
        Unenforced { tool: tool.to_owned(), at, keyword, treatment, detail }
    }
}
