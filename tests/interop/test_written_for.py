"""Files for other tools: written in the form that the tool reads, and run there first."""

from pathlib import Path

import pytest

from deploy.backends import to_nir
from deploy.backends.to_nir import Form, Target, write_for
from export.encoder.network import build_network as integer_network
from export.nir.metadata import read_encoder
from spikinghash.errors import BackendError, GraphError
from tests.interop.environment import foreign_interpreter
from tests.networks import SMALL, calibrated

foreign_interpreter()


@pytest.mark.parametrize(("target", "dialect"), [("nest", "native"), ("norse", "portable")])
def test_a_tool_gets_its_dialect(target: Target, dialect: str, tmp_path: Path) -> None:
    path = tmp_path / "encoder.nir"
    write_for(target, integer_network(calibrated(SMALL)), path, "copied", "line", "gates")
    assert read_encoder(path)[1].dialect == dialect


def test_a_tool_that_runs_no_such_graphs_is_refused_with_what_was_seen(tmp_path: Path) -> None:
    with pytest.raises(GraphError, match=r"^--for sinabs: sinabs 3.1.3 wants nir 1.0.4 at most.*: use norse, snntorch"):
        write_for("sinabs", integer_network(calibrated(SMALL)), tmp_path / "x.nir", "copied", "line", "gates")
    assert not list(tmp_path.iterdir())


def test_nothing_is_left_where_the_tool_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(to_nir.FORMS, "norse", Form("native"))  # whose delays Norse has not
    with pytest.raises(BackendError, match="norse: "):
        write_for("norse", integer_network(calibrated(SMALL)), tmp_path / "x.nir", "copied", "line", "gates")
    assert not list(tmp_path.iterdir())
