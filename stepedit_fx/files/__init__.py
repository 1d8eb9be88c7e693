"""Recordings on disk to `Audio` and back."""

from stepedit_fx.files.reading import READABLE_SUFFIXES, FileInfo, probe, read_audio
from stepedit_fx.files.writing import WRITABLE_SUFFIXES, check_writable, write_audio

__all__ = [
    "READABLE_SUFFIXES",
    "WRITABLE_SUFFIXES",
    "FileInfo",
    "check_writable",
    "probe",
    "read_audio",
    "write_audio",
]
