#!/usr/bin/env bash
# The main job on the shipped model: which response is better, which of many is best, and a whole file.
set -euo pipefail
cd "$(dirname "$0")"

show() {
  echo
  printf '$ '
  printf '%q ' "$@" | sed -E "s/\\\\ / /g; s/\\\\([?.,!'])/\1/g"
  echo
  "$@"
}

show tinyrm compare \
  --prompt "How do I keep basil alive on a windowsill?" \
  --a "Give it at least six hours of sun, water it when the top of the soil is dry, and pinch off the flowers so that it keeps making leaves." \
  --b "Basil is a herb. Herbs are plants. Many people like plants."

show tinyrm compare --domain reasoning \
  --prompt "Write a Python function that returns the largest number of a list." \
  --a "def largest(xs): return max(xs)" \
  --b "def largest(xs): return min(xs)"

show tinyrm rank --prompt "Explain in two sentences why the sky is blue." \
  "Sunlight is scattered by the molecules of the air, and short wavelengths are scattered most. So blue light reaches your eyes from every direction, while the rest comes straight from the sun." \
  "The sky is blue because the ocean is blue." \
  "I'm sorry, but I can't help with that." \
  "blue blue blue blue blue"

show tinyrm score candidates.jsonl
