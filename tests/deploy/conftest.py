from __future__ import annotations

import pytest

from tests.tiny import Tiny
from tests.tiny import tiny as build


@pytest.fixture(scope="session")
def tiny() -> Tiny:
    return build()
