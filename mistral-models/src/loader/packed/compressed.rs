//! compressed-tensors (llm-compressor): integers packed or not, and FP8, with scales for tensors, outputs, groups or tiles.
//!
//! ```text
//! pack-quantized                weight_packed      I32 [out, ceil(in * bits / 32)]   stream of bits, lowest first; code + 2^(bits - 1)
//!                               weight_shape       I64 [2]
//! int-quantized                 weight             I8 [out, in]
//! float-quantized               weight             F8_E4M3 [out, in]
//! all                           weight_scale       [1], [out, 1], [out, groups] or [tiles, tiles]
//! asymmetric                    weight_zero_point  I8 like the scales; packed along its first dimension where the weight is packed
//! actorder "group"              weight_g_idx       I32 [in]
//! weight[o, i] = (code - zero point) * scale
//! ```
//!
//! Each entry of `config_groups` says which modules it is about: by class ("Linear": every packed weight here is one), by name, or by
//! "re:" and a regular expression of the beginning of a name. How activations would be rounded (`input_activations`) is passed over, as
//! their scales are; for the cache see [`kv_cache`](super::kv_cache). Source: compressed-tensors 0.20 `compressors`, `quantization/lifecycle/forward.py`.

use mistral_quant::Format;
use regex_automata::{Anchored, Input, meta::Regex};
use serde_json::Value as Json;

use super::Scheme;
use super::coded::{Coded, Grouping, INTEGERS, bits_at};
use super::fp8::{E4M3, expect_scales, floats, is_e4m3, plain_grouping, tile};
use super::gptq::{expect, grouping};
use super::keys::Keys;
use super::parts::{Parts, expect_kind, integers, matrix, word, wrong};
use crate::error::Error;
use crate::loader::table::Tensors;
use crate::loader::weights::{RawTensor, Weights};

#[derive(Debug)]
pub(super) struct Compressed {
    groups: Vec<Group>,
}

/// One entry of `config_groups`.
#[derive(Debug)]
struct Group {
    targets: Vec<Target>,
    bits: u32,
    float: bool,
    symmetric: bool,
    strategy: Strategy,
    /// Whether groups are out of order, as `weight_g_idx` says.
    ordered: bool,
}

#[derive(Debug)]
enum Target {
    Class,
    Name(String),
    Pattern(Box<Regex>),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Strategy {
    Tensor,
    Channel,
    Group(usize),
    Tiles([usize; 2]),
}

const FORMATS: &[&str] =
    &["pack-quantized", "int-quantized", "float-quantized", "naive-quantized", "mixed-precision", "dense"];

impl Compressed {
    pub(super) fn new(keys: &Keys<'_>) -> Result<Self, Error> {
        check_format(keys)?;
        if let Some(sparsity) = keys.object("sparsity_config")?
            && let Some(format) = sparsity.text("format")?.filter(|format| *format != "dense")
        {
            return Err(sparsity.unsupported("format", format));
        }
        let groups = keys.object("config_groups")?.ok_or_else(|| keys.wrong("config_groups", "is missing"))?;
        let groups = groups.members().map(|(name, value)| {
            let map = value.as_object().ok_or_else(|| groups.wrong(name, "is not an object"))?;
            Group::new(&Keys::new(groups.path(name), map))
        });
        let groups = groups.filter_map(Result::transpose).collect::<Result<Vec<_>, _>>()?;
        keys.finish(&[])?;
        Ok(Self { groups })
    }

    /// The entry about a module: by its name first, then by its class.
    fn group(&self, module: &str) -> Option<&Group> {
        let named = |group: &&Group| group.targets.iter().any(|target| target.names(module));
        let classed = |group: &&Group| group.targets.iter().any(|target| matches!(target, Target::Class));
        self.groups.iter().find(named).or_else(|| self.groups.iter().find(classed))
    }
}

fn check_format(keys: &Keys<'_>) -> Result<(), Error> {
    match keys.text("format")? {
        Some(format) if !FORMATS.contains(&format) => Err(keys.unsupported("format", format)),
        _ => Ok(()),
    }
}

impl Target {
    fn new(keys: &Keys<'_>, text: &str) -> Result<Self, Error> {
        if let Some(pattern) = text.strip_prefix("re:") {
            let regex =
                Regex::new(pattern).map_err(|error| keys.unsupported("targets", format!("`{text}`: {error}")))?;
            return Ok(Self::Pattern(Box::new(regex)));
        }
        // A class has no dots and begins with a capital letter.
        let class = text.starts_with(|c: char| c.is_ascii_uppercase()) && !text.contains('.');
        Ok(if class { Self::Class } else { Self::Name(text.to_owned()) })
    }

