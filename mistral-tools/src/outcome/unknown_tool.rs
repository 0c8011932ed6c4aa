//! The words about a name that no tool has.

use std::fmt;

/// The most names that an error lists: beyond, a model is better served by the list in its prompt.
const LISTED: usize = 64;

/// Writes that no tool has the name, and the names of the available tools.
pub(crate) fn write_unknown<'a>(
    to: &mut impl fmt::Write,
    name: &str,
    mut available: impl ExactSizeIterator<Item = &'a str>,
) -> fmt::Result {
    write!(to, "there is no tool `{name}`")?;
    for (index, name) in available.by_ref().take(LISTED).enumerate() {
        write!(to, "{}{name}", if index == 0 { "; there are: " } else { ", " })?;
    }
    match available.len() {
        0 => Ok(()),
        more => write!(to, " and {more} more"),
    }
}
