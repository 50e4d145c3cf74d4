"""Configs that are refused."""

import pytest

from spikinghash.errors import ConfigError
from training.config import parse_config


def refusal_of(values: dict[str, object]) -> str:
    """The one line in which a config of these ``values`` is refused."""
    with pytest.raises(ConfigError) as caught:
        parse_config(values, "my.toml")
    assert "\n" not in str(caught.value)
    return str(caught.value)
