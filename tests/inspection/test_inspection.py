"""Inspection of files: what is read, what is reported, and what is refused by name."""

import csv
import io
import json
import pickle
import sys
import zipfile

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

import lindyn as ld
from helpers.commands import as_json, lindyn
from lindyn.inspection import common_thresholds, start_threshold
from lindyn.inspection.recognition import recognise

PREFIX = "base_model.model.model.layers"


def kaiming(rank, d_in, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (rank, d_in)).astype(np.float32) / np.sqrt(d_in, dtype=np.float32)


def layer(index, name="q_proj", part="A"):
    return f"{PREFIX}.{index}.self_attn.{name}.lora_{part}.weight"


def adapter(folder, tensors=None, **config):
    """Write an adapter as PEFT does: two layers of rank 4, partly trained, unless given."""
    folder.mkdir(parents=True, exist_ok=True)
    if tensors is None:
        rng = np.random.default_rng(3)
        tensors = {}
        for index in range(2):
            tensors[layer(index)] = kaiming(4, 60, index)
            tensors[layer(index, part="B")] = (0.3 * rng.standard_normal((50, 4))).astype(np.float32)
    save_file(
        {name: np.ascontiguousarray(value) for name, value in tensors.items()}, folder / "adapter_model.safetensors"
    )
    content = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "init_lora_weights": True, **config}
    (folder / "adapter_config.json").write_text(json.dumps(content))
    return folder


def test_an_adapter_is_reported_pair_by_pair(tmp_path):
    report = ld.inspect(adapter(tmp_path / "a"))
    assert [p.name for p in report.pairs] == [f"model.layers.{i}.self_attn.q_proj" for i in range(2)]
    pair = report["model.layers.1.self_attn.q_proj"]
    assert (pair.shape, pair.rank, pair.scale, pair.law, report.failures) == ((50, 60), 4, 2.0, "kaiming", ())
    rng = np.random.default_rng(3)
    second = [(0.3 * rng.standard_normal((50, 4))).astype(np.float32) for _ in range(2)][1]
    update = 2.0 * second.astype(float) @ kaiming(4, 60, 1)
    assert pair.singular_values == pytest.approx(np.linalg.svd(update, compute_uv=False)[:4], rel=1e-12)
    assert pair.common_thresholds == common_thresholds((50, 60), 4, 2.0)
    assert pair.expected_threshold == pytest.approx(1 / 3)
    assert "2 pairs, 8 modes" in repr(report)
    frame = report.to_frame()
    assert len(frame) == 8
    assert frame["singular_value"][4:].tolist() == pair.singular_values.tolist()


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, ml_dtypes.bfloat16])
def test_every_float_type_is_read_as_it_stands(tmp_path, dtype):
    a, b = kaiming(4, 60).astype(dtype), np.full((50, 4), 0.1).astype(dtype)
    pair = ld.inspect(adapter(tmp_path / "a", {layer(0): a, layer(0, part="B"): b})).pairs[0]
    direct = ld.networks.factor_modes(a.astype(float), b.astype(float), 2.0)
    assert pair.singular_values.tolist() == direct.singular_values.tolist()


def test_scale_follows_patterns_and_rank_stabilisation(tmp_path):
    tensors = {}
    for name, rank in (("q_proj", 4), ("v_proj", 9)):
        tensors |= {layer(0, name): kaiming(rank, 60), layer(0, name, "B"): np.zeros((50, rank), np.float32)}
    patterns = {"rank_pattern": {"v_proj": 9}, "alpha_pattern": {r"model\.layers\.0\.self_attn\.v_proj": 18}}
    plain = ld.inspect(adapter(tmp_path / "a", tensors, **patterns))
    assert [p.scale for p in plain.pairs] == [2.0, 2.0]
    stable = ld.inspect(adapter(tmp_path / "b", tensors, use_rslora=True, **patterns))
    assert [p.scale for p in stable.pairs] == [4.0, 6.0]
    assert [p.common_thresholds["rslora"] for p in stable.pairs] == pytest.approx([4 / 6, 1.0])
    assert [p.scale for p in ld.inspect(tmp_path / "b", scale=0.5).pairs] == [0.5, 0.5]


