//! The `loop` variable.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use super::ast::For;
use super::interpreter::Scope;
use super::value::Value;

pub(super) struct Loop {
    pub(super) items: Vec<Value>,
    pub(super) index: Cell<usize>,
    /// 0 for the outermost of recursive loops.
    pub(super) depth: usize,
    /// What `loop.changed` was last called with.
    pub(super) changed: RefCell<Option<Vec<Value>>>,
    /// For `recursive` loops: the loop and the scope it stands in.
    pub(super) recursion: Option<(Arc<For>, Rc<Scope>)>,
}

impl Loop {
    pub(super) fn attribute(&self, name: &str) -> Option<Value> {
        let (index, length) = (self.index.get(), self.items.len());
        let int = |i: usize| Value::Int(i as i128);
        let neighbour = |i: Option<usize>, which: &str| {
            i.and_then(|i| self.items.get(i))
                .cloned()
                .unwrap_or_else(|| Value::missing(format!("there is no {which} item")))
        };
        Some(match name {
            "index" => int(index + 1),
            "index0" => int(index),
            "revindex" => int(length.saturating_sub(index)),
            "revindex0" => int(length.saturating_sub(index + 1)),
            "first" => Value::Bool(index == 0),
            "last" => Value::Bool(index + 1 == length),
            "length" => int(length),
            "depth" => int(self.depth + 1),
            "depth0" => int(self.depth),
            "previtem" => neighbour(index.checked_sub(1), "previous"),
            "nextitem" => neighbour(index.checked_add(1), "next"),
            _ => return None,
        })
    }
}
