"""The file: golden bytes, refusals from hand-made bytes, crashes, mutations, contracts."""

from __future__ import annotations

import errno
import os
import pickle
import shutil
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import dsah_infer._core as core
from dsah_infer import HammingIndex
from dsah_infer.contract import CodeContract
from dsah_infer.errors import ContractError, IndexFileError, SpaceMismatchError, UsageError
from tests.infer.ranking_reference import random_codes

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data"
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}
CONTRACT = CodeContract(method="dsah", bits=12, space="flowers", fingerprint="f1")


def golden_indexes():
    """What the golden files of format version 1 hold, by file name."""
    counting = HammingIndex(64)
    counting.add((np.arange(70 * 8) * 37 % 251).astype(np.uint8).reshape(70, 8))
    named = HammingIndex(12, contract=CONTRACT)
    codes = np.array([[i * 29 % 256, i * 16 % 256 & 0xF0] for i in range(20)], np.uint8)
    named.add(codes, [(i * 7) % 20 + 5 for i in range(20)])
    named.remove([5, 9])
    named.sections["items"] = b'["a.jpg"]'
    symbols = HammingIndex(72, symbol_bits=4)
    symbols.add((np.arange(3 * 9) * 11 % 256).astype(np.uint8).reshape(3, 9))
    return {"index_v1": counting, "index_v1_ids": named, "index_v1_symbols": symbols}


@pytest.mark.parametrize("name", ["index_v1", "index_v1_ids", "index_v1_symbols"])
@pytest.mark.parametrize("mmap", [False, True])
def test_golden_files_open_for_ever(name, mmap):
    path, index = DATA / f"{name}.dsah", golden_indexes()[name]
    loaded = HammingIndex.load(path, mmap=mmap)
    assert (loaded.bits, loaded.symbol_bits, len(loaded)) == (
        index.bits,
        index.symbol_bits,
        len(index),
    )
    assert loaded.contract == index.contract
    assert loaded.fingerprints == index.fingerprints
    assert loaded.sections == index.sections
    for (a, b), (c, d) in zip(loaded.chunks(), index.chunks(), strict=True):
        np.testing.assert_array_equal(a, c)
        np.testing.assert_array_equal(b, d)
    loaded.add(a[:1])
    index.add(a[:1])
    assert loaded.search(a[:1], 99)[1].tolist() == index.search(a[:1], 99)[1].tolist()


@pytest.mark.parametrize("name", ["index_v1", "index_v1_ids", "index_v1_symbols"])
def test_version_1_is_written_byte_for_byte(name, tmp_path):
    golden_indexes()[name].save(tmp_path / "now")
    assert (tmp_path / "now").read_bytes() == (DATA / f"{name}.dsah").read_bytes()


def refused(path, content, match, **options):
    path.write_bytes(content)
    with pytest.raises(IndexFileError, match=match):
        HammingIndex.load(path, **options)


@pytest.mark.parametrize("mmap", [False, True])
def test_refusals_from_hand_made_bytes(tmp_path, mmap):
    good = (DATA / "index_v1.dsah").read_bytes()
    path = tmp_path / "bad"

    def edit(at, value, form="<I"):
        changed = bytearray(good)
        struct.pack_into(form, changed, at, value)
        return bytes(changed)

    refused(path, b"", "too short", mmap=mmap)
    refused(path, good[:60], "too short", mmap=mmap)
    refused(path, b"PK\x03\x04" + good[4:], "first bytes", mmap=mmap)
    refused(path, edit(8, 2), "format version 2.*upgrade", mmap=mmap)
    refused(path, edit(8, 0), "version 0", mmap=mmap)
    refused(path, edit(12, 65), "sections", mmap=mmap)
    refused(path, edit(16, 48), "checksum", mmap=mmap)
    refused(path, edit(24, 2**60, "<Q"), "checksum", mmap=mmap)
    refused(path, good[:-1], "bytes, its header says", mmap=mmap)
    refused(path, good + b"\0", "bytes, its header says", mmap=mmap)
    flipped = bytearray(good)
    flipped[-3] ^= 1
    refused(path, bytes(flipped), "codes fail the checksum", mmap=mmap, verify="eager")
    with pytest.raises(IndexFileError, match="regular file"):
        HammingIndex.load(tmp_path)
    for mmap in (False, True):
        with pytest.raises(FileNotFoundError) as missing:
            HammingIndex.load(tmp_path / "missing", mmap=mmap)
        assert (missing.value.errno, missing.value.filename) == (
            errno.ENOENT,
            str(tmp_path / "missing"),
        )


