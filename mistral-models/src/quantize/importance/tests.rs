use mistral_quant::Format;

use super::*;
use crate::loader::gguf_write::{GgufTensor, GgufWriter};
use crate::metadata::Metadata;

fn legacy(entries: &[(&str, i32, &[f32])], tail: Option<&str>) -> Vec<u8> {
    let mut out = (entries.len() as u32).to_le_bytes().to_vec();
    for (name, calls, values) in entries {
        out.extend((name.len() as u32).to_le_bytes());
        out.extend(name.as_bytes());
        out.extend(calls.to_le_bytes());
        out.extend((values.len() as u32).to_le_bytes());
        values.iter().for_each(|v| out.extend(v.to_le_bytes()));
    }
    if let Some(name) = tail {
        out.extend(7u32.to_le_bytes());
        out.extend((name.len() as u32).to_le_bytes());
        out.extend(name.as_bytes());
    }
    out
}

#[test]
fn the_older_format_is_read_with_and_without_its_tail() {
    let entries: &[(&str, i32, &[f32])] = &[("a.weight", 4, &[2.0, 8.0]), ("b.weight", 0, &[3.0])];
    let all = Importance::from_bytes(legacy(entries, Some("wiki.txt"))).unwrap();
    assert_eq!((all.get("a.weight"), all.get("b.weight")), (Some(&[0.5, 2.0][..]), Some(&[3.0][..])));
    assert_eq!((all.len(), all.chunks(), all.datasets()), (2, 7, &["wiki.txt".to_owned()][..]));
    let bare = Importance::from_bytes(legacy(entries, None)).unwrap();
    assert_eq!((bare.len(), bare.chunks(), bare.datasets().len()), (2, 0, 0));
}

#[test]
fn damaged_files_are_refused() {
    let good = legacy(&[("a.weight", 4, &[2.0, 8.0])], None);
    for len in 0..good.len() {
        assert!(Importance::from_bytes(good[..len].to_vec()).is_err(), "{len}");
    }
    for entries in [0, u32::MAX] {
        let lying = [&entries.to_le_bytes()[..], &good[4..]].concat();
        assert!(matches!(Importance::from_bytes(lying), Err(Error::Malformed { .. })));
    }
    for value in [f32::NAN, f32::INFINITY, -1.0] {
        let error = Importance::from_bytes(legacy(&[("a", 1, &[1.0, value])], None)).unwrap_err();
        assert!(error.to_string().contains("`a`"), "{error}");
    }
    let twice = legacy(&[("a", 1, &[1.0]), ("a", 1, &[1.0])], None);
    assert!(matches!(Importance::from_bytes(twice), Err(Error::Malformed { .. })));
}

/// A file of llama.cpp with tensors of these names, shapes and numbers.
fn gguf_tensors(kind: &str, tensors: &[(&str, Vec<usize>, &[f32])]) -> Vec<u8> {
    let mut metadata = Metadata::default();
    metadata.insert("general.type", Value::Str(kind.into()));
    metadata.insert("imatrix.chunk_count", Value::U32(9));
    metadata.insert("imatrix.datasets", Value::Array(Array::Str(["x.txt"].into_iter().collect())));
    let tensor = |(name, shape, _): &(&str, Vec<usize>, &[f32])| GgufTensor {
        name: (*name).into(),
        format: Format::F32,
        shape: shape.clone(),
    };
    let list: Vec<_> = tensors.iter().map(tensor).collect();
    let mut file = GgufWriter::new(Vec::new(), &metadata, &list).unwrap();
    for (_, _, values) in tensors {
        file.tensor(&values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>()).unwrap();
    }
    file.finish().unwrap()
}

fn gguf_file(kind: &str, sums: &[f32], counts: &[f32]) -> Vec<u8> {
    let (rows, cols) = (counts.len(), sums.len() / counts.len().max(1));
    gguf_tensors(kind, &[("a.weight.in_sum2", vec![rows, cols], sums), ("a.weight.counts", vec![rows, 1], counts)])
}

#[test]
fn the_newer_format_is_divided_expert_by_expert() {
    let all = Importance::from_bytes(gguf_file("imatrix", &[2.0, 4.0, 7.0, 8.0], &[2.0, 0.0])).unwrap();
    assert_eq!(all.get("a.weight"), Some(&[1.0, 2.0, 1.0, 1.0][..]));
    assert_eq!((all.chunks(), all.datasets()), (9, &["x.txt".to_owned()][..]));
    let other = Importance::from_bytes(gguf_file("model", &[2.0], &[1.0]));
    assert!(matches!(other, Err(Error::Malformed { .. })));
    for (sums, counts) in [([1.0, f32::NAN], [1.0]), ([1.0, 2.0], [-1.0])] {
        let damaged = Importance::from_bytes(gguf_file("imatrix", &sums, &counts));
        assert!(matches!(damaged, Err(Error::Malformed { .. })));
    }
}

