//! Valid, damaged and hostile GGUF files, written by [`GgufWriter`] and then changed.

use proptest::prelude::*;

use super::*;
use crate::loader::checkpoint::Checkpoint;
use crate::loader::gguf_write::{GgufTensor, GgufWriter};
use crate::unsupported::Unsupported;

fn every_value() -> Metadata {
    let mut all = Metadata::default();
    let nested = Array::Nested(vec![Array::U8(vec![1]), Array::Nested(vec![Array::Str(["x"].into_iter().collect())])]);
    for (key, value) in [
        ("u8", Value::U8(1)),
        ("i8", Value::I8(-1)),
        ("u16", Value::U16(2)),
        ("i16", Value::I16(-2)),
        ("u32", Value::U32(3)),
        ("i32", Value::I32(-3)),
        ("u64", Value::U64(u64::MAX)),
        ("i64", Value::I64(i64::MIN)),
        ("f32", Value::F32(0.1)),
        ("f64", Value::F64(0.1)),
        ("yes", Value::Bool(true)),
        ("text", Value::Str("zwölf".into())),
        ("u8s", Value::Array(Array::U8(vec![1, 2]))),
        ("i8s", Value::Array(Array::I8(vec![-1]))),
        ("u16s", Value::Array(Array::U16(vec![1]))),
        ("i16s", Value::Array(Array::I16(vec![-1]))),
        ("u32s", Value::Array(Array::U32(vec![7]))),
        ("i32s", Value::Array(Array::I32(vec![-7, 7]))),
        ("u64s", Value::Array(Array::U64(vec![7]))),
        ("i64s", Value::Array(Array::I64(vec![7]))),
        ("f32s", Value::Array(Array::F32(vec![f32::INFINITY]))),
        ("f64s", Value::Array(Array::F64(vec![]))),
        ("bools", Value::Array(Array::Bool(vec![true, false]))),
        ("texts", Value::Array(Array::Str(["", "a", "é"].into_iter().collect()))),
        ("nested", Value::Array(nested)),
    ] {
        all.insert(key, value);
    }
    all
}

fn listed(tensors: &[(&str, Format, &[usize])]) -> Vec<GgufTensor> {
    let tensor = |(name, format, shape): &(&str, Format, &[usize])| GgufTensor {
        name: (*name).into(),
        format: *format,
        shape: shape.to_vec(),
    };
    tensors.iter().map(tensor).collect()
}

fn write(metadata: &Metadata, tensors: &[(&str, Format, &[usize])]) -> Vec<u8> {
    let mut file = GgufWriter::new(Vec::new(), metadata, &listed(tensors)).unwrap();
    for (i, (_, format, shape)) in tensors.iter().enumerate() {
        let len = format.byte_len(shape.iter().product()).unwrap();
        file.tensor(&(0..len).map(|b| (b + i) as u8).collect::<Vec<_>>()).unwrap();
    }
    file.finish().unwrap()
}

fn small_file() -> Vec<u8> {
    let mut metadata = Metadata::default();
    metadata.insert("general.architecture", Value::Str("llama".into()));
    metadata.insert("general.alignment", Value::U32(8));
    metadata.insert("tokens", Value::Array(Array::Str(["a", "bc"].into_iter().collect())));
    metadata.insert("nested", Value::Array(Array::Nested(vec![Array::F32(vec![1.0])])));
    write(&metadata, &[("w", Format::F32, &[3, 2]), ("q", Format::Q8_0, &[2, 32]), ("s", Format::F16, &[])])
}

/// Opens and uses everything; nothing may panic.
fn open_and_use(bytes: Vec<u8>) -> Result<(), Error> {
    let checkpoint = Checkpoint::from_bytes(bytes)?;
    let names: Vec<_> = checkpoint.weights().names().map(str::to_owned).collect();
    for name in names {
        assert!(checkpoint.weights().contains(&name));
        let tensor = checkpoint.weights().get(&name)?;
        let weight = tensor.to_weight()?;
        assert_eq!(weight.rows() * weight.cols(), tensor.shape.iter().product::<usize>());
    }
    Ok(())
}

