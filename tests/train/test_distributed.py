"""Two gloo processes under torchrun train what one process trains on the whole batch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch.nn.functional import mse_loss

from dsah_train.__main__ import main
from dsah_train.checkpoint import load_checkpoint
from dsah_train.distributed import agree, exchange, gather, is_main, mains, same_tensor, share
from dsah_train.fit import fit
from dsah_train.hashing import NormalisedLinear
from dsah_train.methods.registry import build_method
from dsah_train.methods.warm_start import fit_head
from tests.train import tiny

#: squeezenet's trunk has no batch normalisation, and dropout is off; 5 pictures of each of two
#: classes share unevenly. DSaH's hash layer normalises what all processes have. SGD, since AdamW
#: turns a rounding of a tiny gradient into a step of full size.
SGD = {"warm_start": 0, "optimizer": "sgd", "lr": 1e-3}
CASES = {
    "dsah": {**SGD, "batch_size": 5, "colour_jitter": 0.3, "min_area": 0.5},
    "dsah, plain": {**SGD, "method": "dsah", "batch_size": 5, "code_norm": False},
    "dsah, by turns": {**SGD, "method": "dsah", "batch_size": 6, "alternate": "batch"},
    "orthohash, frozen trunk": {
        **SGD,
        "method": "orthohash",
        "batch_size": 5,
        "train_trunk": False,
    },
    "doh": {**SGD, "batch_size": 6},
    "csq with a normalised hash layer": {
        **SGD,
        "method": "csq",
        "batch_size": 6,
        "code_norm": True,
    },
    "dpsh": {**SGD, "lr": 0.1, "batch_size": 10, "nested": "4,8"},
    "dagh": {**SGD, "lr": 0.1, "batch_size": 6},
}
EPOCHS = 2
WORKER = """
import sys, torch
from dsah_train.distributed import join, is_main
from tests.train import test_distributed as test
torch.set_num_threads(1)
assert join("cpu") == "cpu"
results = {name: test.train(name) for name in test.CASES}
results["head"] = test.fitted_head()
test.exchange_rows()
test.share_what_one_process_knows()
test.resume_where_only_one_process_has_the_folder()
if is_main():
    torch.save(results, sys.argv[1])
torch.distributed.destroy_process_group()
"""


def train(name: str) -> dict[str, Any]:
    """Train one case; the first and last weights and the last epoch's losses."""
    settings = tiny.config(**({"method": name} | CASES[name]))
    method, data = build_method(settings, 2), tiny.training_set(settings, per_class=5)
    first = {key: value.clone() for key, value in method.model.state_dict().items()}
    method.prepare(data)
    for epoch in range(EPOCHS):
        losses = method.epoch(data, epoch, EPOCHS)
    return {"first": first, "last": method.model.state_dict(), "losses": losses}


def fitted_head() -> dict[str, torch.Tensor]:
    """A normalised hash layer after a warm start, for which every process has all features."""
    rng = torch.Generator().manual_seed(0)
    layer, features = NormalisedLinear(4, 2), torch.randn(16, 4, generator=rng)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(2, 4, generator=rng))
        layer.bias.zero_()
    fit_head(layer, features, torch.eye(2)[torch.arange(16) % 2], mse_loss, steps=5)
    assert layer.shared
    return layer.state_dict()


def exchange_rows() -> None:
    """In each process: any number of own rows become all rows, and their gradients are summed."""
    rank = dist.get_rank()
    own = (torch.arange(3.0 + rank) + 10 * rank).requires_grad_()  # 0 1 2, and 10 11 12 13
    whole, rows = exchange(own)
    assert whole.tolist() == [0, 1, 2, 10, 11, 12, 13]
    assert torch.equal(whole[rows], own)
    (whole.square() * (1 + rank)).sum().backward()  # asked for once by rank 0, twice by rank 1
    assert own.grad is not None
    assert torch.equal(own.grad, 3 * 2 * own.detach())


def share_what_one_process_knows() -> None:
    """In each process: what the main one reads or computes is what all go on with."""
    assert mains(lambda: {"rank of the reader": dist.get_rank()}) == {"rank of the reader": 0}
    own = torch.full((3,), float(dist.get_rank()), requires_grad=True)
    assert same_tensor(own).tolist() == [0.0] * 3
    layer = torch.nn.Linear(4, 2)
    features = torch.randn(16, 4, generator=torch.Generator().manual_seed(dist.get_rank()))
    fit_head(layer, features, torch.eye(2)[torch.arange(16) % 2], mse_loss, steps=2)
    seen = [torch.zeros(2, 4) for _ in range(2)]
    dist.all_gather(seen, layer.weight.detach())
    assert torch.equal(*seen)


