from __future__ import annotations

import ctypes
from types import SimpleNamespace

import pytest

from landscape.memory import keep_freed_memory


def test_the_c_library_is_asked_to_keep_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[int, int] = {}
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace(mallopt=asked.__setitem__))
    keep_freed_memory()
    assert asked == {-3: 32 * 2**20, -1: 2**31 - 1}  # as the manual page mallopt(3) numbers them


@pytest.mark.parametrize("fault", [OSError, TypeError], ids=["no library", "no such name"])
def test_other_systems_go_without(monkeypatch: pytest.MonkeyPatch, fault: type[Exception]) -> None:
    def missing(name: object) -> object:
        raise fault

    monkeypatch.setattr(ctypes, "CDLL", missing)
    keep_freed_memory()


def test_c_libraries_without_it_go_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace())
    keep_freed_memory()
