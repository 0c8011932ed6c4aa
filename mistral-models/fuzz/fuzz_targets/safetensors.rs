//! Any bytes as a safetensors file: a typed error or a checkpoint of which every tensor can be asked for.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mistral_models::Checkpoint;

fuzz_target!(|bytes: &[u8]| {
    let Ok(checkpoint) = Checkpoint::options().from_safetensors(b"{}", bytes.to_vec()) else { return };
    let weights = checkpoint.weights();
    for name in weights.names() {
        assert!(weights.contains(name));
        let tensor = weights.get(name).expect("every name of a safetensors file has bytes");
        let _ = tensor.to_weight();
    }
});
