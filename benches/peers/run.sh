#!/bin/sh
# Builds ours as users do, for any processor of its kind, and the peers for this one; then compares. Arguments go to the program.
set -eu
cd "$(dirname "$0")"
target="${CARGO_TARGET_DIR:-target}"
# An empty RUSTFLAGS overrides the flags of .cargo/config.toml.
RUSTFLAGS= cargo build --release --no-default-features --target-dir "$target/portable"
cargo build --release --target-dir "$target"
exec "$target/release/mistral-peers" --ours "$target/portable/release/mistral-peers" "$@"
