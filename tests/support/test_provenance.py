"""The record of a result, and the labels of its quantities."""

import json
import math

import pytest

from lindyn.simulation.observables import BUILT_IN
from lindyn.support.labels import OF_STATES
from lindyn.support.provenance import Provenance

RECORD = Provenance(
    dynamics="network of width 7", method="flow", why="as asked", law="given", task="SpikedMatrix", shape=(2, 3),
    threshold=0.5, dtype="float64", state_bytes=48, stability_bound=math.inf, notes=("one", "two"),
)  # fmt: skip


def test_a_record_survives_json_with_its_infinities():
    text = json.dumps(RECORD.as_dict(), allow_nan=False)
    assert Provenance.from_dict(json.loads(text)) == RECORD


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"threshold": "high"}, "'threshold', which is of type float"),
        ({"shape": [2, "x"]}, "'shape'"),
        ({"notes": {"a": 1}}, "'notes'"),
        ({"status": None}, "'status'"),
        ({"surprise": 1}, "no field 'surprise'"),
    ],
    ids=["word for a number", "word in a shape", "object for a list", "nothing for a word", "unknown"],
)
def test_a_field_of_another_type_is_named(change, complaint):
    with pytest.raises(ValueError, match=complaint):
        Provenance.from_dict(RECORD.as_dict() | change)


def test_a_missing_field_is_named():
    data = RECORD.as_dict()
    del data["law"]
    with pytest.raises(ValueError, match="lacks 'law'"):
        Provenance.from_dict(data)


def test_every_built_in_observable_has_the_label_of_the_table():
    assert {name: (o.description, o.unit) for name, o in BUILT_IN.items()} == {n: OF_STATES[n] for n in BUILT_IN}
