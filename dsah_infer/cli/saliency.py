"""draw where a model looks onto the part of a picture that it sees

examples:
  dsah saliency bird.jpg -m model.onnx -o overlay.png
"""

from __future__ import annotations

import argparse

from PIL import Image

from dsah_infer.atomic_file import replacing
from dsah_infer.cli import options
from dsah_infer.errors import UsageError
from dsah_infer.preprocess import load_picture
from dsah_infer.saliency import overlay


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("image", metavar="IMAGE", help="picture file")
    options.add_model(parser, required=True)
    parser.add_argument("-o", "--out", required=True, metavar="OVERLAY.png", help="output file")


def run(args: argparse.Namespace) -> None:
    """Write the overlay."""
    out = options.writable(args.out, args.model, args.image, picture=True)
    if out.suffix.lower() not in (".png", ".jpg", ".jpeg", ".webp"):
        raise UsageError(f"-o {out}: allowed are .png, .jpg and .webp")
    with options.open_encoder(args, args.model) as encoder:
        saliency = encoder.saliency(args.image)
        square = load_picture(args.image, encoder.contract.pixels)
    kind = Image.registered_extensions()[out.suffix.lower()]
    with replacing(out) as stream:
        Image.fromarray(overlay(square, saliency)).save(stream, format=kind)
    print(f"wrote {out}")
