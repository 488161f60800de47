"""Whether decoded training pictures fit in memory, asked before the first is decoded."""

from __future__ import annotations

import os

from dsah_infer import _core
from dsah_infer.errors import DataError
from dsah_train.config import Config
from dsah_train.distributed import mains

__all__ = ["check_memory", "picture_bytes"]


def picture_bytes(count: int, config: Config) -> int:
    """Most bytes that ``count`` decoded training pictures take in one process."""
    sides = [round(config.image_size / config.crop)]
    if config.crop != 1:  # cropped ones for validation beside the larger ones that are trained on
        sides.append(config.image_size)
    once = count * sum(3 * side * side for side in sides)
    # Choosing the epochs splits the pictures into two copies, while all of them stay for the refit.
    return 2 * once if config.select else once


def check_memory(count: int, config: Config) -> None:
    """Refuse more training pictures than memory holds.

    Every process of a machine keeps all pictures; machines of one run are taken to be alike, and
    the main process's memory is what counts, so that all processes decide the same.

    Args:
        count: Training pictures.
        config: ``image_size``, ``crop`` and ``select`` are read.

    Raises:
        DataError: They need more than is available, by the machine and by its cgroups.
    """
    copies = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # set by torchrun
    needed = copies * picture_bytes(count, config)
    available = mains(_core.available_memory)
    if needed <= available:
        return
    held = f", by {copies} processes" if copies > 1 else ""
    split = ", --no-select (which halves it)" if config.select else ""
    raise DataError(
        f"{count:,} training pictures need {needed / 1e9:.1f} GB of memory when decoded at "
        f"image_size = {config.image_size} and crop = {config.crop}{held}; "
        f"{available / 1e9:.1f} GB are available. A smaller --image-size or fewer pictures need "
        f"less{split}"
    )
