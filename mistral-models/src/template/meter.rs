//! The resources of a rendering: steps, and the bytes of the values that are alive. Both are counted before the work is done.
//!
//! A [`Held`] is a share of the memory that is returned when its owner is dropped. The limit therefore bounds the peak and not the sum of
//! all allocations. [`Buffer`] and [`Vector`] pay for their growth, for the old and the new allocation at once.

use std::cell::Cell;
use std::collections::HashMap;
use std::hash::Hash;
use std::ops::Deref;
use std::rc::Rc;

use super::{Fault, TemplateLimits};

/// Bytes that are copied or compared in one step.
const COPIED_PER_STEP: usize = 64;
/// Bytes that are read character by character in one step.
const READ_PER_STEP: usize = 8;
/// Bytes that a string takes in addition to its text.
pub(super) const TEXT_BYTES: usize = 64;
/// Bytes that any other reference-counted value takes at most in addition to its items.
pub(super) const OBJECT_BYTES: usize = 208;

pub(super) struct Meter {
    steps: Cell<u64>,
    memory: Cell<u64>,
    max_steps: u64,
    max_memory: u64,
    max_output: u64,
}

impl Meter {
    /// Makes a meter that starts at zero, with limits for an input of this size.
    pub(super) fn new(limits: &TemplateLimits, input_bytes: u64) -> Rc<Self> {
        let grown = |base: u64, per_byte: u64| base.saturating_add(per_byte.saturating_mul(input_bytes));
        Rc::new(Self {
            steps: Cell::new(0),
            memory: Cell::new(0),
            max_steps: grown(limits.steps, limits.steps_per_input_byte),
            max_memory: grown(limits.memory_bytes, limits.memory_per_input_byte),
            max_output: grown(limits.output_bytes as u64, limits.output_per_input_byte),
        })
    }

    pub(super) fn step(&self) -> Result<(), Fault> {
        self.steps(1)
    }

    pub(super) fn steps(&self, count: usize) -> Result<(), Fault> {
        let steps = self.steps.get().saturating_add(count as u64);
        self.steps.set(steps);
        if steps > self.max_steps {
            return Err(over("steps", self.max_steps, " steps", "it runs for longer than a chat template should"));
        }
        Ok(())
    }

    /// Pays for bytes that are copied or compared as a block.
    pub(super) fn copied(&self, bytes: usize) -> Result<(), Fault> {
        self.steps(bytes / COPIED_PER_STEP)
    }

    /// Pays for text that is read character by character.
    pub(super) fn read(&self, bytes: usize) -> Result<(), Fault> {
        self.steps(bytes / READ_PER_STEP)
    }

    /// Takes memory, which is returned when the returned share is dropped.
    pub(super) fn hold(self: &Rc<Self>, bytes: usize) -> Result<Held, Fault> {
        let mut held = Held::none(self);
        held.grow(bytes)?;
        Ok(held)
    }

    /// Checks the length of rendered text.
    pub(super) fn output(&self, bytes: usize) -> Result<(), Fault> {
        if bytes as u64 > self.max_output {
            return Err(over("output_bytes", self.max_output, " bytes", "its text is longer"));
        }
        Ok(())
    }
}

fn over(setting: &str, limit: u64, unit: &str, found: &str) -> Fault {
    Fault::limit(format!(
        "the template exceeds the limit of {limit}{unit} ({found}); raise `{setting}` of TemplateLimits if it is trusted"
    ))
}

/// A share of the memory of a rendering.
pub(super) struct Held {
    meter: Rc<Meter>,
    bytes: usize,
}

impl Held {
    pub(super) fn none(meter: &Rc<Meter>) -> Self {
        Self { meter: meter.clone(), bytes: 0 }
    }

    pub(super) fn meter(&self) -> &Rc<Meter> {
        &self.meter
    }

    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), Fault> {
        let memory = self.meter.memory.get().saturating_add(bytes as u64);
        if memory > self.meter.max_memory {
            return Err(over("memory_bytes", self.meter.max_memory, " bytes", "its values take more memory"));
        }
        self.meter.memory.set(memory);
        self.bytes += bytes;
        Ok(())
    }

    /// Returns the memory that exceeds `bytes`.
    fn shrink(&mut self, bytes: usize) {
        let less = self.bytes.saturating_sub(bytes);
        self.meter.memory.set(self.meter.memory.get().saturating_sub(less as u64));
        self.bytes -= less;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.shrink(0);
    }
}

