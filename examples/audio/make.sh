#!/usr/bin/env bash
# Makes the sample clip from its text: flite's slt voice (free, trained on CMU ARCTIC), 16 kHz,
# a phrase at a time with pauses as a person would leave them (flite leaves almost none), brought
# to 24 kHz and -3 dBFS by sox. Debian: apt install flite sox.
set -euo pipefail
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
n=0
while read -r phrase pause_s; do
  n=$((n + 1))
  flite -voice slt -t "${phrase//_/ }" -o "$work/raw.wav"
  sox -D "$work/raw.wav" "$work/$n.wav" pad 0 "$pause_s"
done <<'PHRASES'
Good_morning, 0
and_welcome_back. 0.15
I_was_not_sure_you_would_come, 0
but_the_kettle_is_on. 0
PHRASES
sox -D "$work"/[0-9].wav -b 16 good-morning.wav rate -v 24000 gain -n -3
