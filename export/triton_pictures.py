"""Triton's Python backend: encoded pictures in, codes out, by the pixel rule of `dsah_infer`.

Copied as ``model.py`` into the model repository by ``export/to_triton.py``. Pictures are decoded
here and the squares handed to the encoder model over Triton's business logic scripting.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found]

from dsah_infer.contract import CodeContract
from dsah_infer.cpu import available_cores
from dsah_infer.errors import PictureError
from dsah_infer.preprocess import load_picture


class TritonPythonModel:
    """``pictures`` (n, 1) of encoded bytes to the encoder's outputs."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the contract that lies beside this file."""
        folder = f"{args['model_repository']}/{args['model_version']}"
        with open(f"{folder}/contract.json", "rb") as file:
            self.contract = CodeContract.from_json(file.read())
        with open(f"{folder}/encoder.json", "rb") as file:
            self.encoder = json.load(file)
        self.pool = ThreadPoolExecutor(available_cores())

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response per request; an unreadable picture fails its own request only."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        pictures = pb_utils.get_input_tensor_by_name(request, "pictures").as_numpy()[:, 0]
        try:
            squares = np.stack(list(self.pool.map(self._square, range(len(pictures)), pictures)))
        except PictureError as error:
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error)))
        answer = pb_utils.InferenceRequest(
            model_name=self.encoder["name"],
            requested_output_names=self.encoder["outputs"],
            inputs=[pb_utils.Tensor("images", squares)],
        ).exec()
        if answer.has_error():
            return pb_utils.InferenceResponse(error=answer.error())
        return pb_utils.InferenceResponse(output_tensors=answer.output_tensors())

    def _square(self, index: int, picture: bytes) -> npt.NDArray[np.uint8]:
        return load_picture(bytes(picture), self.contract.pixels, name=f"picture {index}")

    def finalize(self) -> None:
        """Stop the decoding threads."""
        self.pool.shutdown()