/// Returns the next capacity of a growing container.
fn grown(length: usize, capacity: usize, more: usize) -> Option<usize> {
    let needed = length.saturating_add(more);
    (needed > capacity).then(|| needed.max(capacity.saturating_mul(2)))
}

/// A growing text that pays for its memory.
pub(super) struct Buffer {
    text: String,
    held: Held,
}

impl Buffer {
    pub(super) fn new(meter: &Rc<Meter>) -> Self {
        Self { text: String::new(), held: Held::none(meter) }
    }

    pub(super) fn meter(&self) -> &Rc<Meter> {
        self.held.meter()
    }

    /// Makes room, so that later additions do not grow the buffer step by step.
    pub(super) fn reserve(&mut self, more: usize) -> Result<(), Fault> {
        if let Some(capacity) = grown(self.text.len(), self.text.capacity(), more) {
            self.held.grow(capacity)?;
            self.held.meter.copied(self.text.len())?;
            self.text.reserve_exact(capacity - self.text.len());
            self.held.shrink(self.text.capacity());
        }
        Ok(())
    }

    pub(super) fn push_str(&mut self, text: &str) -> Result<(), Fault> {
        self.reserve(text.len())?;
        self.held.meter.copied(text.len())?;
        self.text.push_str(text);
        Ok(())
    }

    pub(super) fn push(&mut self, c: char) -> Result<(), Fault> {
        self.reserve(c.len_utf8())?;
        self.text.push(c);
        Ok(())
    }

    pub(super) fn extend(&mut self, chars: impl Iterator<Item = char>) -> Result<(), Fault> {
        for c in chars {
            self.push(c)?;
        }
        Ok(())
    }

    pub(super) fn repeat(&mut self, text: &str, times: usize) -> Result<(), Fault> {
        let bytes = text.len().saturating_mul(times);
        self.reserve(bytes)?;
        self.held.meter.copied(bytes)?;
        if text.is_empty() {
            return Ok(());
        }
        // Short pieces are copied many at once.
        let together = (1024 / text.len()).clamp(1, times.max(1));
        let piece = if together > 1 { text.repeat(together) } else { String::new() };
        (0..times / together).for_each(|_| self.text.push_str(if together > 1 { &piece } else { text }));
        (0..times % together).for_each(|_| self.text.push_str(text));
        Ok(())
    }

    pub(super) fn repeat_char(&mut self, c: char, times: usize) -> Result<(), Fault> {
        self.repeat(c.encode_utf8(&mut [0; 4]), times)
    }

    pub(super) fn into_parts(self) -> (String, Held) {
        (self.text, self.held)
    }

    /// Returns the text and gives up its share of the memory, for the end of the rendering.
    pub(super) fn into_text(self) -> String {
        self.text
    }
}

impl Deref for Buffer {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

/// A vector that pays for its memory.
pub(super) struct Vector<T> {
    items: Vec<T>,
    held: Held,
}

impl<T> Vector<T> {
    pub(super) fn new(meter: &Rc<Meter>) -> Self {
        Self { items: Vec::new(), held: Held::none(meter) }
    }

    pub(super) fn with_capacity(meter: &Rc<Meter>, capacity: usize) -> Result<Self, Fault> {
        let held = meter.hold(capacity.saturating_mul(size_of::<T>()))?;
        // One step for some items, as each is made, copied, looked at and dropped.
        meter.steps(capacity / 4)?;
        Ok(Self { items: Vec::with_capacity(capacity), held })
    }

    pub(super) fn meter(&self) -> &Rc<Meter> {
        self.held.meter()
    }

    pub(super) fn push(&mut self, item: T) -> Result<(), Fault> {
        if let Some(capacity) = grown(self.items.len(), self.items.capacity(), 1) {
            let capacity = capacity.max(4);
            self.held.grow(capacity.saturating_mul(size_of::<T>()))?;
            self.held.meter.steps(self.items.len() / 4)?;
            self.items.reserve_exact(capacity - self.items.len());
            self.held.shrink(self.items.capacity().saturating_mul(size_of::<T>()));
        }
        self.items.push(item);
        Ok(())
    }

