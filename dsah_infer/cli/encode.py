"""encode pictures to packed codes in a .npy file

examples:
  dsah encode cat.jpg dog.jpg -m model.onnx -o codes.npy
  dsah encode photos/ -m model.onnx -o codes.npy --names names.txt --on-error skip

codes.npy is uint8 (n, ceil(bits / 8)), rows in the order of IMAGES.
"""

from __future__ import annotations

import argparse

import numpy as np

from dsah_infer.atomic_file import replacing
from dsah_infer.cli import options


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    options.add_pictures(parser)
    options.add_model(parser, required=True)
    parser.add_argument("-o", "--out", required=True, metavar="CODES.npy", help="output file")
    parser.add_argument("--names", metavar="FILE", help="write the picture of each row, one a line")
    options.add_on_error(parser, "raise")


def run(args: argparse.Namespace) -> None:
    """Encode and write."""
    out = options.writable(args.out, args.model, *args.images)
    names = options.writable(args.names, args.out, args.model, *args.images) if args.names else None
    paths = options.picture_paths(args.images)
    with options.open_encoder(args, args.model) as encoder:
        encoded = options.encode_paths(encoder, paths, args.on_error)
        bits = encoder.bits
    with replacing(out) as stream:
        np.save(stream, encoded.codes)
    if names is not None:
        with replacing(names) as stream:
            stream.writelines(
                f"{path}\n".encode(errors="surrogateescape") for path in encoded.paths
            )
    print(f"{out}: {len(encoded.codes)} codes of {bits} bits{encoded.skipped}")
