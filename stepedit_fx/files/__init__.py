"""Recordings on disk to `Audio` and back."""

from stepedit_fx.files.reading import READABLE_SUFFIXES, FileInfo, probe, read_audio
from stepedit_fx.files.recording import Recording, scan_recording
from stepedit_fx.files.spool import Spool, SpoolWriter, spooled
from stepedit_fx.files.writing import WRITABLE_SUFFIXES, check_writable, write_audio

__all__ = [
    "READABLE_SUFFIXES",
    "WRITABLE_SUFFIXES",
    "FileInfo",
    "Recording",
    "Spool",
    "SpoolWriter",
    "check_writable",
    "probe",
    "read_audio",
    "scan_recording",
    "spooled",
    "write_audio",
]
