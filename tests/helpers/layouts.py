"""Layouts of adapters as their libraries write them, each built here with the singular values of its dense update.

A case is a folder or file, options of `inspect`, and either name → singular values or a part of the refusal.
"""

import json
from dataclasses import dataclass, field

import ml_dtypes
import numpy as np
from safetensors.numpy import save_file

D_IN, D_OUT, R = 24, 20, 4
Q = "model.layers.0.self_attn.q_proj"
PEFT = "base_model.model."


@dataclass
class Case:
    """What a layout holds, and what must come out: singular values by the name of the pair, or a refusal."""

    tensors: dict
    config: dict | None = None
    expected: dict = field(default_factory=dict)
    refusal: str = ""
    failures: dict = field(default_factory=dict)
    layout: str = ""
    notes: str = ""
    unread: tuple = ()
    file: str = "adapter_model.safetensors"
    metadata: dict | None = None
    beside: dict = field(default_factory=dict)
    options: dict = field(default_factory=dict)

    def write(self, folder):
        """Write the folder, and return what to inspect."""
        folder.mkdir(parents=True, exist_ok=True)
        plain = {name: np.ascontiguousarray(t) for name, t in self.tensors.items()}
        save_file(plain, folder / self.file, self.metadata)
        if self.config is not None:
            (folder / "adapter_config.json").write_text(json.dumps(self.config), encoding="utf-8")
        for name, text in self.beside.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return folder


