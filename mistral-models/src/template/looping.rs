//! The `loop` variable.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use super::Fault;
use super::ast::For;
use super::interpreter::{Interpreter, Scope};
use super::meter::{Held, Vector};
use super::value::{Items, Value};

pub(super) struct Loop {
    pub(super) items: Rc<Items>,
    pub(super) index: Cell<usize>,
    /// 0 for the outermost of recursive loops.
    pub(super) depth: usize,
    /// What `loop.changed` was last called with.
    pub(super) changed: RefCell<Option<Vector<Value>>>,
    /// For `recursive` loops: the loop and the scope it stands in.
    pub(super) recursion: Option<(Arc<For>, Rc<Scope>)>,
    pub(super) _held: Held,
}

impl Interpreter<'_> {
    /// Returns `loop.name`, or `None` if a loop has no such attribute.
    pub(super) fn loop_attribute(&mut self, state: &Loop, name: &str) -> Result<Option<Value>, Fault> {
        let (index, length) = (state.index.get(), state.items.len());
        let int = |i: usize| Value::Int(i as i128);
        Ok(Some(match name {
            "index" => int(index + 1),
            "index0" => int(index),
            "revindex" => int(length.saturating_sub(index)),
            "revindex0" => int(length.saturating_sub(index + 1)),
            "first" => Value::Bool(index == 0),
            "last" => Value::Bool(index + 1 == length),
            "length" => int(length),
            "depth" => int(state.depth + 1),
            "depth0" => int(state.depth),
            "previtem" => match index.checked_sub(1).and_then(|i| state.items.get(i)) {
                Some(item) => item.clone(),
                None => self.missing("there is no previous item")?,
            },
            "nextitem" => match state.items.get(index + 1) {
                Some(item) => item.clone(),
                None => self.missing("there is no next item")?,
            },
            _ => return Ok(None),
        }))
    }
}