#[test]
fn what_is_written_is_read_again() {
    let bytes = gguf_file("imatrix", &[2.0, 4.0, 7.0, 8.0], &[2.0, 0.0]);
    let mut all = Importance::from_bytes(bytes).unwrap().measured_on(3, 512, "a.txt");
    all.insert("b.weight", vec![0.5, 0.25]).unwrap();
    let found = Importance::from_bytes(all.to_bytes().unwrap()).unwrap();
    assert_eq!(found, all);
    assert_eq!((found.chunks(), found.chunk_tokens(), found.datasets()), (3, 512, &["a.txt".to_owned()][..]));
    assert_eq!(found.names().collect::<Vec<_>>(), ["a.weight", "b.weight"]);
}

#[test]
fn merged_matrices_weigh_by_their_rows() {
    let read = |sums: &[f32], counts: &[f32]| Importance::from_bytes(gguf_file("imatrix", sums, counts)).unwrap();
    let mut all = read(&[2.0, 4.0, 7.0, 8.0], &[2.0, 0.0]).measured_on(2, 128, "a");
    all.merge(&read(&[6.0, 0.0, 1.0, 2.0], &[2.0, 1.0]).measured_on(3, 256, "b")).unwrap();
    assert_eq!(all.get("a.weight"), Some(&[2.0, 1.0, 8.0, 10.0][..]));
    assert_eq!((all.chunks(), all.chunk_tokens(), all.datasets().len()), (5, 256, 2));
    assert!(matches!(all.merge(&read(&[1.0, 1.0], &[1.0])), Err(Error::Malformed { .. })));
    let mut none = Importance::default();
    none.merge(&all).unwrap();
    assert_eq!(none.get("a.weight"), all.get("a.weight"));
}

/// As `llama-imatrix` has written since its pull request 14891, with the order and the extra tensor that it has.
fn with_inputs(sums: &[f32], counts: &[f32], inputs: &[f32]) -> Vec<u8> {
    let (rows, cols) = (counts.len(), sums.len() / counts.len());
    let stats = [f32::NAN; 12];
    gguf_tensors(
        "imatrix",
        &[
            ("a.weight.in_sum2", vec![rows, cols], sums),
            ("a.weight.counts", vec![rows, 1], counts),
            ("a.weight.in_sum", vec![rows, inputs.len() / rows], inputs),
            ("a.weight.stats", vec![12], &stats),
        ],
    )
}

#[test]
fn sums_of_inputs_change_no_importance_and_are_kept() {
    let (sums, counts, inputs) = ([2.0, 4.0, 7.0, 8.0], [2.0, 3.0], [-2.0, 1.5, 0.0, -4.5]);
    let plain = Importance::from_bytes(gguf_file("imatrix", &sums, &counts)).unwrap();
    let found = Importance::from_bytes(with_inputs(&sums, &counts, &inputs)).unwrap();
    assert_eq!(found.names().collect::<Vec<_>>(), ["a.weight"]);
    assert_eq!(found.get("a.weight"), plain.get("a.weight"));
    assert_eq!(found.tensors["a.weight"].inputs.as_deref(), Some(&inputs[..]));
    let again = Importance::from_bytes(found.to_bytes().unwrap()).unwrap();
    assert_eq!(again, found);

    let mut twice = found.clone();
    twice.merge(&found).unwrap();
    assert_eq!(twice.tensors["a.weight"].inputs.as_deref(), Some(&[-4.0, 3.0, 0.0, -9.0][..]));
    assert_eq!(twice.get("a.weight"), plain.get("a.weight"));
    // A file without them adds rows that went into no sum.
    for (mut one, other) in [(plain.clone(), &found), (found.clone(), &plain)] {
        one.merge(other).unwrap();
        assert_eq!(one.tensors["a.weight"].inputs, None);
        assert_eq!(one.get("a.weight"), plain.get("a.weight"));
    }
}

#[test]
fn parts_that_do_not_go_together_are_refused() {
    let (sums, counts) = ([2.0, 4.0], [2.0]);
    for inputs in [&[1.0][..], &[1.0, f32::NAN], &[f32::INFINITY, 1.0], &[1.0, 2.0, 3.0]] {
        let error = Importance::from_bytes(with_inputs(&sums, &counts, inputs)).unwrap_err();
        assert!(matches!(error, Error::Malformed { .. }) && error.to_string().contains("a.weight"), "{error}");
    }
    let parts: [(&str, Vec<usize>, &[f32]); 3] = [
        ("a.weight.in_sum2", vec![1, 2], &sums),
        ("a.weight.counts", vec![1, 1], &counts),
        ("a.weight.in_sum", vec![1, 2], &sums),
    ];
    for missing in 0..2 {
        let rest: Vec<_> =
            parts.iter().enumerate().filter(|(i, _)| *i != missing).map(|(_, part)| part.clone()).collect();
        let error = Importance::from_bytes(gguf_tensors("imatrix", &rest)).unwrap_err();
        assert!(matches!(error, Error::Missing { .. }) && error.to_string().contains(parts[missing].0), "{error}");
    }
}
