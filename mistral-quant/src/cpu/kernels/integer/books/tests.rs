use super::*;
use crate::cpu::kernels::integer::pack::Layout;
use crate::cpu::kernels::integer::portable::Portable;
use crate::cpu::tests::Random;
use crate::formats::iq1_m::IQ1_M;
use crate::formats::iq1_s::IQ1_S;
use crate::formats::iq2_s::IQ2_S;
use crate::formats::iq2_xs::IQ2_XS;
use crate::formats::iq2_xxs::IQ2_XXS;
use crate::formats::iq3_s::IQ3_S;
use crate::formats::iq3_xxs::IQ3_XXS;
use crate::formats::{UNIT, blocks};

/// [`Pack::expand`] of an instruction set.
type Way = unsafe fn(&[u8], &[u8], usize, &mut Panel, Option<Vbmi>);

/// The ways that this machine has.
fn ways<B: Book>() -> Vec<(&'static str, Way, Option<Vbmi>)> {
    let mut ways: Vec<(&str, Way, Option<Vbmi>)> = vec![("portable", B::expand::<Portable>, None)];
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c") {
        ways.push(("AVX2", B::expand::<crate::cpu::kernels::integer::avx2::Avx2>, None));
    }
    #[cfg(target_arch = "aarch64")]
    if std::arch::is_aarch64_feature_detected!("dotprod") {
        ways.push(("NEON", B::expand::<crate::cpu::kernels::integer::neon::Neon>, None));
    }
    ways.extend(Vbmi::detect().map(|vbmi| ("VBMI", B::expand::<Portable> as Way, Some(vbmi))));
    ways
}

/// Blocks of any bytes, packed and expanded in every way of this machine, have the codes that their format says; in 100 rounds each point of
/// the largest book comes up some 500 times.
fn hold<B: Book>(random: &mut Random) {
    let layout = Layout::of::<B>();
    for _ in 0..100 {
        let bytes: Vec<u8> = (0..STRIP * size_of::<B>()).map(|_| random.next() as u8).collect();
        let rows = blocks::<B>(&bytes);
        let mut group = vec![0; layout.group(UNITS)];
        let (header, codes) = group.split_at_mut(layout.codes_at(UNITS));
        let all = std::array::from_fn(|row| &rows[row]);
        // SAFETY: portable code.
        unsafe { B::pack::<Portable>(all, &mut header[..B::HEADER], codes.as_chunks_mut().0) };
        for (name, expand, vbmi) in ways::<B>() {
            let mut panel = [[0; 64]; 8 * UNITS];
            // SAFETY: what was detected.
            unsafe { expand(header, codes, UNITS, &mut panel, vbmi) };
            for (row, block) in rows.iter().enumerate() {
                for u in 0..UNITS {
                    let unit = block.unit(u);
                    for i in 0..UNIT {
                        let found = i32::from(panel[8 * u + i / 4][4 * row + i % 4]) - B::STORED_OFFSET;
                        let expected = i32::from(unit.codes[i]) - i32::from(B::OFFSET);
                        assert_eq!(found, expected, "{} {name} row {row} unit {u} column {i}", B::FORMAT);
                    }
                }
            }
        }
    }
}

#[test]
fn every_way_to_look_up_points_finds_those_of_the_format() {
    let mut random = Random::new(81);
    hold::<IQ1_S>(&mut random);
    hold::<IQ1_M>(&mut random);
    hold::<IQ2_XXS>(&mut random);
    hold::<IQ2_XS>(&mut random);
    hold::<IQ2_S>(&mut random);
    hold::<IQ3_XXS>(&mut random);
    hold::<IQ3_S>(&mut random);
}
