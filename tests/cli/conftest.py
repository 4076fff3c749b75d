from __future__ import annotations

import pytest

from tests.cli.calling import Call, calling


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    return calling(capsys)
