//! Recurrent state of one layer in host memory.

/// Recurrent state of one layer: `slots` slots of `len` values. A sequence owns one slot while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateShape {
    /// Number of sequences that may run at the same time.
    pub slots: usize,
    /// Values per slot.
    pub len: usize,
}

/// Recurrent state `[slots, len]` of one layer in host memory.
#[derive(Debug, Clone)]
pub struct HostState {
    shape: StateShape,
    values: Vec<f32>,
}

impl HostState {
    /// Takes zeros, `[slots, len]`.
    pub(crate) fn new(shape: StateShape, values: Vec<f32>) -> Self {
        Self { shape, values }
    }

    /// Returns the shape.
    pub(crate) fn shape(&self) -> StateShape {
        self.shape
    }

    /// Returns all slots, `[slots, len]`.
    pub(crate) fn values(&mut self) -> &mut [f32] {
        &mut self.values
    }
}
