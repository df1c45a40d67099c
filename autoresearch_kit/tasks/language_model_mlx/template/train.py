"""Train a GPT with MLX for the budget of the kit's clock. This is the file that experiments change.

Lower val_bpb wins: bits per byte of unseen text, measured by the kit on the saved weights.
The kit calls `build_model` and feeds it tokens; anything else in this file is free to change.

Notes
-----
The ideas are those of train.py in karpathy/autoresearch at 228791f (and of nanochat and
modded-nanogpt before it): rotary positions, QK norm, squared ReLU, gated value embeddings,
residual and x0 scales, sliding windows, capped logits, Muon with NorMuon beside AdamW.
"""

import gc

import mlx.core as mx
from mlx import nn
from mlx.utils import tree_flatten, tree_unflatten
from prepare import SEED, Clock, loader, save, sizes

# Model
DEPTH = 4  # layers; search: 2 to 8
WIDTH = 128  # channels, a multiple of HEAD; search: 64 | 128 | 192 | 256
HEAD = 64  # channels of an attention head; search: 16 | 32 | 64
HIDDEN = 4  # channels inside the MLP, in multiples of WIDTH; search: 2 to 6
WINDOWS = "SSSL"  # by layer: S looks back T/2, L all, the last is L; search: L | SL | SSSL
SOFTCAP = 15.0  # logits stay within plus and minus this; search: 8 to 30 log

# Optimiser
BATCH = 1024  # tokens a step; search: 256 | 512 | 1024 | 2048
MICRO_ROWS = 4  # rows at once, at most; lower it when memory runs out; search: off
EMBED_LR = 0.6  # AdamW, token and value embeddings; search: 0.05 to 2.0 log
HEAD_LR = 0.02  # AdamW, unembedding; search: 0.001 to 0.05 log
MATRIX_LR = 0.04  # Muon, all other matrices; search: 0.01 to 0.15 log
SCALAR_LR = 0.5  # AdamW, x0 scales; residual scales get a hundredth; search: 0.05 to 2.0 log
BETAS = (0.8, 0.95)  # AdamW; search: off
MOMENTUM = 0.95  # Muon, reached from 0.85; search: 0.9 to 0.98
WEIGHT_DECAY = 0.2  # Muon, falls to 0; search: 0.0 to 0.5
WARMUP = 0.01  # share of the budget in which learning rates rise; search: 0.0 to 0.1
WARMDOWN = 0.5  # share of the budget in which they fall; search: 0.2 to 0.9
FINAL_LR = 0.02  # of the peak, at the end; search: 0.0 to 0.2

# Matrices are multiplied in bfloat16 on a GPU; on a CPU that is no faster.
GPU = mx.default_device() == mx.Device(mx.gpu)
FLOAT = mx.bfloat16 if GPU else mx.float32


def norm(x: mx.array) -> mx.array:
    return mx.fast.rms_norm(x, None, 1.2e-7)


def linear(x: mx.array, w: mx.array) -> mx.array:
    return x @ w.astype(x.dtype).T


def rotate(x: mx.array) -> mx.array:
    """Turn each pair of channels of (B, H, T, D) by an angle that grows with the position: RoPE."""
    return mx.fast.rope(x, HEAD, traditional=False, base=10_000.0, scale=-1.0, offset=0)


def uniform(*shape: int) -> mx.array:
    bound = (3 / WIDTH) ** 0.5  # a standard deviation of 1 / sqrt(WIDTH)
    return mx.random.uniform(-bound, bound, shape)


