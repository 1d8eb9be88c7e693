"""MIDI: maps, controllers on a live session, and MIDI files as automation."""
