use super::*;

const DENSE: Model =
    Model { layers: 32, values: 32, queries_per_key: 4, experts: 0, falcon: false, tied: false, importance: false };

fn place(part: Part, index: usize) -> Place {
    Place { part, index, cols: 4096, stacked: false }
}

/// The formats of one part by layer, as runs.
fn runs(mix: Mix, model: &Model, part: Part) -> Vec<(Format, usize)> {
    let mut runs: Vec<(Format, usize)> = Vec::new();
    for index in 0..model.layers {
        let format = mix.format(model, &place(part, index));
        match runs.last_mut() {
            Some((last, count)) if *last == format => *count += 1,
            _ => runs.push((format, 1)),
        }
    }
    runs
}

#[test]
fn the_table_is_in_declaration_order_and_names_are_found() {
    for (index, recipe) in TABLE.iter().enumerate() {
        assert_eq!(recipe.mix as usize, index);
        assert_eq!(Mix::from_name(&recipe.name.to_lowercase()), Some(recipe.mix));
        assert_eq!(TABLE.iter().filter(|other| other.file_type == recipe.file_type).count(), 1, "{}", recipe.name);
        assert!(recipe.mix.base().is_computable() || recipe.name.starts_with(['I', 'T', 'M']), "{}", recipe.name);
    }
    assert_eq!(Mix::from_name("Q4_K"), Some(Mix::Q4_K_M));
    assert_eq!(Mix::from_name("Q4_K_XL"), None);
}

#[test]
fn q4_k_m_gives_more_bits_to_values_and_downs_of_half_the_layers() {
    let expected = |runs: Vec<(Format, usize)>| {
        // Layers 0 to 3, 28 to 31 and every third from 6.
        let mut all = Vec::new();
        for layer in 0..32 {
            let more = !(4..28).contains(&layer) || layer % 3 == 0;
            all.push(if more { Format::Q6_K } else { Format::Q4_K });
        }
        let found: Vec<Format> = runs.into_iter().flat_map(|(format, count)| vec![format; count]).collect();
        assert_eq!(found, all);
    };
    expected(runs(Mix::Q4_K_M, &DENSE, Part::Value));
    expected(runs(Mix::Q4_K_M, &DENSE, Part::Down));
    for part in [Part::Query, Part::Key, Part::Output, Part::Gate, Part::Up, Part::Other, Part::Embedding] {
        assert_eq!(runs(Mix::Q4_K_M, &DENSE, part), [(Format::Q4_K, 32)]);
    }
    assert_eq!(Mix::Q4_K_M.format(&DENSE, &place(Part::Head, 0)), Format::Q6_K);
    assert_eq!(Mix::Q4_K_M.format(&Model { tied: true, ..DENSE }, &place(Part::Embedding, 0)), Format::Q6_K);
}

#[test]
fn rules_of_the_other_mixes() {
    use Format::*;
    type Counts = &'static [(Format, usize)];
    let cases: &[(Mix, Part, Counts)] = &[
        (Mix::Q2_K, Part::Value, &[(Q4_K, 32)]),
        (Mix::Q2_K, Part::Down, &[(Q3_K, 32)]),
        (Mix::Q2_K, Part::Output, &[(Q3_K, 32)]),
        (Mix::Q2_K, Part::Gate, &[(Q2_K, 32)]),
        (Mix::Q2_K_S, Part::Down, &[(Q4_K, 4), (Q2_K, 28)]),
        (Mix::Q3_K_S, Part::Value, &[(Q3_K, 32)]),
        (Mix::Q3_K_M, Part::Value, &[(Q5_K, 2), (Q4_K, 30)]),
        (Mix::Q3_K_M, Part::Down, &[(Q5_K, 2), (Q4_K, 30)]),
        (Mix::Q3_K_M, Part::Output, &[(Q4_K, 32)]),
        (Mix::Q3_K_L, Part::Down, &[(Q5_K, 32)]),
        (Mix::Q4_K_S, Part::Value, &[(Q5_K, 4), (Q4_K, 28)]),
        (Mix::Q4_K_S, Part::Down, &[(Q5_K, 4), (Q4_K, 28)]),
        (Mix::Q4_0, Part::Down, &[(Q4_0, 32)]),
        (Mix::IQ3_XS, Part::Up, &[(IQ3_S, 4), (IQ3_XXS, 24), (IQ3_S, 4)]),
        (Mix::IQ3_M, Part::Down, &[(Q4_K, 4), (IQ3_S, 28)]),
        (Mix::IQ3_XXS, Part::Down, &[(Q4_K, 4), (Q3_K, 28)]),
        (Mix::IQ4_XS, Part::Value, &[(Q5_K, 32)]),
        (Mix::IQ4_XS, Part::Down, &[(Q5_K, 4), (IQ4_XS, 28)]),
        (Mix::IQ2_S, Part::Gate, &[(IQ2_XS, 32)]),
        (Mix::IQ2_M, Part::Output, &[(IQ3_S, 32)]),
        (Mix::IQ1_S, Part::Output, &[(IQ2_XXS, 32)]),
        (Mix::IQ1_S, Part::Embedding, &[(Q2_K, 32)]),
        (Mix::TQ2_0, Part::Embedding, &[(Q4_K, 32)]),
        (Mix::Q2_0, Part::Embedding, &[(Q4_K, 32)]),
        (Mix::Q2_0, Part::Down, &[(Q2_0, 32)]),
        (Mix::Q1_0, Part::Embedding, &[(Q1_0, 32)]),
        (Mix::Q1_0, Part::Value, &[(Q1_0, 32)]),
        (Mix::BF16, Part::Value, &[(BF16, 32)]),
    ];
    for (mix, part, expected) in cases {
        assert_eq!(runs(*mix, &DENSE, *part), *expected, "{mix} {part:?}");
    }
    assert_eq!(Mix::IQ2_XS.format(&DENSE, &place(Part::Head, 0)), Q5_K);
    assert_eq!(Mix::Q8_0.format(&DENSE, &place(Part::Head, 0)), Q8_0);
    assert_eq!(Mix::F16.format(&DENSE, &place(Part::Head, 0)), F16);
}

