"""HammingIndex: exact Hamming search over packed binary codes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from dsah_infer import index_storage
from dsah_infer.errors import UsageError
from dsah_infer.index_arguments import at_least, core_options, flag, one_of, to_ids
from dsah_infer.index_changes import IndexChanges
from dsah_infer.index_searches import IndexSearches
from dsah_infer.index_state import Codes, Ids

__all__ = ["HammingIndex"]


class HammingIndex(IndexChanges, IndexSearches):
    """A gallery of binary codes, searched exactly, in the order (distance, id).

    Any number of threads may search while one changes or saves the index (those that change it take
    turns); each call sees one consistent state, and a file names the producers of all its codes.
    The GIL is released. Ctrl-C stops a long call within 0.2 s, and a stopped change has
    changed nothing. A process may fork at any moment: its child goes on from the last whole state,
    whatever other threads were about to write.

    Args:
        bits: Stored bits of one code, 1 to 4096.
        symbol_bits: 1, 2, 4 or 8; the distance counts differing symbols of that many bits.
        contract: Record of the codes' producer; codes of another space are then refused. Without
            one the index takes over that of the first codes that come with one, while it is empty.
        threads: Most threads of one call; None takes CPU affinity and cgroup quota.
        isa: ``"amx"``, ``"avx512"``, ``"avx2"``, ``"popcnt"`` or ``"portable"``; None takes
            ``DSAH_ISA`` from the environment, else the fastest that this machine has. So does a
            pickled index where the one that it was made with is missing.
        sublinear: Allow structures beside the codes where they make searches faster than a scan:
            groups of equal codes, and for up to 2^30 sign codes of 17 to 64 bits also tables. They
            are built by the first search that would gain, or by `build`; beside a mapped file by
            `build` alone. `stats` shows their bytes and seconds.

    Attributes:
        contract: As given, taken over with the first codes, or read from the file.
        fingerprints: Artefacts whose codes are in the index, the contract's own first.
        sections: Named blobs of the caller's that are saved and loaded with the index.

    Raises:
        UsageError: An argument is out of range.
        ContractError: The contract has other bits or symbols than asked for.
    """

    def __contains__(self, number: object) -> bool:
        if not isinstance(number, int | np.integer) or isinstance(number, bool):
            return False
        if not 0 <= number < np.iinfo(np.int64).max:
            return False
        return bool(self._core.get(to_ids([int(number)]))[1][0])

    def get(self, ids: npt.ArrayLike) -> Codes:
        """Codes of the given ids, uint8 (n, bytes); UsageError names an id that is absent."""
        wanted = to_ids(ids)
        codes, present = self._core.get(wanted)
        if not present.all():
            raise UsageError(f"id {int(wanted[~present][0])} is not in the index")
        return codes

    def chunks(self, size: int = 65536) -> Iterator[tuple[Codes, Ids]]:
        """All codes with their ids, in chunks of up to ``size``, as of the first step.

        Raises:
            UsageError: ``size`` < 1; at the call.
        """
        return self._chunks(at_least("size", size, 1))

    def _chunks(self, size: int) -> Iterator[tuple[Codes, Ids]]:
        snapshot, row = self._core.snapshot(), 0
        while True:
            codes, ids, row = self._core.rows_from(snapshot, row, size)
            if not len(ids):
                return
            yield codes, ids

    def __iter__(self) -> Iterator[tuple[Codes, Ids]]:
        return self.chunks()

    def build(self) -> None:
        """Build the sub-linear structures now, instead of when a search finds that they pay.

        Beside a mapped file nothing else builds them. Where none can help (codes without tables
        that hardly repeat) or none are wanted (``sublinear=False``) this does nothing.
        """
        if self._options["sublinear"]:
            self._core.build()

    def explain(self) -> dict[str, Any]:
        """How the last search went: its path, why, the steps taken and the expected cost."""
        return self._core.explain()

    def stats(self) -> dict[str, Any]:
        """Counts, bytes of each part, and time and bytes of the structures beside the codes.

        ``code_bytes`` and ``id_bytes`` are what is filled; ``held_bytes`` is all that codes and ids
        take from the system: whole pages, with room for up to a quarter more.
        """
        return self._core.stats()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the index to a file; a crash at any moment leaves the old file or the new one.

        A mapped index stays with the file that it was loaded from, and its changes in memory, also
        when it is saved over that file; the old file's space is given back when the index goes.
        Load the new file to map it.

        Raises:
            OSError: The file cannot be written; FileNotFoundError if its folder is missing.
            UsageError: A section has a name that the format cannot hold.
        """
        index_storage.save(self, path)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        mmap: bool = False,
        *,
        verify: Literal["eager", "lazy"] | None = None,
        threads: int | None = None,
        isa: str | None = None,
        sublinear: bool = True,
    ) -> HammingIndex:
        """Read an index file.

        Args:
            path: The file.
            mmap: Search the file in place, without reading it first; changes stay in memory, also
                after `save`. While it is unchanged the index is pickled by the file's path, else
                with all its codes. Structures are then built only by `build`: they would be
                private to each process and as large as the file, which mapping is meant to avoid.
            verify: Compare the checksums of codes and ids now (``"eager"``, the default unless
                mapped) or before their first use (``"lazy"``).
            threads: As in the constructor.
            isa: As in the constructor.
            sublinear: As in the constructor.

        Raises:
            OSError: The file cannot be opened; FileNotFoundError if it is missing.
            IndexFileError: It is damaged, truncated, of something else or of a newer version.
            UsageError: An argument is out of range.
        """
        mapped = flag("mmap", mmap)
        wanted = ("lazy" if mapped else "eager") if verify is None else verify
        eager = one_of("verify", wanted, ("eager", "lazy")) == "eager"
        options = core_options(threads, isa, sublinear)
        return index_storage.load(cls, os.fsdecode(path), mapped, eager, options)

    def __reduce__(self) -> tuple[Any, ...]:
        return index_storage.reduce(self)
