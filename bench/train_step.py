"""How fast is one training step, and how near is it to the passes that it cannot do without?

    python bench/train_step.py --size 128 --batch 32 --steps 5 --out bench/results/train_step.json

Each method's step is timed beside a plain loop over the same networks that makes only the forward
and backward passes and optimiser updates which the method needs, on a loss that costs nothing.
Views are made beforehand: decoding and augmentation are not part of either. Each loop has a
process of its own, so that peak memory is its own too. Prints JSON lines; ``--out`` keeps them with
machine, versions and commit. ``--compile`` times the networks under torch.compile as well.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, cast

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from torch import Tensor

from dsah_infer.atomic_file import replacing
from dsah_train.batches import Batch
from dsah_train.config import Config
from dsah_train.methods.dsah import DSaH, same_when_frozen
from dsah_train.methods.method import Meter, Method, freeze, uses_bf16
from dsah_train.methods.registry import build_method
from dsah_train.methods.single_stream import SingleStream
from results.provenance import commit, machine

CLASSES = 17


class Loop(NamedTuple):
    """A method, how its networks take turns, and what it runs on."""

    method: str
    alternate: str = "joint"
    compiled: bool = False
    huge_pages: bool = True


LOOPS = {
    "dpsh": Loop("dpsh"),
    "dsah joint": Loop("dsah"),
    "dsah joint, small pages": Loop("dsah", huge_pages=False),
    "dsah batch": Loop("dsah", "batch"),
    "dsah epoch": Loop("dsah", "epoch"),
    "dpsh, compiled": Loop("dpsh", compiled=True),
    "dsah joint, compiled": Loop("dsah", compiled=True),
}


def method_step(method: Method, batch: Batch) -> Callable[[], None]:
    """The step as the method trains it, with losses, clipping and the meter."""
    meter = Meter()
    if isinstance(method, DSaH):
        if method.config.alternate == "epoch":

            def turns() -> None:  # what a picture goes through in an epoch
                method.attention_step(batch, meter)
                method.hashing_step(batch, meter)

            return turns
        step = {"batch": method.both_steps, "joint": method.joint_step}[method.config.alternate]
        return lambda: step(batch, meter)
    single = cast(SingleStream, method)

    def one() -> None:
        with single.autocast():
            u = single.net.hashing(batch.images).float()
        terms = single.objective(u, batch.targets, 0.5)
        single.step(terms["loss"], "hashing")
        meter.add("hashing", len(u), **terms)

    return one


def plain_step(method: Method, batch: Batch) -> Callable[[], None]:
    """The same networks' unavoidable passes and updates, on the sum of the activations."""

    def update(loss: Tensor, *names: str) -> None:
        for name in names:
            method.optimizers[name].zero_grad(set_to_none=True)
        loss.backward()
        for name in names:
            method.optimizers[name].step()

    def alternating() -> None:
        net = cast(DSaH, method).net
        # One pass over the originals serves both steps of a batch where modes make no difference.
        shared = method.config.alternate == "batch" and same_when_frozen(net.hashing)
        with method.autocast():
            mu = net.hash(batch.images)
            if not shared:
                with torch.no_grad():
                    net.hash(batch.images)
        with freeze(net.hashing), method.autocast():
            masked = net.saliency_image(batch.images, net.saliency_map(batch.images))
            loss = net.hash(masked).sum()
        update(loss, "attention")
        with method.autocast():
            with torch.no_grad():
                masked = net.saliency_image(batch.images, net.saliency_map(batch.images))
            loss = mu.sum() + net.hash(masked).sum()
        update(loss, "hashing")

    def joint() -> None:
        net = cast(DSaH, method).net
        with method.autocast():
            masked = net.saliency_image(batch.images, net.saliency_map(batch.images))
            loss = net.hash(torch.cat([batch.images, masked])).sum()
        update(loss, "attention", "hashing")

    def single() -> None:
        with method.autocast():
            loss = cast(SingleStream, method).net.hashing(batch.images).sum()
        update(loss, "hashing")

    if isinstance(method, DSaH):
        return joint if method.config.alternate == "joint" else alternating
    return single


def seconds(steps: dict[str, Callable[[], None]], count: int, device: str) -> dict[str, float]:
    """Median seconds of each step; taken in turns, so that a busy machine slows all alike."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(count + 2):
        for name, step in steps.items():
            began = time.perf_counter()
            step()
            if device == "cuda":
                torch.cuda.synchronize()
            if turn >= 2:  # the first two warm up
                times[name].append(time.perf_counter() - began)
    return {name: statistics.median(values) for name, values in times.items()}


def peak_mib(device: str) -> float:
    """Peak memory so far: of the CUDA allocator, or of this process."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measured(args: argparse.Namespace) -> dict[str, object]:
    """One loop, in this process."""
    torch.manual_seed(0)
    images = torch.randn(args.batch, 3, args.size, args.size, device=args.device)
    images = images.contiguous(memory_format=torch.channels_last)
    rows = torch.arange(args.batch)
    targets = torch.eye(CLASSES, device=args.device)[rows % CLASSES]
    batch = Batch(images, targets, rows)
    loop = LOOPS[args.loop]
    config = Config.with_preset(
        method=loop.method,
        backbone=args.backbone,
        bits=args.bits,
        batch_size=args.batch,
        precision=args.precision,
        alternate=loop.alternate,
        compile=loop.compiled,
    )
    method = build_method(config, CLASSES, None, args.device)
    method.model.train()
    method.set_rate(0.5)
    steps = {"step": method_step(method, batch), "passes": plain_step(method, batch)}
    took = seconds(steps, args.steps, args.device)
    return {
        "method": args.loop,
        "images_per_s": round(args.batch / took["step"], 1),
        "passes_images_per_s": round(args.batch / took["passes"], 1),
        "step_over_passes": round(took["step"] / took["passes"], 3),
        "peak_mib": round(peak_mib(args.device)),
        "bf16": uses_bf16(config, args.device),
    }


def main() -> int:
    """Time dpsh, then dsah with each of its loops."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="squeezenet1_1")
    parser.add_argument("--bits", type=int, default=48)
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--precision", default="auto", choices=("auto", "fp32", "bf16"))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--compile", action="store_true", help="time compiled networks, too")
    parser.add_argument("--loop", choices=LOOPS, help="only this one, in this process")
    parser.add_argument("--out", type=Path, help="keep the result in this file")
    args = parser.parse_args()
    if args.loop:
        print(json.dumps(measured(args)))
        return 0
    own = ("out", "loop", "compile")
    settings = {name: value for name, value in vars(args).items() if name not in own}
    flags = [part for name, value in settings.items() for part in (f"--{name}", str(value))]
    records = []
    for label, loop in LOOPS.items():
        if (loop.compiled and not args.compile) or (args.device != "cpu" and not loop.huge_pages):
            continue
        command = [sys.executable, __file__, *flags, "--loop", label]
        pages = {"THP_MEM_ALLOC_ENABLE": str(int(loop.huge_pages))}
        line = subprocess.run(
            command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ | pages
        ).stdout
        records.append(json.loads(line))
        print(line, end="", flush=True)
    card = torch.cuda.get_device_name() if args.device == "cuda" else ""
    result = {
        "command": "python " + " ".join(sys.argv),
        "settings": settings | {"threads": torch.get_num_threads()},
        "records": records,
        "commit": commit(),
        "machine": machine() | {"card": card},
    }
    if args.out is not None:
        with replacing(args.out) as file:
            file.write((json.dumps(result, indent=1) + "\n").encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
