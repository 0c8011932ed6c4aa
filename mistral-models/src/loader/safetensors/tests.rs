//! Valid, damaged and hostile safetensors headers; the `safetensors` crate writes the valid ones.

use std::collections::HashMap;

use proptest::prelude::*;
use safetensors::tensor::{Dtype, TensorView, serialize};

use super::*;
use crate::loader::checkpoint::Checkpoint;
use crate::loader::weights::TensorType;
use crate::unsupported::Unsupported;

fn valid() -> Vec<u8> {
    let data: Vec<u8> = (0..64).collect();
    let views = [
        ("a", Dtype::F32, vec![2, 3], &data[..24]),
        ("b", Dtype::BF16, vec![4], &data[..8]),
        ("c", Dtype::F8_E4M3, vec![5], &data[..5]),
        ("d", Dtype::U8, vec![], &data[..1]),
        ("e", Dtype::I64, vec![1, 2], &data[..16]),
        ("f", Dtype::F16, vec![0, 2], &data[..0]),
    ];
    let views = views.map(|(name, dtype, shape, data)| (name, TensorView::new(dtype, shape, data).unwrap()));
    serialize(views, Some(HashMap::from([("format".to_owned(), "pt".to_owned())]))).unwrap()
}

fn open(bytes: Vec<u8>) -> Result<Checkpoint, Error> {
    Checkpoint::options().from_safetensors(b"{}", bytes)
}

fn with_header(json: &str, data: usize) -> Vec<u8> {
    [&(json.len() as u64).to_le_bytes(), json.as_bytes(), &vec![7; data]].concat()
}

fn open_and_use(bytes: Vec<u8>) -> Result<(), Error> {
    let checkpoint = open(bytes)?;
    let names: Vec<_> = checkpoint.weights().names().map(str::to_owned).collect();
    for name in names {
        let _ = checkpoint.weights().get(&name)?.to_weight();
    }
    Ok(())
}

#[test]
fn what_the_format_s_own_crate_writes_is_read() {
    let checkpoint = open(valid()).unwrap();
    let a = checkpoint.weights().get("a").unwrap();
    assert_eq!((a.format().unwrap(), a.shape.as_slice()), (Format::F32, &[2, 3][..]));
    assert!(a.bytes.as_slice().iter().copied().eq(0..24));
    assert_eq!(a.matrix(2, 3).unwrap().rows(), 2);
    assert_eq!(checkpoint.weights().get("b").unwrap().vector(4).unwrap().cols(), 4);
    assert_eq!(checkpoint.weights().get("e").unwrap().format().unwrap(), Format::I64);
    assert_eq!(checkpoint.tensor_bytes(), 24 + 8 + 5 + 1 + 16);
    // By name only: there, but not computable.
    let c = checkpoint.weights().get("c").unwrap();
    assert_eq!((c.kind.clone(), c.bytes.len()), (TensorType::Other("F8_E4M3".into()), 5));
    let error = c.to_weight().unwrap_err();
    assert!(
        matches!(&error, Error::Unsupported(Unsupported::TensorFormat { format, .. }) if format == "F8_E4M3"),
        "{error}"
    );
    assert_eq!(checkpoint.weights().get("d").unwrap().shape, [0usize; 0]);
    assert!(matches!(checkpoint.weights().get("f").unwrap().to_weight(), Err(Error::Malformed { .. })));
}

#[test]
fn an_unheard_of_type_is_kept_by_its_name() {
    let json = r#"{"a":{"dtype":"Q2_PLUS","shape":[3,5],"data_offsets":[0,7]}}"#;
    let tensor = open(with_header(json, 7)).unwrap().weights().get("a").unwrap();
    assert_eq!((tensor.kind, tensor.bytes.len()), (TensorType::Other("Q2_PLUS".into()), 7));
}

