"""One process owns the model; runs, sessions and scripts on this machine share it."""
