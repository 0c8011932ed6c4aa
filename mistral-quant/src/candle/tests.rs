use std::sync::Arc;

use candle_core::quantized::{GgmlDType, QMatMul, QStorage, QTensor};
use candle_core::{CpuStorage, CustomOp1, DType, Device, Layout, Module, Shape, Tensor, Var};

use super::cause;
use crate::bytes::SharedBytes;
use crate::candle::linear::Linear;
use crate::candle::qtensor::{format_of, ggml_dtype, qtensor_from_weight, weight_from_qtensor};
use crate::candle::shared::SharedCpu;
use crate::cpu::kernels::Isa;
use crate::cpu::tests::{Random, cpu};
use crate::error::Error;
use crate::format::Format;
use crate::quantize::quantize;
use crate::weight::Weight;

const COLS: usize = 512;

fn shared(threads: usize) -> SharedCpu {
    SharedCpu::new(cpu(threads, None)).unwrap()
}

fn tensor(random: &mut Random, dims: &[usize]) -> Tensor {
    let len = dims.iter().product();
    Tensor::from_vec(random.values(len), dims, &Device::Cpu).unwrap()
}

fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// The formats that both sides can compute.
fn common() -> impl Iterator<Item = (Format, GgmlDType)> {
    let pairs = Format::all().filter_map(|format| Some((format, ggml_dtype(format)?)));
    pairs.filter(|(format, dtype)| format.is_computable() && !matches!(dtype, GgmlDType::Q8_1 | GgmlDType::Q8K))
}

#[test]
fn names_of_formats_are_one_to_one() {
    let known: Vec<_> = Format::all().filter(|&format| ggml_dtype(format).is_some()).collect();
    assert_eq!(known.len(), 15);
    for format in known {
        let dtype = ggml_dtype(format).unwrap();
        assert_eq!(format_of(dtype), format);
        assert_eq!((dtype.block_size(), dtype.type_size()), (format.block_weights(), format.block_bytes()), "{format}");
    }
    assert_eq!(common().count(), 13);
}

#[test]
fn blocks_come_and_go_unchanged_and_mean_the_same() {
    let mut random = Random::new(1);
    for (format, dtype) in common() {
        let theirs = Arc::new(QTensor::quantize(&tensor(&mut random, &[7, COLS]), dtype).unwrap());
        let weight = weight_from_qtensor(Arc::clone(&theirs)).unwrap();
        assert_eq!((weight.format(), weight.rows(), weight.cols()), (format, 7, COLS));
        let data = theirs.data().unwrap();
        assert_eq!(weight.bytes().as_ptr(), data.as_ptr(), "{format} was copied");
        assert_eq!(weight.bytes(), &*data);
        assert_eq!(weight.to_f32().unwrap(), flat(&theirs.dequantize(&Device::Cpu).unwrap()), "{format}");

        // Ours, from an odd address, and a part of its rows.
        let ours = quantize(format, 7, COLS, &random.values(7 * COLS)).unwrap();
        let mut file = vec![0; 3];
        file.extend_from_slice(ours.bytes());
        let bytes = SharedBytes::new(file).slice(3..3 + ours.bytes().len()).unwrap();
        let weight = Weight::new(format, 7, COLS, bytes).unwrap().slice_rows(2..6).unwrap();
        let exported = qtensor_from_weight(&weight).unwrap();
        assert_eq!((exported.dtype(), exported.shape().dims()), (dtype, &[4, COLS][..]));
        assert_eq!(&*exported.data().unwrap(), weight.bytes(), "{format}");
        assert_eq!(flat(&exported.dequantize(&Device::Cpu).unwrap()), weight.to_f32().unwrap(), "{format}");
        let layer = Linear::new(&shared(1), weight.clone(), None).unwrap();
        assert_eq!((layer.format(), layer.rows(), layer.cols()), (format, 4, COLS));
        assert_eq!(flat(&layer.dequantize().unwrap()), weight.to_f32().unwrap());
    }
    let empty = Weight::new(Format::Q4_K, 0, COLS, SharedBytes::new([])).unwrap();
    assert_eq!(qtensor_from_weight(&empty).unwrap().shape().dims(), [0, COLS]);
}

/// What rounding the activations may change in an output, from the definitions of both sides.
struct Exact {
    value: f64,
    /// Ours: half a step of each 32 values, whose 127th is the step.
    ours: f64,
    /// candle's: a step of 256 values. Half of it is rounding; rounding scales and sums to f16 takes less than the rest.
    candle: f64,
    /// The variance of ours where errors are uniform and independent.
    variance: f64,
}