def numbers(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def pair(seed=0, rank=R, d_in=D_IN, d_out=D_OUT):
    return numbers(rank, d_in, seed=seed), numbers(d_out, rank, seed=seed + 100)


def dense(a, b, s):
    """Singular values of s·BA from the whole matrix in double precision."""
    update = s * b.astype(float) @ a.astype(float)
    return np.linalg.svd(update, compute_uv=False)[: min(len(a), *update.shape)]


def lora(**extra):
    return {"peft_type": "LORA", "r": R, "lora_alpha": 8, "init_lora_weights": True, **extra}


A, B = pair()
PLAIN = {f"{PEFT}{Q}.lora_A.weight": A, f"{PEFT}{Q}.lora_B.weight": B}
S2 = {Q: dense(A, B, 2.0)}


def peft(**extra):
    return Case(PLAIN, lora(**extra), S2, layout="PEFT")


def renamed(to, config=None, **extra):
    """The plain pair under other names of its tensors."""
    return Case({to(name): t for name, t in PLAIN.items()}, config or lora(), S2, layout="PEFT", **extra)


def peft_cases():
    a2, b2 = pair(seed=1)
    a8, b8 = pair(seed=2, rank=8)
    emb = numbers(R, 50), numbers(16, R)
    conv = numbers(R, 6, 3, 3), numbers(10, R, 1, 1)
    line = numbers(R, 6, 5), numbers(10, R, 1)
    v = Q.replace("q_proj", "v_proj")
    both = {f"{PEFT}{v}.lora_A.weight": a8, f"{PEFT}{v}.lora_B.weight": b8}
    second = {f"{PEFT}{Q}.lora_A.second.weight": a2, f"{PEFT}{Q}.lora_B.second.weight": b2}
    named = {name.replace(".weight", ".default.weight"): t for name, t in PLAIN.items()}
    yield "0.2, without init", Case(PLAIN, {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "enable_lora": None}, S2)
    yield "0.21", peft(target_parameters=None, use_qalora=False, velora_config=None)
    yield "rank-stabilised", Case(PLAIN, lora(use_rslora=True), {Q: dense(A, B, 4.0)})
    yield "rslora as the word false", peft(use_rslora="false")
    yield (
        "rank and alpha patterns",
        Case(
            PLAIN | both,
            lora(rank_pattern={"v_proj": 8}, alpha_pattern={r".*\.v_proj": 4}),
            {**S2, v: dense(a8, b8, 0.5)},
        ),
    )
    yield (
        "pattern anchored at the start",
        Case(
            PLAIN | both,
            lora(rank_pattern={"^model.layers.0.self_attn.v_proj": 8}),
            {**S2, v: dense(a8, b8, 1.0)},
        ),
    )
    yield "adapter's name", renamed(lambda n: n.replace(".weight", ".default.weight"))
    yield "hyphen in the adapter's name", renamed(lambda n: n.replace(".weight", ".my-adapter.weight"))
    yield "dots in the adapter's name", renamed(lambda n: n.replace(".weight", ".v1.2-final.weight"))
    yield (
        "two adapters",
        Case(named | second, lora(), {f"{Q} [default]": dense(A, B, 2), f"{Q} [second]": dense(a2, b2, 2)}),
    )
    yield "torch.compile", renamed(lambda n: "_orig_mod." + n)
    yield "DDP around compile", renamed(lambda n: "module._orig_mod." + n)
    yield "FSDP inside", renamed(lambda n: n.replace("self_attn", "_fsdp_wrapped_module.self_attn"))
    yield "checkpointing inside", renamed(lambda n: n.replace("self_attn", "_checkpoint_wrapped_module.self_attn"))
    yield "without the prefix", renamed(lambda n: n.removeprefix(PEFT))
    yield (
        "wrapped name under a pattern",
        Case(
            {"_orig_mod." + n.replace("layers.0", "layers.0._fsdp_wrapped_module"): t for n, t in PLAIN.items()},
            lora(alpha_pattern={"model.layers.0.self_attn.q_proj": 2}),
            {Q: dense(A, B, 0.5)},
        ),
    )
    yield "bias of B", Case(PLAIN | {f"{PEFT}{Q}.lora_B.bias": numbers(20)}, lora(lora_bias=True), S2, notes="bias")
    yield (
        "DoRA",
        Case(PLAIN | {f"{PEFT}{Q}.lora_magnitude_vector.weight": numbers(20)}, lora(use_dora=True), S2, notes="DoRA"),
    )
    yield (
        "DoRA without its setting",
        Case(PLAIN | {f"{PEFT}{Q}.lora_magnitude_vector": numbers(20)}, lora(), S2, notes="magnitude is left out"),
    )
    yield (
        "embedding",
        Case(
            {f"{PEFT}wte.lora_embedding_A": emb[0], f"{PEFT}wte.lora_embedding_B": emb[1]},
            lora(),
            {"wte": dense(*emb, 2)},
        ),
    )
    yield (
        "embedding of a named adapter",
        Case(
            {f"{PEFT}wte.lora_embedding_A.my-x": emb[0], f"{PEFT}wte.lora_embedding_B.my-x": emb[1]},
            lora(),
            {"wte": dense(*emb, 2)},
        ),
    )
    yield (
        "convolution",
        Case(
            {f"{PEFT}conv.lora_A.weight": conv[0], f"{PEFT}conv.lora_B.weight": conv[1]},
            lora(),
            {"conv": dense(conv[0].reshape(R, -1), conv[1].reshape(10, R), 2)},
        ),
    )
    yield (
        "convolution in one dimension",
        Case(
            {f"{PEFT}conv.lora_A.weight": line[0], f"{PEFT}conv.lora_B.weight": line[1]},
            lora(),
            {"conv": dense(line[0].reshape(R, -1), line[1].reshape(10, R), 2)},
        ),
    )
    yield (
        "half precision",
        Case(
            {n: t.astype(ml_dtypes.bfloat16) for n, t in PLAIN.items()},
            lora(),
            {Q: dense(A.astype(ml_dtypes.bfloat16).astype(float), B.astype(ml_dtypes.bfloat16).astype(float), 2)},
        ),
    )
    yield "negative alpha", Case(PLAIN, lora(lora_alpha=-8), S2, notes="negative")
    yield (
        "modules to save",
        Case(PLAIN | {f"{PEFT}score.weight": numbers(3, 24)}, lora(), S2, unread=(f"{PEFT}score.weight",)),
    )
    odd = {"unet.conv1.lora_A_1.weight": A, "unet.conv1.lora_B_1.weight": B}
    yield "names that a conversion broke", Case(PLAIN | odd, lora(), S2, unread=tuple(odd))
    yield "byte-order mark and Windows line ends", Case(
        PLAIN, None, S2,
        beside={"adapter_config.json": b"\xef\xbb\xbf" + json.dumps(lora(), indent=1).replace("\n", "\r\n").encode()},
    )  # fmt: skip
    yield "settings of tomorrow", peft(brand_new_option={"x": 1}, loftq_config={})
    index = {"weight_map": dict.fromkeys(PLAIN, "adapter_model-00001-of-00001.safetensors")}
    yield "shards with an index", Case(
        PLAIN, lora(), S2, file="adapter_model-00001-of-00001.safetensors",
        beside={"adapter_model.safetensors.index.json": json.dumps(index)},
    )  # fmt: skip


def expert_cases():
    e, r = 3, 2
    a, b = numbers(e, r, 10), numbers(e, 12, r)
    flat_a, flat_b = a.reshape(e * r, 10), b.transpose(1, 2, 0).reshape(12, r * e)
    values = {f"{{}}[{i}]": dense(a[i], b[i], 6.0) for i in range(e)}

    def of(name, s=1.0):
        return {key.format(name): v * s for key, v in values.items()}

    def flat(*modules, config):
        tensors = {f"{PEFT}{m}.lora_{side}.weight": t for m in modules for side, t in (("A", flat_a), ("B", flat_b))}
        return tensors, lora(r=6, lora_alpha=12, **config)

    up = {"target_parameters": ["experts.gate_up_proj"], "rank_pattern": {"experts.gate_up_proj": r}}
    yield "experts of target_parameters", Case(*flat("experts", config=up), of("experts.gate_up_proj"))
    two = {
        "target_parameters": ["experts.down_proj", "experts.gate_up_proj"],
        "rank_pattern": {"experts.gate_up_proj": r, "experts.down_proj": r},
    }
    yield (
        "two parameters of one module",
        Case(
            *flat("l.0.experts", "l.0.experts.base_layer", config=two),
            of("l.0.experts.down_proj") | of("l.0.experts.gate_up_proj"),
        ),
    )
    stacked = {f"{PEFT}experts.up_proj.lora_A.weight": a, f"{PEFT}experts.up_proj.lora_B.weight": b}
    yield "experts in three dimensions", Case(stacked, lora(r=r, lora_alpha=12), of("experts.up_proj"))
    turned = {n: t.transpose(0, 2, 1) for n, t in stacked.items()}
    yield "experts in three dimensions, transposed", Case(turned, lora(r=r, lora_alpha=12), of("experts.up_proj"))
    mlx = {"lora_parameters": {"rank": r, "scale": 6.0, "dropout": 0.0}}
    switch = {"l.0.switch_mlp.up_proj.lora_a": a, "l.0.switch_mlp.up_proj.lora_b": b}
    name = "l.0.switch_mlp.up_proj"
    yield "MLX experts", Case(switch, mlx, of(name), file="adapters.safetensors")
    rows = switch | {f"{name}.lora_a": flat_a}
    yield "MLX experts of old versions", Case(rows, mlx, of(name), file="adapters.safetensors")
    shared = stacked | {f"{PEFT}experts.up_proj.lora_A.weight": a[:1]}
    yield (
        "experts that share a factor",
        Case(shared, lora(r=r), failures={"experts.up_proj": "one first factor is shared by all experts"}),
    )
    bad = {"target_parameters": ["experts.gate_up_proj"], "rank_pattern": {"experts.gate_up_proj": 4}}
    yield "experts of another rank", Case(*flat("experts", config=bad), failures={"experts": "no multiple of 4"})


def diffusers_cases():
    name, file = "transformer.blocks.0.attn.to_q", "pytorch_lora_weights.safetensors"
    new = {f"{name}.lora_A.weight": A, f"{name}.lora_B.weight": B}

    def header(**settings):
        return {"lora_adapter_metadata": json.dumps({f"transformer.{k}": v for k, v in settings.items()})}

    def case(tensors, expected, **extra):
        return Case(tensors, None, expected, layout="diffusers", file=file, **extra)

    yield "diffusers header", case(new, {name: dense(A, B, 2)}, metadata=header(r=4, lora_alpha=8, use_rslora=False))
    yield "diffusers header with patterns", case(
        new, {name: dense(A, B, 4)},
        metadata=header(r=16, lora_alpha=8, rank_pattern={"to_q": 4}, alpha_pattern={"blocks.0.attn.to_q": 16}),
    )  # fmt: skip
    te = "text_encoder.text_model.encoder.layers.0.self_attn.q_proj"
    parts = {"transformer.r": 4, "transformer.lora_alpha": 8, "text_encoder.r": 4, "text_encoder.lora_alpha": 4}
    yield (
        "diffusers components",
        case(
            new | {f"{te}.lora_A.weight": A, f"{te}.lora_B.weight": B},
            {name: dense(A, B, 2), te: dense(A, B, 1)},
            metadata={"lora_adapter_metadata": json.dumps(parts)},
        ),
    )
    yield "diffusers without r and α", case(new, {name: dense(A, B, 1)}, notes="as diffusers loads it")
    yield "diffusers with alpha tensors", case(new | {f"{name}.alpha": np.float32(2.0)}, {name: dense(A, B, 0.5)})
    yield "diffusers with a given scale", case(new, {name: dense(A, B, 3)}, options={"scale": 3.0})
    old = "unet.down_blocks.0.attn1"
    for label, stem, module in (
        ("lora.down", f"{old}.to_q.lora", f"{old}.to_q"),
        ("processor", f"{old}.processor.to_q_lora", f"{old}.processor.to_q"),
        ("lora_linear_layer", f"{te}.lora_linear_layer", te),
    ):
        yield (
            f"diffusers, older: {label}",
            case(
                {f"{stem}.down.weight": A, f"{stem}.up.weight": B},
                {module: dense(A, B, 1)},
                notes="as diffusers loads it",
            ),
        )


def kohya_cases():
    q, conv = "lora_unet_down_blocks_0_attn1_to_q", "lora_unet_down_blocks_0_resnets_0_conv1"
    te = "lora_te1_text_model_encoder_layers_0_self_attn_q_proj"
    a, b = numbers(R, 6, 3, 3), numbers(10, R, 1, 1)
    plain = {f"{q}.lora_down.weight": A, f"{q}.lora_up.weight": B, f"{q}.alpha": np.float32(1.0)}

    def case(tensors, expected=None, **extra):
        return Case(tensors, None, expected or {}, file="my-style.safetensors", **extra)

    value = {q: dense(A, B, 0.25)}
    yield "kohya", case(plain, value, layout="kohya")
    yield "kohya, α in half precision", case(plain | {f"{q}.alpha": np.float16(1.0)}, value)
    yield "kohya, α an integer", case(plain | {f"{q}.alpha": np.int64(1)}, value)
    yield "kohya, α of one entry", case(plain | {f"{q}.alpha": np.ones(1, np.float32)}, value)
    yield (
        "kohya text encoder",
        case(
            {f"{te}.lora_down.weight": A, f"{te}.lora_up.weight": B, f"{te}.alpha": np.float32(4)}, {te: dense(A, B, 1)}
        ),
    )
    yield (
        "kohya convolution",
        case(
            {f"{conv}.lora_down.weight": a, f"{conv}.lora_up.weight": b, f"{conv}.alpha": np.float32(2)},
            {conv: dense(a.reshape(R, -1), b.reshape(10, R), 0.5)},
        ),
    )
    yield (
        "kohya without α",
        case({n: t for n, t in plain.items() if "alpha" not in n}, {q: dense(A, B, 1)}, notes="no alpha tensor"),
    )
    dots = "diffusion_model.blocks.0.self_attn.q"
    yield "kohya with dots", case({n.replace(q, dots): t for n, t in plain.items()}, {dots: dense(A, B, 0.25)})
    yield "kohya DoRA", case(plain | {f"{q}.dora_scale": numbers(20, 1)}, value, notes="DoRA")
    yield "kohya, α zero", case(plain | {f"{q}.alpha": np.float32(0)}, failures={q: "must not be 0"})
    lycoris = {"ss_network_module": "lycoris.kohya"}
    yield "LoCon", case(plain, value, layout="LyCORIS", metadata=lycoris)
    mid = {f"{q}.lora_mid.weight": numbers(R, R, 3, 3)}
    yield "LoCon with a third factor", case(plain | mid, failures={q: "lora_mid.weight' is a third factor"})
    yield "LoCon with a scalar", case(plain | {f"{q}.scalar": np.float32(1)}, failures={q: "scalar' is a third factor"})
    hada = {f"{q}.hada_{w}": numbers(4, 4) for w in ("w1_a", "w1_b", "w2_a", "w2_b")} | {f"{q}.alpha": np.float32(1)}
    yield "LoHa", case(hada, refusal="hada_w1_a'")
    yield "LoKr", case({f"{q}.lokr_w1": numbers(4, 4), f"{q}.lokr_w2": numbers(5, 6)}, refusal="LoKr")
    yield (
        "LoHa beside LoCon",
        case(
            plain | {n.replace("attn1", "attn2"): t for n, t in hada.items()},
            value,
            failures={q.replace("attn1", "attn2"): "LoHa, an elementwise product"},
        ),
    )
    yield "LyCORIS' full difference", case({"lycoris_q.diff": numbers(20, 24)}, refusal="full difference")


def other_cases():
    names, file = (f"{Q}.lora_a", f"{Q}.lora_b"), "adapters.safetensors"
    turned = dict(zip(names, (A.T, B.T), strict=True))

    def mlx(expected=S2, tensors=turned, kind="lora", refusal="", **parameters):
        config = {"fine_tune_type": kind, "lora_parameters": parameters}
        return Case(tensors, config, expected, refusal=refusal, file=file)

    yield "MLX", mlx(rank=4, scale=2.0, dropout=0.0)
    yield "MLX, first versions", mlx({Q: dense(A, B, 20)}, rank=4, alpha=8, scale=10.0, dropout=0.0)
    yield (
        "MLX DoRA",
        Case(
            turned | {f"{Q}.m": numbers(20)},
            {"fine_tune_type": "dora", "lora_parameters": {"rank": 4, "scale": 2.0}},
            S2,
            file=file,
            notes="DoRA",
        ),
    )
    yield "MLX, full fine-tuning", mlx({}, kind="full", refusal="fine_tune_type 'full'", rank=4, scale=2.0)
    yield "MLX without a config", Case(turned, None, refusal="layout of MLX", file=file)
    yield "MLX quantised", Case(
        turned | {f"{Q}.lora_a_scales": numbers(4, 2)}, {"lora_parameters": {"scale": 2.0}}, file=file,
        failures={Q: "belongs to a quantised tensor"},
    )  # fmt: skip
    tune = {f"{name}.weight": t for name, t in zip(names, (A, B), strict=True)}
    yield "torchtune", Case(tune, {"r": 4, "lora_alpha": 8, "peft_type": "LORA"}, S2, layout="torchtune")
    recipe = "model:\n  _component_: torchtune.models.llama3_1.lora_llama3_1_8b\n  lora_rank: 4\n  lora_alpha: 8\n"
    yield "torchtune's recipe", Case(tune, None, S2, beside={"torchtune_config.yaml": recipe})
    yield "torchtune DoRA", Case(tune | {f"{Q}.magnitude": numbers(20)}, {"r": 4, "lora_alpha": 8}, S2, notes="DoRA")
    yield "torchtune without α", Case(tune, None, refusal="torchtune_config.yaml with lora_alpha")
    yield "torchtune of another rank", Case(tune, {"r": 8, "lora_alpha": 8}, failures={Q: "rank 8, as its config"})
    proj = "transformer.h.0.attn.proj"
    bare = {f"{proj}.lora_A": A, f"{proj}.lora_B": B}
    hyper = {"hyperparameters.yaml": "lora_r: 4\r\nlora_alpha: 8  # twice\r\nlora_dropout: 0.05\r\n"}
    yield "LitGPT", Case(bare, None, {proj: dense(A, B, 2)}, layout="LitGPT", beside=hyper)
    merged = {"transformer.h.0.attn.qkv.lora_A": numbers(8, 24), "transformer.h.0.attn.qkv.lora_B": numbers(40, 4)}
    yield "LitGPT's merged layer", Case(
        bare | merged, None, {proj: dense(A, B, 2)}, beside=hyper,
        failures={"transformer.h.0.attn.qkv": "merged query-key-value layer: 2 updates"},
    )  # fmt: skip
    own = {"encoder.query.lora_A": A, "encoder.query.lora_B": B}
    beside = {"lora_config.json": '{"r": 4, "lora_alpha": 8}'}
    yield "loralib", Case(own, None, {"encoder.query": dense(A, B, 2)}, layout="loralib", beside=beside)
    yield "loralib with a scale", Case(own, None, {"encoder.query": dense(A, B, 0.5)}, options={"scale": 0.5})
    yield "loralib without α", Case(own, None, refusal="layout of loralib; put it there or pass `scale`")
    yield "loralib's merged layer", Case(
        {"h.0.c_attn.lora_A": numbers(8, 24), "h.0.c_attn.lora_B": numbers(40, 4)}, None, options={"scale": 1.0},
        failures={"h.0.c_attn": "merged query-key-value layer"},
    )  # fmt: skip
    kernel = numbers(R * 3, 6 * 3), numbers(10 * 3, R * 3)
    yield (
        "loralib's convolution",
        Case(
            {"conv.lora_A": kernel[0], "conv.lora_B": kernel[1]}, {"r": 4, "lora_alpha": 8}, {"conv": dense(*kernel, 2)}
        ),
    )
    ada = {"q.lora_A": A, "q.lora_B": B, "q.lora_E": numbers(4, 1)}
    yield "AdaLoRA's third factor", Case(ada, None, options={"scale": 1.0}, failures={"q": "lora_E' is a third factor"})
    yield "AdaLoRA's config", Case(ada, {"peft_type": "ADALORA", "r": 4}, refusal="peft_type 'ADALORA'")


def refused_cases():
    grouped = {f"{PEFT}conv.lora_A.weight": numbers(4, 6, 3, 3), f"{PEFT}conv.lora_B.weight": numbers(10, 2, 1, 1)}
    yield "grouped convolution", Case(grouped, lora(), failures={"conv": "grouped convolution (2 groups)"})
    xs = PLAIN | {f"{PEFT}{Q}.default_lora_latent_mapping.weight": numbers(4, 4)}
    yield "LoRA-XS", Case(xs, lora(), failures={Q: "is a third factor"})
    yield "an unknown factor of the hidden space", Case(
        PLAIN | {f"{PEFT}{Q}.lora_gate.weight": numbers(4, 4)}, lora(),
        failures={Q: "lora_gate.weight' is a third factor"},
    )  # fmt: skip
    eight = {n: t.astype(np.int8) for n, t in PLAIN.items()}
    yield "quantised factors", Case(eight, lora(), failures={Q: "as quantised tensors are"})
    yield "enable_lora of PEFT 0.2", Case(PLAIN, lora(enable_lora=[True, False, True]), refusal="enable_lora")
    yield "QA-LoRA", Case(PLAIN, lora(use_qalora=True), refusal="QA-LoRA pools groups of inputs")
    yield "targets that are no list", Case(PLAIN, lora(target_parameters=5), refusal="be a list of names")
    outside = {"weight_map": dict.fromkeys(PLAIN, "../elsewhere.safetensors")}
    yield "an index that leads out of its folder", Case(
        PLAIN, lora(), refusal="'../elsewhere.safetensors'", file="m.safetensors",
        beside={"adapter_model.safetensors.index.json": json.dumps(outside)},
    )  # fmt: skip
    yield "α zero", Case(PLAIN, lora(lora_alpha=0), refusal="must not be 0")
    yield "use_rslora neither true nor false", Case(PLAIN, lora(use_rslora="perhaps"), refusal="be true or false")
    slow = {f"{PEFT}{'a' * 60}b.lora_A.weight": A, f"{PEFT}{'a' * 60}b.lora_B.weight": B}
    yield (
        "a pattern that hangs",
        Case(slow, lora(rank_pattern={"(a|aa)+b?c": 4}), failures={"a" * 60 + "b": "takes more than 0.5 s"}),
    )
    yield "a pattern that does not compile", Case(PLAIN, lora(rank_pattern={"(": 4}), refusal="map regular expressions")
    for label, text, reason in (
        ("deep JSON", "[" * 100_000, "nested too deeply"),
        ("a number of 5,000 digits", '{"r": ' + "9" * 5000 + "}", "reading adapter_config.json failed"),
        ("a number of 4,000 digits", '{"r": 4, "lora_alpha": ' + "9" * 4000 + "}", "be a number"),
        ("an infinite α", '{"r": 4, "lora_alpha": Infinity}', "be finite"),
    ):
        yield label, Case(PLAIN, None, refusal=reason, beside={"adapter_config.json": text})
    index = {"weight_map": dict.fromkeys((*PLAIN, f"{PEFT}v.lora_A.weight", f"{PEFT}v.lora_B.weight"), "m.safetensors")}
    yield "an index that names absent tensors", Case(
        PLAIN, lora(), S2, file="m.safetensors", failures={"v": "its index says that m.safetensors holds it"},
        beside={"adapter_model.safetensors.index.json": json.dumps(index)},
    )  # fmt: skip


CASES = dict(
    item
    for cases in (peft_cases, expert_cases, diffusers_cases, kohya_cases, other_cases, refused_cases)
    for item in cases()
)
