//! One row of a packed strip as f32, for tables that are read row by row.

use std::marker::PhantomData;

use super::lanes::{Lanes, Operation};
use super::tile::UNITS;
use super::{Layout, Pack, Workspace, expand};
use crate::cpu::kernels::strip::{STRIP, Strip};
use crate::formats::UNIT;

/// Decodes row `row` of a packed strip to `cols` weights, with the bits that decoding its blocks gives.
pub(super) struct TakeRow<'a, B> {
    pub(super) strip: Strip<'a>,
    pub(super) row: usize,
    pub(super) out: &'a mut [f32],
    pub(super) block: PhantomData<B>,
}

impl<B: Pack> Operation for TakeRow<'_, B> {
    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let layout = const { Layout::of::<B>() };
        let mut workspace = Workspace::ZERO;
        let Workspace { codes: panel, scales, .. } = &mut workspace;
        let row = self.row.min(STRIP - 1);
        let signed = B::MAX_CODE == 128;
        let offset = if signed { 0 } else { i32::from(B::OFFSET) };
        let mut rest = self.strip.bytes;
        for out in self.out.chunks_mut(UNITS * UNIT) {
            let count = out.len() / UNIT;
            let Some((group, behind)) = rest.split_at_checked(layout.group(count)) else { return };
            rest = behind;
            let Some((header, codes)) = group.split_at_checked(layout.codes_at(count)) else { return };
            // SAFETY: by the caller; the group has `count` units, at most `UNITS`.
            unsafe {
                B::scales::<L>(header, count, scales);
                expand::<L, B::Codes>(codes, count, panel);
            }
            for (i, out) in out.iter_mut().enumerate() {
                let byte = panel[i / 4][4 * row + i % 4];
                let code = match (signed, L::BIASED) {
                    (true, true) => i32::from(byte) - 128,
                    (true, false) => i32::from(byte as i8),
                    (false, _) => i32::from(byte) - offset,
                };
                let half = if B::HALVES { i % UNIT / 16 } else { 0 };
                let (scale, min) = (scales.scales[i / UNIT][half][row], scales.mins[i / UNIT][half][row]);
                *out = scale * code as f32 - if B::MINS { min } else { 0.0 };
            }
        }
    }
}
