//! One CPU backend for all layers of a model.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::Result;

use crate::backend::{Backend, MatMul};
use crate::cpu::weight::CpuWeight;
use crate::cpu::{Cpu, CpuBuffer};
use crate::error::Error;
use crate::step::StepInput;
use crate::weight::Weight;

/// The kernels, the threads and the scratch memory that layers share; a clone is another name for the same.
///
/// Holds the largest input and the largest output that a layer ever had, as f32.
#[derive(Clone)]
pub struct SharedCpu {
    state: Arc<Mutex<State>>,
}

struct State {
    cpu: Cpu,
    input: Scratch,
    out: Scratch,
}

/// A buffer that grows when more is asked for.
struct Scratch {
    buffer: CpuBuffer,
    len: usize,
}

impl Scratch {
    fn new(cpu: &mut Cpu) -> std::result::Result<Self, Error> {
        Ok(Self { buffer: cpu.buffer(0)?, len: 0 })
    }

    fn hold(&mut self, cpu: &mut Cpu, len: usize) -> std::result::Result<&mut CpuBuffer, Error> {
        if self.len < len {
            *self = Self { buffer: cpu.buffer(len)?, len };
        }
        Ok(&mut self.buffer)
    }
}

impl SharedCpu {
    /// Takes a backend, which brings its thread pool and its choice of instruction set.
    ///
    /// # Errors
    /// Those of [`Backend::buffer`].
    pub fn new(mut cpu: Cpu) -> Result<Self> {
        let (input, out) = (Scratch::new(&mut cpu)?, Scratch::new(&mut cpu)?);
        Ok(Self { state: Arc::new(Mutex::new(State { cpu, input, out })) })
    }

    /// The threads that compute, the caller included.
    pub fn threads(&self) -> usize {
        self.lock().cpu.threads()
    }

    pub(super) fn weight(&self, weight: Weight) -> std::result::Result<CpuWeight, Error> {
        self.lock().cpu.weight(weight)
    }

    /// All values of a weight, row after row.
    pub(super) fn decode(&self, weight: &CpuWeight, values: &mut [f32]) -> std::result::Result<(), Error> {
        let mut state = self.lock();
        let State { cpu, out, .. } = &mut *state;
        let mut step = cpu.step()?;
        for (row, values) in (0u32..).zip(values.chunks_exact_mut(weight.cols().max(1))) {
            let out = out.hold(cpu, values.len())?;
            cpu.begin(&mut step, &StepInput { tokens: 1, ids: &[&[row]], ..StepInput::default() })?;
            cpu.embed(&step, 0, weight, 1.0, out)?;
            cpu.read(out, 0, values)?;
        }
        Ok(())
    }

    /// `out[tokens, rows] = x[tokens, cols] · weightᵀ + bias`.
    pub(super) fn product(
        &self,
        weight: &CpuWeight,
        bias: Option<&CpuWeight>,
        x: &[f32],
        tokens: usize,
        out: &mut [f32],
    ) -> std::result::Result<(), Error> {
        let mut state = self.lock();
        let State { cpu, input, out: scratch } = &mut *state;
        let input = input.hold(cpu, x.len())?;
        let product = scratch.hold(cpu, out.len())?;
        cpu.write(input, x)?;
        cpu.matmul(input, tokens, &mut [MatMul { weight, bias, out: product }])?;
        cpu.read(product, 0, out)
    }

    /// What a panic may have left behind is scratch memory, which every product writes before it reads.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for SharedCpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        write!(f, "SharedCpu({} threads, {:?})", state.cpu.threads(), state.cpu.isa())
    }
}