HOSTILE = {
    "deep contract": {"contract": b"[" * 200_000},
    "deep fingerprints": {"fingerprints": b"[" * 200_000},
    "number beyond floats": {
        "contract": CONTRACT.replace(metrics={"map": 10**400}).to_json().encode()
    },
    "name that is no text": {b"\xff\xfe": b""},
}


@pytest.mark.parametrize("sections", HOSTILE.values(), ids=HOSTILE)
def test_sections_that_pass_their_checksums_are_not_trusted(sections, tmp_path):
    core.save(HammingIndex(12)._core.snapshot(), os.fsencode(tmp_path / "a"), sections)
    with pytest.raises(IndexFileError):
        HammingIndex.load(tmp_path / "a")


def test_lazy_checksums_are_compared_before_the_first_answer(tmp_path):
    bad = bytearray((DATA / "index_v1.dsah").read_bytes())
    bad[-3] ^= 1
    (tmp_path / "bad").write_bytes(bad)
    index = HammingIndex.load(tmp_path / "bad", mmap=True)
    assert len(index) == 70
    for _ in range(2):
        with pytest.raises(IndexFileError, match="checksum"):
            index.search(np.zeros((1, 8), np.uint8), 1)


def test_a_mapped_index_is_copied_on_write(tmp_path):
    path = tmp_path / "a"
    shutil.copy(DATA / "index_v1.dsah", path)
    before = path.read_bytes()
    index = HammingIndex.load(path, mmap=True)
    assert index.stats()["mapped"]
    code = np.full((1, 8), 9, np.uint8)
    index.add(code)
    index.upsert(code, [3])
    index.remove([4])
    assert path.read_bytes() == before
    assert sorted(index.search(code, 2)[1][0].tolist()) == [3, 70]
    index.save(path)  # over the very file that is mapped
    again = HammingIndex.load(path)
    assert (len(again), 4 in again, index.get([3]).tolist()) == (70, False, code.tolist())
    again = pickle.loads(pickle.dumps(index))  # still mapped to the old file: not by its path
    assert (len(again), again.stats()["mapped"], again.get([3]).tolist()) == (
        70,
        False,
        code.tolist(),
    )


def test_beside_a_mapped_file_structures_are_built_when_asked_for(tmp_path):
    index = HammingIndex(64)
    index.add(np.repeat(random_codes(np.random.default_rng(0), 2000, 64), 25, axis=0))
    query = np.zeros((1, 8), np.uint8)
    expected = index.search(query, 60)
    assert index.stats()["sublinear_bytes"] > 0  # many codes repeat
    index.save(tmp_path / "a")
    mapped = HammingIndex.load(tmp_path / "a", mmap=True)
    for _ in range(3):
        found = mapped.search(query, 60)
        np.testing.assert_array_equal(found[1], expected[1])
        assert mapped.stats()["sublinear_bytes"] == 0
        assert "build()" in mapped.explain()["reason"]
    mapped.build()
    np.testing.assert_array_equal(mapped.search(query, 60)[1], expected[1])
    assert mapped.explain()["path"] != "scan"