    fn names(&self, module: &str) -> bool {
        match self {
            Self::Class => false,
            Self::Name(name) => name == module,
            Self::Pattern(regex) => regex.is_match(Input::new(module).anchored(Anchored::Yes)),
        }
    }
}

impl Group {
    /// `None` for an entry about activations only, such as those of attention.
    fn new(keys: &Keys<'_>) -> Result<Option<Self>, Error> {
        check_format(keys)?;
        let targets = keys.texts("targets")?;
        let targets = targets.iter().map(|text| Target::new(keys, text)).collect::<Result<Vec<_>, _>>()?;
        if let Some(output) = keys.value("output_activations").filter(|value| !value.is_null()) {
            return Err(keys.unsupported("output_activations", output));
        }
        let Some(weights) = keys.object("weights")? else {
            keys.finish(&["input_activations"])?;
            return Ok(None);
        };
        let float = match weights.text("type")? {
            None | Some("int") => false,
            Some("float") => true,
            Some(other) => return Err(weights.unsupported("type", other)),
        };
        let bits = weights.bits("num_bits", if float { &[8] } else { &[2, 3, 4, 5, 6, 7, 8] })?;
        let size = weights.integer("group_size")?;
        let tiles = tile(&weights, "block_structure")?;
        let wrong = |key: &str| weights.wrong(key, "does not go with the strategy");
        let strategy = match weights.text("strategy")? {
            Some("tensor") => Strategy::Tensor,
            Some("channel") => Strategy::Channel,
            Some("group") => {
                let size = size.and_then(|size| usize::try_from(size).ok()).filter(|size| *size > 0);
                Strategy::Group(size.ok_or_else(|| wrong("group_size"))?)
            }
            Some("block") => Strategy::Tiles(tiles.ok_or_else(|| wrong("block_structure"))?),
            Some(other) => return Err(weights.unsupported("strategy", other)),
            None => match size {
                None => Strategy::Tensor,
                Some(-1) => Strategy::Channel,
                Some(size) => {
                    Strategy::Group(usize::try_from(size).ok().filter(|n| *n > 0).ok_or_else(|| wrong("group_size"))?)
                }
            },
        };
        let symmetric = weights.flag("symmetric")?.unwrap_or(true);
        if float && !symmetric {
            return Err(weights.unsupported("symmetric", "FP8 with zero points"));
        }
        match weights.value("dynamic") {
            None | Some(Json::Bool(false)) => {}
            Some(other) => return Err(weights.unsupported("dynamic", other)),
        }
        let ordered = match weights.value("actorder") {
            None | Some(Json::Bool(false)) => false,
            Some(Json::Bool(true)) => true,
            Some(Json::String(order)) if ["group", "dynamic"].contains(&order.as_str()) => true,
            Some(Json::String(order)) if ["weight", "static"].contains(&order.as_str()) => false,
            Some(other) => return Err(weights.unsupported("actorder", other)),
        };
        weights.finish(&["observer", "observer_kwargs", "scale_dtype", "zp_dtype"])?;
        keys.finish(&["input_activations"])?;
        Ok(Some(Self { targets, bits, float, symmetric, strategy, ordered }))
    }

    fn grouping(&self, parts: &Parts<'_>, [rows, cols]: [usize; 2]) -> Result<Grouping, Error> {
        Ok(match self.strategy {
            Strategy::Tensor => Grouping::Tiles { height: rows.max(1), width: cols.max(1) },
            Strategy::Channel => Grouping::Tiles { height: 1, width: cols.max(1) },
            Strategy::Tiles([height, width]) => Grouping::Tiles { height, width },
            Strategy::Group(width) if self.ordered => {
                grouping(&parts.get(".weight_g_idx")?, cols, width, cols.div_ceil(width))?
            }
            Strategy::Group(width) => Grouping::Tiles { height: 1, width },
        })
    }

    /// Checks the shape of scales or zero points and gives that of the table.
    fn expect(
        &self,
        parts: &Parts<'_>,
        suffix: &str,
        sizes: [usize; 2],
        groups: &Grouping,
        shape: &[usize],
    ) -> Result<(), Error> {
        match (groups, self.strategy) {
            (Grouping::Columns { groups, .. }, _) => expect(parts, suffix, &[sizes[0], *groups], shape),
            _ => expect_scales(parts, suffix, sizes, groups, shape),
        }
    }

