"""Results by key: first from memory, then from disk, else a miss."""

from __future__ import annotations

import logging
import os
import re
import threading
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakValueDictionary

from stepedit_fx.audio import Audio
from stepedit_fx.errors import StoreError, WriteError
from stepedit_fx.speech import Speech, Voice
from stepedit_fx.store import blob
from stepedit_fx.store.blob import Damaged, Entry, Outdated
from stepedit_fx.store.folder import Folder
from stepedit_fx.store.memory import Memory

logger = logging.getLogger(__name__)

MAX_BYTES = 2 << 30
MEMORY_BYTES = 256 << 20
FOLDER_VARIABLE = "STEPEDIT_STORE"

_KEY = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class StoreInfo:
    """What a store holds. folder: None for one in memory alone. entries, bytes: on disk."""

    folder: Path | None
    entries: int
    bytes: int
    limit_bytes: int
    memory_entries: int
    memory_bytes: int
    memory_limit_bytes: int


class Store:
    """Results under the digest of what they were made from, in memory and on disk.

    Safe for several threads and several processes on one folder. Keys are what `digest` gives.
    folder: None for `default_folder`. max_bytes, memory_bytes: on disk and in memory; what was
    used longest ago goes first.
    A damaged entry is never served: it is a miss, removed, and logged. A disk that fills up or
    refuses costs one warning, and the run goes on without it.
    Raises StoreError for a folder that was asked for and cannot be made or read.
    """

    def __init__(
        self,
        folder: Path | str | None = None,
        *,
        max_bytes: int = MAX_BYTES,
        memory_bytes: int = MEMORY_BYTES,
    ) -> None:
        asked = folder is not None or bool(os.environ.get(FOLDER_VARIABLE))
        path = Path(folder) if folder is not None else self.default_folder()
        self._start(_open_folder(path, max_bytes, asked), memory_bytes)

    @classmethod
    def in_memory(cls, *, memory_bytes: int = MEMORY_BYTES) -> Store:
        """A store that keeps nothing on disk."""
        store = cls.__new__(cls)
        store._start(None, memory_bytes)
        return store

    @staticmethod
    def default_folder() -> Path:
        """``STEPEDIT_STORE`` if set, else the platform's folder for caches."""
        named = os.environ.get(FOLDER_VARIABLE)
        if named:
            return Path(named).expanduser()
        from platformdirs import user_cache_path

        return user_cache_path("stepedit_fx", appauthor=False) / "store"

    def _start(self, folder: Folder | None, memory_bytes: int) -> None:
        self._folder = folder
        self._memory = Memory(memory_bytes)
        self._voices: WeakValueDictionary[str, Voice] = WeakValueDictionary()
        self._lock = threading.Lock()  # of the memory and the voices; never held for the disk
        self._writing = folder is not None

    @property
    def folder(self) -> Path | None:
        """Where entries are on disk; None for memory alone."""
        return self._folder.path if self._folder else None

    def has(self, key: str) -> bool:
        """Whether `get` would most likely find it; reads nothing and marks nothing as used."""
        _check_key(key)
        with self._lock:
            if key in self._memory:
                return True
        return self._folder is not None and self._folder.has(key)

    def get(self, key: str) -> Audio | Speech | None:
        """The result under a key, or None. What comes back is bit for bit what was put in."""
        _check_key(key)
        with self._lock:
            value = self._memory.get(key)
        if value is None:
            value = self._load(key)
            if value is None:
                return None
            with self._lock:
                self._memory.put(key, value)
        self._touch(key, value)
        return value

    def put(self, key: str, value: Audio | Speech) -> None:
        """Keep a result. Raises TypeError for what is neither Audio nor Speech of plain arrays."""
        _check_key(key)
        blob.check(value)
        voice = value.voice if isinstance(value, Speech) else None
        voice_key = voice.digest if voice else ""  # the first time, this hashes all of the source
        with self._lock:
            self._memory.put(key, value)
            if voice:
                self._voices[voice_key] = voice
        self._save(key, value)

    def info(self) -> StoreInfo:
        """What is held, and how much of the limits is used."""
        files = list(self._folder.files()) if self._folder else []
        with self._lock:
            return StoreInfo(
                folder=self.folder,
                entries=len(files),
                bytes=sum(file.bytes for file in files),
                limit_bytes=self._folder.max_bytes if self._folder else 0,
                memory_entries=len(self._memory),
                memory_bytes=self._memory.bytes,
                memory_limit_bytes=self._memory.max_bytes,
            )

    def verify(self) -> list[str]:
        """Read every entry on disk; remove those that are damaged and return their keys.

        A speech whose voice is gone counts as damaged: it could not be served. Raises StoreError
        if the folder may not be listed.
        """
        if self._folder is None:
            return []
        damaged: list[str] = []
        voice_of: dict[str, str] = {}
        for file in self._folder.files():
            try:
                data = self._folder.read(file.key)
            except OSError as error:
                data = b""
                logger.warning("cannot read %s: %s", file.path, error)
            if data is None:
                continue  # evicted since it was listed
            entry = self._unpack(file.key, data)
            if entry is None:
                damaged.append(file.key)
            elif entry.kind == "speech":
                voice_of[file.key] = entry.voice_digest
        for key, voice in voice_of.items():
            if not self._folder.has(voice) and self._folder.remove(key):
                damaged.append(key)
        return sorted(damaged)

    def clear(self) -> int:
        """Forget everything, in memory and on disk; the bytes freed on disk."""
        with self._lock:
            self._memory.clear()
        return self._folder.clear() if self._folder else 0

    def _touch(self, key: str, value: Audio | Speech) -> None:
        if self._folder is None:
            return
        self._folder.touch(key)
        # After its speech, so that eviction takes a voice only once nothing needs it.
        if isinstance(value, Speech):
            self._folder.touch(value.voice.digest)

    def _load(self, key: str) -> Audio | Speech | None:
        entry = self._read(key)
        if entry is None or entry.kind == "voice":
            return None
        try:
            if entry.kind == "audio":
                return blob.audio(entry)
            voice = self._load_voice(entry.voice_digest)
            if voice is None:
                raise Damaged("the voice it is spoken with is gone")
            return blob.speech(entry, voice)
        except Damaged as error:
            self._drop(key, error)
            return None

    def _load_voice(self, key: str) -> Voice | None:
        with self._lock:
            voice = self._voices.get(key)
        if voice is not None:
            return voice
        entry = self._read(key) if _KEY.fullmatch(key) else None
        if entry is None:
            return None
        try:
            voice = blob.voice(entry)
        except Damaged as error:
            self._drop(key, error)
            return None
        with self._lock:
            return self._voices.setdefault(key, voice)

    def _read(self, key: str) -> Entry | None:
        if self._folder is None:
            return None
        try:
            data = self._folder.read(key)
        except OSError as error:
            logger.warning("cannot read %s in %s: %s", key, self.folder, error)
            return None
        return None if data is None else self._unpack(key, data)

    def _unpack(self, key: str, data: bytes) -> Entry | None:
        try:
            return blob.unpack(key, data)
        except Damaged as error:
            self._drop(key, error)
            return None

    def _drop(self, key: str, error: Damaged) -> None:
        level = logging.DEBUG if isinstance(error, Outdated) else logging.WARNING
        logger.log(level, "%s: dropping %s, it will be made again: %s", self.folder, key, error)
        if self._folder:
            self._folder.remove(key)

    def _save(self, key: str, value: Audio | Speech) -> None:
        if self._folder is None or not self._writing:
            return
        try:
            if isinstance(value, Speech):
                self._save_voice(value.voice)  # first: a speech refers to it
            self._write(key, value)
        except (WriteError, StoreError) as error:
            with self._lock:
                first, self._writing = self._writing, False
            if first:
                logger.warning("results are no longer kept on disk: %s", error)
            return
        self._touch(key, value)

    def put_voice(self, voice: Voice) -> bool:
        """Keep a voice on disk for a speech to refer to; False where it cannot be."""
        if self._folder is None or not self._writing:
            return False
        try:
            self._write(voice.digest, voice)
        except (WriteError, StoreError) as error:
            logger.warning("a voice is not kept on disk: %s", error)
            return False
        return True

    def _save_voice(self, voice: Voice) -> None:
        folder = self._folder
        assert folder is not None
        if voice.is_here or folder.has(voice.digest):
            self._write(voice.digest, voice)
        elif not voice.keep_in(folder.path, folder.max_bytes):
            self._write(voice.digest, voice)  # fetched for it

    def _write(self, key: str, value: Audio | Speech | Voice) -> None:
        assert self._folder is not None
        if not self._folder.has(key):
            self._folder.write(key, blob.pack(key, value))


def _check_key(key: str) -> None:
    if not _KEY.fullmatch(key):
        raise ValueError(f"a key is a sha256 in hex, not {key!r}")


def _open_folder(path: Path, max_bytes: int, asked: bool) -> Folder | None:
    """The folder, made if missing; None where the default one cannot be used."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        with os.scandir(path):
            return Folder(path, max_bytes)
    except OSError as error:
        cause = f"{path}: the store cannot be kept here: {error.strerror or error}"
        if asked:
            remedy = f"Name another folder with --store or {FOLDER_VARIABLE}."
            raise StoreError(cause, remedy=remedy) from error
        logger.warning("%s; results are kept in memory alone", cause)
        return None