#[test]
fn values_and_tensors_round_trip() {
    let formats: Vec<_> = Format::all().filter(|format| format.gguf_id().is_some()).collect();
    let names: Vec<String> = formats.iter().map(|f| format!("blk.{f}")).collect();
    let shapes: Vec<_> = formats.iter().map(|f| [2, 3, f.block_weights() * 2]).collect();
    let tensors: Vec<_> =
        formats.iter().zip(&names).zip(&shapes).map(|((f, n), s)| (n.as_str(), *f, s.as_slice())).collect();
    for alignment in [None, Some(1), Some(8), Some(4096)] {
        let mut metadata = every_value();
        if let Some(alignment) = alignment {
            metadata.insert("general.alignment", Value::U32(alignment));
        }
        let bytes = write(&metadata, &tensors);
        assert_eq!(read_metadata(&bytes, "x", &Limits::default()).unwrap(), metadata);
        let checkpoint = Checkpoint::from_bytes(bytes).unwrap();
        assert_eq!(checkpoint.metadata(), Some(&metadata));
        assert_eq!(checkpoint.weights().names().collect::<Vec<_>>(), names);
        let mut total = 0;
        for (i, (name, format, shape)) in tensors.iter().enumerate() {
            let tensor = checkpoint.weights().get(name).unwrap();
            assert_eq!((tensor.format().unwrap(), tensor.shape.as_slice()), (*format, *shape));
            let expected = format.byte_len(shape.iter().product()).unwrap();
            assert!(tensor.bytes.as_slice().iter().copied().eq((0..expected).map(|b| (b + i) as u8)));
            assert_eq!(tensor.to_weight().unwrap().rows(), 6);
            assert!(matches!(tensor.matrix(6, shape[2]), Err(Error::Shape { .. })));
            total += expected as u64;
        }
        assert_eq!(checkpoint.tensor_bytes(), total);
        assert!(matches!(checkpoint.weights().get("other"), Err(Error::Missing { kind: "tensor", .. })));
    }
}

#[test]
fn version_2_reads_like_3() {
    let mut bytes = small_file();
    bytes[4] = 2;
    open_and_use(bytes).unwrap();
}

#[test]
fn other_versions_and_byte_orders_are_unsupported() {
    for version in [[1, 0, 0, 0], [4, 0, 0, 0], [0, 0, 0, 3], [0, 0, 0, 2], [0, 0, 0, 0]] {
        let mut bytes = small_file();
        bytes[4..8].copy_from_slice(&version);
        assert!(matches!(open_and_use(bytes), Err(Error::Unsupported { .. })), "{version:?}");
    }
    let zip = open_and_use(b"PK\x03\x04 not gguf".to_vec());
    assert!(matches!(zip, Err(Error::WrongFile { found: FileKind::Zip, .. })), "{zip:?}");
}

#[test]
fn every_truncation_is_an_error() {
    let bytes = small_file();
    // The padding behind the last tensor may be missing.
    let used = bytes.len() - 6;
    for len in 0..bytes.len() {
        match open_and_use(bytes[..len].to_vec()) {
            Ok(()) => assert!(len >= used, "{len}"),
            Err(Error::WrongFile { .. }) => assert!(len < MAGIC.len(), "{len}"),
            Err(Error::Truncated { promised, found, .. }) => {
                assert!(found == len as u64 && found < promised && promised <= used as u64, "{len}: {promised}");
            }
            Err(other) => panic!("{len}: {other}"),
        }
    }
}

