#!/usr/bin/env bash
# Perplexity next to llama.cpp's tools: llama_files.sh LLAMA_BIN EXAMPLES MODEL.gguf TEXT [CONTEXT]
#
# LLAMA_BIN holds llama-perplexity, llama-quantize and llama-imatrix, EXAMPLES this repository's built examples. First both read the model
# itself and a copy in F32. Then both quantize it with one importance matrix, and llama-perplexity reads the results.
set -euo pipefail
llama=$1 ours=$2 model=$3 text=$4 context=${5:-128}
out=$(mktemp -d)
trap 'rm -r "$out"' EXIT
theirs() { "$llama/llama-perplexity" -m "$1" -f "$text" -c "$context" -t 2 2>&1 | grep -a Final | sed 's/.*PPL/PPL/'; }

"$llama/llama-quantize" --allow-requantize "$model" "$out/f32.gguf" F32 >"$out/log" 2>&1
for file in "$model" "$out/f32.gguf"; do
  echo "$(basename "$file"): ours $("$ours/perplexity" --model "$file" --file "$text" --context "$context" 2>/dev/null) | llama.cpp $(theirs "$file")"
done

"$llama/llama-imatrix" -m "$model" -f "$text" -c "$context" -t 2 -o "$out/imatrix.gguf" >"$out/log" 2>&1
for type in IQ1_S IQ1_M IQ2_XXS IQ2_XS Q2_K Q3_K_M Q4_K_M; do
  "$llama/llama-quantize" --allow-requantize --imatrix "$out/imatrix.gguf" "$model" "$out/theirs.gguf" "$type" >"$out/log" 2>&1
  "$ours/quantize" --model "$model" --type "$type" --imatrix "$out/imatrix.gguf" --out "$out/ours.gguf" >"$out/log" 2>&1
  for file in ours theirs; do echo "$type $file: $(stat -c %s "$out/$file.gguf") bytes, $(theirs "$out/$file.gguf")"; done
done
