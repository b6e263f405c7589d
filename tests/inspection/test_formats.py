"""Every layout is read right, against dense singular values, or refused in a sentence that names the cause."""

import json
import os

import numpy as np
import pytest
from safetensors.numpy import save_file

import lindyn as ld
from helpers.commands import lindyn
from helpers.layouts import CASES, PEFT, PLAIN, S2, A, B, Q, dense, lora, numbers, pair


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_layouts_are_read_right_or_refused_by_name(tmp_path, name):
    case = CASES[name]
    source = case.write(tmp_path / "adapter")
    if case.refusal:
        with pytest.raises(ld.InvalidArgument) as error:
            ld.inspect(source, **case.options)
        assert case.refusal in str(error.value)
        assert len(str(error.value)) < 600
        return
    found = ld.inspect(source, **case.options)
    assert {p.name for p in found.pairs} == set(case.expected), found.failures
    for p in found.pairs:
        values = case.expected[p.name]
        # float32 numbers, exactly as they stand, decomposed in float64: rounding of the two ways only
        assert p.singular_values == pytest.approx(values[: p.singular_values.size], rel=1e-9, abs=1e-9 * values[0])
        assert case.notes in " ".join(p.notes)
        assert case.notes or not p.notes
    assert {f.name for f in found.failures} == set(case.failures)
    for failure in found.failures:
        assert case.failures[failure.name] in failure.reason
    assert found.layout == (case.layout or found.layout)
    assert found.unread == case.unread


def test_there_are_sixty_layouts_and_the_check_can_fail(tmp_path):
    assert len(CASES) >= 60
    found = ld.inspect(CASES["rank-stabilised"].write(tmp_path / "a")).pairs[0]
    assert found.singular_values != pytest.approx(S2[Q], rel=0.5)


def test_each_adapter_is_compared_with_its_own_start(tmp_path):
    case, one = CASES["two adapters"], pair(seed=7)
    start = case.write(tmp_path / "start")
    same = ld.inspect(start, start=start)
    assert [p.imbalance_drift for p in same.pairs] == [0, 0]
    moved = dict(case.tensors)
    moved[f"{PEFT}{Q}.lora_A.second.weight"] = one[0]
    case.tensors, tensors = moved, case.tensors
    now = ld.inspect(case.write(tmp_path / "now"), start=start)
    case.tensors = tensors
    assert [p.imbalance_drift > 0 for p in now.pairs] == [False, True]


def test_a_start_is_found_through_wrappers_and_another_adapters_name(tmp_path):
    start = CASES["0.21"].write(tmp_path / "start")
    for name in ("DDP around compile", "dots in the adapter's name"):
        assert ld.inspect(CASES[name].write(tmp_path / name), start=start).pairs[0].imbalance_drift == 0
    lightning = {f"model.{name}": t for name, t in PLAIN.items()}
    save_file(lightning, (tmp_path / "l.safetensors"))
    (tmp_path / "adapter_config.json").write_text(json.dumps(lora()))
    assert ld.inspect(tmp_path / "l.safetensors", start=start).pairs[0].imbalance_drift == 0


def test_pairs_named_by_the_user_are_found_through_wrappers(tmp_path):
    w1, w2 = numbers(3, 6), numbers(5, 3)
    save_file(
        {"module._orig_mod.enc.0.weight": w1, "module._orig_mod.dec.0.weight": w2}, tmp_path / "model.safetensors"
    )
    found = ld.inspect(tmp_path, pair="first=enc.*,second=dec.*").pairs[0]
    assert found.singular_values == pytest.approx(dense(w1, w2, 1.0), rel=1e-9)