/// A row and a token in f64 over the decoded weights.
fn exact(weights: &[f32], x: &[f32]) -> Exact {
    let mut exact = Exact { value: 0.0, ours: 0.0, candle: 0.0, variance: 0.0 };
    let largest = |values: &[f32]| values.iter().fold(0f64, |max, &value| max.max(f64::from(value).abs()));
    for (weights, x) in weights.chunks(256).zip(x.chunks(256)) {
        let coarse = largest(x) / 127.0;
        for (weights, x) in weights.chunks(32).zip(x.chunks(32)) {
            let (step, weight) = (largest(x) / 127.0, largest(weights));
            for (&w, &x) in weights.iter().zip(x) {
                let (w, x) = (f64::from(w), f64::from(x));
                exact.value += w * x;
                let sums = 1e-5 * weight * x.abs();
                exact.ours += w.abs() * step / 2.0 + sums;
                exact.candle += weight * coarse + sums;
                exact.variance += (w * step).powi(2) / 12.0;
            }
        }
    }
    exact
}

#[test]
fn products_are_those_of_candle_within_both_definitions() {
    let mut random = Random::new(2);
    for (format, dtype) in common() {
        let (mut our_errors, mut their_errors, mut expected) = (0.0, 0.0, 0.0);
        // 48 rows take candle's repacked path where it has one, 37 do not.
        for (rows, tokens) in [(48, 1), (48, 6), (37, 3)] {
            let theirs = Arc::new(QTensor::quantize(&tensor(&mut random, &[rows, COLS]), dtype).unwrap());
            let x = tensor(&mut random, &[tokens, COLS]);
            let layer = Linear::from_qtensor(&shared(2), Arc::clone(&theirs), None).unwrap();
            let weights = flat(&layer.dequantize().unwrap());
            let (ours, candle) = (flat(&layer.forward(&x).unwrap()), QMatMul::from_arc(theirs).unwrap());
            let candle = flat(&candle.forward(&x).unwrap());
            assert_eq!((ours.len(), candle.len()), (rows * tokens, rows * tokens));
            for (i, (&ours, &candle)) in ours.iter().zip(&candle).enumerate() {
                let (token, row) = (i / rows, i % rows);
                let x = &flat(&x)[token * COLS..(token + 1) * COLS];
                let exact = exact(&weights[row * COLS..(row + 1) * COLS], x);
                let (ours, candle) = (f64::from(ours), f64::from(candle));
                assert!((ours - exact.value).abs() <= exact.ours, "{format} {i}: {ours}, exact {}", exact.value);
                assert!((candle - exact.value).abs() <= exact.candle, "{format} {i}: candle's {candle}");
                assert!((ours - candle).abs() <= exact.ours + exact.candle);
                our_errors += (ours - exact.value).powi(2);
                their_errors += (candle - exact.value).powi(2);
                expected += exact.variance;
            }
        }
        if matches!(format, Format::F32 | Format::F16 | Format::BF16) {
            assert!(our_errors <= 0.01 * expected, "{format}: {our_errors} of {expected}");
        } else {
            assert!(our_errors <= 1.5 * expected, "{format}: {our_errors} of {expected}");
            assert!(our_errors <= 1.25 * their_errors, "{format}: ours {our_errors}, candle's {their_errors}");
        }
    }
}

#[test]
fn ranks_and_strides_give_the_rows_of_the_plain_product() {
    let mut random = Random::new(3);
    for format in [Format::Q4_K, Format::F16] {
        let bias = tensor(&mut random, &[20]);
        let layer = Linear::quantize(&shared(2), format, &tensor(&mut random, &[20, 256]), Some(&bias)).unwrap();
        let x = tensor(&mut random, &[2, 3, 4, 256]);
        let plain = layer.forward(&x).unwrap();
        assert_eq!(plain.dims(), [2, 3, 4, 20]);
        let rows = flat(&plain);
        for (i, row) in rows.chunks(20).enumerate() {
            let one = x.reshape((24, 256)).unwrap().get(i).unwrap();
            let y = layer.forward(&one).unwrap();
            assert_eq!((y.dims(), flat(&y)), (&[20][..], row.to_vec()));
        }
        for x in [
            x.transpose(0, 2).unwrap(),
            x.narrow(2, 1, 2).unwrap(),
            x.get(1).unwrap().narrow(0, 1, 2).unwrap(),
            x.get(1).unwrap().get(2).unwrap(),
            x.narrow(1, 1, 1).unwrap().broadcast_as((2, 5, 4, 256)).unwrap(),
            tensor(&mut random, &[256, 6]).t().unwrap(),
            tensor(&mut random, &[6, 512]).narrow(1, 17, 256).unwrap(),
        ] {
            let y = layer.forward(&x).unwrap();
            let same = x.force_contiguous().unwrap();
            assert_eq!(y.dims()[..y.rank() - 1], x.dims()[..x.rank() - 1]);
            assert_eq!(flat(&y), flat(&layer.forward(&same).unwrap()), "{:?} {:?}", x.dims(), x.stride());
        }
        let nothing = Tensor::zeros((2, 0, 256), DType::F32, &Device::Cpu).unwrap();
        assert_eq!(layer.forward(&nothing).unwrap().dims(), [2, 0, 20]);
    }
}