#[test]
fn every_changed_byte_is_survived() {
    let bytes = small_file();
    for at in 0..bytes.len() {
        for change in [0, 1, 2, 9, 0x7f, 0x80, 0xfe, 0xff] {
            for value in [change, bytes[at] ^ change, bytes[at].wrapping_add(change)] {
                let mut changed = bytes.clone();
                changed[at] = value;
                let _ = open_and_use(changed);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_changes_are_survived(
        changes in prop::collection::vec((any::<prop::sample::Index>(), prop::num::u64::ANY, 1usize..9), 1..6),
        cut in any::<prop::sample::Index>(), cuts in any::<bool>(),
    ) {
        let mut bytes = small_file();
        for (at, value, width) in changes {
            let at = at.index(bytes.len());
            let end = (at + width).min(bytes.len());
            let value = value.to_le_bytes();
            bytes[at..end].copy_from_slice(&value[..end - at]);
        }
        if cuts {
            bytes.truncate(cut.index(bytes.len()));
        }
        let _ = open_and_use(bytes);
    }

    #[test]
    fn random_bytes_after_the_preamble_are_survived(
        tail in prop::collection::vec(any::<u8>(), 0..200), t in 0u64..3, k in 0u64..3,
    ) {
        let mut bytes = b"GGUF\x03\0\0\0".to_vec();
        bytes.extend(t.to_le_bytes());
        bytes.extend(k.to_le_bytes());
        bytes.extend(tail);
        let _ = open_and_use(bytes);
    }
}

/// A file with one tensor whose table entry is given in full.
fn one_tensor(name: &[u8], dims: &[u64], kind: u32, offset: u64, data: usize) -> Vec<u8> {
    tensors_of(&[(name, dims, kind, offset)], data)
}

type RawRow<'a> = (&'a [u8], &'a [u64], u32, u64);

fn tensors_of(rows: &[RawRow<'_>], data: usize) -> Vec<u8> {
    let mut out = b"GGUF\x03\0\0\0".to_vec();
    out.extend((rows.len() as u64).to_le_bytes());
    out.extend(0u64.to_le_bytes());
    for (name, dims, kind, offset) in rows {
        out.extend((name.len() as u64).to_le_bytes());
        out.extend(*name);
        out.extend((dims.len() as u32).to_le_bytes());
        out.extend(dims.iter().flat_map(|d| d.to_le_bytes()));
        out.extend(kind.to_le_bytes());
        out.extend(offset.to_le_bytes());
    }
    out.resize(out.len().next_multiple_of(32) + data, 0);
    out
}

#[test]
fn tensor_table_is_checked() {
    let (f32, q8) = (Format::F32.gguf_id().unwrap(), Format::Q8_0.gguf_id().unwrap());
    open_and_use(one_tensor(b"a", &[8, 2], f32, 0, 64)).unwrap();
    open_and_use(one_tensor(b"a", &[], f32, 0, 4)).unwrap();
    let hostile: &[(&str, Vec<u8>)] = &[
        ("offset overflows", one_tensor(b"a", &[8], f32, u64::MAX - 31, 64)),
        ("offset not aligned", one_tensor(b"a", &[4], f32, 4, 64)),
        ("product overflows", one_tensor(b"a", &[1 << 32, 1 << 32], f32, 0, 64)),
        ("size overflows", one_tensor(b"a", &[1 << 62, 1], f32, 0, 64)),
        ("product wraps to a small number", one_tensor(b"a", &[1 << 33, 1 << 31, 1], f32, 0, 64)),
        ("half a block a row", one_tensor(b"a", &[16, 2], q8, 0, 64)),
        ("five dimensions", one_tensor(b"a", &[1, 1, 1, 1, 1], f32, 0, 64)),
        ("empty name", one_tensor(b"", &[8], f32, 0, 64)),
        ("name not UTF-8", one_tensor(b"\xff", &[8], f32, 0, 64)),
        ("same name", tensors_of(&[(b"a", &[8], f32, 0), (b"a", &[8], f32, 32)], 64)),
        ("same bytes", tensors_of(&[(b"a", &[8], f32, 0), (b"b", &[8], f32, 0)], 64)),
        ("overlap", tensors_of(&[(b"a", &[8], f32, 32), (b"b", &[9], f32, 0)], 96)),
        ("no elements", one_tensor(b"a", &[0, 1 << 60], f32, 0, 0)),
    ];
    for (what, bytes) in hostile {
        let result = open_and_use(bytes.clone());
        assert!(matches!(result, Err(Error::Malformed { .. })), "{what}: {result:?}");
    }
}

#[test]
fn data_that_ends_early_says_how_much_is_promised() {
    let f32 = Format::F32.gguf_id().unwrap();
    for (bytes, promised) in
        [(one_tensor(b"a", &[8, 2], f32, 0, 63), 96 + 64), (one_tensor(b"a", &[8], f32, 64, 64), 64 + 96)]
    {
        let file_bytes = bytes.len() as u64;
        match open_and_use(bytes).unwrap_err() {
            Error::Truncated { promised: p, found, .. } => assert_eq!((p, found), (promised, file_bytes)),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn types_without_a_format_have_their_names() {
    for (id, name) in
        [(4, "Q4_2"), (5, "Q4_3"), (31, "Q4_0_4_4"), (36, "IQ4_NL_4_4"), (38, "IQ4_NL_8_8"), (139, "IQ4_K")]
    {
        let error = open_and_use(one_tensor(b"a", &[8], id, 0, 32)).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains(&format!("type id {id}")), "{error}");
    }
}

#[test]
fn an_unknown_type_is_an_error_only_when_used() {
    let rows: &[RawRow<'_>] = &[(b"a", &[8], 0, 0), (b"b", &[8], 99, 32), (b"c", &[8], 4, 64)];
    let checkpoint = Checkpoint::from_bytes(tensors_of(rows, 96)).unwrap();
    checkpoint.weights().get("a").unwrap().to_weight().unwrap();
    for (name, id, known) in [("b", "99", "did not have"), ("c", "4", "Q4_2")] {
        let error = checkpoint.weights().get(name).unwrap_err();
        let Error::Unsupported(Unsupported::TensorFormat { tensor, .. }) = &error else { panic!("{error}") };
        assert_eq!(tensor, name);
        assert!([id, known].iter().all(|part| error.to_string().contains(part)), "{error}");
    }
}

#[test]
fn alignment_is_checked() {
    for bad in [Value::U32(0), Value::U32(24), Value::I32(-32), Value::Str("32".into()), Value::U64(1 << 40)] {
        let mut bytes = b"GGUF\x03\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0".to_vec();
        let mut metadata = Metadata::default();
        metadata.insert("general.alignment", bad.clone());
        // The writer refuses it too, so the key is taken from a file in which it has another name.
        let mut renamed = Metadata::default();
        renamed.insert("general.alignmenT", bad);
        assert!(matches!(GgufWriter::new(Vec::new(), &metadata, &[]), Err(Error::Config { .. })));
        let written = GgufWriter::new(Vec::new(), &renamed, &[]).unwrap().finish().unwrap();
        bytes.extend(&written[24..]);
        let at = bytes.windows(17).position(|w| w == b"general.alignmenT").unwrap();
        bytes[at + 16] = b't';
        assert!(matches!(open_and_use(bytes), Err(Error::Config { key, .. }) if key == "general.alignment"));
    }
}

#[test]
fn keys_and_values_are_checked() {
    let entry = |key: &[u8], kind: u32, value: &[u8]| {
        [&(key.len() as u64).to_le_bytes(), key, &kind.to_le_bytes(), value].concat()
    };
    let file = |entries: &[Vec<u8>]| {
        let count = (entries.len() as u64).to_le_bytes();
        [b"GGUF\x03\0\0\0\0\0\0\0\0\0\0\0", &count[..], &entries.concat()].concat()
    };
    open_and_use(file(&[entry(b"a", 7, &[1]), entry(b"b", 7, &[0])])).unwrap();
    for (what, entries) in [
        ("same key", vec![entry(b"a", 0, &[1]), entry(b"a", 0, &[1])]),
        ("empty key", vec![entry(b"", 0, &[1])]),
        ("key not UTF-8", vec![entry(b"\xc3", 0, &[1])]),
        ("boolean 2", vec![entry(b"a", 7, &[2])]),
        ("type 13", vec![entry(b"a", 13, &[0; 16])]),
        ("array of type 13", vec![entry(b"a", 9, &[13, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])]),
    ] {
        let result = open_and_use(file(&entries));
        assert!(matches!(result, Err(Error::Malformed { .. })), "{what}: {result:?}");
    }
}

/// A name in another encoding must not keep a model from loading; reading the name as text is an error.
#[test]
fn text_that_is_not_utf_8_is_kept_and_written_as_it_was() {
    let mut strings = ByteStrings::default();
    for string in [b"plain".as_slice(), b"", b"caf\xe9"] {
        strings.push(string);
    }
    assert!(strings.iter().eq([b"plain".as_slice(), b"", b"caf\xe9"]));
    let mut metadata = Metadata::default();
    metadata.insert("general.author", Value::Bytes(b"Ren\xe9".to_vec()));
    metadata.insert("general.tags", Value::Array(Array::Bytes(strings)));
    let bytes = write(&metadata, &[]);
    let read = read_metadata(&bytes, "x", &Limits::default()).unwrap();
    assert_eq!(read, metadata);
    open_and_use(bytes).unwrap();
    let error = read.str("general.author").unwrap_err().to_string();
    assert!(error.contains("`general.author`") && error.contains("not UTF-8"), "{error}");
    assert!(matches!(read.strings("general.tags"), Err(Error::Config { key, .. }) if key == "general.tags"));
}

#[test]
fn limits_hold() {
    let open = |change: fn(&mut Limits)| {
        let mut limits = Limits::default();
        change(&mut limits);
        Checkpoint::options().limits(limits).from_bytes(small_file())
    };
    open(|_| {}).unwrap();
    for change in [
        (|l| l.metadata_entries = 4) as fn(&mut Limits),
        |l| l.header_bytes = 100,
        |l| l.string_bytes = 4,
        |l| l.name_bytes = 4,
        |l| l.array_length = 1,
        |l| l.array_depth = 1,
        |l| l.tensors = 2,
        |l| l.dimensions = 1,
    ] {
        let result = open(change);
        assert!(matches!(result, Err(Error::Limit { .. })), "{result:?}");
    }
}

#[test]
fn the_writer_refuses_what_the_reader_would() {
    let none = Metadata::default();
    for tensors in [
        &[("", Format::F32, &[1][..])][..],
        &[("a", Format::F32, &[1]), ("a", Format::F32, &[1])],
        &[("a", Format::Q8_0, &[31])],
        &[("a", Format::F32, &[1, 1, 1, 1, 1])],
        &[("a", Format::F32, &[usize::MAX, 1 << 40])],
    ] {
        assert!(GgufWriter::new(Vec::new(), &none, &listed(tensors)).is_err(), "{tensors:?}");
    }
    let list = listed(&[("a", Format::F32, &[2])]);
    let start = || GgufWriter::new(Vec::new(), &none, &list).unwrap();
    assert!(start().tensor(&[0; 7]).is_err());
    assert!(start().finish().is_err());
    let mut file = start();
    file.tensor(&[0; 8]).unwrap();
    assert!(file.tensor(&[0; 8]).is_err());
}
