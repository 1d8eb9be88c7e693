"""Results kept under what they were made from: in memory, on disk, and evicted by size."""

from stepedit_fx.store.keys import digest
from stepedit_fx.store.store import Store, StoreInfo

__all__ = ["Store", "StoreInfo", "digest"]
