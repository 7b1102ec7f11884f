"""A second GPT-2 to judge the lab's numbers by: numpy, float64, straight from the weights."""

import math
from typing import Any

import numpy as np
import torch

from models.config import ModelConfig
from models.trace_edits import Edit

Numbers = np.ndarray[Any, np.dtype[np.float64]]


class Oracle:
    """All numbers of one forward pass by the names of the lab's references, in float64, sharing no code with it.

    Written after Radford et al. 2019 and OpenAI's released encoder; the derived names are those of `lab.views.number_refs`.
    """

    def __init__(self, state: dict[str, torch.Tensor], config: ModelConfig, ids: list[int], edits: tuple[Edit, ...] = ()) -> None:
        self.config, self.ids, self.edits = config, ids, edits
        self.weights = {name: tensor.double().numpy() for name, tensor in state.items()}
        self.values: dict[str, Numbers] = {}
        self._run()

    def norm(self, name: str, x: Numbers, weight: str) -> Numbers:
        mean = x.mean(1, keepdims=True)
        variance = ((x - mean) ** 2).mean(1, keepdims=True)
        scale = (variance + 1e-5) ** 0.5
        out: Numbers = (x - mean) / scale * self.weights[f"{weight}.weight"] + self.weights[f"{weight}.bias"]
        self.values |= {
            f"{name}.mean": mean[:, 0],
            f"{name}.variance": variance[:, 0],
            f"{name}.scale": scale[:, 0],
            f"{name}.centred": x - mean,
            f"{name}.normalized": (x - mean) / scale,
            f"{name}.out": out,
        }
        return out

    def _run(self) -> None:
        ids, w, v = self.ids, self.weights, self.values
        v["tokens"] = np.array(ids, dtype=np.float64)
        v["embed"], v["pos_embed"] = w["wte.weight"][ids], w["wpe.weight"][: len(ids)]
        x = v["embed"] + v["pos_embed"]
        for layer in range(self.config.layers):
            x = self._layer(layer, x)
        x = self.norm("ln_final", x, "ln_f")
        v["logits"] = x @ w["wte.weight"].T
        v["logits.shifted"] = v["logits"] - v["logits"].max(1, keepdims=True)
        v["probability.exp"] = np.exp(v["logits.shifted"])
        v["probability.sum"] = v["probability.exp"].sum(1)
        v["probability"] = v["probability.exp"] / v["probability.sum"][:, None]

    def changed(self, name: str, value: Numbers) -> Numbers:
        """The value with the edits made in it, by hand; heads come first where there are any. Keeps what it was before."""
        edits = [edit for edit in self.edits if edit.name == name]
        if edits:
            self.values[f"{name}.before"] = value.transpose(1, 0, 2) if name.endswith("attn.z") else value
        for edit in edits:
            old, value = value, value.copy()
            for head in [None] if value.ndim == 2 else range(len(value)):
                if None not in (head, edit.head) and head != edit.head:
                    continue
                rows, olds = (value, old) if head is None else (value[head], old[head])
                for t in range(len(self.ids)) if edit.position is None else [edit.position]:
                    if edit.action == "scale":
                        rows[t] = edit.scale * olds[t]
                    elif edit.action == "mean":
                        rows[t] = sum(olds) / len(olds)
                    elif edit.action == "patch":
                        rows[t] = edit.value
                    elif edit.action == "hide" and edit.key is not None and t > edit.key:
                        rows[t, edit.key] = -np.inf
                    elif edit.action == "attend" and edit.key is not None and t >= edit.key:
                        rows[t] = [float(key == edit.key) for key in range(len(self.ids))]
        return value

    def _layer(self, layer: int, x: Numbers) -> Numbers:
        w, v, block, h = self.weights, self.values, f"blocks.{layer}.", f"h.{layer}."
        tokens, heads, width = len(self.ids), self.config.heads, self.config.head_width
        x = self.changed(f"{block}resid_pre", x)
        v[f"{block}resid_pre"] = x
        a = self.norm(f"{block}ln1", x, f"{h}ln_1") @ w[f"{h}attn.c_attn.weight"].T + w[f"{h}attn.c_attn.bias"]
        q, k, val = (part.reshape(tokens, heads, width).transpose(1, 0, 2) for part in np.split(a, 3, axis=1))
        raw = q @ k.transpose(0, 2, 1)
        scaled = raw / math.sqrt(width)
        scaled[:, np.triu(np.ones((tokens, tokens)), 1) > 0] = -np.inf
        scaled = self.changed(f"{block}attn.attn_scores", scaled)
        shifted = scaled - scaled.max(-1, keepdims=True)
        pattern = self.changed(f"{block}attn.pattern", np.exp(shifted) / np.exp(shifted).sum(-1, keepdims=True))
        z = self.changed(f"{block}attn.z", pattern @ val)
        head_out = np.stack(
            [z[i] @ w[f"{h}attn.c_proj.weight"][:, i * width : (i + 1) * width].T for i in range(heads)]
        )  # (H, T, C)
        out = head_out.sum(0) + w[f"{h}attn.c_proj.bias"]
        with np.errstate(divide="ignore", invalid="ignore"):
            entropy = -np.nansum(pattern * np.log2(pattern), axis=-1)
        v |= {
            f"{block}attn.q": q.transpose(1, 0, 2),
            f"{block}attn.k": k.transpose(1, 0, 2),
            f"{block}attn.v": val.transpose(1, 0, 2),
            f"{block}attn.scores_raw": raw,
            f"{block}attn.attn_scores": scaled,
            f"{block}attn.shifted": shifted,
            f"{block}attn.exp": np.exp(shifted),
            f"{block}attn.sum": np.exp(shifted).sum(-1),
            f"{block}attn.pattern": pattern,
            f"{block}attn.entropy": entropy,
            f"{block}attn.weighted_v": pattern[..., None] * val[:, None],
            f"{block}attn.z": z.transpose(1, 0, 2),
            f"{block}attn.head_out": head_out,
            f"{block}attn.head_out.share": (head_out * out).sum(-1) / (out * out).sum(-1),
            f"{block}attn_out": out,
        }
        v[f"{block}attn_out"] = self.changed(f"{block}attn_out", out)
        x = self._added(f"{block}resid_mid", x, v[f"{block}attn_out"])
        pre = self.norm(f"{block}ln2", x, f"{h}ln_2") @ w[f"{h}mlp.c_fc.weight"].T + w[f"{h}mlp.c_fc.bias"]
        post = pre / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (pre + 0.044715 * pre**3)))
        v[f"{block}mlp.pre"], v[f"{block}mlp.post"] = pre, post
        v[f"{block}mlp.neuron_out"] = post[:, :, None] * w[f"{h}mlp.c_proj.weight"].T  # (T, 4C, C)
        v[f"{block}mlp_out.unbiased"] = post @ w[f"{h}mlp.c_proj.weight"].T
        v[f"{block}mlp_out"] = self.changed(f"{block}mlp_out", v[f"{block}mlp_out.unbiased"] + w[f"{h}mlp.c_proj.bias"])
        return self._added(f"{block}resid_post", x, v[f"{block}mlp_out"])

    def _added(self, name: str, before: Numbers, added: Numbers) -> Numbers:
        """The stream `name`, with the cosine of what it was and what it became."""
        for key, after in (("", self.changed(name, before + added)), (".before", before + added)):
            self.values[f"{name}{key}"] = after
            self.values[f"{name}{key}.cosine"] = _cosines(before, after)
        return self.values[name]

    def lens(self, name: str) -> Numbers:
        """Probabilities (T, V) of the final norm and the output head applied to a residual stream."""
        kept = dict(self.values)
        logits = self.norm("lens", self.values[name], "ln_f") @ self.weights["wte.weight"].T
        self.values = kept
        exps = np.exp(logits - logits.max(1, keepdims=True))
        out: Numbers = exps / exps.sum(1, keepdims=True)
        return out

    def effects(self, layer: int, position: int, neuron: int) -> Numbers:
        """(V,): by how much the logits would change if the neuron's output were missing and the final norm's scale stayed."""
        out = self.values[f"blocks.{layer}.mlp.neuron_out"][position, neuron]
        scale = self.values["ln_final.scale"][position]
        changed: Numbers = self.weights["wte.weight"] @ (self.weights["ln_f.weight"] * (out - out.mean()) / scale)
        return changed

    def score_parts(self, layer: int, head: int, query: int, key: int) -> Numbers:
        """(P, P): the score of two positions by what wrote the query and what wrote the key, biases last; without edits."""
        v, w, width = self.values, self.weights, self.config.head_width
        sides = []
        for at, first in ((query, 0), (key, self.config.width)):
            rows = slice(first + head * width, first + (head + 1) * width)
            matrix = w[f"h.{layer}.attn.c_attn.weight"][rows]

            def through(x: Numbers, at: int = at, matrix: Numbers = matrix) -> Numbers:
                out: Numbers = matrix @ ((x - x.mean()) / v[f"blocks.{layer}.ln1.scale"][at] * w[f"h.{layer}.ln_1.weight"])
                return out

            written, biases = [v["embed"][at], v["pos_embed"][at]], np.zeros(self.config.width)
            for before in range(layer):
                written += [*v[f"blocks.{before}.attn.head_out"][:, at], v[f"blocks.{before}.mlp_out.unbiased"][at]]
                biases += w[f"h.{before}.attn.c_proj.bias"] + w[f"h.{before}.mlp.c_proj.bias"]
            rest = through(biases) + matrix @ w[f"h.{layer}.ln_1.bias"] + w[f"h.{layer}.attn.c_attn.bias"][rows]
            sides.append(np.stack([*map(through, written), rest]))
        table: Numbers = sides[0] @ sides[1].T / math.sqrt(width)
        return table

    def value(self, reference: str) -> Numbers:
        """The number, or for a reference with open places the array, that a reference names."""
        if " × " in reference:
            left, right = reference.split(" × ")
            product: Numbers = self.value(left) * self.value(right)
            return product
        name, _, inside = reference.partition("[")
        index = tuple(_index(part) for part in inside.rstrip("]").split(",") if part)
        if name.endswith(".mlp.logit_effect"):
            return self.effects(int(name.split(".")[1]), index[0], index[1])[index[2:]]
        if name.endswith(".attn_scores.part"):
            head, query, key, *parts = index
            return np.asarray(self.score_parts(int(name.split(".")[1]), head, query, key)[tuple(parts)])  # type: ignore[arg-type]
        if name in self.weights:
            return np.asarray(self.weights[name][index])
        if name in ("wte.norm", "wte.cosine", "wpe.norm", "wpe.cosine"):
            rows = self.weights[f"{name[:3]}.weight"].astype(np.float64)
            if name.endswith("norm"):
                return np.asarray(np.sqrt((rows**2).sum(-1))[index])
            if name not in self.values:
                self.values[name] = _cosines(rows[:, None], rows)
            return np.asarray(self.values[name][index])
        if name.endswith(".norm"):
            whole = name.removesuffix(".norm")
            source = self.weights[whole] if whole in self.weights else self.values[whole]
            return np.asarray(np.sqrt((source**2).sum(-1))[index])
        return np.asarray(self.values[name][index])


def _index(part: str) -> int | slice:
    if not part.endswith(":"):
        return int(part)
    return slice(int(part[:-1] or 0), None)


def _cosines(a: Numbers, b: Numbers) -> Numbers:
    found: Numbers = (a * b).sum(-1) / np.sqrt((a * a).sum(-1) * (b * b).sum(-1))
    return found