def test_a_hidden_bias_is_that_of_the_hidden_side_in_either_storage(tmp_path):
    """GPT-2 stores (in, out): the output's bias is no input of the hidden units, the values' is."""
    qkv, out = numbers(16, 48), numbers(16, 16)
    biases = numbers(48), numbers(16)
    names = ("h.0.attn.c_attn", "h.0.attn.c_proj")
    tensors = {f"{n}.weight": w for n, w in zip(names, (qkv, out), strict=True)}
    tensors |= {f"{n}.bias": b for n, b in zip(names, biases, strict=True)}
    save_file(tensors, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text('{"n_head": 4, "n_embd": 16}')
    found = ld.inspect(tmp_path, pair=f"first={names[0]}.weight[:,32:36].T,second={names[1]}.weight[0:4].T").pairs[0]
    w1 = np.column_stack([qkv[:, 32:36].T, biases[0][32:36]])
    assert found.singular_values == pytest.approx(dense(w1, out[:4].T, 1.0), rel=1e-9)
    assert found.active_modes is None


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        ("[32:48]", "", "slice out one head of 8"),
        ("[32:48]", "[:,0:16]", "slice out one head of 8"),
        ("", "", "one head"),
    ],
)
def test_fused_projections_need_the_slices_of_one_head(tmp_path, first, second, reason):
    names = ("blk.attn.in_proj_weight", "blk.attn.out_proj.weight")
    save_file({names[0]: numbers(48, 16), names[1]: numbers(16, 16)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text('{"num_attention_heads": 2, "hidden_size": 16}')
    found = ld.inspect(tmp_path, pair=f"first={names[0]}{first},second={names[1]}{second}")
    assert reason in found.failures[0].reason
    one = ld.inspect(tmp_path, pair=f"first={names[0]}[32:40],second={names[1]}[:,0:8]").pairs[0]
    assert one.active_modes is None


FOREIGN = {
    "git-lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 130\n", "git lfs pull"),
    "GGUF": (b"GGUF\x03\x00\x00\x00", "a GGUF file"),
    "npy": (b"\x93NUMPY\x01\x00", "a .npy file"),
    "web page": (b"<!DOCTYPE html><html>", "a web page"),
    "empty": (b"", "is empty"),
    "JSON": (b'{"r": 4}', "JSON text"),
    "pickle": (b"\x80\x04\x95", "pickled"),
    "HDF5": (b"\x89HDF\r\n", "HDF5"),
    "noise": (b"\xff" * 64, "reading adapter_model.safetensors failed"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_files_of_other_formats_are_called_by_their_name(tmp_path, name):
    content, reason = FOREIGN[name]
    (tmp_path / "adapter_config.json").write_text(json.dumps(lora()))
    (tmp_path / "adapter_model.safetensors").write_bytes(content)
    done = lindyn("inspect", tmp_path)
    assert done.returncode == 2
    assert reason in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_archives_of_arrays_are_not_called_pickled(tmp_path):
    np.savez(tmp_path / "adapters.npz", a=A)
    for source in (tmp_path, tmp_path / "adapters.npz"):
        with pytest.raises(ld.InvalidArgument, match=r"an \.npz archive of arrays, as old MLX adapters are"):
            ld.inspect(source)


def test_a_folder_of_adapters_lists_them(tmp_path):
    for step in (90, 100):
        CASES["0.21"].write(tmp_path / "out" / f"checkpoint-{step}")
    with pytest.raises(ld.InvalidArgument, match="adapters in checkpoint-90, checkpoint-100; pass one of them"):
        ld.inspect(tmp_path / "out")
    CASES["0.21"].write(tmp_path / "models--org--name" / "snapshots" / "abc")
    with pytest.raises(ld.InvalidArgument, match="adapters in snapshots/abc"):
        ld.inspect(tmp_path / "models--org--name")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ld.InvalidArgument, match="it holds nothing"):
        ld.inspect(tmp_path / "empty")
    with pytest.raises(ld.InvalidArgument, match="is a config; pass its folder"):
        ld.inspect(tmp_path / "out" / "checkpoint-90" / "adapter_config.json")


def test_home_and_downloaded_hub_repositories_are_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    CASES["0.21"].write(tmp_path / "mine")
    assert ld.inspect("~/mine").pairs
    with pytest.raises(ld.InvalidArgument, match="hf download org/name"):
        ld.inspect("org/name")
    repository = tmp_path / "hub" / "models--org--name"
    for commit in ("aaa", "bbb"):
        CASES["0.21" if commit == "bbb" else "rank-stabilised"].write(repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("bbb")
    assert ld.inspect("org/name").pairs[0].scale == 2.0


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are of Unix")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "adapter_model.safetensors")
    with pytest.raises(ld.InvalidArgument, match="a pipe, a socket or a device"):
        ld.inspect(tmp_path / "adapter_model.safetensors")


def test_names_cannot_write_to_the_terminal_or_act_in_a_spreadsheet(tmp_path):
    evil = "=cmd|' /C calc'!A0.\x1b[2J[bold]x"
    tensors = {f"{evil}.lora_A.weight": A, f"{evil}.lora_B.weight": B, f"{evil}.lora_odd": numbers(3)}
    save_file(tensors, tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text(json.dumps(lora()))
    done = lindyn("inspect", tmp_path)
    assert done.returncode == 0
    assert "\x1b" not in done.stdout
    assert "[bold]x" in done.stdout
    cells = ld.inspect(tmp_path).to_csv().splitlines()[1:]
    assert all(cell.startswith("'=cmd") for cell in cells)
    assert "\x1b" not in "".join(cells)
