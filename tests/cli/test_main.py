from __future__ import annotations

import io
import logging

from landscape.cli.main import SaidOnce


def test_a_message_is_said_once_in_a_command() -> None:
    logger, said = logging.Logger("landscape"), io.StringIO()
    handler = logging.StreamHandler(said)
    handler.addFilter(SaidOnce())
    logger.addHandler(handler)
    for name in ("a", "b", "a", "a"):
        logger.warning("%s: left out.", name)
    assert said.getvalue().splitlines() == ["a: left out.", "b: left out."]
