#!/usr/bin/env bash
# Runs NVIDIA's aiperf, an independent client of the Videos API, against a server of its own with the embedded model.
# Downloads each video; fails when any request does. usage: bench/aiperf.sh [PRAX_BINARY] [REQUESTS] [CONCURRENCY]
set -euo pipefail
cd "$(dirname "$0")/.."
prax=$(realpath "${1:-build/release/apps/prax/prax}") requests=${2:-20} concurrency=${3:-4}

venv=$PWD/build/aiperf-venv
[[ -x $venv/bin/aiperf ]] || { python3 -m venv "$venv" && "$venv/bin/pip" install --quiet aiperf==0.13.0; }
scratch=$(mktemp -d)
trap 'kill "$server" 2>/dev/null || true; wait; rm -rf "$scratch"' EXIT
cd "$scratch"

# It wants a tokenizer to count prompts with, and would download one: here is one of characters, where it looks.
revision=$(printf '0%.0s' {1..40})
mkdir -p "hf/hub/models--local--characters/refs"
printf '%s' "$revision" >hf/hub/models--local--characters/refs/main
"$venv/bin/python" - "hf/hub/models--local--characters/snapshots/$revision" <<'PYTHON'
import string, sys
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
words = ["[UNK]", "<s>", "</s>", *string.printable]
tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", bos_token="<s>", eos_token="</s>").save_pretrained(sys.argv[1])
PYTHON
printf '{"text": "%s"}\n' "a red balloon rises over the sea" "a boat on a lake" "a cat runs over a hill" >prompts.jsonl

key=$("$prax" keys create aiperf --data data --json | sed 's/.*"key":"\([^"]*\)".*/\1/')
"$prax" serve --data data --port 0 --log-level warning >listening &
server=$!
until grep -q '^listening on ' listening; do sleep 0.1; done
HF_HOME=$scratch/hf HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1 "$venv/bin/aiperf" profile --model sora-2 \
  --endpoint-type video_generation --download-video-content --url "$(sed -n 's/^listening on //p' listening)" --api-key "$key" \
  --extra-inputs size:128x128 --extra-inputs num_frames:25 --extra-inputs num_inference_steps:2 --extra-inputs seed:42 \
  --request-count "$requests" --concurrency "$concurrency" --tokenizer local/characters --input-file prompts.jsonl \
  --custom-dataset-type single_turn --ui none
"$venv/bin/python" - "$requests" <<'PYTHON'
import glob, json, sys
result = json.load(open(glob.glob("artifacts/*/profile_export_aiperf.json")[0]))
done = result["request_count"]["avg"]
assert done == int(sys.argv[1]) and not result.get("error_summary"), result
PYTHON