#[test]
fn half_types_are_widened_and_rounded_once() {
    let mut random = Random::new(4);
    let layer = Linear::quantize(&shared(1), Format::Q6_K, &tensor(&mut random, &[9, 256]), None).unwrap();
    for dtype in [DType::F16, DType::BF16] {
        for x in [tensor(&mut random, &[3, 256]), tensor(&mut random, &[256, 3]).t().unwrap()] {
            let x = x.to_dtype(dtype).unwrap();
            let wide = layer.forward(&x.to_dtype(DType::F32).unwrap()).unwrap();
            let y = layer.forward(&x).unwrap();
            assert_eq!(y.dtype(), dtype);
            assert_eq!(flat(&y), flat(&wide.to_dtype(dtype).unwrap()));
        }
    }
    // Weights of the tensor's own type stay exact.
    let dense = tensor(&mut random, &[4, 40]).to_dtype(DType::BF16).unwrap();
    let layer = Linear::quantize(&shared(1), Format::BF16, &dense, None).unwrap();
    assert_eq!(flat(&layer.dequantize().unwrap()), flat(&dense));
}

#[test]
fn a_bias_is_added_in_any_type() {
    let mut random = Random::new(5);
    let weight = tensor(&mut random, &[33, 64]);
    let x = tensor(&mut random, &[2, 64]);
    for dtype in [DType::F32, DType::BF16, DType::F64] {
        let bias = tensor(&mut random, &[33]).to_dtype(dtype).unwrap();
        let plain = Linear::quantize(&shared(1), Format::Q8_0, &weight, None).unwrap().forward(&x).unwrap();
        let with = Linear::quantize(&shared(1), Format::Q8_0, &weight, Some(&bias)).unwrap().forward(&x).unwrap();
        let expected = plain.broadcast_add(&bias.to_dtype(DType::F32).unwrap()).unwrap();
        assert_eq!(flat(&with), flat(&expected));
    }
}

#[test]
fn layers_share_a_cpu_between_threads() {
    let mut random = Random::new(6);
    let cpu = shared(3);
    assert_eq!(cpu.threads(), 3);
    assert!(format!("{cpu:?}").contains("3 threads"));
    let weights = [512, 64, 2048].map(|rows| quantize(Format::Q4_0, rows, 256, &random.values(rows * 256)).unwrap());
    let x = tensor(&mut random, &[5, 256]);
    let alone = weights.clone().map(|w| flat(&Linear::new(&shared(1), w, None).unwrap().forward(&x).unwrap()));
    let layers = weights.map(|weight| Linear::new(&cpu, weight, None).unwrap());
    std::thread::scope(|scope| {
        for i in 0..4 {
            let (layers, alone, x) = (&layers, &alone, &x);
            scope.spawn(move || {
                for round in 0..8 {
                    let at = (i + round) % layers.len();
                    assert_eq!(flat(&layers[at].forward(x).unwrap()), alone[at]);
                }
            });
        }
    });
}

#[test]
fn the_instruction_set_is_that_of_the_cpu() {
    let mut random = Random::new(7);
    let weight = quantize(Format::Q5_K, 16, 256, &random.values(16 * 256)).unwrap();
    let x = tensor(&mut random, &[1, 256]);
    let scalar = SharedCpu::new(cpu(1, Some(Isa::Scalar))).unwrap();
    let slow = Linear::new(&scalar, weight.clone(), None).unwrap();
    let fast = Linear::new(&shared(1), weight, None).unwrap();
    for (slow, fast) in flat(&slow.forward(&x).unwrap()).into_iter().zip(flat(&fast.forward(&x).unwrap())) {
        assert!((slow - fast).abs() <= 1e-4 * slow.abs().max(1.0), "{slow} {fast}");
    }
}

