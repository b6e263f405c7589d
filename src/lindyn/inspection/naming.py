"""Names of modules: seen through the wrappers that put a prefix on them, fit to be printed, and sorted by kind.

The same layer is called `layers.0.q_proj` in one file and `module._orig_mod.base_model.model.layers.0.q_proj` in
another: DistributedDataParallel, torch.compile, FSDP and PEFT each add parts. Wherever two names are compared (a
pattern of a config, a start, a `pair`), both are taken without them.
"""

from __future__ import annotations

import re
import unicodedata

PEFT_PREFIX = "base_model.model."
_WRAPPERS = frozenset(
    ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module", "_fpw_module")
)
_DATA_PARALLEL = "module"
# kind → the last words of a module's name, in the families of models that adapters are made for
_KINDS = {
    "q": ("q_proj", "query", "to_q", "q_lin", "wq", "add_q_proj", "q"),
    "k": ("k_proj", "key", "to_k", "k_lin", "wk", "add_k_proj", "k"),
    "v": ("v_proj", "value", "to_v", "v_lin", "wv", "add_v_proj", "v"),
    "o": ("o_proj", "out_proj", "to_out", "out_lin", "wo", "dense_out", "attn.c_proj", "attn.proj", "to_add_out", "o"),
    "qkv": ("c_attn", "qkv_proj", "query_key_value", "qkv", "wqkv", "in_proj", "attn.attn", "w_pack", "to_qkv"),
    "gate": ("gate_proj", "w1", "fc_1", "wi_0"),
    "up": ("up_proj", "w3", "fc_2", "wi_1", "wi", "c_fc", "fc1", "lin1", "linear1", "dense_h_to_4h", "mlp.fc",
           "intermediate.dense", "ff.net.0.proj"),
    "gate+up": ("gate_up_proj", "gate_up"),
    "down": ("down_proj", "w2", "mlp.c_proj", "fc2", "lin2", "linear2", "dense_4h_to_h", "mlp.proj", "output.dense",
             "ff.net.2"),
    "embedding": ("embed_tokens", "wte", "word_embeddings", "tok_embeddings", "embed_in", "emb", "embedding"),
    "head": ("lm_head", "embed_out", "score", "classifier", "output"),
    "router": ("router", "gate"),
}  # fmt: skip
_ENDINGS = sorted(
    ((ending, kind) for kind, endings in _KINDS.items() for ending in endings), key=lambda e: -len(e[0])
)  # fmt: skip


def plain_name(module: str) -> str:
    """Return a module's name without what wrappers have put into it.

    Examples:
        >>> plain_name("module._orig_mod.base_model.model.model.layers.0.q_proj")
        'model.layers.0.q_proj'
        >>> plain_name("policy._fsdp_wrapped_module.base_model.model.lm_head")
        'policy.lm_head'
    """
    parts = [part for part in module.split(".") if part not in _WRAPPERS]
    while len(parts) > 1 and parts[0] == _DATA_PARALLEL:
        parts = parts[1:]
    name = ".".join(parts)
    head, found, tail = name.partition(PEFT_PREFIX)
    return head + tail if found and (not head or head.endswith(".")) else name


def printable(text: str) -> str:
    r"""Return text whose control and direction characters are written out, since names come from foreign files.

    Examples:
        >>> printable("layer\x1b[2J.0")
        'layer\\x1b[2J.0'
    """
    return "".join(
        c.encode("unicode_escape").decode() if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") else c
        for c in text
    )


def module_kind(name: str) -> str:
    """Return the kind of a module by its name: q, k, v, o, qkv, gate, up, down, …; else the last word that is one.

    Examples:
        >>> [module_kind(f"model.layers.3.{end}") for end in ("self_attn.q_proj", "mlp.down_proj", "mixer.x_proj")]
        ['q', 'down', 'x_proj']
        >>> module_kind("lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_out_0")
        'o'
    """
    stem = re.sub(r"(\[[\d:,]*\]|\.T|\.weight| \[.*\])*$", "", name)
    flat = re.sub(r"(?<=to_out)[._]0$", "", stem.lower().replace("attention.output.dense", "o_proj"))
    for ending, kind in _ENDINGS:
        # kohya's names have underscores for dots; a single letter after one may be the end of any word
        ends = ("." + ending, "_" + ending.replace(".", "_")) if len(ending) > 1 else ("." + ending,)
        if flat == ending or flat.endswith(ends):
            return kind
    words = [word for word in stem.split(".") if not word.isdigit()]
    return words[-1] if words else stem
