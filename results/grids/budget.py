"""What two cores can afford for dozens of models: 128 pixels, 10 epochs, no selection."""

from __future__ import annotations

__all__ = ["EPOCHS", "SMALL"]

EPOCHS = 10

SMALL: dict[str, object] = {
    "image_size": 128,
    "train_size": 128,
    "epochs": EPOCHS,
    # The rates of the rivals were chosen at this size; the default is now half of it.
    "batch_size": 64,
    # Every method trains for the same epochs: choosing them costs as much again.
    "select": False,
}
