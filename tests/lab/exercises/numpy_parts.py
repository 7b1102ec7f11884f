"""The exercises as one writes them with numpy, in float64, each with the functions before it; source, by name."""

PARTS = {
    "windows": """
def windows(ids, starts, context):
    ids = np.array(ids, dtype=np.uint16)
    return np.stack([ids[s : s + context] for s in starts]), np.stack([ids[s + 1 : s + 1 + context] for s in starts])
""",
    "embed": """
def embed(ids, wte, wpe):
    return asarray(wte)[np.asarray(ids)] + asarray(wpe)[: len(ids)]
""",
    "softmax": """
def softmax(scores):
    scores = asarray(scores)
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)
""",
    "layer_norm": """
def layer_norm(x, gain, bias, eps=1e-5):
    x = asarray(x)
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + eps) * asarray(gain) + asarray(bias)
""",
    "head": """
def head(q, k, v):
    q, k, v = map(asarray, (q, k, v))
    scores = np.where(np.tri(len(q), dtype=bool), q @ k.T / np.sqrt(q.shape[1]), -np.inf)
    return softmax(scores) @ v
""",
    "attention": """
def attention(x, w_qkv, b_qkv, w_out, b_out, heads):
    q, k, v = (np.split(each, heads, 1) for each in np.split(asarray(x) @ asarray(w_qkv).T + asarray(b_qkv), 3, 1))
    return np.concatenate([head(*each) for each in zip(q, k, v)], 1) @ asarray(w_out).T + asarray(b_out)
""",
    "mlp": """
def mlp(x, w_fc, b_fc, w_out, b_out):
    a = asarray(x) @ asarray(w_fc).T + asarray(b_fc)
    return 0.5 * a * (1 + np.tanh(np.sqrt(2 / np.pi) * (a + 0.044715 * a**3))) @ asarray(w_out).T + asarray(b_out)
""",
    "gpt": """
def gpt(ids, weights, heads):
    w = {name: asarray(weight) for name, weight in weights.items()}

    def of(name):
        return w[name + ".weight"], w[name + ".bias"]

    x = embed(np.asarray(ids), w["wte.weight"], w["wpe.weight"])
    for at in (f"h.{layer}" for layer in range(sum(name.endswith("ln_1.bias") for name in w))):
        x = x + attention(layer_norm(x, *of(at + ".ln_1")), *of(at + ".attn.c_attn"), *of(at + ".attn.c_proj"), heads=heads)
        x = x + mlp(layer_norm(x, *of(at + ".ln_2")), *of(at + ".mlp.c_fc"), *of(at + ".mlp.c_proj"))
    return layer_norm(x, *of("ln_f")) @ w["wte.weight"].T
""",
    "sample": """
def sample(logits, u, temperature=1.0, top_k=0, top_p=1.0):
    p = softmax(asarray(logits) / temperature)
    order = np.argsort(-p, kind="stable")
    if top_k:
        p[order[top_k:]] = 0
        p = p / p.sum()
    if top_p < 1:
        p[order[np.cumsum(p[order]) - p[order] >= top_p]] = 0
        p = p / p.sum()
    return p, np.searchsorted(np.cumsum(p), u, side="right")
""",
    "next_logits": """
def next_logits(token, cache, weights, heads):
    w = {name: asarray(weight) for name, weight in weights.items()}

    def of(name):
        return w[name + ".weight"], w[name + ".bias"]

    cache, grown = asarray(cache), []
    x = (w["wte.weight"][token] + w["wpe.weight"][cache.shape[2]])[None]
    for layer, kept in enumerate(cache):
        at = f"h.{layer}"
        matrix, bias = of(at + ".attn.c_attn")
        q, k, v = np.split(layer_norm(x, *of(at + ".ln_1")) @ matrix.T + bias, 3, 1)
        grown.append(np.concatenate((kept, np.stack((k, v))), 1))
        q, k, v = (np.stack(np.split(each, heads, 1)) for each in (q, *grown[-1]))
        z = softmax(q @ k.swapaxes(1, 2) / np.sqrt(q.shape[-1])) @ v
        matrix, bias = of(at + ".attn.c_proj")
        x = x + np.concatenate(list(z), 1) @ matrix.T + bias
        x = x + mlp(layer_norm(x, *of(at + ".ln_2")), *of(at + ".mlp.c_fc"), *of(at + ".mlp.c_proj"))
    return (layer_norm(x, *of("ln_f")) @ w["wte.weight"].T)[0], np.stack(grown)
""",
}
HEAD = """import numpy as np


def asarray(value):
    return np.asarray(value, dtype=np.float64)

"""