def test_start_gives_share_drift_and_an_explanation(tmp_path):
    a, b = kaiming(4, 60), np.random.default_rng(1).standard_normal((50, 4)).astype(np.float32)
    names = (layer(0), layer(0, part="B"))
    adapter(tmp_path / "start", dict(zip(names, (a, 0 * b), strict=True)))
    for size, word in ((0.01, "lazy"), (1.0, "active")):
        moved = a + np.float32(0.05) * kaiming(4, 60, 5)
        adapter(tmp_path / "now", dict(zip(names, (moved, np.float32(size) * b), strict=True)))
        report = ld.inspect(tmp_path / "now", start=tmp_path / "start")
        pair = report.pairs[0]
        update = b.astype(float) @ moved
        basis = np.linalg.svd(a.astype(float))[2][:4]
        inside = np.linalg.norm(update @ basis.T) ** 2 / np.linalg.norm(update) ** 2
        assert pair.share_outside_rows == pytest.approx(1 - inside, rel=1e-6)
        assert pair.imbalance_drift == pytest.approx(
            np.linalg.norm(moved.astype(float) @ moved.T - size**2 * b.T.astype(float) @ b - a.astype(float) @ a.T)
            / np.linalg.norm(a.astype(float) @ a.T),
            rel=1e-5,
        )
        assert pair.start_threshold == pytest.approx(1 / 3, rel=0.2)
        assert word in report.explanation
    adapter(tmp_path / "start", dict(zip(names, (np.full_like(a, np.nan), b), strict=True)))
    failure = ld.inspect(tmp_path / "now", start=tmp_path / "start").failures[0]
    assert failure.reason.startswith("At its start: The first factor must contain finite numbers")
    other = adapter(tmp_path / "other", {layer(9): a, layer(9, part="B"): b})
    assert "no pair of this name" in ld.inspect(tmp_path / "now", start=other).pairs[0].notes[0]


def test_laws_of_the_starts_and_their_recognition():
    rng, shape, r, s = np.random.default_rng(0), (700, 900), 8, 2.0
    starts = {
        "kaiming": (kaiming(r, 900), np.zeros((700, r))),
        "gaussian": (rng.standard_normal((r, 900)) / r, np.zeros((700, r))),
        "random": (kaiming(r, 900), rng.uniform(-1, 1, (700, r)) / np.sqrt(r)),
        "embedding": (np.zeros((r, 900)), rng.standard_normal((700, r))),
    }
    for law, (first, second) in starts.items():
        modes = ld.networks.factor_modes(first, second, s)
        assert modes.nominal_threshold == pytest.approx(start_threshold(law, shape, r, s), rel=0.05)
        assert recognise(modes) == law
    drifted = ld.networks.factor_modes(2 * starts["kaiming"][0], starts["kaiming"][1], s)
    assert recognise(drifted) is None


def checkpoint(folder, config=None, **tensors):
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: np.ascontiguousarray(t) for name, t in tensors.items()}, folder / "model.safetensors")
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    return folder


