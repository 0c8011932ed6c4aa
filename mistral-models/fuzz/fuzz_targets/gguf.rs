//! Any bytes as a GGUF file: a typed error or a checkpoint of which every tensor can be asked for.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mistral_models::Checkpoint;

fuzz_target!(|bytes: &[u8]| {
    let Ok(checkpoint) = Checkpoint::from_bytes(bytes.to_vec()) else { return };
    let weights = checkpoint.weights();
    for name in weights.names() {
        assert!(weights.contains(name));
        if let Ok(tensor) = weights.get(name) {
            let _ = tensor.to_weight();
        }
    }
});
