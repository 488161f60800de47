"""Encoder: what goes in, what comes out, in which order, and how it lives in processes."""

from __future__ import annotations

import asyncio
import io
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from dsah_infer import Encoder, decoding, process_session
from dsah_infer.contract import unpack_bits
from dsah_infer.errors import ModelFileError, NoSaliencyError, PictureError, UsageError
from tests.infer.tiny_model import write_tiny_model

Pictures = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def encoder(tiny: Path) -> Iterator[Encoder]:
    with Encoder(tiny, threads=2) as made:
        yield made


def test_it_says_what_the_model_is(encoder: Encoder) -> None:
    assert (encoder.bits, encoder.symbol_bits, encoder.method) == (12, 1, "dsah")
    assert encoder.space == "tiny-12-0"
    assert encoder.fingerprint == encoder.contract.fingerprint != ""
    assert encoder.provider == "CPUExecutionProvider"


def test_codes_are_the_packed_signs_of_the_activations(encoder: Encoder, noise: Pictures) -> None:
    codes, activations = encoder.encode(noise), encoder.activations(noise)
    assert codes.dtype == np.uint8
    assert codes.shape == (21, 2)
    assert activations.dtype == np.float32
    assert activations.shape == (21, 12)
    np.testing.assert_array_equal(unpack_bits(codes, 12), activations >= 0)
    assert 0.2 < (activations >= 0).mean() < 0.8, "the tiny model must not give constant codes"


def test_every_kind_of_source_gives_the_same_code(
    encoder: Encoder, noise: Pictures, folder: Path
) -> None:
    path = folder / "04.png"
    with Image.open(path) as image:
        sources = [
            path,
            str(path),
            path.read_bytes(),
            bytearray(path.read_bytes()),
            image,
            noise[4],
        ]
        for source in sources:
            np.testing.assert_array_equal(encoder.encode(source), encoder.encode(noise)[4:5])


@pytest.mark.parametrize("make", [list, tuple, iter, lambda x: x, lambda x: (p for p in x)])
@pytest.mark.parametrize("threads", [1, 2, 4])
def test_any_iterable_any_thread_count_any_batch_size(
    tiny: Path, encoder: Encoder, noise: Pictures, make: type, threads: int
) -> None:
    expected = np.concatenate([encoder.encode(picture) for picture in noise])
    for batch_size in (1, 8, 100):
        with Encoder(tiny, threads=threads, batch_size=batch_size) as other:
            np.testing.assert_array_equal(other.encode(make(noise)), expected)


def test_no_pictures_give_no_codes(encoder: Encoder) -> None:
    assert encoder.encode([]).shape == (0, 2)
    assert encoder.activations(iter([])).shape == (0, 12)
    assert list(encoder.encode_files([])) == []


@pytest.mark.parametrize("threads", [1, 3])
def test_a_bad_picture_is_named_and_skipped_in_its_place(
    tiny: Path, folder: Path, threads: int
) -> None:
    (folder / "07.png").write_bytes(b"no picture at all")
    paths = sorted(folder.iterdir())
    with Encoder(tiny, threads=threads, batch_size=4) as encoder:
        results = list(encoder.encode_files(paths, on_error="skip"))
        assert [path for path, _ in results] == paths
        bad = [result for _, result in results if isinstance(result, PictureError)]
        assert [error.name for error in bad] == [str(folder / "07.png")]
        good = [path for path in paths if path.name != "07.png"]
        np.testing.assert_array_equal(
            [code for _, code in results if not isinstance(code, PictureError)],
            encoder.encode(good),
        )
        with pytest.raises(PictureError, match=r"07\.png"):
            encoder.encode(paths)
        stream = encoder.encode_files(paths)
        assert [next(stream)[0] for _ in range(7)] == paths[:7]
        with pytest.raises(PictureError, match=r"07\.png"):
            next(stream)


def test_an_unnamed_picture_is_named_by_its_position(encoder: Encoder, noise: Pictures) -> None:
    with pytest.raises(PictureError, match="picture 2") as caught:
        encoder.encode([noise[0], noise[1], b"junk"])
    assert caught.value.name == "picture 2"