def factors(d_in=6, width=3, d_out=5, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((width, d_in)), rng.standard_normal((d_out, width))


def test_a_checkpoint_by_patterns(tmp_path):
    tensors = {}
    for i in range(3):
        tensors[f"blocks.{i}.down.weight"], tensors[f"blocks.{i}.up.weight"] = factors(seed=i)
    folder = checkpoint(tmp_path / "c", **tensors)
    report = ld.inspect(folder, pair="first=blocks.*.down,second=blocks.*.up", scale=0.5)
    assert [p.name for p in report.pairs] == [f"blocks.{i}.down → blocks.{i}.up" for i in range(3)]
    w1, w2 = factors(seed=2)
    expected = ld.networks.factor_modes(w1, w2, 0.5)
    assert report.pairs[2].thresholds.tolist() == expected.thresholds.tolist()
    assert report.pairs[2].law is None
    both = ld.inspect(
        folder, pair=[("blocks.0.down.weight", "blocks.0.up.weight"), "first=blocks.1.down,second=blocks.1.up"]
    )
    assert len(both.pairs) == 2


def test_a_hidden_bias_is_an_input_that_is_always_one(tmp_path):
    w1, w2 = factors()
    bias = np.array([1.0, -2.0, 0.5])
    folder = checkpoint(tmp_path / "c", **{"down.weight": w1, "down.bias": bias, "up.weight": w2})
    pair = ld.inspect(folder, pair="first=down,second=up").pairs[0]
    expected = ld.networks.factor_modes(np.column_stack([w1, bias]), w2)
    assert pair.singular_values.tolist() == expected.singular_values.tolist()
    assert "bias" in pair.notes[0]


def test_shards_are_read_through_their_index(tmp_path):
    w1, w2 = factors()
    save_file({"down": w1}, tmp_path / "model-1.safetensors")
    save_file({"up": w2}, tmp_path / "model-2.safetensors")
    index = {"weight_map": {"down": "model-1.safetensors", "up": "model-2.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    pair = ld.inspect(tmp_path, pair="first=down,second=up").pairs[0]
    assert pair.singular_values.tolist() == ld.networks.factor_modes(w1, w2).singular_values.tolist()


ATTENTION = {name: np.random.default_rng(i).standard_normal((8, 8)) for i, name in enumerate(
    ("attn.q_proj.weight", "attn.k_proj.weight", "attn.v_proj.weight", "attn.o_proj.weight")
)}  # fmt: skip
ABSOLUTE = {"position_embedding_type": "absolute", "num_attention_heads": 2}


def test_one_head_of_attention_is_measured_without_a_label(tmp_path):
    folder = checkpoint(tmp_path / "c", ABSOLUTE, **ATTENTION)
    ov = ld.inspect(folder, pair="first=attn.v_proj.weight[4:8],second=attn.o_proj.weight[:,4:8]").pairs[0]
    product = ATTENTION["attn.o_proj.weight"][:, 4:] @ ATTENTION["attn.v_proj.weight"][4:]
    assert ov.singular_values == pytest.approx(np.linalg.svd(product, compute_uv=False)[:4], rel=1e-12)
    assert ov.active_modes is None
    qk = ld.inspect(folder, pair="first=attn.k_proj[0:4],second=attn.q_proj[0:4].T").pairs[0]
    product = ATTENTION["attn.q_proj.weight"][:4].T @ ATTENTION["attn.k_proj.weight"][:4]
    assert qk.singular_values == pytest.approx(np.linalg.svd(product, compute_uv=False)[:4], rel=1e-12)
    assert qk.active_modes is None
    biases = {f"attn.{n}_proj.bias": np.arange(8.0) for n in "qk"}
    biased = checkpoint(tmp_path / "b", ABSOLUTE, **ATTENTION, **biases)
    with_bias = ld.inspect(biased, pair="first=attn.k_proj[0:4],second=attn.q_proj[0:4].T").pairs[0]
    w_k, w_q = (np.column_stack([ATTENTION[f"attn.{n}_proj.weight"][:4], np.arange(4.0)]) for n in "kq")
    expected = np.linalg.svd(w_q.T @ w_k, compute_uv=False)[:4]
    assert with_bias.singular_values == pytest.approx(expected, rel=1e-12)
    assert "none is called lazy or active" in qk.notes[0]


NO_PRODUCTS = [
    ("first=attn.k_proj[0:4],second=attn.q_proj[0:4].T", {"rope_theta": 1e4}, {}, "a rotary embedding lies between"),
    ("first=attn.k_proj[0:4],second=attn.q_proj[0:4].T", None, {}, "a rotary embedding may lie between"),
    (
        "first=attn.k_proj[0:4],second=attn.q_proj[0:4].T", ABSOLUTE, {"attn.q_norm.weight": np.ones(4)},
        "a normalisation ('attn.q_norm.weight') lies between",
    ),
    ("first=attn.k_proj,second=attn.q_proj", ABSOLUTE, {}, "slice it out, as in first=attn.k_proj"),
    ("first=attn.v_proj,second=attn.o_proj", ABSOLUTE, {}, "grouped heads are mixed by attention"),
    (
        "first=mlp.up_proj,second=mlp.down_proj", {"hidden_act": "silu"},
        {"mlp.up_proj.weight": np.ones((9, 8)), "mlp.down_proj.weight": np.ones((8, 9))}, "an activation (silu) lies",
    ),
    ("first=tied.a,second=tied.b", None, {"tied.a": np.eye(5, 4), "tied.b": np.eye(4, 5)}, "are tied, one tensor"),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "config", "extra", "fragment"), NO_PRODUCTS, ids=[c[3] for c in NO_PRODUCTS])
def test_what_does_not_form_a_product_is_refused_with_the_reason(tmp_path, spec, config, extra, fragment):
    report = ld.inspect(checkpoint(tmp_path / "c", config, **ATTENTION, **extra), pair=spec)
    assert not report.pairs
    assert len(report.failures) == 1
    assert fragment in report.failures[0].reason


def test_a_bad_pair_is_named_and_the_others_reported(tmp_path):
    good = kaiming(4, 60), np.zeros((50, 4), np.float32)
    broken = np.where(np.arange(60) == 7, np.nan, good[0]).astype(np.float32)
    tensors = {}
    bad = {
        1: (broken, good[1], "The first factor must contain finite numbers only, but 4 of its 240 entries are NaN"),
        2: (good[0], np.zeros((50, 3), np.float32), "The second factor must have 4 columns"),
        3: (good[0].astype(np.int8), good[1], "is of type I8, as quantised tensors are"),
        4: (good[0], None, "hold a tensor"),
        5: (np.zeros((0, 60), np.float32), np.zeros((50, 0), np.float32), "is empty: the shapes are (0, 60)"),
        6: (kaiming(6, 60), np.zeros((50, 6), np.float32), "of rank 4, as its config says"),
    }
    for i, (first, second) in {0: good, 7: good, **{i: b[:2] for i, b in bad.items()}}.items():
        tensors[layer(i)] = first
        if second is not None:
            tensors[layer(i, part="B")] = second
    folder = adapter(tmp_path / "a", tensors)
    report = ld.inspect(folder)
    assert [p.name for p in report.pairs] == [f"model.layers.{i}.self_attn.q_proj" for i in (0, 7)]
    reasons = {f.name.split(".")[2]: f.reason for f in report.failures}
    for i, (*_, fragment) in bad.items():
        assert fragment in reasons[str(i)]
    done = lindyn("inspect", folder)
    assert done.returncode == 2
    assert "0 of 8 modes active in 2 pairs" in done.stdout
    lines = done.stderr.strip().splitlines()
    assert len(lines) == len(bad)
    assert all(line.startswith("Error: model.layers.") and line.endswith(".") for line in lines)


class Booby:
    def __reduce__(self):
        return print, ("unpickled!",)


def pickled(path):
    path.write_bytes(pickle.dumps({"a": Booby()}))
    return path


def zipped(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.pkl", pickle.dumps(Booby()))
    return path


def pickled_folder(path):
    adapter(path)
    (path / "adapter_model.safetensors").unlink()
    pickled(path / "adapter_model.bin")
    return path


def without_config(path):
    adapter(path)
    (path / "adapter_config.json").unlink()
    return path


def truncated(path):
    file = adapter(path) / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:200])
    return path


def with_config(text):
    def write(path):
        (adapter(path) / "adapter_config.json").write_text(text)
        return path

    return write


def as_checkpoint(path):
    w1, w2 = factors()
    return checkpoint(path, **{"enc.weight": w1, "dec.weight": w2, "odd.weight": np.ones((5, 4))})


REFUSED = [
    (lambda p: p, (), "PATH must be a file or folder that exists"),
    (lambda p: pickled(p.with_suffix(".bin")), (), "is pickled, and unpickling runs whatever code it holds"),
    (lambda p: zipped(p.with_suffix(".safetensors")), (), "is pickled"),
    (lambda p: pickled(p.with_suffix(".safetensors")), (), "pickled"),
    (pickled_folder, (), "holds adapter_model.bin only, which is pickled and never opened"),
    (without_config, (), "PATH must have its adapter_config.json beside it"),
    (truncated, (), "reading adapter_model.safetensors failed"),
    (with_config("{"), (), "reading adapter_config.json failed"),
    (with_config("[]"), (), "must come with a JSON object"),
    (with_config('{"peft_type": "LOHA"}'), (), "its config says peft_type 'LOHA'"),
    (with_config('{"r": 0, "lora_alpha": 8}'), (), "must be at least 1, but it is 0"),
    (with_config('{"lora_alpha": 8}'), (), "'r' is not there"),
    (with_config('{"r": 4, "lora_alpha": 8, "rank_pattern": ["q"]}'), (), "must map regular expressions to numbers"),
    (with_config('{"r": 4, "lora_alpha": 8, "alpha_pattern": {"(": 1}}'), (), "must map regular expressions"),
    (adapter, ("--start", "nowhere"), "--start must be a file or folder that exists"),
    (with_config('{"r": 4, "lora_alpha": 8, "kasa_config": {"beta": 1}}'), (), "KaSA trains a diagonal"),
    (as_checkpoint, (), "holds no LoRA tensors, only 'dec.weight', 'enc.weight', 'odd.weight'; name the factors"),
    (as_checkpoint, ("--pair", "first=encoder.weight,second=dec.weight"), "nothing is named 'encoder.weight'"),
    (as_checkpoint, ("--pair", "first=enc.weight,second=decoder.weight"), "hold a tensor 'decoder.weight'"),
    (as_checkpoint, ("--pair", "first=enc.weight,second=odd.weight"), "The second factor must have 3 columns"),
    (as_checkpoint, ("--pair", "enc.weight,dec.weight"), "--pair must read first=NAME,second=NAME"),
    (as_checkpoint, ("--pair", "first=*.weight,second=dec.weight"), "as many stars"),
    (as_checkpoint, ("--pair", "first=enc.weight[1],second=dec.weight"), "with slices as in name[0:64]"),
    (as_checkpoint, ("--pair", "first=enc.weight[0:9],second=dec.weight"), "reading it failed"),
    (adapter, ("--scale", "0"), "--scale must be greater than 0"),
    (adapter, ("--json", "--csv"), "--csv must be given instead of --json"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "options", "fragment"), REFUSED, ids=[c[2] for c in REFUSED])
def test_wrong_inputs_are_refused_in_one_sentence(tmp_path, make, options, fragment):
    done = lindyn("inspect", make(tmp_path / "x"), *options)
    assert done.returncode == 2
    assert fragment in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert "Traceback" not in done.stderr
    assert "unpickled!" not in done.stdout + done.stderr


def test_a_missing_extra_is_named(tmp_path, monkeypatch):
    folder = adapter(tmp_path / "a")
    monkeypatch.setitem(sys.modules, "safetensors", None)
    done = lindyn("inspect", folder)
    assert done.returncode == 2
    assert "pip install 'lindyn[adapters]'" in done.stderr


def test_settings_that_break_the_law_are_noted(tmp_path):
    notes = ld.inspect(adapter(tmp_path / "a", use_dora=True, lora_dropout=0.1)).pairs[0].notes
    assert any("DoRA" in note for note in notes)
    assert any("dropout 0.1" in note for note in notes)


@pytest.mark.slow
def test_command_prints_json_csv_and_writes_files(tmp_path):
    folder = adapter(tmp_path / "a")
    report = ld.inspect(folder)
    out = as_json("inspect", folder)
    assert out["pairs"][0]["thresholds"] == report.pairs[0].thresholds.tolist()
    assert out["failures"] == []
    rows = list(csv.DictReader(io.StringIO(lindyn("inspect", folder, "--csv").stdout)))
    assert [float(row["singular_value"]) for row in rows[:4]] == report.pairs[0].singular_values.tolist()
    done = lindyn("inspect", folder, "--start", folder, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["inspection.json", "modes.csv", "modes.png"]
    for word in ("0.q_proj", "kaiming", "gaussian", "orthogonal", "pissa", "rslora", "the start is not zero"):
        assert word in done.stdout.replace("\n", " ")


def test_figure_shows_every_mode_above_or_below_its_own_threshold_as_it_is_counted(tmp_path):
    second = np.random.default_rng(3).standard_normal((50, 4)).astype(np.float32)
    tensors = {layer(i): kaiming(4, 60, i) for i in range(2)}
    tensors |= {layer(i, part="B"): np.float32(size) * second for i, size in enumerate((0.3, 0.05))}
    report = ld.inspect(adapter(tmp_path / "a", tensors))
    ax = report.plot()
    dots = {line.get_label(): line for line in ax.get_lines()}
    bars = {round(float(np.mean(bar[:, 0])), 6): bar[0][1] for bar in ax.collections[0].get_segments()}
    assert sorted(bars.values()) == pytest.approx(sorted(t for p in report.pairs for t in p.thresholds))
    active, lazy = (next(line for label, line in dots.items() if word in label) for word in ("active", "lazy"))
    for line, above in ((active, True), (lazy, False)):
        assert all((y > bars[round(float(x), 6)]) == above for x, y in zip(*line.get_data(), strict=True))
    assert len(active.get_xdata()) == sum(p.active_modes for p in report.pairs)
    sizes = [m for p in report.pairs for m in p.singular_values]
    assert sorted([*active.get_ydata(), *lazy.get_ydata()]) == sorted(sizes)
    assert len(dots["$\\tau$ of a fresh start"].get_xdata()) == 2


@pytest.mark.slow
def test_seven_billion_parameters_in_seconds(tmp_path):
    """32 layers of four projections of d = 4096, r = 16, in bf16."""
    names = ("q_proj", "k_proj", "v_proj", "o_proj")
    a, b = kaiming(16, 4096).astype(ml_dtypes.bfloat16), np.full((4096, 16), 0.01, ml_dtypes.bfloat16)
    tensors = {layer(i, n, part): t for i in range(32) for n in names for part, t in (("A", a), ("B", b))}
    report = ld.inspect(adapter(tmp_path / "a", tensors, r=16, lora_alpha=32))
    assert len(report.pairs) == 128
    assert report.pairs[0].expected_threshold == pytest.approx(2 / 6)
    assert report.seconds < 15