#[test]
fn headers_are_checked() {
    let tensor = |rest: &str| format!("{{\"a\":{{\"dtype\":\"F32\",{rest}}}}}");
    let two = |first: &str, second: &str| {
        let row = |offsets: &str| format!("{{\"dtype\":\"I8\",\"shape\":[4],\"data_offsets\":{offsets}}}");
        format!("{{\"a\":{},\"b\":{}}}", row(first), row(second))
    };
    open_and_use(with_header(&tensor(r#""shape":[2],"data_offsets":[0,8]"#), 8)).unwrap();
    open_and_use(with_header(&two("[4,8]", "[0,4]"), 8)).unwrap();
    open_and_use(with_header("{}   ", 0)).unwrap();
    let huge = format!(r#""shape":[{0},{0}],"data_offsets":[0,8]"#, 1u64 << 32);
    for (what, bytes) in [
        ("size and shape differ", with_header(&tensor(r#""shape":[3],"data_offsets":[0,8]"#), 8)),
        ("product overflows", with_header(&tensor(&huge), 8)),
        ("backwards", with_header(&tensor(r#""shape":[2],"data_offsets":[8,0]"#), 8)),
        ("negative", with_header(&tensor(r#""shape":[2],"data_offsets":[-8,0]"#), 8)),
        ("nine dimensions", with_header(&tensor(r#""shape":[2,1,1,1,1,1,1,1,1],"data_offsets":[0,8]"#), 8)),
        ("three offsets", with_header(&tensor(r#""shape":[2],"data_offsets":[0,8,8]"#), 8)),
        ("no shape", with_header(&tensor(r#""data_offsets":[0,8]"#), 8)),
        ("bytes behind the last tensor", with_header(&tensor(r#""shape":[2],"data_offsets":[0,8]"#), 9)),
        ("hole", with_header(&two("[0,4]", "[5,9]"), 9)),
        ("overlap", with_header(&two("[0,4]", "[2,6]"), 6)),
        ("same bytes", with_header(&two("[0,4]", "[0,4]"), 4)),
        ("same name", with_header(&two("[0,4]", "[4,8]").replace('b', "a"), 8)),
        ("empty name", with_header(&tensor(r#""shape":[2],"data_offsets":[0,8]"#).replacen('a', "", 1), 8)),
        ("text behind the header", with_header("{}x", 0)),
        ("not UTF-8", [&4u64.to_le_bytes()[..], b"{\"\xff\"}"].concat()),
    ] {
        let result = open_and_use(bytes);
        assert!(matches!(result, Err(Error::Malformed { .. })), "{what}: {result:?}");
    }
}

#[test]
fn files_that_end_early_say_how_much_is_promised() {
    let json = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}}"#;
    for (bytes, promised) in [
        (with_header(json, 8), 8 + json.len() as u64 + 16),
        ([&9u64.to_le_bytes()[..], b"{}"].concat(), 17),
        (vec![1, 0, 0, 0], 10),
    ] {
        let file_bytes = bytes.len() as u64;
        match open_and_use(bytes).unwrap_err() {
            Error::Truncated { promised: p, found, .. } => assert_eq!((p, found), (promised, file_bytes)),
            other => panic!("{other}"),
        }
    }
    let error = open_and_use(with_header(json, 8)).unwrap_err().to_string();
    assert!(error.contains("truncated: the header promises 79 bytes, the file has 71"), "{error}");
}

#[test]
fn files_of_other_kinds_are_named() {
    for (bytes, kind) in [
        (Vec::new(), FileKind::Empty),
        (vec![0; 9], FileKind::Zeros),
        (with_header("[]", 0), FileKind::Unknown { start: vec![2, 0, 0, 0, 0, 0, 0, 0] }),
        (with_header(" {}", 0), FileKind::Unknown { start: vec![3, 0, 0, 0, 0, 0, 0, 0] }),
        ([&u64::MAX.to_le_bytes()[..], b"{}"].concat(), FileKind::Unknown { start: vec![255; 8] }),
        (b"GGUF\x03\0\0\0".to_vec(), FileKind::Gguf),
        (b"version https://git-lfs.github.com/spec/v1\n".to_vec(), FileKind::GitLfsPointer { size: None }),
    ] {
        match open_and_use(bytes).unwrap_err() {
            Error::WrongFile { found, .. } => assert_eq!(found, kind),
            other => panic!("{kind:?}: {other}"),
        }
    }
}

#[test]
fn limits_hold() {
    for change in [
        (|l| l.safetensors_header_bytes = 100) as fn(&mut Limits),
        |l| l.tensors = 5,
        |l| l.dimensions = 1,
        |l| l.name_bytes = 0,
    ] {
        let mut limits = Limits::default();
        change(&mut limits);
        let result = Checkpoint::options().limits(limits).from_safetensors(b"{}", valid());
        assert!(matches!(result, Err(Error::Limit { .. })), "{result:?}");
    }
}

#[test]
fn every_truncation_is_an_error() {
    let bytes = valid();
    for len in 0..bytes.len() {
        match open_and_use(bytes[..len].to_vec()).unwrap_err() {
            Error::WrongFile { found, .. } => assert!(len == 0 && found == FileKind::Empty, "{len}: {found}"),
            Error::Truncated { promised, found, .. } => assert!(found == len as u64 && promised > found, "{len}"),
            other => panic!("{len}: {other}"),
        }
    }
}

#[test]
fn every_changed_byte_is_survived() {
    let bytes = valid();
    for at in 0..bytes.len() {
        for value in [0, b'0', b'9', b'"', b'{', b'}', b'[', b',', b'\\', 0x7f, 0x80, 0xff, bytes[at] ^ 1] {
            let mut changed = bytes.clone();
            changed[at] = value;
            let _ = open_and_use(changed);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_changes_are_survived(
        changes in prop::collection::vec((any::<prop::sample::Index>(), "[ -~]{1,8}"), 1..6),
        cut in any::<prop::sample::Index>(), cuts in any::<bool>(),
    ) {
        let mut bytes = valid();
        for (at, text) in changes {
            let at = at.index(bytes.len());
            let end = (at + text.len()).min(bytes.len());
            bytes[at..end].copy_from_slice(&text.as_bytes()[..end - at]);
        }
        if cuts {
            bytes.truncate(cut.index(bytes.len()));
        }
        let _ = open_and_use(bytes);
    }

    /// What is accepted here is accepted by the format's own crate, with the same shapes and bytes, unless it holds a
    /// type of which that has never heard.
    #[test]
    fn accepted_files_agree_with_the_format_s_own_crate(at in 8usize..400, digit in b'0'..=b'9') {
        let mut bytes = valid();
        let at = at.min(bytes.len() - 1);
        if bytes[at].is_ascii_digit() {
            bytes[at] = digit;
        }
        let theirs = safetensors::SafeTensors::deserialize(&bytes);
        let ours = open(bytes.clone());
        let unheard = |name: &str| {
            let kind = ours.as_ref().unwrap().weights().get(name).unwrap().kind;
            matches!(&kind, TensorType::Other(name) if dtype(name).0.is_none())
        };
        let accepted = ours.is_ok() && !ours.as_ref().unwrap().weights().names().any(unheard);
        prop_assert_eq!(accepted, theirs.is_ok());
        if let (Ok(ours), Ok(theirs)) = (ours, theirs) {
            for (name, view) in theirs.tensors() {
                let tensor = ours.weights().get(&name).unwrap();
                prop_assert_eq!(tensor.shape.as_slice(), view.shape());
                prop_assert_eq!(tensor.bytes.as_slice(), view.data());
            }
        }
    }
}

#[test]
fn a_shard_index_is_checked() {
    let limits = Limits::default();
    let parse = |text: &str| index_files(text.as_bytes(), "index", &limits);
    let files = parse(r#"{"metadata":{"total_size":1},"weight_map":{"a":"1","b":"2","c":"1"}}"#).unwrap();
    assert!(files.iter().eq(["1", "2"]));
    for text in
        ["{}", "[]", r#"{"weight_map":[]}"#, r#"{"weight_map":{"a":1}}"#, r#"{"weight_map":{},"weight_map":{}}"#]
    {
        assert!(matches!(parse(text), Err(Error::Malformed { .. })), "{text}");
    }
    assert!(matches!(parse(""), Err(Error::WrongFile { found: FileKind::Empty, .. })));
    let few = Limits { shards: 1, ..Limits::default() };
    assert!(matches!(index_files(br#"{"weight_map":{"a":"1","b":"2"}}"#, "index", &few), Err(Error::Limit { .. })));
}
