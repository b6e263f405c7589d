"""Which pairs of layers do not form a product of two matrices, by their names and the model's config, and why."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

# value projections that are one tensor with those of queries and keys
_FUSED = ("c_attn", "qkv_proj", "query_key_value", "Wqkv", "in_proj", "qkv")
_QUERY = ("q_proj", "query", "to_q", "q_lin", "wq")
_KEY = ("k_proj", "key", "to_k", "k_lin", "wk")
_VALUE = ("v_proj", "value", "to_v", "v_lin", "wv", *_FUSED)
_OUTPUT = ("o_proj", "out_proj", "to_out", "to_out.0", "out_lin", "attention.output.dense", "wo", "attn.c_proj")
# first and second layer of the feed-forward block of known model families
_FEED_FORWARD = (
    (r"up_proj|gate_proj|gate_up_proj", r"down_proj"),
    (r"intermediate\.dense", r"output\.dense"),
    (r"c_fc", r"c_proj"),
    (r"dense_h_to_4h", r"dense_4h_to_h"),
    (r"DenseReluDense\.wi\w*", r"DenseReluDense\.wo"),
    (r"feed_forward\.w[13]", r"feed_forward\.w2"),
    (r"(?:layers?|blocks?|h)\.\d+\.(?:.*\.)?(?:fc1|lin1|linear1)", r"(?:fc2|lin2|linear2)"),
)
_ROTARY = ("rope_theta", "rope_scaling", "rope_parameters", "rotary_dim", "rotary_pct", "rotary_emb_base")
_ABSOLUTE = ("position_embeddings", "wpe", "embed_positions", "position_embedding")


@dataclass(frozen=True)
class Context:
    """What is known around a pair: the names of all tensors, and the model's config.json ({} if there is none)."""

    names: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Verdict:
    """Whether two layers make a product: `text` is the refusal or None; attention heads get no lazy/active label."""

    text: str | None = None
    attention: bool = False
    notes: tuple[str, ...] = ()


_NO_LABEL = "a pretrained head's modes read active even with shuffled entries, so none is called lazy or active"


def no_product(first: str, second: str, context: Context) -> Verdict:
    """Judge two layers, named with their slices as in `FactorName`.

    Refused: query-key products with rotary embeddings or normalisation in between or whose embedding is unknown,
    attention products without the slices of one head, and feed-forward blocks, which have an activation in between.

    References:
        theory (2.9).

    Examples:
        >>> print(no_product("up_proj.weight", "down_proj.weight", Context()).text)
        'up_proj.weight' and 'down_proj.weight' do not form a product of two matrices: an activation lies between them.
    """
    verdict = _attention(first, second, context)
    if verdict is not None:
        return verdict
    a, b = _stem(first), _stem(second)
    for one, two in _FEED_FORWARD:
        if re.search(rf"(?:^|\.)(?:{one})$", a) and re.search(rf"(?:^|\.)(?:{two})$", b):
            name = context.config.get("hidden_act") or context.config.get("activation_function")
            return Verdict(_no(first, second, f"an activation{f' ({name})' if name else ''} lies between them"))
    return Verdict()


def _attention(first: str, second: str, context: Context) -> Verdict | None:
    a, b = _stem(first), _stem(second)
    fused = any(a == e or a.endswith(f".{e}") for e in _FUSED)
    if {_role(a), _role(b)} == {"query", "key"} or (fused and a == b):
        return _query_key(first, second, context, fused=fused)
    if (_role(a), _role(b)) == ("value", "output"):
        if _several_heads(context) and not _is_one_head(first, second, context):
            return Verdict(
                _no(first, second, f"grouped heads are mixed by attention; {_one_head(first, second, context)}")
            )
        return Verdict(attention=True, notes=(_NO_LABEL,))
    return None