def resume_where_only_one_process_has_the_folder() -> None:
    """In each process: machines need not share a disk, and a second start goes on all the same."""
    out = Path(f"disk-of-{dist.get_rank()}")
    settings = tiny.config("dpsh", **SGD, epochs=2, image_size=32, train_size=32)
    for _ in range(2):  # the second time there is nothing to do, which rank 1 cannot know
        fit(settings, tiny.dataset(), out, weights="none", device="cpu", progress=False)
    assert (out / "ckpt.pt").exists() == (out / "state.pt").exists() == (dist.get_rank() == 0)


def launch(*arguments: str, cwd: Path) -> None:
    """Two processes under torchrun."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2"]
    done = subprocess.run(
        [*torchrun, "--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0", *arguments],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("torchrun")
    (folder / "worker.py").write_text(WORKER)
    launch("worker.py", "two.pt", cwd=folder)
    return torch.load(folder / "two.pt", weights_only=True)


def test_one_process_is_its_own_whole() -> None:
    x = torch.randn(5, 3)
    assert is_main()
    assert share(5) == slice(0, 5)
    assert gather(x, 5) is x
    assert agree(0.25) == 0.25
    assert mains(lambda: "own") == "own"
    assert same_tensor(x) is x


@pytest.mark.parametrize("count", [4, 5, 6, 7, 8, 33])
def test_shares_of_four_processes_are_the_batch_and_none_is_empty(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = torch.arange(count)
    shares = []
    for rank in range(4):
        monkeypatch.setattr("dsah_train.distributed._world", lambda rank=rank: (rank, 4))
        shares.append(rows[share(count)])
    assert torch.equal(torch.cat(shares), rows)
    sizes = list(map(len, shares))
    assert 1 <= min(sizes) <= max(sizes) <= min(sizes) + 1


@pytest.mark.parametrize("name", CASES)
def test_two_processes_equal_one(two_processes: dict[str, Any], name: str) -> None:
    two, one = two_processes[name], train(name)
    for step, terms in one["losses"].items():
        assert two["losses"][step] == pytest.approx(terms, rel=1e-4), step
    learnt, normalised = 0.0, any(".norm." in key for key in one["last"])
    for key, value in one["last"].items():
        moved = float((value - one["first"][key]).abs().max())
        # By small spreads of a batch roundings are divided: weights that differ by 1e-7 in the
        # beginning differ by 1e-5 in the end, in one process as in two.
        most = 1e-6 + (0.01 * moved if normalised else 1e-4 * float(value.abs().max()))
        assert float((value - two["last"][key]).abs().max()) <= most, key
        if "running" not in key and "tracked" not in key:
            learnt = max(learnt, moved)
    assert learnt > 1e-4  # far above the tolerance: there was something to get wrong


def test_a_warm_start_normalises_what_each_process_has(two_processes: dict[str, Any]) -> None:
    one, two = fitted_head(), two_processes["head"]
    # The mean is taken off again: the bias has no gradient but roundings, and the mean follows it.
    for key in one.keys() - {"bias", "norm.running_mean"}:
        assert torch.allclose(one[key], two[key], rtol=1e-4, atol=1e-6), key


@pytest.mark.slow
def test_the_command_line_trains_the_same_model_in_two_processes(tmp_path: Path) -> None:
    fit = ["fit", "--data", "embedded:marks?classes=2&train=10&query=2&size=48", "--bits", "8"]
    fit += ["--weights", "none", "--device", "cpu", "--precision", "fp32", "--epochs", "2"]
    fit += ["--image-size", "48", "--train-size", "48", "--batch-size", "6", "--val-per-class", "3"]
    fit += ["--method", "dpsh", "--optimizer", "sgd", "--warm-start", "0", "--quiet"]
    launch("-m", "dsah_train", *fit, "--out", "two", cwd=tmp_path)
    launch("-m", "dsah_train", *fit, "--out", "two", cwd=tmp_path)  # finished: nothing to do
    assert main([*fit, "--out", str(tmp_path / "one")]) == 0
    one, two = (load_checkpoint(tmp_path / name / "ckpt.pt") for name in ("one", "two"))
    assert one.metrics == pytest.approx(two.metrics)
    for key, value in one.model.state_dict().items():
        assert torch.allclose(value, two.model.state_dict()[key], rtol=1e-3, atol=1e-5), key
    records = [(tmp_path / n / "metrics.jsonl").read_text().splitlines() for n in ("one", "two")]
    assert len(records[0]) == len(records[1]) == len(list(map(json.loads, records[1])))
