"""print parameters, MACs, bytes and milliseconds per picture of exported files

examples:
  python export/cost.py RUN/model.onnx
  python export/cost.py RUN/model*.onnx --threads 2 --batch 8 --json
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path

if __name__ == "__main__":  # runs from any folder; export/ itself must not shadow other packages
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from export.requirements import need

    need("torch", "torchvision", "onnx", "onnxscript", "onnxruntime")

import onnx

from dsah_infer.cli import INTERRUPTED
from dsah_infer.encoder import Encoder
from dsah_infer.errors import DsahError
from dsah_infer.onnx_file import ModelFile, read_model

__all__ = ["Cost", "graph_cost", "main"]

_LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


@dataclass(frozen=True)
class Cost:
    """What one picture costs in a fused graph.

    Attributes:
        parameters: Numbers in weights and biases of all layers.
        macs: Multiply-accumulates of all layers for one picture.
        layers: Number of layers.
        nodes: Number of nodes of the graph.
        size: Bytes of the file.
    """

    parameters: int
    macs: int
    layers: int
    nodes: int
    size: int


def graph_cost(model: ModelFile) -> Cost:
    """Count the layers of an exported graph, of any precision, for N = 1."""
    proto = onnx.ModelProto.FromString(model.data)
    batch = proto.graph.input[0].type.tensor_type.shape.dim[0]
    batch.ClearField("dim_param")
    batch.dim_value = 1
    for output in proto.graph.output:  # their N would contradict the inferred 1
        output.type.tensor_type.shape.dim[0].Clear()
    proto = onnx.shape_inference.infer_shapes(proto, data_prop=True)
    shapes = {t.name: tuple(t.dims) for t in proto.graph.initializer}
    for value in (*proto.graph.value_info, *proto.graph.input, *proto.graph.output):
        shapes[value.name] = tuple(d.dim_value for d in value.type.tensor_type.shape.dim)
    parameters = macs = layers = 0
    for node in proto.graph.node:
        if node.op_type not in _LAYERS:
            continue
        weight, out = shapes[node.input[1]], shapes[node.output[0]]
        if node.op_type == "MatMul" and weight[-1] == 1 and weight[0] <= 8:
            continue  # packs at most 8 symbols into a byte: no layer of the network
        layers += 1
        parameters += sum(math.prod(shapes[name]) for name in node.input[1:] if name)
        if node.op_type == "Conv":
            macs += math.prod(out) * math.prod(weight[1:])
        elif node.op_type == "ConvTranspose":
            macs += math.prod(shapes[node.input[0]]) * math.prod(weight[1:])
        else:
            macs += math.prod(d or 1 for d in out) * _inner(node, weight)  # an unknown one is N
    return Cost(parameters, macs, layers, len(proto.graph.node), len(model.data))


def _inner(node: onnx.NodeProto, weight: tuple[int, ...]) -> int:
    transposed = any(a.name == "transB" and a.i for a in node.attribute)
    return weight[-1] if transposed else weight[-2]


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="cost.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("models", type=Path, nargs="+", help="files of to_onnx.py")
    parser.add_argument(
        "--threads", type=int, default=1, help="threads of the timed run (default: 1)"
    )
    parser.add_argument("--batch", type=int, default=1, help="pictures per timed run (default: 1)")
    parser.add_argument(
        "--seconds", type=float, default=2.0, help="time to measure for (default: 2)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    args = parser().parse_args(argv)
    rows = []
    try:
        for path in args.models:
            cost = graph_cost(read_model(path))
            with Encoder(path, device="cpu", threads=args.threads) as encoder:
                timed = encoder.benchmark(batch_size=args.batch, seconds=args.seconds)
            ms = 1000 / timed.images_per_second
            rows.append({"file": str(path)} | dataclasses.asdict(cost) | {"ms_per_image": ms})
    except DsahError as error:
        print(f"cost: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("cost: interrupted", file=sys.stderr)
        return INTERRUPTED
    if args.json:
        print(json.dumps(rows, indent=1))
        return 0
    print(
        f"{'parameters':>12} {'MMAC':>9} {'layers':>6} {'nodes':>5} {'bytes':>12} {'ms/image':>8}"
        "  file"
    )
    for row in rows:
        print(
            f"{row['parameters']:>12,} {row['macs'] / 1e6:>9,.1f} {row['layers']:>6} "
            f"{row['nodes']:>5} {row['size']:>12,} {row['ms_per_image']:>8.2f}  {row['file']}"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
