"""One story: table, verdict, files and summaries count a mode by its own threshold; differences are exact."""

import csv
import io
import json

import numpy as np
import pytest
from safetensors.numpy import save_file

import lindyn as ld
from helpers.commands import as_json, lindyn
from helpers.layouts import PEFT, lora, pair
from lindyn.inspection.naming import module_kind

KINDS = {"q": "self_attn.q_proj", "o": "self_attn.o_proj", "gate": "mlp.gate_proj", "down": "mlp.down_proj"}


def write(folder, layers=3, seed=0, sizes=(0.02, 1.0)):
    """An adapter of several kinds, whose layers are lazy and active in turn."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {}
    for i in range(layers):
        for k, name in enumerate(KINDS.values()):
            a, b = pair(seed=seed + 10 * i + k)
            stem = f"{PEFT}model.layers.{i}.{name}"
            tensors |= {f"{stem}.lora_A.weight": a, f"{stem}.lora_B.weight": np.float32(sizes[i % len(sizes)]) * b}
    save_file(tensors, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps(lora()))
    return folder


def products(report, folder, name):
    """s·BA of a pair, whole."""
    from safetensors.numpy import load_file

    tensors = load_file(folder / "adapter_model.safetensors")
    a, b = (tensors[f"{PEFT}{name}.lora_{side}.weight"].astype(float) for side in "AB")
    return report[name].scale * b @ a


def test_counts_labels_and_sentences_agree(tmp_path):
    report = ld.inspect(write(tmp_path / "a"))
    for p in report.pairs:
        above = int(np.sum(p.singular_values > p.thresholds))
        assert p.active_modes == above == int(np.sum(p.activities > np.sqrt(0.5)))
        assert p.regime == ("lazy" if above == 0 else "active" if above == 4 else "mixed")
    data = report.to_xarray()
    assert int(data["active"].sum()) == sum(p.active_modes for p in report.pairs)
    total = sum(p.active_modes for p in report.pairs)
    assert report.verdict.startswith(f"{total} of 48 modes active in 12 pairs")
    done = lindyn("inspect", tmp_path / "a").stdout
    assert f"{total} of 48 modes active in 12 pairs" in done
    rows = list(csv.DictReader(io.StringIO(lindyn("inspect", tmp_path / "a", "--csv").stdout)))
    assert sum(row["active"] == "True" for row in rows) == total
    assert [row["mode"] for row in rows[:4]] == ["1", "2", "3", "4"]


def test_kinds_are_summarised_before_the_table(tmp_path):
    report = ld.inspect(write(tmp_path / "a"))
    kinds = report.by_kind()
    assert [k.kind for k in kinds] == ["q", "o", "gate", "down"]
    assert [k.pairs for k in kinds] == [3] * 4
    mine = [p for p in report.pairs if p.name.endswith("q_proj")]
    assert kinds[0].largest == np.median([p.singular_values[0] for p in mine])
    assert kinds[0].active_modes == sum(p.active_modes for p in mine)
    out = lindyn("inspect", tmp_path / "a").stdout
    assert out.index("By kind of module") < out.index("Pairs")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("transformer.h.0.attn.c_attn", "qkv"), ("transformer.h.0.attn.c_proj", "o"),
        ("transformer.h.0.mlp.c_proj", "down"), ("encoder.layer.0.attention.output.dense", "o"),
        ("encoder.layer.0.output.dense", "down"), ("encoder.layer.0.intermediate.dense", "up"),
        ("layers.0.mlp.experts.gate_up_proj[3]", "gate+up"), ("layers.0.mlp.gate", "router"), ("lm_head", "head"),
        ("lora_te1_text_model_encoder_layers_0_self_attn_q_proj", "q"), ("blocks.0.ff.net.0.proj", "up"),
    ],
)  # fmt: skip
def test_kinds_of_known_families(name, kind):
    assert module_kind(name) == kind


def test_sorting_and_most_rows(tmp_path):
    report = ld.inspect(write(tmp_path / "a"))
    leading = [p.singular_values[0] for p in report.ranked("m1")]
    assert leading == sorted(leading, reverse=True)
    assert [p.name for p in report.ranked("file")] == [p.name for p in report.pairs]
    done = lindyn("inspect", tmp_path / "a", "--sort", "m1", "--most", "2")
    assert "10 more pairs: raise --most" in done.stdout
    assert "--most must be at least 1" in lindyn("inspect", tmp_path / "a", "--most", "0").stderr
    assert "--sort must be one of" in lindyn("inspect", tmp_path / "a", "--sort", "size").stderr
    assert "has no meaning with" in lindyn("inspect", tmp_path / "a", "--json", "--most", "2").stderr


def test_differences_of_two_checkpoints_are_those_of_the_whole_matrices(tmp_path):
    now, other = write(tmp_path / "now"), write(tmp_path / "other", seed=5)
    report, there = ld.inspect(now, against=other, start=other), ld.inspect(other)
    for p in report.pairs:
        one, two = products(report, now, p.name), products(there, other, p.name)
        values = np.linalg.svd(one - two, compute_uv=False)[:8]
        assert p.against.singular_values == pytest.approx(values, rel=1e-9)
        assert p.against.relative == pytest.approx(np.linalg.norm(one - two) / np.linalg.norm(two))
        assert p.against.cosine == pytest.approx(np.sum(one * two) / np.linalg.norm(one) / np.linalg.norm(two))
        assert p.change.singular_values.tolist() == p.against.singular_values.tolist()
    found = as_json("inspect", now, "--against", other)
    assert found["pairs"][0]["against"]["cosine"] == pytest.approx(report.pairs[0].against.cosine)
    assert "cos" in lindyn("inspect", now, "--against", other).stdout


def test_drift_of_hundreds_of_percent_is_said_in_words(tmp_path):
    report = ld.inspect(write(tmp_path / "now", sizes=(3.0,)), start=write(tmp_path / "start", seed=9, sizes=(0.0,)))
    assert min(p.imbalance_drift for p in report.pairs) > 1
    assert "is no law of their training" in report.explanation
    same = ld.inspect(tmp_path / "now", start=tmp_path / "now")
    assert "τ has held" in same.explanation


def test_suggested_rank_holds_99_percent_and_stays_above_rounding(tmp_path):
    rng = np.random.default_rng(0)
    left, right = (np.linalg.qr(rng.standard_normal((d, 4)))[0] for d in (20, 24))
    a = (np.sqrt([4.0, 2.0, 0.1, 1e-9])[:, None] * right.T).astype(np.float32)
    b = (left * np.sqrt([4.0, 2.0, 0.1, 1e-9])).astype(np.float32)
    tensors = {f"{PEFT}q.lora_{side}.weight": np.ascontiguousarray(t) for side, t in (("A", a), ("B", b))}
    save_file(tensors, tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text(json.dumps(lora()))
    found = ld.inspect(tmp_path).pairs[0]
    m = found.singular_values
    energy = np.cumsum(m**2) / np.sum(m**2)
    assert found.suggested_rank == 2
    assert energy[0] < 0.99 <= energy[1]
    assert "99 % of ‖ΔW‖_F²" in ld.inspect(tmp_path).to_dict()["rule"]


def test_singular_vectors_on_request_rebuild_the_update(tmp_path):
    folder = write(tmp_path / "a", layers=1)
    assert ld.inspect(folder).pairs[0].left is None
    report = ld.inspect(folder, vectors=True)
    p = report.pairs[0]
    assert p.left * p.singular_values @ p.right.T == pytest.approx(products(report, folder, p.name), abs=1e-12)
    done = lindyn("inspect", folder, "--vectors", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "out" / "vectors.npz") as saved:
        assert saved[f"{p.name}/left"].tolist() == p.left.tolist()
    assert "left" not in json.loads((tmp_path / "out" / "inspection.json").read_text())["pairs"][0]
    assert "has no meaning without" in lindyn("inspect", folder, "--vectors").stderr


@pytest.mark.slow
def test_two_thousand_pairs_in_ten_seconds(tmp_path):
    a, b = pair(rank=8, d_in=1024, d_out=1024)
    tensors = {f"{PEFT}layers.{i}.q_proj.lora_{s}.weight": t for i in range(2000) for s, t in (("A", a), ("B", b))}
    save_file(tensors, tmp_path / "adapter_model.safetensors")
    patterns = {f"layers.{i}.q_proj": 8 for i in range(2000)}
    (tmp_path / "adapter_config.json").write_text(json.dumps(lora(r=4, rank_pattern=patterns)))
    report = ld.inspect(tmp_path)
    assert len(report.pairs) == 2000
    assert not report.failures
    assert report.seconds < 10
