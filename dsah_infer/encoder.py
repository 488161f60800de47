"""Encoder: pictures in, packed binary codes out, from one exported file, without PyTorch."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import numpy.typing as npt

from dsah_infer.batches import Batch, OnError, encode_batches
from dsah_infer.benchmark import Benchmark, time_inference
from dsah_infer.contract import CodeContract
from dsah_infer.cpu import available_cores
from dsah_infer.decoding import is_one_picture
from dsah_infer.errors import NoSaliencyError, PictureError, UsageError
from dsah_infer.preprocess import Picture, load_picture
from dsah_infer.process_session import ProcessSession, same_artefact
from dsah_infer.session import output_shapes

if TYPE_CHECKING:
    from dsah_infer.index import HammingIndex

__all__ = ["Benchmark", "Encoder"]

log = logging.getLogger("dsah_infer")

Device = Literal["auto", "cpu", "cuda", "tensorrt"]
#: More than this buys nothing per picture on a CPU, and activations grow with it.
DEFAULT_BATCH = 8


class Encoder:
    """Turns pictures into the codes of one exported model.

    Thread-safe; pickles as its path and settings; after a fork, and in a spawned process, it
    opens a session of its own at first use. Usable as a context manager.

    Attributes:
        path: The model file.
        contract: What its codes mean: bits, packing, pixel rule, class names, code space.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        device: Device = "auto",
        threads: int | None = None,
        batch_size: int = DEFAULT_BATCH,
    ) -> None:
        """Load and check a model.

        Args:
            path: A file written by ``export/to_onnx.py``, or a ``.plan`` of
                ``export/to_tensorrt.py`` (unverified: no engine has run in this project).
            device: ``auto`` takes CUDA where it works, else the CPU, and logs which. Any other
                device comes up or is an error. A plan takes ``auto`` or ``tensorrt``.
            threads: Cores to keep busy, N; default those of the CPU set and cgroup quota.
                onnxruntime keeps N - 1 threads beside the caller's, and each call that takes
                several pictures has N more that decode while it lasts (none for N = 1). Neither
                kind spins: a thread that waits takes no core.
            batch_size: Pictures per run, at least 1.

        Raises:
            ModelFileError: Not an exported model, or one that was changed afterwards.
            ContractError: Its contract is malformed or of a newer format version.
            DeviceError: The device did not come up; the message names the reason.
            MissingDependencyError: onnxruntime is missing, or installed twice.
            UsageError: threads or batch_size below 1, an unknown device.
        """
        if batch_size < 1 or (threads is not None and threads < 1):
            raise UsageError(
                f"batch_size = {batch_size}, threads = {threads}; allowed: 1 or more "
                "(threads=None takes all available cores)"
            )
        self.path = Path(path)
        self.device = device
        self._asked_threads = threads
        self.threads = threads or available_cores()
        self.batch_size = batch_size
        self._session = ProcessSession(self.path, device, self.threads)
        self.contract: CodeContract = self._session.get().contract
        log.info("%s runs on %s with %d threads", self.path.name, self.provider, self.threads)

    # -- what the model is ---------------------------------------------------------------------

    @property
    def bits(self) -> int:
        """Stored bits of one code."""
        return self.contract.bits

    @property
    def symbol_bits(self) -> int:
        """Bits of one symbol; 1 for sign codes."""
        return self.contract.symbol_bits

    @property
    def method(self) -> str:
        """Name of the training method."""
        return self.contract.method

    @property
    def space(self) -> str:
        """Name of the code space; codes of equal spaces are comparable."""
        return self.contract.space

    @property
    def fingerprint(self) -> str:
        """Hash of weights, pixel rule and contract: this very artefact."""
        return self.contract.fingerprint

    @property
    def provider(self) -> str:
        """What really runs the graph: an onnxruntime execution provider, or TensorRT."""
        return self._session.get().provider

    # -- pictures to codes ---------------------------------------------------------------------

    def encode(
        self, images: Picture | Iterable[Picture], *, progress: bool = False
    ) -> npt.NDArray[np.uint8]:
        """Packed codes of one picture or of any iterable of pictures.

        Args:
            images: A path, the bytes of a file, a PIL image, a uint8 array (H, W, 3), or an
                iterable of these; an array (n, H, W, 3) counts as n pictures.
            progress: Show a progress bar.

        Returns:
            uint8 (n, ceil(bits / 8)), most significant bit first; n = 1 for one picture.

        Raises:
            PictureError: A picture cannot be read; ``.name`` says which.
        """
        return self._all("codes", images, progress)

    def activations(
        self, images: Picture | Iterable[Picture], *, progress: bool = False
    ) -> npt.NDArray[np.float32]:
        """Values before thresholding, float32 (n, A); arguments and errors as `encode`.

        A is ``bits`` for sign codes (bit = activation >= 0) and segments x K for ordinal ones.
        """
        return self._all("activations", images, progress)

    def saliency(self, image: Picture) -> npt.NDArray[np.float32]:
        """Where the model looked: float32 (S, S) in [0, 1], over the square that it saw.

        Raises:
            NoSaliencyError: The model's method has no attention.
            PictureError: The picture cannot be read.
        """
        if not self.contract.has_saliency:
            raise NoSaliencyError(
                f"{self.path.name} has no saliency output (method {self.method!r}); export a "
                "method with attention, such as dsah, without --no-saliency"
            )
        square = load_picture(image, self.contract.pixels)
        result: npt.NDArray[np.float32] = self._session.get().run(["saliency"], square[None])[0][0]
        return result

    def encode_files(
        self,
        paths: Iterable[str | os.PathLike[str]],
        *,
        on_error: OnError = "raise",
        progress: bool = False,
    ) -> Iterator[tuple[str | os.PathLike[str], npt.NDArray[np.uint8] | PictureError]]:
        """Yield ``(path, code)`` for each path in order, code uint8 (ceil(bits / 8),).

        Args:
            paths: Any iterable; it is read only a few batches ahead.
            on_error: ``raise`` ends with the first unreadable picture; ``skip`` yields
                ``(path, error)`` for it and goes on.
            progress: Show a progress bar.

        Raises:
            PictureError: With ``on_error="raise"``.
            UsageError: Another ``on_error``.
        """
        if on_error not in ("raise", "skip"):
            raise UsageError(f"on_error = {on_error!r}; allowed: raise, skip")
        if isinstance(paths, str | bytes | os.PathLike):
            raise UsageError(f"paths = {paths!r} is one path; give a list: [{paths!r}]")
        return self._file_codes(paths, on_error, progress)

    def _file_codes(
        self, paths: Iterable[str | os.PathLike[str]], on_error: OnError, progress: bool
    ) -> Iterator[tuple[str | os.PathLike[str], npt.NDArray[np.uint8] | PictureError]]:
        for held, rows in self._batches("codes", paths, on_error, progress):
            left = iter(rows)
            for path, square in held:
                yield path, square if isinstance(square, PictureError) else next(left)

    async def aencode(
        self, images: Picture | Iterable[Picture], *, progress: bool = False
    ) -> npt.NDArray[np.uint8]:
        """`encode` in a worker thread, for asyncio servers."""
        return await asyncio.to_thread(self.encode, images, progress=progress)

    def new_index(self, **options: Any) -> HammingIndex:
        """An empty `HammingIndex` for this model's codes; it refuses those of another space."""
        from dsah_infer.index import HammingIndex

        return HammingIndex(
            self.bits, symbol_bits=self.symbol_bits, contract=self.contract, **options
        )

    def benchmark(self, *, batch_size: int | None = None, seconds: float = 2.0) -> Benchmark:
        """Time inference on noise pictures for about ``seconds``, after two warm-up runs.

        Args:
            batch_size: Pictures per run, at least 1; default the encoder's.
            seconds: How long to measure; at least one run is timed.

        Raises:
            UsageError: batch_size below 1, seconds not in 0 to 3600.
        """
        batch = self.batch_size if batch_size is None else batch_size
        if batch < 1 or not 0 <= seconds <= 3600:
            raise UsageError(
                f"batch_size = {batch}, seconds = {seconds}; allowed: 1 or more, and 0 to 3600"
            )
        return time_inference(self._session.get(), self.threads, batch, seconds)

    # -- life of the session -------------------------------------------------------------------

    def close(self) -> None:
        """Release the session; the encoder cannot be used afterwards. Closing twice is fine."""
        self._session.close()

    def __enter__(self) -> Encoder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Encoder({str(self.path)!r}, method={self.method!r}, bits={self.bits})"

    def __reduce__(self) -> tuple[Any, ...]:
        settings = (str(self.path.absolute()), self.device, self._asked_threads, self.batch_size)
        return _reopen, (*settings, self.fingerprint)

    # -- batches -------------------------------------------------------------------------------

    def _all(
        self, output: str, images: Picture | Iterable[Picture], progress: bool
    ) -> npt.NDArray[Any]:
        if is_one_picture(images) or not isinstance(images, Iterable):
            square = load_picture(cast("Picture", images), self.contract.pixels)
            return self._session.get().run([output], square[None])[0]
        batches = self._batches(output, cast("Iterable[Picture]", images), "raise", progress)
        rows = [rows for _, rows in batches]
        if rows:
            return np.concatenate(rows)
        kind = np.uint8 if output == "codes" else np.float32
        return np.zeros((0, *output_shapes(self.contract)[output]), kind)

    def _batches(
        self, output: str, pictures: Iterable[Picture], on_error: OnError, progress: bool
    ) -> Iterator[Batch]:
        return encode_batches(
            self._session.get,
            output,
            pictures,
            workers=self.threads,
            batch_size=self.batch_size,
            on_error=on_error,
            progress=progress,
        )


def _reopen(
    path: str, device: Device, threads: int | None, batch: int, fingerprint: str
) -> Encoder:
    encoder = Encoder(path, device=device, threads=threads, batch_size=batch)
    same_artefact(encoder.path, encoder.fingerprint, fingerprint)
    return encoder