#[test]
fn gradients_are_an_error_not_a_zero() {
    let mut random = Random::new(8);
    let layer = Linear::quantize(&shared(1), Format::Q8_0, &tensor(&mut random, &[4, 32]), None).unwrap();
    let x = Var::from_tensor(&tensor(&mut random, &[1, 32])).unwrap();
    let loss = layer.forward(x.as_tensor()).unwrap().sum_all().unwrap();
    assert!(matches!(innermost(&loss.backward().unwrap_err()), candle_core::Error::BackwardNotSupported { .. }));
}

/// Without the backtrace that `RUST_BACKTRACE` adds.
fn innermost(error: &candle_core::Error) -> &candle_core::Error {
    match error {
        candle_core::Error::WithBacktrace { inner, .. } => innermost(inner),
        other => other,
    }
}

/// An operation whose result has more elements by its shape than in its storage; candle does not look.
struct Claim;

impl CustomOp1 for Claim {
    fn name(&self) -> &'static str {
        "claim"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, _: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        Ok((storage.clone(), Shape::from((2, 32))))
    }
}

#[test]
fn misfits_are_typed_errors() {
    let mut random = Random::new(9);
    let cpu = shared(1);
    let weight = tensor(&mut random, &[4, 32]);
    let layer = Linear::quantize(&cpu, Format::Q8_0, &weight, None).unwrap();
    let shape = |error: candle_core::Error| assert!(matches!(cause(&error), Some(Error::Shape { .. })), "{error}");
    shape(layer.forward(&tensor(&mut random, &[2, 33])).unwrap_err());
    shape(layer.forward(&tensor(&mut random, &[])).unwrap_err());
    shape(Linear::quantize(&cpu, Format::Q8_0, &weight, Some(&tensor(&mut random, &[5]))).unwrap_err());
    shape(Linear::quantize(&cpu, Format::Q4_K, &weight, None).unwrap_err());
    let error = layer.forward(&tensor(&mut random, &[2, 33])).unwrap_err().context("layer 7");
    assert!(error.to_string().contains("expected [..., 32], found [2, 33]"), "{error}");
    shape(error);
    let ids = Tensor::zeros((1, 32), DType::U32, &Device::Cpu).unwrap();
    let error = layer.forward(&ids).unwrap_err();
    assert!(matches!(innermost(&error), candle_core::Error::UnsupportedDTypeForOp(DType::U32, _)), "{error}");
    assert!(cause(&error).is_none());

    // Shapes that claim more than there is.
    let beyond = tensor(&mut random, &[40]).apply_op1_no_bwd(&Claim).unwrap();
    let error = layer.forward(&beyond).unwrap_err();
    assert!(matches!(innermost(&error), candle_core::Error::ShapeMismatch { buffer_size: 40, .. }), "{error}");
    let error = layer.forward(&beyond.narrow(0, 1, 1).unwrap().broadcast_as((3, 32)).unwrap()).unwrap_err();
    assert!(matches!(innermost(&error), candle_core::Error::ShapeMismatch { buffer_size: 40, .. }), "{error}");
    let wide = weight.narrow(0, 0, 1).unwrap().broadcast_as((usize::MAX / 2, 4, 32)).unwrap();
    shape(layer.forward(&wide).unwrap_err());
    let storage = |len| QStorage::from_data(vec![0; len].into(), &Device::Cpu, GgmlDType::F32).unwrap();
    let claimed = QTensor::new(storage(128), (2, 32)).unwrap();
    shape(weight_from_qtensor(Arc::new(claimed)).unwrap_err());
    let experts = QTensor::new(storage(512), (2, 2, 32)).unwrap();
    let error = weight_from_qtensor(Arc::new(experts)).unwrap_err();
    assert!(matches!(innermost(&error), candle_core::Error::UnexpectedNumberOfDims { expected: 2, got: 3, .. }));

    let strange = Weight::new(Format::I8, 1, 4, SharedBytes::new([0; 4])).unwrap();
    for error in [qtensor_from_weight(&strange).unwrap_err(), Linear::new(&cpu, strange, None).unwrap_err()] {
        assert!(matches!(cause(&error), Some(Error::UnsupportedFormat { format: Format::I8, .. })), "{error}");
    }
}
