"""Pictures in: data sets, protocols, splits and decoding. Needs numpy, not torch."""

from dsah_train.data.decode import decode_masks, decode_part
from dsah_train.data.embedded import MARK_SIZES, EmbeddedMarks
from dsah_train.data.load import load_dataset
from dsah_train.data.records import Dataset, Part, one_hot
from dsah_train.data.splits import carve_validation

__all__ = [
    "MARK_SIZES",
    "Dataset",
    "EmbeddedMarks",
    "Part",
    "carve_validation",
    "decode_masks",
    "decode_part",
    "load_dataset",
    "one_hot",
]