def test_a_failed_save_leaves_nothing_behind(tmp_path):
    index = golden_indexes()["index_v1"]
    with pytest.raises(FileNotFoundError, match="cannot create") as missing:
        index.save(tmp_path / "missing" / "a")
    assert (missing.value.errno, missing.value.filename) == (
        errno.ENOENT,
        str(tmp_path / "missing" / "a"),
    )
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="cannot rename"):
        index.save(tmp_path / "folder")
    index.sections["x" * 15] = b""
    with pytest.raises(UsageError, match="14 bytes"):
        index.save(tmp_path / "a")
    index.sections = {"contract": b""}
    with pytest.raises(UsageError, match="belong to the index"):
        index.save(tmp_path / "a")
    index.sections = {"note": "text"}
    with pytest.raises(UsageError, match="'note' is str"):
        index.save(tmp_path / "a")
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def test_files_that_a_killed_process_left_are_in_nobodys_way(tmp_path):
    program = (
        "import os, sys\n"
        "import numpy as np\n"
        "from dsah_infer import HammingIndex\n"
        "for name in ('a', 'dsah'):\n"
        "    for n in range(3):\n"
        "        open(f'{name}.tmp-{os.getpid()}-{n}', 'x').close()\n"
        "index = HammingIndex(64)\n"
        "index.add(np.zeros((5, 8), np.uint8))\n"
        "index.save('a')\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=ENVIRONMENT, check=True)
    assert len(HammingIndex.load(tmp_path / "a")) == 5
    assert len(list(tmp_path.iterdir())) == 1 + 6


@pytest.mark.parametrize("length", [1, 250, 255])
def test_any_name_that_the_system_takes_will_do(length, tmp_path):
    index = golden_indexes()["index_v1"]
    index.save(tmp_path / ("x" * length))
    assert [len(p.name) for p in tmp_path.iterdir()] == [length]


def test_a_private_file_stays_private(tmp_path):
    index = golden_indexes()["index_v1"]
    path = tmp_path / "a"
    mask = os.umask(0o022)
    try:
        index.save(path)
        assert path.stat().st_mode & 0o777 == 0o644
        for mode in (0o600, 0o640, 0o664, 0o400):
            path.chmod(mode)
            index.save(path)
            assert path.stat().st_mode & 0o777 == mode
    finally:
        os.umask(mask)


def test_saving_through_a_link_keeps_the_link(tmp_path):
    old, new = golden_indexes()["index_v1"], golden_indexes()["index_v1_symbols"]
    (tmp_path / "there").mkdir()
    real, near, far = tmp_path / "there" / "real", tmp_path / "there" / "near", tmp_path / "far"
    near.symlink_to("real")
    far.symlink_to(near)
    for index in (old, new):  # at first the links lead to nothing
        index.save(far)
        assert (real.is_symlink(), near.is_symlink(), far.is_symlink()) == (False, True, True)
        assert len(HammingIndex.load(real)) == len(HammingIndex.load(far)) == len(index)
    assert sorted(p.name for p in real.parent.iterdir()) == ["near", "real"]
    real.unlink()
    real.symlink_to("near")
    with pytest.raises(OSError, match="cannot follow") as loop:
        old.save(far)
    assert (loop.value.errno, loop.value.filename) == (errno.ELOOP, str(far))


@pytest.mark.parametrize("mmap", [False, True])
def test_what_is_no_file_is_refused_at_once(mmap, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular file"):
        golden_indexes()["index_v1"].save(tmp_path / "pipe")
    assert (tmp_path / "pipe").is_fifo()
    core = subprocess.run(
        [sys.executable, "-c", f"import dsah_infer as d; d.HammingIndex.load('pipe', {mmap})"],
        cwd=tmp_path,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "IndexFileError: pipe is not a regular file" in core.stderr


def kill_saves(tmp_path, times):
    """Children forked from this warm process save over a file and are killed at any moment."""
    rng = np.random.default_rng(0)
    old, new = HammingIndex(64), HammingIndex(64)
    old.add(random_codes(rng, 20_000, 64))
    new.add(random_codes(rng, 300_000, 64), np.arange(300_000)[::-1])
    path = tmp_path / "a"
    start = time.perf_counter()
    new.save(path)
    spent = time.perf_counter() - start
    seen = set()
    for _ in range(times):
        old.save(path)
        child = os.fork()
        if child == 0:
            new.save(path)
            os._exit(0)
        time.sleep(rng.uniform(0, 1.3 * spent))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        found = HammingIndex.load(path, verify="eager")
        assert len(found) in (len(old), len(new))
        seen.add(len(found))
        for leftover in tmp_path.glob("dsah.tmp-*"):
            leftover.unlink()
    return seen


def test_kill_during_save_leaves_the_old_file_or_the_new(tmp_path):
    assert kill_saves(tmp_path, 50)


@pytest.mark.slow
def test_kill_during_save_many_times(tmp_path):
    assert len(kill_saves(tmp_path, 500)) == 2  # both outcomes were met


def native(target, out, flags):
    make = shutil.which("make")
    compiler = shutil.which(os.environ.get("CXX", "g++"))
    if not make or not compiler:
        pytest.skip("needs make and a C++ compiler")
    command = [make, "-s", "-j2", "-C", str(ROOT / "csrc"), f"OUT={out}", f"FLAGS={flags}", target]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return target


SANITIZED = "-O1 -fsanitize=address,undefined -fno-sanitize-recover=all"


def test_mutated_files_open_without_harm():
    """20,000 mutations under ASan and UBSan, allocations watched; `make fuzz` runs a million."""
    out = ROOT / "build" / "asan"
    binary = native(f"{out}/fuzz_file", out, SANITIZED)
    done = subprocess.run([binary, "20000"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "20000 mutated files" in done.stdout
    assert "opening asked for the file's size and at most" in done.stdout
    assert "refused" in done.stdout
    assert "opened" in done.stdout


def test_contracts_guard_the_space(tmp_path):
    codes = np.zeros((2, 2), np.uint8)
    index = HammingIndex(12, contract=CONTRACT)
    student = CONTRACT.replace(fingerprint="f2")
    foreign = CONTRACT.replace(space="dogs")
    index.add(codes, contract=CONTRACT)
    asking = (
        lambda c, **kw: index.search(c, 1, **kw),
        lambda c, **kw: index.range_search(c, 1, **kw),
        lambda c, **kw: index.count(c, 1, **kw),
    )
    for call in (index.add, lambda c, **kw: index.upsert(c, [0, 1], **kw), *asking):
        with pytest.raises(SpaceMismatchError, match="dogs"):
            call(codes, contract=foreign)
        with pytest.raises(SpaceMismatchError, match="other_fingerprint='accept'"):
            call(codes, contract=student)
        with pytest.raises(UsageError, match="other_fingerprint = 'maybe'"):
            call(codes, contract=student, other_fingerprint="maybe")
    for ask in asking:
        ask(codes, contract=CONTRACT)
        ask(codes, contract=student, other_fingerprint="accept")
    assert index.fingerprints == ("f1",)
    index.add(codes, contract=student, other_fingerprint="accept")
    for ask in asking:
        ask(codes, contract=student)
    index.save(tmp_path / "a")
    assert HammingIndex.load(tmp_path / "a").fingerprints == ("f1", "f2")
    other = HammingIndex(12, contract=foreign)
    with pytest.raises(SpaceMismatchError):
        index.merge(other)
    plain = HammingIndex(12, contract=CONTRACT)
    with pytest.raises(SpaceMismatchError, match="other_fingerprint='accept'"):
        plain.merge(index)
    assert (len(plain), plain.fingerprints) == (0, ("f1",))
    plain.merge(index, other_fingerprint="accept")
    assert (len(plain), plain.fingerprints) == (len(index), ("f1", "f2"))
    nameless = HammingIndex(12)
    nameless.add(codes[:1])
    with pytest.raises(ContractError, match="have none to compare it with"):
        nameless.merge(index)
    assert (nameless.contract, nameless.fingerprints) == (None, ())
    empty = HammingIndex(12)
    empty.merge(index)
    assert (empty.contract, empty.fingerprints) == (CONTRACT, ("f1", "f2"))
    with pytest.raises(ContractError, match="bits = 12"):
        HammingIndex(13, contract=CONTRACT)


@pytest.mark.parametrize("verb", ["add", "upsert"])
def test_an_empty_index_takes_the_contract_of_its_first_codes(verb, tmp_path):
    codes = np.zeros((2, 2), np.uint8)

    def put(index, ids=(0, 1), **options):
        return getattr(index, verb)(codes, ids, **options)

    index = HammingIndex(12)
    with pytest.raises(UsageError):  # nothing is taken over when nothing comes in
        put(index, [0, -4], contract=CONTRACT)
    assert (index.contract, index.fingerprints, len(index)) == (None, (), 0)
    put(index, contract=CONTRACT)
    assert (index.contract, index.fingerprints) == (CONTRACT, ("f1",))
    with pytest.raises(SpaceMismatchError, match="dogs"):
        put(index, [2, 3], contract=CONTRACT.replace(space="dogs"))
    index.save(tmp_path / "a")
    assert HammingIndex.load(tmp_path / "a").contract == CONTRACT
    # Codes of 13 bits are as many bytes: only the contract tells.
    for index in (HammingIndex(13), HammingIndex(12, symbol_bits=2)):
        with pytest.raises(ContractError, match="bits = 12, symbol_bits = 1; the index has"):
            put(index, contract=CONTRACT)
        assert (index.contract, len(index)) == (None, 0)


def test_codes_without_a_contract_get_none_beside_them():
    codes = np.zeros((2, 2), np.uint8)
    index = HammingIndex(12)
    index.add(codes, [0, 1])
    for call in (index.add, index.upsert):
        with pytest.raises(ContractError, match=r"make the index with contract=\.\.\., or add"):
            call(codes, [2, 3], contract=CONTRACT)
    assert (index.contract, index.fingerprints, len(index)) == (None, (), 2)
    index.add(codes, [2, 3])
    index.remove([0, 1, 2, 3])
    index.add(codes, contract=CONTRACT)
    assert index.contract == CONTRACT


def test_upsert_records_the_producer():
    codes = np.zeros((2, 2), np.uint8)
    student = CONTRACT.replace(fingerprint="f2")
    index = HammingIndex(12, contract=CONTRACT)
    index.upsert(codes, [3, 4], contract=CONTRACT)
    with pytest.raises(SpaceMismatchError, match="'f2'"):
        index.upsert(codes, [3, 4], contract=student)
    with pytest.raises(UsageError):  # nothing is recorded when nothing comes in
        index.upsert(codes, [3, -4], contract=student, other_fingerprint="accept")
    assert index.fingerprints == ("f1",)
    index.upsert(codes + 16, [4, 5], contract=student, other_fingerprint="accept")
    assert (sorted(i for _, ids in index for i in ids), index.fingerprints) == (
        [3, 4, 5],
        ("f1", "f2"),
    )


def test_codes_of_no_space_are_comparable_with_none():
    codes, nameless = np.zeros((2, 2), np.uint8), CodeContract(method="mine", bits=12)
    index = HammingIndex(12, contract=nameless)
    for other in (nameless, nameless.replace(method="other"), nameless.replace(fingerprint="f")):
        for put in (index.add, lambda c, **kw: index.search(c, 1, **kw)):
            with pytest.raises(SpaceMismatchError, match="names no space"):
                put(codes, contract=other, other_fingerprint="accept")
    for into in (HammingIndex(12), index):  # neither taken over nor compared
        full = HammingIndex(12, contract=nameless)
        full.add(codes)
        with pytest.raises(SpaceMismatchError, match="names no space"):
            into.merge(full)
        with pytest.raises(SpaceMismatchError, match="names no space"):
            into.add(codes, contract=nameless)
        assert len(into) == 0
    assert index.add(codes) == 2


def test_symbols_of_another_arity_are_another_kind_of_code():
    eight = CodeContract(method="doh", bits=16, symbol_bits=4, arity=8, space="s", fingerprint="f")
    index = HammingIndex(16, symbol_bits=4, contract=eight)
    with pytest.raises(SpaceMismatchError, match=r"16-ary symbols.*8-ary symbols"):
        index.add(np.zeros((1, 2), np.uint8), contract=eight.replace(arity=16))


@pytest.mark.parametrize(
    ("arity", "symbol_bits"), [(0, 1), (1, 1), (3, 1), (-2, 2), (5, 2), (17, 4), (257, 8)]
)
def test_contracts_refuse_symbols_that_cannot_be(arity, symbol_bits):
    with pytest.raises(ContractError, match=f"arity = {arity} with symbol_bits = {symbol_bits}"):
        CodeContract(method="doh", bits=16, arity=arity, symbol_bits=symbol_bits)
    most = 1 << symbol_bits
    assert CONTRACT.replace(bits=16, arity=most, symbol_bits=symbol_bits).arity == most


@pytest.mark.parametrize(
    ("form", "info_bits", "activations"),
    [
        ({"bits": 12}, 12, 12),
        ({"bits": 64, "symbol_bits": 2, "arity": 4}, 64, 128),
        ({"bits": 64, "symbol_bits": 4, "arity": 8}, 48, 128),
        ({"bits": 64, "symbol_bits": 4, "arity": 16}, 64, 256),
    ],
)
def test_contracts_know_what_their_symbols_hold(form, info_bits, activations):
    contract = CodeContract(method="doh", **form)
    assert (contract.info_bits, contract.activations) == (info_bits, activations)
    assert CodeContract.from_json(contract.to_json()) == contract
    for wrong in ({"info_bits": -5}, {"info_bits": contract.bits + 1}, {"activations": -1}):
        (name,) = wrong
        with pytest.raises(ContractError, match=f"{name} = .*, allowed: 1"):
            contract.replace(**wrong)


def test_what_was_changed_beside_a_mapped_file_is_pickled(tmp_path):
    index = HammingIndex(12, contract=CONTRACT)
    index.add(random_codes(np.random.default_rng(1), 5, 12))
    index.save(tmp_path / "a")
    mapped = HammingIndex.load(tmp_path / "a", mmap=True)
    by_path = len(pickle.dumps(mapped))
    mapped.sections["note"] = b"new"
    again = pickle.loads(pickle.dumps(mapped))
    assert again.sections == {"note": b"new"}
    assert len(again) == 5
    assert len(pickle.dumps(mapped)) > by_path


def test_a_mapped_file_that_was_replaced_is_not_pickled_by_its_path(tmp_path):
    old, new = golden_indexes()["index_v1"], HammingIndex(64)
    new.add(np.zeros((3, 8), np.uint8))
    old.save(tmp_path / "a")
    mapped = HammingIndex.load(tmp_path / "a", mmap=True)
    by_path = pickle.dumps(mapped)
    assert len(pickle.loads(by_path)) == len(old)
    new.save(tmp_path / "a")
    assert len(pickle.loads(pickle.dumps(mapped))) == len(old)
    with pytest.raises(IndexFileError, match="replaced"):
        pickle.loads(by_path)
