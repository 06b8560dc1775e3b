"""Every parser on its seeds and on mutations of them: a result or its own error, and never anything else.

CI executes each seed and ``EACH`` seeded mutations of it. ``DRIVERAPI_FUZZ_SECONDS=300`` goes on for that long
over all targets, with a seed of the day (``DRIVERAPI_FUZZ_SEED``), and prints how often each was executed: best in a
build with sanitizers. An input that fails is in the failure's message, as hex.
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest

from tests.fuzz.mutate import mutate
from tests.fuzz.targets import TARGETS, Target

CORPUS = Path(__file__).parent / "corpus"
EACH = 200
SECONDS = float(os.environ.get("DRIVERAPI_FUZZ_SECONDS", "0"))
SEED = os.environ.get("DRIVERAPI_FUZZ_SEED") or time.strftime("%Y-%m-%d")


def seeds(name: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]


def execute(target: Target, data: bytes) -> bool:
    """Run once; tell whether it was taken."""
    try:
        target.run(data)
    except target.raises:
        return False
    except Exception as error:
        raise AssertionError(f"{type(error).__name__}: {error}; the input: {data.hex()}") from error
    return True


def test_every_target_has_seeds() -> None:
    assert {path.name for path in CORPUS.iterdir()} == set(TARGETS)


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_and_mutations(name: str) -> None:
    corpus = seeds(name)
    taken = [execute(TARGETS[name], data) for data in corpus]
    assert any(taken), "no seed is what the target takes"
    generator = random.Random(name)
    for data in corpus:
        for _ in range(EACH):
            execute(TARGETS[name], mutate(data, corpus, generator))


if SECONDS:

    @pytest.mark.parametrize("name", TARGETS)
    def test_long(name: str, capsys: pytest.CaptureFixture[str]) -> None:
        corpus = seeds(name)
        generator = random.Random(f"{SEED} {name}")
        end = time.monotonic() + SECONDS / len(TARGETS)
        executed = taken = 0
        while time.monotonic() < end:
            for _ in range(100):
                data = generator.choice(corpus)
                taken += execute(TARGETS[name], mutate(data, corpus, generator))
            executed += 100
        with capsys.disabled():
            print(f"\n{name}: {executed:,} executions, {taken:,} of them taken; seed {SEED}")
