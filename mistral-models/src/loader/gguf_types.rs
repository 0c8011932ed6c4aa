//! Names of GGUF types without a format here.

/// Returns the name of a type id that has no [`Format`](mistral_quant::Format): its name in llama.cpp, now or formerly, or in a fork.
///
/// Source: the list of types in `ggml.h` of llama.cpp, with those that were removed, and of ik_llama.cpp.
pub(crate) fn type_name(id: u32) -> Option<&'static str> {
    Some(match id {
        4 => "Q4_2, removed from llama.cpp in 2023",
        5 => "Q4_3, removed from llama.cpp in 2023",
        9 => "Q8_1, which is for activations",
        15 => "Q8_K, which is for activations",
        31 => "Q4_0_4_4, removed from llama.cpp in 2024: Q4_0 replaces it",
        32 => "Q4_0_4_8, removed from llama.cpp in 2024: Q4_0 replaces it",
        33 => "Q4_0_8_8, removed from llama.cpp in 2024: Q4_0 replaces it",
        36 => "IQ4_NL_4_4, removed from llama.cpp in 2024: IQ4_NL replaces it; or I2_S of bitnet.cpp",
        37 => "IQ4_NL_4_8, removed from llama.cpp in 2024: IQ4_NL replaces it",
        38 => "IQ4_NL_8_8, removed from llama.cpp in 2024: IQ4_NL replaces it",
        39 => "MXFP4",
        40 => "NVFP4",
        41 => "Q1_0",
        42 => "Q2_0",
        133 => "Q6_0 of ik_llama.cpp",
        134 => "IQ1_BN of ik_llama.cpp",
        135 => "IQ2_BN of ik_llama.cpp",
        137 => "IQ2_K of ik_llama.cpp",
        138 => "IQ3_K of ik_llama.cpp",
        139 => "IQ4_K of ik_llama.cpp",
        140 => "IQ5_K of ik_llama.cpp",
        141 => "IQ6_K of ik_llama.cpp",
        144 => "IQ4_KS of ik_llama.cpp",
        145 => "IQ2_KS of ik_llama.cpp",
        146 => "IQ4_KSS of ik_llama.cpp",
        152 => "IQ5_KS of ik_llama.cpp",
        153 => "IQ2_KT of ik_llama.cpp",
        154 => "IQ3_KT of ik_llama.cpp",
        155 => "IQ4_KT of ik_llama.cpp",
        156 => "IQ3_KS of ik_llama.cpp",
        157 => "IQ2_KL of ik_llama.cpp",
        158 => "IQ1_KT of ik_llama.cpp",
        _ => return None,
    })
}
