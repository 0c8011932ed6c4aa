//! How to add an operation to the closed list.
//!
//! 1. **Define it** in `backend.rs`: a method of [`Backend`](crate::Backend), with a doc that holds the formula, the shape of every buffer
//!    and the source. Arguments that belong together are a struct. What the operation needs from the host besides weights must be part of
//!    [`StepInput`](crate::backend::StepInput), because a step goes up once.
//! 2. **Check it** in `check.rs`: one function that refuses every length and every id that does not fit, before anything is written. After
//!    the check no index may be out of range and no product may overflow.
//! 3. **Write the definition** in `reference.rs`: the plain loop in f64, rounded once. It is the oracle of all backends.
//! 4. **Write the fast body** in `cpu/`. Work is cut into pieces for the thread pool (`Cpu::pieces`). Arithmetic on rows of f32 is
//!    written once against `FloatLanes` (`cpu/kernels/lanes`) and compiled for each instruction set.
//! 5. **Keep the promises of** [`Cpu`](crate::Cpu): a row of the result is the same to the bit alone and next to others, in one chunk and in
//!    many, on any number of threads. Sums are therefore cut at absolute positions, never by the number of threads.
//! 6. **Test it** in `cpu/tests.rs`: against [`Reference`](crate::Reference) on every instruction set forced down, odd shapes, NaN, wrong
//!    shapes (nothing may be written), and the promises of step 5. Tolerances come from `eps * Σ |a_i b_i|`.
//! 7. **Time it** in `benches/`, which checks the result before timing.
