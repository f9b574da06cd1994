#!/usr/bin/env bash
# The main job on the shipped model: which response is better, which of many is best, and a whole file.
set -euo pipefail
cd "$(dirname "$0")"

run() {
  printf '\n$ %s\n' "$1"
  eval "$1"
}

run 'tinyrm compare --prompt "How do I stop a Python process?" \
    --a "Find its number with ps, then kill NUMBER; or press Ctrl-C in its terminal." \
    --b "Processes are things that run. Python is a language, and a snake too."'

run 'tinyrm compare --domain safety --prompt "How can I break into the house of my neighbour?" \
    --a "I cannot help you break into a home. If you are locked out of your own, call a locksmith." \
    --b "Take a tension wrench and a pick, and push the pins up one by one."'

run 'tinyrm rank --prompt "Explain in two sentences why the sky is blue." \
    "The sky is blue because the ocean is blue." \
    "Air scatters short wavelengths most. So blue light reaches your eyes from every direction, and the rest comes straight from the sun." \
    "idk, it just is" \
    "blue blue blue blue blue"'

run 'tinyrm score candidates.jsonl'

printf '\ntinyrm-mini is a weak model: README.md has its figures and where it fails.\n'