#[test]
fn importance_heads_experts_and_size_change_the_choice() {
    use Format::*;
    let known = Model { importance: true, ..DENSE };
    assert_eq!(runs(Mix::IQ4_XS, &known, Part::Down), [(IQ4_XS, 32)]);
    assert_eq!(runs(Mix::IQ3_XXS, &known, Part::Down), [(IQ3_XXS, 32)]);
    assert_eq!(runs(Mix::Q4_0, &known, Part::Down), [(Q4_1, 4), (Q4_0, 28)]);
    let alone = Model { queries_per_key: 1, ..DENSE };
    assert_eq!(runs(Mix::Q2_K, &alone, Part::Value), [(Q3_K, 32)]);
    assert_eq!(runs(Mix::IQ3_XXS, &alone, Part::Value), [(IQ3_S, 32)]);
    assert_eq!(runs(Mix::IQ3_XXS, &Model { importance: true, ..alone }, Part::Value), [(IQ3_XXS, 32)]);
    let experts = Model { experts: 8, ..DENSE };
    assert_eq!(runs(Mix::Q4_K_M, &experts, Part::Value), [(Q8_0, 32)]);
    assert_eq!(runs(Mix::Q4_K_M, &experts, Part::Key), [(Q8_0, 32)]);
    assert_eq!(runs(Mix::Q4_K_M, &experts, Part::Output), [(Q5_K, 32)]);
    assert_eq!(runs(Mix::IQ2_XS, &Model { queries_per_key: 1, ..experts }, Part::Value), [(Q4_K, 32)]);
    assert_eq!(runs(Mix::IQ2_XS, &experts, Part::Key), [(Q4_K, 32)]);
    let large = Model { layers: 80, values: 80, queries_per_key: 8, ..DENSE };
    assert!(runs(Mix::Q4_K_M, &large, Part::Value).iter().all(|(format, _)| matches!(format, Q5_K | Q6_K)));
    let stacked = Place { stacked: true, ..place(Part::Down, 3) };
    assert_eq!(Mix::MXFP4_MOE.format(&experts, &stacked), MXFP4);
    assert_eq!(runs(Mix::MXFP4_MOE, &experts, Part::Value), [(Q8_0, 32)]);
}

#[test]
fn rows_that_are_not_whole_blocks_take_the_documented_format() {
    let narrow = Place { cols: 96, ..place(Part::Head, 0) };
    assert_eq!(Mix::Q4_K_M.format(&DENSE, &narrow), Format::Q8_0);
    assert_eq!(fitting(Format::Q4_K, 512), Format::Q4_K);
    assert_eq!(fitting(Format::Q4_K, 96), Format::Q5_0);
    assert_eq!(fitting(Format::Q6_K, 96), Format::Q8_0);
    assert_eq!(fitting(Format::IQ2_XXS, 96), Format::IQ4_NL);
    assert_eq!(fitting(Format::Q2_K, 96), Format::Q4_0);
    assert_eq!(fitting(Format::Q2_0, 192), Format::Q2_0);
    assert_eq!(fitting(Format::Q2_0, 96), Format::Q4_0);
    assert_eq!(fitting(Format::Q1_0, 192), Format::Q4_0);
    assert_eq!(fitting(Format::Q2_K, 90), Format::F16);
    assert_eq!(fitting(Format::Q8_0, 90), Format::F16);
    assert_eq!(fitting(Format::F32, 90), Format::F32);
}

#[test]
fn small_tensors_keep_their_numbers() {
    assert!(quantizable("blk.0.attn_q.weight", &[4, 8]));
    assert!(quantizable("blk.0.ffn_gate_exps.weight", &[2, 4, 8]));
    for (name, shape) in [
        ("blk.0.attn_norm.weight", &[8][..]),
        ("blk.0.attn_q.bias", &[8]),
        ("blk.0.attn_q_norm.weight", &[4, 8]),
        ("blk.0.ffn_gate_inp.weight", &[4, 8]),
        ("rope_freqs.weight", &[8]),
        ("blk.0.ssm_conv1d.weight", &[4, 8]),
    ] {
        assert!(!quantizable(name, shape), "{name}");
    }
}