def test_memory_stays_bounded_by_reading_only_a_few_batches_ahead(
    tiny: Path, noise: Pictures
) -> None:
    read = []

    def endless() -> Iterator[Pictures]:
        while True:
            read.append(len(read))
            yield noise[len(read) % 21]

    with Encoder(tiny, threads=2, batch_size=4) as encoder:
        stream = encoder._batches("codes", endless(), "raise", False)
        for served in range(1, 6):
            next(stream)
            assert len(read) <= 4 * served + 2 * 4 + 2
        stream.close()
    assert threading.active_count() < 10


def test_the_next_batch_is_decoded_while_one_is_in_the_model(
    tiny: Path, noise: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each waits for the other: run after run in one thread would never end."""
    running, decoded = threading.Event(), threading.Event()
    original = decoding.load_picture

    def decode(source: Pictures, *arguments: object, **options: object) -> Pictures:
        square = original(source, *arguments, **options)
        if source is pictures[4]:  # the first of the second batch
            assert running.wait(10), "the model waits for this picture"
            decoded.set()
        return square

    with Encoder(tiny, threads=2, batch_size=4) as encoder:
        pictures = list(noise)
        expected = encoder.encode(pictures)
        session = encoder._session.get()
        run = session.run

        def wait(outputs: list[str], images: Pictures) -> list[Pictures]:
            running.set()
            assert decoded.wait(10), "decoding waits for the model"
            return run(outputs, images)

        monkeypatch.setattr(decoding, "load_picture", decode)
        monkeypatch.setattr(session, "run", wait)
        np.testing.assert_array_equal(encoder.encode(pictures), expected)


def test_a_process_has_one_session_however_many_threads(
    tiny: Path, noise: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []

    class Counted(process_session.OnnxSession):
        def __init__(self, *arguments: object) -> None:
            opened.append(os.getpid())
            super().__init__(*arguments)

    monkeypatch.setattr(process_session, "OnnxSession", Counted)
    with Encoder(tiny, threads=2) as encoder:
        workers = [threading.Thread(target=encoder.encode, args=(noise,)) for _ in range(6)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    assert opened == [os.getpid()]


def test_saliency_lies_over_the_square_the_model_saw(encoder: Encoder, noise: Pictures) -> None:
    saliency = encoder.saliency(noise[0])
    assert saliency.shape == (32, 32)
    assert saliency.dtype == np.float32
    assert saliency.min() == 0
    assert saliency.max() == 1


def test_a_method_without_attention_has_no_saliency(plain: Path, noise: Pictures) -> None:
    with Encoder(plain) as encoder, pytest.raises(NoSaliencyError, match="dpsh"):
        encoder.saliency(noise[0])


def test_threads_share_one_encoder(encoder: Encoder, noise: Pictures) -> None:
    expected, results = encoder.encode(noise), {}

    def work(i: int) -> None:
        results[i] = encoder.encode(noise if i % 2 else noise[i])

    workers = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for i in range(8):
        np.testing.assert_array_equal(results[i], expected if i % 2 else expected[i : i + 1])


def test_asyncio(encoder: Encoder, noise: Pictures) -> None:
    async def two() -> list[Pictures]:
        return await asyncio.gather(encoder.aencode(noise[0]), encoder.aencode(noise))

    first, all_codes = asyncio.run(two())
    np.testing.assert_array_equal(all_codes[:1], first)


def test_benchmark_measures(encoder: Encoder) -> None:
    measured = encoder.benchmark(batch_size=3, seconds=0.02)
    assert (measured.batch_size, measured.threads) == (3, 2)
    assert measured.runs >= 1
    assert measured.images_per_second == pytest.approx(3e3 / measured.milliseconds)


@pytest.mark.parametrize(
    "given", [{"batch_size": 0}, {"batch_size": -1}, {"seconds": -1}, {"seconds": float("inf")}]
)
def test_what_cannot_be_measured_is_refused(encoder: Encoder, given: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="allowed: 1 or more, and 0 to 3600"):
        encoder.benchmark(**given)


def test_pickle_carries_the_path_and_settings(encoder: Encoder, noise: Pictures) -> None:
    copy = pickle.loads(pickle.dumps(encoder))
    assert (copy.threads, copy.batch_size, copy.device) == (2, encoder.batch_size, "auto")
    np.testing.assert_array_equal(copy.encode(noise), encoder.encode(noise))


def test_a_pickle_refuses_a_replaced_file(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "m.onnx")
    pickled = pickle.dumps(Encoder(path))
    write_tiny_model(path, seed=1)
    with pytest.raises(ModelFileError, match="another model"):
        pickle.loads(pickled)


def _encode(encoder: Encoder, pictures: Pictures) -> Pictures:
    return encoder.encode(pictures)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_worker_processes(encoder: Encoder, noise: Pictures, method: str) -> None:
    encoder.encode(noise)  # warm: threads exist before the fork
    with multiprocessing.get_context(method).Pool(2) as pool:
        parts = pool.starmap(_encode, [(encoder, noise[:10]), (encoder, noise[10:])])
    np.testing.assert_array_equal(np.concatenate(parts), encoder.encode(noise))


@pytest.mark.parametrize("status", [0, 7])
def test_a_forked_child_works_and_ends_with_its_own_status(tiny: Path, status: int) -> None:
    script = f"""
import os, sys
import numpy as np
from dsah_infer import Encoder
encoder = Encoder({str(tiny)!r}, threads=2)
pictures = np.random.default_rng(0).integers(0, 256, (20, 40, 40, 3), dtype=np.uint8)
expected = encoder.encode(pictures)
child = os.fork()
if child == 0:
    assert (encoder.encode(pictures) == expected).all()
    sys.exit({status})
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = subprocess.run([sys.executable, "-c", script], timeout=60, cwd=Path.cwd())
    assert done.returncode == status


def test_closed_is_closed(tiny: Path, noise: Pictures) -> None:
    with Encoder(tiny) as encoder:
        encoder.close()
    with pytest.raises(UsageError, match="closed"):
        encoder.encode(noise)


@pytest.mark.parametrize("settings", [{"threads": 0}, {"batch_size": 0}, {"device": "tpu"}])
def test_settings_out_of_range(tiny: Path, settings: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="allowed"):
        Encoder(tiny, **settings)


def test_one_path_is_not_a_list_of_paths(encoder: Encoder) -> None:
    with pytest.raises(UsageError, match="one path"):
        encoder.encode_files("picture.jpg")
    with pytest.raises(UsageError, match="on_error"):
        encoder.encode_files([], on_error="ignore")


def test_progress_goes_to_stderr(
    encoder: Encoder, noise: Pictures, capsys: pytest.CaptureFixture[str]
) -> None:
    encoder.encode(noise, progress=True)
    assert "21/21" in capsys.readouterr().err
    encoder.encode(noise)
    assert capsys.readouterr().err == ""


def test_threads_default_to_what_this_process_may_use(tiny: Path) -> None:
    with Encoder(tiny) as encoder:
        assert 1 <= encoder.threads <= len(os.sched_getaffinity(0))


THREADS = """
import os, sys, time
import numpy as np
from dsah_infer import Encoder

def settles(count):  # a joined thread is gone from the list an instant later
    for _ in range(500):
        if threads() - before == count:
            return True
        time.sleep(0.01)
    return False

def threads():
    return len(os.listdir("/proc/self/task"))

with Encoder(sys.argv[1], device="cpu", threads=1) as one:
    picture = np.zeros((500, 500, 3), np.uint8)
    one.encode([picture])
    before = threads()  # with what libraries start once: tqdm has a monitor
    seen = []

    def pictures():
        for _ in range(200):
            seen.append(threads() - before)
            yield picture

    one.encode(pictures())
    assert max(seen) == 0, "one thread is the caller's"
asked = int(sys.argv[2])
with Encoder(sys.argv[1], device="cpu", threads=asked) as encoder:
    assert threads() - before == asked - 1, "onnxruntime's, beside the caller"
    options = encoder._session.get()._session.get_session_options()
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    for _ in range(3):
        seen.clear()
        encoder.encode(pictures())
        assert asked - 1 < max(seen) <= asked - 1 + asked, "and the decoders of this call"
        assert settles(asked - 1), "which end with it"
assert settles(0)
"""


@pytest.mark.parametrize("asked", [2, 5])
def test_threads_are_exactly_those_that_are_documented(tiny: Path, asked: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", THREADS, str(tiny), str(asked)],
        capture_output=True, text=True, cwd=Path.cwd(), timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_a_file_object_is_refused_by_name(encoder: Encoder) -> None:
    with pytest.raises(PictureError, match=r"BytesIO|int"):
        encoder.encode([io.BytesIO(b"")])