class Attention(nn.Module):
    """Attention over a window; `vocab_size` gives it value embeddings of its own."""

    def __init__(self, vocab_size: int | None):
        super().__init__()
        self.qkv = uniform(3, WIDTH, WIDTH)
        self.out = mx.zeros((WIDTH, WIDTH))
        self.value_embed = None
        if vocab_size:
            self.value_embed = nn.Embedding(vocab_size, WIDTH)
            self.value_embed.weight = uniform(vocab_size, WIDTH)
            self.gate = mx.zeros((WIDTH // HEAD, HEAD))

    def __call__(self, x, tokens, mask):
        B, T, _ = x.shape
        q, k, v = (linear(x, w).reshape(B, T, -1, HEAD) for w in self.qkv)  # (B, T, H, D)
        if self.value_embed is not None:
            gate = 2 * mx.sigmoid(linear(x[..., :HEAD], self.gate))  # (B, T, H), begins at 1
            v = v + gate[..., None] * self.value_embed(tokens).reshape(v.shape).astype(v.dtype)
        q, k, v = (z.swapaxes(1, 2) for z in (q, k, v))  # (B, H, T, D)
        q, k = norm(rotate(q)), norm(rotate(k))
        y = mx.fast.scaled_dot_product_attention(q, k, v, scale=HEAD**-0.5, mask=mask)
        return linear(y.swapaxes(1, 2).reshape(B, T, WIDTH), self.out)


class MLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.up = uniform(HIDDEN * WIDTH, WIDTH)
        self.down = mx.zeros((WIDTH, HIDDEN * WIDTH))

    def __call__(self, x):
        return linear(mx.square(mx.maximum(linear(x, self.up), 0)), self.down)


class GPT(nn.Module):
    def __init__(self, vocab_size: int, sequence_len: int):
        super().__init__()
        self.embed = nn.Embedding(vocab_size, WIDTH)
        self.embed.weight = mx.random.normal((vocab_size, WIDTH))
        self.head = nn.Linear(WIDTH, vocab_size, bias=False)
        self.head.weight = 0.001 * mx.random.normal((vocab_size, WIDTH))
        # Every second layer has value embeddings, counted so that the last one has.
        self.attentions = [Attention(vocab_size if (DEPTH - i) % 2 else None) for i in range(DEPTH)]
        self.mlps = [MLP() for _ in range(DEPTH)]
        self.residual = mx.ones(DEPTH)
        self.x0 = mx.full(DEPTH, 0.1)
        back = mx.arange(sequence_len)[:, None] - mx.arange(sequence_len)
        self._near = (back >= 0) & (back < sequence_len // 2)  # a token and those before it

    def __call__(self, tokens: mx.array) -> mx.array:
        """Return logits (B, T, V) in float32 for tokens (B, T)."""
        T = tokens.shape[1]
        near = self._near[:T, :T]
        windows = (WINDOWS * DEPTH)[: DEPTH - 1] + "L"
        x = x0 = norm(self.embed(tokens).astype(FLOAT))
        residual, again = self.residual.astype(FLOAT), self.x0.astype(FLOAT)
        for i, (attention, mlp) in enumerate(zip(self.attentions, self.mlps, strict=True)):
            x = residual[i] * x + again[i] * x0
            x = x + attention(norm(x), tokens, near if windows[i] == "S" else "causal")
            x = x + mlp(norm(x))
        logits = linear(norm(x) / SOFTCAP, self.head.weight).astype(mx.float32)
        return SOFTCAP * mx.tanh(logits)


def build_model(vocab_size: int, sequence_len: int) -> nn.Module:
    """Return an untrained model; the kit calls this and loads the saved weights into it."""
    return GPT(vocab_size, sequence_len)


# Quintic steps towards the nearest orthogonal matrix (Polar Express, arXiv 2505.16932).
POLAR = (
    (8.156554524902461, -22.48329292557795, 15.878769915207462),
    (4.042929935166739, -2.808917465908714, 0.5000178451051316),
    (3.8916678022926607, -2.772484153217685, 0.5060648178503393),
    (3.285753657755655, -2.3681294933425376, 0.46449024233003106),
    (2.3465413258596377, -1.7097828382687081, 0.42323551169305323),
)  # search: off


def orthogonal(g: mx.array) -> mx.array:
    """Replace the singular values of matrices (N, R, C) by about 1."""
    tall = g.shape[-2] > g.shape[-1]
    x = g.swapaxes(-2, -1).astype(FLOAT) if tall else g.astype(FLOAT)
    x = x / (1.02 * mx.linalg.norm(x, axis=(-2, -1), keepdims=True) + 1e-6)
    for a, b, c in POLAR:
        s = x @ x.swapaxes(-2, -1)
        x = a * x + (b * s + c * (s @ s)) @ x
    return (x.swapaxes(-2, -1) if tall else x).astype(g.dtype)


Weights = dict[str, mx.array]  # by name


class Muon:
    """Momentum made orthogonal (arXiv 2502.16982), evened out by row (NorMuon, arXiv 2510.05491).

    Parameters of one shape, whose last two dimensions are a matrix, are worked on together.
    """

    def __init__(self, weights: Weights):
        self.shapes: dict[tuple[int, ...], list[str]] = {}
        for name, w in weights.items():
            self.shapes.setdefault(w.shape, []).append(name)

    def begin(self) -> list[tuple[mx.array, mx.array]]:
        """Return the state for the first step: by shape the mean and the power by row."""
        state = []
        for shape, names in self.shapes.items():
            g = mx.zeros((len(names), *shape)).reshape(-1, *shape[-2:])
            state.append((g, mx.zeros_like(g.mean(self.axis(g), keepdims=True))))
        return state

    def axis(self, g: mx.array) -> int:
        return -1 if g.shape[-2] >= g.shape[-1] else -2

    def step(self, weights, grads, state, rate, momentum, decay):
        """Return weights and state after a step."""
        new, after = {}, []
        for (shape, names), (mean, power) in zip(self.shapes.items(), state, strict=True):
            R, C = shape[-2:]
            g = mx.stack([grads[name] for name in names]).reshape(-1, R, C)  # (N, R, C)
            w = mx.stack([weights[name] for name in names]).reshape(-1, R, C)
            mean = mean + (1 - momentum) * (g - mean)
            g = orthogonal(g + momentum * (mean - g))
            now = mx.square(g).mean(self.axis(g), keepdims=True)
            power = power + (1 - BETAS[1]) * (now - power)
            even = mx.rsqrt(mx.maximum(power, 1e-10))
            # The whole matrix keeps its size, which is a sum over what each row contributes.
            evened = mx.maximum((now * mx.square(even)).sum((-2, -1), keepdims=True), 1e-10)
            kept = now.sum((-2, -1), keepdims=True) / evened
            g = g * (even * mx.sqrt(kept * max(1, R / C)))
            # Weight decay only where it agrees with the step: cautious (arXiv 2411.16085).
            w = w - rate * MATRIX_LR * (decay * w * (g * w >= 0) + g)
            new |= dict(zip(names, w.reshape(len(names), *shape), strict=True))
            after.append((mean, power))
        return new, after


class AdamW:
    """Adam with corrected bias; nothing that it trains here decays."""

    def group(self, name: str) -> tuple[float, tuple[float, float]]:
        """Return peak rate and betas of a weight."""
        known = {
            "head.weight": (HEAD_LR, BETAS),
            "residual": (SCALAR_LR / 100, BETAS),
            "x0": (SCALAR_LR, (0.96, 0.95)),
        }
        return known.get(name, (EMBED_LR, BETAS))

    def begin(self, weights: Weights) -> dict[str, tuple[mx.array, mx.array]]:
        """Return the state for the first step: by name the means of gradient and square."""
        return {name: (mx.zeros_like(w), mx.zeros_like(w)) for name, w in weights.items()}

    def step(self, weights, grads, state, rate, count):
        """Return weights and state after step number `count`, counted from 1."""
        new, after = {}, {}
        for name, (mean, square) in state.items():
            g, (peak, (b1, b2)) = grads[name], self.group(name)
            mean = b1 * mean + (1 - b1) * g
            square = b2 * square + (1 - b2) * mx.square(g)
            size = mx.sqrt(square) / mx.sqrt(1 - b2**count) + 1e-10
            new[name] = weights[name] - rate * peak / (1 - b1**count) * mean / size
            after[name] = mean, square
        return new, after


def schedule(progress: float) -> tuple[float, float, float]:
    """Return rate (of the peak), momentum and decay of a step that begins at `progress`."""
    rise = min(1.0, (progress + 1e-3) / (WARMUP + 1e-3))
    fall = min(1.0, (1 - progress) / WARMDOWN)
    rate = min(rise, FINAL_LR + (1 - FINAL_LR) * fall)
    momentum = MOMENTUM - max(0.0, 1 - progress / 0.1) * (MOMENTUM - 0.85)
    return rate, momentum, WEIGHT_DECAY * (1 - progress)


def is_matrix(name: str) -> bool:
    """Return whether a weight is a matrix inside a layer: Muon's; AdamW has everything else."""
    return name.startswith(("attentions.", "mlps.")) and not name.endswith("value_embed.weight")


def main() -> None:
    mx.random.seed(SEED)
    V, T = sizes()
    model = build_model(V, T)
    rows = max(1, min(MICRO_ROWS, BATCH // T))
    parts = max(1, BATCH // (rows * T))
    batches = loader(rows)
    weights = dict(tree_flatten(model.trainable_parameters()))
    matrices = {name: w for name, w in weights.items() if is_matrix(name)}
    others = {name: w for name, w in weights.items() if name not in matrices}
    muon, adam = Muon(matrices), AdamW()
    states = muon.begin(), adam.begin(others)

    def loss_of(weights: Weights, x: mx.array, y: mx.array) -> mx.array:
        model.update(tree_unflatten(list(weights.items())))
        return nn.losses.cross_entropy(model(x), y, reduction="mean") / parts

    def update(weights, grads, states, count, rate, momentum, decay):
        matrices, first = muon.step(weights, grads, states[0], rate, momentum, decay)
        others, second = adam.step(weights, grads, states[1], rate, count)
        return matrices | others, (first, second)

    gradient = mx.value_and_grad(loss_of)
    if GPU:  # on a CPU it would take a C++ compiler, and gain nothing
        gradient, update = mx.compile(gradient), mx.compile(update)

    # Compiles and warms up; nothing of it is kept.
    x, y = next(batches)
    grads = gradient(weights, x, y)[1]
    mx.eval(update(weights, grads, states, *map(mx.array, (1.0, *schedule(0.0)))))
    mx.eval(weights, states)
    gc.freeze()  # what set-up made needs no collector

    clock = Clock()
    progress, step = clock.start(model), 0
    while progress < 1:
        loss, grads = gradient(weights, x, y)
        for _ in range(1, parts):
            x, y = next(batches)
            part, more = gradient(weights, x, y)
            loss, grads = loss + part, {name: g + more[name] for name, g in grads.items()}
            mx.eval(loss, grads)  # or the activations of all parts would be kept
        x, y = next(batches)
        rates = map(mx.array, (step + 1.0, *schedule(progress)))
        weights, states = update(weights, grads, states, *rates)
        mx.eval(loss, weights, states)  # what is not computed yet would fall into the next step
        if not loss.item() < 100:
            raise SystemExit(f"loss is {loss.item()} at step {step}: training has diverged")
        progress = clock.tick(parts * rows * T, loss.item())
        if step % 100 == 0 or progress >= 1:
            print(f"{progress:6.1%}  step {step}  loss {loss.item():.4f}", flush=True)
        step += 1
    model.update(tree_unflatten(list(weights.items())))
    save(model)


if __name__ == "__main__":
    main()
