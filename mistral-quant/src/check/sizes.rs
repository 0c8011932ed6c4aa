//! Conditions on sizes, and the errors that name them.

use std::ops::Range;

use crate::error::Error;

/// Returns an [`Error::Shape`].
pub(crate) fn refuse<T>(what: &'static str, expected: impl Into<String>, found: impl ToString) -> Result<T, Error> {
    Err(Error::Shape { what, expected: expected.into(), found: found.to_string() })
}

/// The product of `factors`; [`Error::Shape`] when it overflows.
pub(crate) fn product(what: &'static str, factors: &[usize]) -> Result<usize, Error> {
    factors.iter().try_fold(1usize, |product, &factor| product.checked_mul(factor)).ok_or_else(|| Error::Shape {
        what,
        expected: "a size that can be addressed".into(),
        found: format!("{factors:?} elements"),
    })
}

/// The product of `factors`, of which a buffer of `len` holds at least as many.
pub(crate) fn holds(what: &'static str, len: usize, factors: &[usize]) -> Result<usize, Error> {
    let needed = product(what, factors)?;
    if len < needed {
        let expected = format!("at least {needed} elements ({factors:?})");
        return Err(Error::Shape { what, expected, found: len.to_string() });
    }
    Ok(needed)
}

/// A weight `[rows, cols]` that is one row of `width`.
pub(crate) fn vector(what: &'static str, weight: [usize; 2], width: usize) -> Result<(), Error> {
    if weight != [1, width] {
        return Err(Error::Shape { what, expected: format!("[1, {width}]"), found: format!("{weight:?}") });
    }
    Ok(())
}

/// Every id is below `limit`.
pub(crate) fn ids(what: &'static str, ids: &[u32], limit: usize) -> Result<(), Error> {
    match ids.iter().find(|&&id| id as usize >= limit) {
        Some(&id) => Err(Error::OutOfRange { what, index: id.into(), limit: limit as u64 }),
        None => Ok(()),
    }
}

/// `offset..offset + count` of a buffer of `len`.
pub(crate) fn range(what: &'static str, len: usize, offset: usize, count: usize) -> Result<Range<usize>, Error> {
    match offset.checked_add(count) {
        Some(end) if end <= len => Ok(offset..end),
        _ => Err(Error::Shape {
            what,
            expected: format!("at most {len} elements"),
            found: format!("{offset} + {count}"),
        }),
    }
}