def _is_one_head(first: str, second: str, context: Context) -> bool:
    """Whether both names have slices, of the width of a head where the config tells it."""
    widths = [_width(name) for name in (first, second)]
    if None in widths:
        return False
    sizes = ("hidden_size", "n_embd", "head_dim")
    if not _heads(context) or not any(context.config.get(name) for name in sizes):
        return True
    return all(width in (0, _head_size(context)) for width in widths)


def _width(name: str) -> int | None:
    """Width of the narrowest slice in a name; 0 if it has no end, None without a slice."""
    found = re.search(r"\[(.*)\]", name)
    bounds = [re.fullmatch(r"\s*(\d*)\s*:\s*(\d*)\s*", part) for part in found[1].split(",")] if found else []
    widths = [int(b[2]) - int(b[1] or 0) if b[2] else 0 for b in bounds if b and (b[1] or b[2])]
    return min(widths, default=None)


def _one_head(first: str, second: str, context: Context) -> str:
    """How to name the slices of one head."""
    size = _head_size(context)
    one, two = (re.sub(r"\[.*\]", "", name) for name in (first, second))
    if any(_stem(first).endswith(e) for e in _FUSED):
        return (
            f"slice out one head of {size}: of '{one}' the rows of its values (the last third, or as the model lays "
            f"them out), and of '{two}' the {size} columns that take them"
        )
    return f"slice out one head, as in first={one}[0:{size}],second={two}[:,0:{size}]"


def _query_key(first: str, second: str, context: Context, *, fused: bool) -> Verdict:
    block = _stem(first).rpartition(".")[0]
    norms = [n for n in context.names if n.startswith(block) and re.search(r"\b(q|k|query|key)_?(norm|layernorm)", n)]
    if norms:
        return Verdict(_no(first, second, f"a normalisation ('{norms[0]}') lies between query and key"))
    if _any_set(context.config, _ROTARY) or any("rotary" in n for n in context.names):
        return Verdict(_no(first, second, "a rotary embedding lies between query and key"))
    absolute = context.config.get("position_embedding_type") == "absolute" or any(
        part in name for name in context.names for part in _ABSOLUTE
    )
    if not absolute:
        reason = "without a config.json that names absolute position embeddings, a rotary embedding may lie between"
        return Verdict(_no(first, second, f"{reason} query and key"))
    if "[" not in first or (not fused and not second.endswith(".T")):
        size = _head_size(context)
        key, query = (name.partition("[")[0].removesuffix(".T") for name in (first, second))
        example = f"first={key}[0:{size}],second={query}[0:{size}].T"
        return Verdict(_no(first, second, f"one head's is W_Qᵀ W_K; slice it out, as in {example}"))
    return Verdict(attention=True, notes=(_NO_LABEL,))


def _no(first: str, second: str, reason: str) -> str:
    return f"'{first}' and '{second}' do not form a product of two matrices: {reason}."


def _stem(name: str) -> str:
    return re.sub(r"(\[.*\])?(\.T)?$", "", name).removesuffix(".weight").removesuffix("_weight")


def _role(stem: str) -> str | None:
    roles = {"query": _QUERY, "key": _KEY, "value": _VALUE, "output": _OUTPUT}
    for role, endings in roles.items():
        if any(stem == e or stem.endswith(f".{e}") for e in endings):
            return role
    return None


def _several_heads(context: Context) -> bool:
    return _heads(context) != 1


def _heads(context: Context) -> int | None:
    """Number of heads, by the names of several families of configs."""
    found = (context.config.get(name) for name in ("num_attention_heads", "n_head", "num_heads", "n_heads"))
    return next((int(n) for n in found if isinstance(n, int) and n > 0), None)


def _head_size(context: Context) -> int:
    heads, size = _heads(context), context.config.get("hidden_size") or context.config.get("n_embd")
    return int(context.config.get("head_dim") or (size // heads if heads and size else 64))


def _any_set(config: dict[str, Any], keys: Iterable[str]) -> bool:
    return any(config.get(key) is not None for key in keys)
