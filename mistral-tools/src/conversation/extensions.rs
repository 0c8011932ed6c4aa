//! Values of one run, found by type: the user, a database handle, a budget.

use std::{
    any::{Any, TypeId, type_name},
    fmt,
    sync::Arc,
};

/// Values of the host that the tools of a run can reach, at most one of each type.
///
/// A dependency of a tool is fixed when the tool is built. Extensions belong to a run: the host makes them and lends them to a
/// [`Conversation`](crate::Conversation). Every function and hook of every called tool, including tools found at run time, reaches them by
/// type.
///
/// A look-up compares a few numbers and allocates nothing. A clone shares the values.
///
/// ```
/// use mistral_tools::{Conversation, Extensions};
///
/// struct User { name: String }
///
/// let values = Extensions::new().with(User { name: "Ada".into() }).with(7_u32);
/// let conversation = Conversation::new(&[]).with_extensions(&values);
/// assert_eq!(conversation.get::<User>().unwrap().name, "Ada");
/// assert_eq!(conversation.get::<u32>(), Some(&7));
/// assert!(conversation.get::<String>().is_none());
/// ```
#[derive(Clone, Default)]
pub struct Extensions {
    // A run has a handful of values: comparing each id is faster than hashing one.
    values: Vec<Value>,
}

#[derive(Clone)]
struct Value {
    id: TypeId,
    name: &'static str,
    value: Arc<dyn Any + Send + Sync>,
}

impl Extensions {
    /// Makes an empty set, without allocating.
    pub const fn new() -> Self {
        Self { values: Vec::new() }
    }

    /// Adds a value, or replaces the value of the same type.
    #[must_use]
    pub fn with<T: Send + Sync + 'static>(mut self, value: T) -> Self {
        self.insert(value);
        self
    }

    /// Adds a value, and returns the value of the same type that it replaces.
    pub fn insert<T: Send + Sync + 'static>(&mut self, value: T) -> Option<Arc<T>> {
        let new = Value { id: TypeId::of::<T>(), name: type_name::<T>(), value: Arc::new(value) };
        match self.values.iter_mut().find(|value| value.id == new.id) {
            Some(old) => std::mem::replace(old, new).value.downcast().ok(),
            None => {
                self.values.push(new);
                None
            }
        }
    }

    /// Returns the value of a type.
    pub fn get<T: Send + Sync + 'static>(&self) -> Option<&T> {
        let id = TypeId::of::<T>();
        self.values.iter().find(|value| value.id == id).and_then(|value| value.value.downcast_ref())
    }
}

/// Lists the types, not the values.
impl fmt::Debug for Extensions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut set = formatter.debug_set();
        for value in &self.values {
            set.entry(&format_args!("{}", value.name));
        }
        set.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_of_each_type() {
        let mut values = Extensions::new().with(1_u8).with("text");
        assert_eq!(values.insert(2_u8).as_deref(), Some(&1));
        assert_eq!(values.insert(1.5_f64), None);
        assert_eq!((values.get::<u8>(), values.get::<&str>(), values.get::<u16>()), (Some(&2), Some(&"text"), None));
        assert_eq!(format!("{values:?}"), "{u8, &str, f64}");
    }

    #[test]
    fn clones_share_values_and_not_changes() {
        let values = Extensions::new().with(String::from("a"));
        let mut clone = values.clone();
        assert!(std::ptr::eq(values.get::<String>().unwrap(), clone.get::<String>().unwrap()));
        clone.insert(String::from("b"));
        assert_eq!(values.get::<String>().unwrap(), "a");
    }
}
