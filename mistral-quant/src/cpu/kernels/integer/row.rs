//! One row of a packed strip as f32, for tables that are read row by row.

use std::marker::PhantomData;

use super::StripSpace;
use super::lanes::Lanes;
use super::pack::ReadScales;
use super::tile::UNITS;
use crate::cpu::kernels::integer::codes::Codes;
use crate::cpu::kernels::integer::pack::{Layout, Pack};
use crate::cpu::kernels::strip::{STRIP, Strip};
use crate::formats::UNIT;

/// Decodes row `row` of a packed strip to `cols` weights, with the bits that decoding its blocks gives.
///
/// # Safety
/// The processor has the instruction set.
pub(super) unsafe fn take_row_of<L: Lanes, B: Pack>(strip: Strip<'_>, row: usize, out: &mut [f32]) {
    let layout = const { Layout::of::<B>() };
    let mut space = StripSpace::ZERO;
    let StripSpace { codes: panel, scales, .. } = &mut space;
    let row = row.min(STRIP - 1);
    let signed = <B::Expanded as Codes>::MAX_CODE == 128;
    let mut rest = strip.bytes;
    for out in out.chunks_mut(UNITS * UNIT) {
        let count = out.len() / UNIT;
        let Some((group, behind)) = rest.split_at_checked(layout.group(count)) else { return };
        rest = behind;
        let Some((header, packed)) = group.split_at_checked(layout.codes_at(count)) else { return };
        // SAFETY: by the caller; the group has `count` units, at most `UNITS`.
        unsafe {
            L::enter(ReadScales { header, units: count, scales: &mut *scales, block: PhantomData::<B> });
            B::expand::<L>(header, packed, count, panel, None);
        }
        for (i, out) in out.iter_mut().enumerate() {
            let byte = panel[i / 4][4 * row + i % 4];
            let code = match (signed, L::BIASED) {
                (true, true) => i32::from(byte) - 128,
                (true, false) => i32::from(byte as i8),
                (false, _) => i32::from(byte) - B::STORED_OFFSET,
            };
            let half = if B::HALVES { i % UNIT / 16 } else { 0 };
            let (scale, min) = (scales.scales[i / UNIT][half][row], scales.mins[i / UNIT][half][row]);
            *out = scale * code as f32 - if B::MINS { min } else { 0.0 };
        }
    }
}
