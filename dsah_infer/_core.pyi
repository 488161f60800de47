"""Types of the compiled ranker; the public face is `dsah_infer.index.HammingIndex`."""

import numpy as np
import numpy.typing as npt

_Codes = npt.NDArray[np.uint8]
_Distances = npt.NDArray[np.int32]
_Ids = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float32]

def available_cores() -> int: ...
def available_isas() -> list[str]: ...

class Snapshot:
    @property
    def version(self) -> int: ...

class Index:
    def __init__(
        self,
        bits: int,
        symbol_bits: int = 1,
        threads: int = 0,
        isa: str = "",
        sublinear: bool = True,
    ) -> None: ...
    @property
    def isa(self) -> str: ...
    @property
    def threads(self) -> int: ...
    def __len__(self) -> int: ...
    def add(self, codes: _Codes, ids: _Ids | None, on_duplicate: str) -> int: ...
    def remove(self, ids: _Ids) -> int: ...
    def compact(self) -> None: ...
    def reserve(self, rows: int) -> None: ...
    def get(self, ids: _Ids) -> tuple[_Codes, npt.NDArray[np.bool_]]: ...
    def snapshot(self) -> Snapshot: ...
    def rows_from(self, snapshot: Snapshot, first: int, count: int) -> tuple[_Codes, _Ids, int]: ...
    def search(
        self,
        queries: _Codes,
        k: int,
        allow: _Ids | None = None,
        weights: _Floats | None = None,
    ) -> tuple[_Distances, _Ids]: ...
    def range_search(
        self,
        queries: _Codes,
        radius: int,
        limit: int | None = None,
        allow: _Ids | None = None,
        only_above: _Ids | None = None,
    ) -> tuple[_Ids, _Distances, _Ids]: ...
    def save(self, path: str, sections: dict[str, bytes]) -> None: ...

def load(
    path: str,
    mapped: bool,
    eager: bool,
    threads: int = 0,
    isa: str = "",
    sublinear: bool = True,
) -> tuple[Index, int, int, dict[str, bytes]]: ...