    /// Zero points as they would be under codes without sign.
    fn zeros(&self, parts: &Parts<'_>, [rows, cols]: [usize; 2], grouping: &Grouping) -> Result<Vec<f32>, Error> {
        let middle = 1i64 << (self.bits - 1);
        let suffix = ".weight_zero_point";
        let Some(tensor) = parts.find(suffix)?.filter(|_| !self.symmetric) else {
            if self.symmetric {
                return Ok(vec![middle as f32]);
            }
            return Err(Error::Missing { kind: "tensor", name: parts.name(suffix) });
        };
        if expect_kind(&tensor, "I32").is_err() {
            expect_kind(&tensor, "I8")?;
            self.expect(parts, suffix, [rows, cols], grouping, &tensor.shape)?;
            return Ok(integers(&tensor)?.iter().map(|zero| (zero + middle) as f32).collect());
        }
        let groups = match grouping {
            Grouping::Columns { groups, .. } => *groups,
            Grouping::Tiles { width, .. } => cols.div_ceil(*width),
            _ => 1,
        };
        let words = rows.checked_mul(self.bits as usize).map(|bits| bits.div_ceil(32));
        expect(parts, suffix, &[words.unwrap_or(0), groups], &tensor.shape)?;
        let bytes = tensor.bytes.as_slice();
        let zero = |i: usize| bits_at(self.bits, i / groups, |at| word(bytes, at * groups + i % groups));
        Ok((0..rows * groups).map(|i| zero(i).into()).collect())
    }
}

impl Scheme for Compressed {
    fn base<'n>(&self, name: &'n str, tensors: &Tensors) -> Option<&'n str> {
        if let Some(base) = name.strip_suffix(".weight_packed") {
            return Some(base);
        }
        let base = name.strip_suffix(".weight")?;
        let is_int8 = || tensors.get(name).is_ok_and(|tensor| tensor.kind.to_string() == "I8");
        (is_e4m3(name, tensors) || is_int8()).then_some(base)
    }

    fn parts(&self) -> &'static [&'static str] {
        &[
            ".weight_packed",
            ".weight",
            ".weight_shape",
            ".weight_scale",
            ".weight_zero_point",
            ".weight_g_idx",
            ".input_scale",
            ".input_zero_point",
            ".input_global_scale",
        ]
    }

    fn unpack(&self, parts: &Parts<'_>, name: &str) -> Result<RawTensor, Error> {
        let Some(group) = self.group(parts.base) else {
            let detail = format!("no entry of `config_groups` is about `{}`", parts.base);
            return Err(Error::config("quantization_config.config_groups", detail));
        };
        let scales = parts.floats(".weight_scale")?;
        let Some(packed) = parts.find(".weight_packed")? else {
            let weight = parts.get(".weight")?;
            let sizes = matrix(&weight)?;
            let grouping = group.grouping(parts, sizes)?;
            if group.float {
                expect_kind(&weight, E4M3)?;
                let single = plain_grouping(sizes, &scales.1);
                let grouping = if group.strategy == Strategy::Tensor { single } else { grouping };
                return floats(parts, ".weight_scale", name, &weight, grouping, scales);
            }
            expect_kind(&weight, "I8")?;
            let bytes = weight.bytes.as_slice();
            let middle = 1u8 << (group.bits - 1);
            return group.integers(parts, name, sizes, grouping, scales, &|range, out| {
                let signed = &bytes[range.start * sizes[1]..range.end * sizes[1]];
                out.iter_mut().zip(signed).for_each(|(out, code)| *out = code.wrapping_add(middle));
            });
        };
        if group.float {
            return Err(wrong(&packed, "is packed, but its entry of `config_groups` is about floats"));
        }
        expect_kind(&packed, "I32")?;
        let [rows, words] = matrix(&packed)?;
        let shape = parts.get(".weight_shape")?;
        let sizes: Vec<usize> = integers(&shape)?.iter().filter_map(|n| usize::try_from(*n).ok()).collect();
        let cols = match sizes.as_slice() {
            [out, cols] if *out == rows => *cols,
            _ => return Err(wrong(&shape, format!("{sizes:?} is not the shape of {rows} rows"))),
        };
        let bits = group.bits;
        if cols.checked_mul(bits as usize).map(|bits| bits.div_ceil(32)) != Some(words) {
            return Err(wrong(&packed, format!("{words} words a row for {cols} codes of {bits} bits")));
        }
        let grouping = group.grouping(parts, [rows, cols])?;
        let bytes = packed.bytes.as_slice();
        group.integers(parts, name, [rows, cols], grouping, scales, &|range, out| {
            for (row, out) in range.zip(out.chunks_exact_mut(cols)) {
                for (col, out) in out.iter_mut().enumerate() {
                    *out = bits_at(bits, col, |at| word(bytes, row * words + at));
                }
            }
        })
    }
}

impl Group {
    fn integers(
        &self,
        parts: &Parts<'_>,
        name: &str,
        [rows, cols]: [usize; 2],
        grouping: Grouping,
        (scales, shape): (Vec<f32>, Vec<usize>),
        codes: &(dyn Fn(std::ops::Range<usize>, &mut [u8]) + Sync),
    ) -> Result<RawTensor, Error> {
        self.expect(parts, ".weight_scale", [rows, cols], &grouping, &shape)?;
        let zeros = self.zeros(parts, [rows, cols], &grouping)?;
        let max_code = ((1u32 << self.bits) - 1) as u8;
        let formats: &[Format] = INTEGERS;
        Coded { name, rows, cols, shape: None, formats, max_code, grouping, scales, zeros, codes }.tensor()
    }
}
