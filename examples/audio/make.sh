#!/usr/bin/env bash
# Makes the sample clip from its text: flite's slt voice (free, trained on CMU ARCTIC), 16 kHz,
# brought to 24 kHz and -3 dBFS by sox. Debian: apt install flite sox.
set -euo pipefail
cd "$(dirname "$0")"
raw=$(mktemp --suffix .wav)
trap 'rm -f "$raw"' EXIT
flite -voice slt -t "$(cat good-morning.txt)" -o "$raw"
sox -D "$raw" -b 16 good-morning.wav rate -v 24000 gain -n -3