    pub(super) fn reverse(&mut self) {
        self.items.reverse();
    }

    pub(super) fn get_mut(&mut self, i: usize) -> Option<&mut T> {
        self.items.get_mut(i)
    }

    pub(super) fn last_mut(&mut self) -> Option<&mut T> {
        self.items.last_mut()
    }

    /// Takes the items. The caller drops the items after the vector's share of the memory.
    pub(super) fn take(&mut self) -> Vec<T> {
        std::mem::take(&mut self.items)
    }
}

impl<T: Clone> Vector<T> {
    /// Copies some items, with room for `more`.
    pub(super) fn copy(meter: &Rc<Meter>, items: &[T], more: usize) -> Result<Self, Fault> {
        let mut copy = Self::with_capacity(meter, items.len().saturating_add(more))?;
        copy.items.extend_from_slice(items);
        Ok(copy)
    }

    pub(super) fn extend_from_slice(&mut self, items: &[T]) -> Result<(), Fault> {
        for item in items {
            self.push(item.clone())?;
        }
        Ok(())
    }

    /// Sorts stably. Unlike the standard library's sort, this merge sort accepts an order that is not total, and errors.
    pub(super) fn sort_by(&mut self, less: &mut impl FnMut(&T, &T) -> Result<bool, Fault>) -> Result<(), Fault> {
        let _copy = self.held.meter.hold(self.items.len().saturating_mul(size_of::<T>()))?;
        merge_sort(&self.held.meter, &mut self.items, less)
    }
}

fn merge_sort<T: Clone>(
    meter: &Meter,
    items: &mut [T],
    less: &mut impl FnMut(&T, &T) -> Result<bool, Fault>,
) -> Result<(), Fault> {
    if items.len() < 2 {
        return Ok(());
    }
    meter.steps(items.len())?;
    let half = items.len() / 2;
    merge_sort(meter, &mut items[..half], less)?;
    merge_sort(meter, &mut items[half..], less)?;
    let mut merged = Vec::with_capacity(items.len());
    let (left, right) = items.split_at(half);
    let (mut l, mut r) = (left.iter().peekable(), right.iter().peekable());
    while let (Some(a), Some(b)) = (l.peek(), r.peek()) {
        let from = if less(b, a)? { &mut r } else { &mut l };
        merged.extend(from.next().cloned());
    }
    merged.extend(l.chain(r).cloned());
    items.clone_from_slice(&merged);
    Ok(())
}

impl<T> Deref for Vector<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.items
    }
}

impl<T> IntoIterator for Vector<T> {
    type Item = T;
    type IntoIter = Owned<T>;

    fn into_iter(self) -> Owned<T> {
        Owned { items: self.items.into_iter(), _held: self.held }
    }
}

/// The items of a [`Vector`], whose memory is held until the last item is taken.
pub(super) struct Owned<T> {
    items: std::vec::IntoIter<T>,
    _held: Held,
}

impl<T> Iterator for Owned<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.items.next()
    }
}

/// Returns the bytes of a map's table with this capacity, as the standard library lays out the table.
fn table_bytes<K, V>(capacity: usize) -> usize {
    if capacity == 0 {
        return 0;
    }
    let buckets = (capacity.saturating_mul(8) / 7 + 1).next_power_of_two().max(4);
    buckets.saturating_mul(size_of::<(K, V)>() + 1).saturating_add(32)
}

/// Inserts into a map that pays for its table from `held`.
pub(super) fn insert<K: Hash + Eq, V>(
    map: &mut HashMap<K, V>,
    held: &mut Held,
    key: K,
    value: V,
) -> Result<Option<V>, Fault> {
    if map.len() < map.capacity() {
        return Ok(map.insert(key, value));
    }
    // The former table is given back when its entries have moved.
    let former_bytes = table_bytes::<K, V>(map.capacity());
    held.grow(table_bytes::<K, V>(map.capacity().saturating_mul(2).max(3)))?;
    held.meter.steps(map.len())?;
    let former = map.insert(key, value);
    held.shrink(held.bytes.saturating_sub(former_bytes));
    Ok(former)
}
