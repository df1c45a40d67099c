"""Train a GPT for the budget of the kit's clock. This is the file that experiments change.

Lower val_bpb wins: bits per byte of unseen text, measured by the kit on the saved weights.
The kit calls `build_model` and feeds it tokens; anything else in this file is free to change.

Notes
-----
The ideas are those of train.py in karpathy/autoresearch at 228791f (and of nanochat and
modded-nanogpt before it): rotary positions, QK norm, squared ReLU, gated value embeddings,
residual and x0 scales, sliding windows, capped logits, Muon with NorMuon beside AdamW.
"""

import gc

import torch
import torch.nn.functional as F
from prepare import CPU_BF16, SEED, Clock, loader, save, sizes
from torch import Tensor, nn
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

# Model
DEPTH = 4  # layers; search: 2 to 8
WIDTH = 128  # channels, a multiple of HEAD; search: 64 | 128 | 192 | 256
HEAD = 64  # channels of an attention head; search: 16 | 32 | 64
HIDDEN = 4  # channels inside the MLP, in multiples of WIDTH; search: 2 to 6
WINDOWS = "SSSL"  # by layer: S looks back T/2, L all, the last is L; search: L | SL | SSSL
SOFTCAP = 15.0  # logits stay within plus and minus this; search: 8 to 30 log

# Optimiser
BATCH = 1024  # tokens a step; search: 512 | 1024 | 2048 | 4096
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


def norm(x: Tensor) -> Tensor:
    return F.rms_norm(x, (x.size(-1),))


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn each pair of channels by an angle that grows with the position: RoPE."""
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos + b * sin, b * cos - a * sin], dim=-1)


def window_mask(T: int, window: int, device: torch.device, flex: bool) -> BlockMask | Tensor:
    """Let a token see itself and the `window` - 1 tokens before it; `flex` for CUDA's kernel."""
    if flex:
        return create_block_mask(
            lambda _b, _h, q, k: (q >= k) & (q - k < window), None, None, T, T, device=device
        )
    back = torch.arange(T, device=device)[:, None] - torch.arange(T, device=device)
    return (back >= 0) & (back < window)


def attend(q: Tensor, k: Tensor, v: Tensor, mask: BlockMask | Tensor | None) -> Tensor:
    """Mix values (B, H, T, D) by causal attention, within `mask` when there is one."""
    if isinstance(mask, BlockMask):
        return flex_attention(q, k, v, block_mask=mask)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None)


class Attention(nn.Module):
    """Attention over a window; `vocab_size` gives it value embeddings of its own."""

    def __init__(self, vocab_size: int | None):
        super().__init__()
        bound = (3 / WIDTH) ** 0.5  # uniform with a standard deviation of 1 / sqrt(WIDTH)
        self.qkv = nn.Parameter(torch.empty(3, WIDTH, WIDTH).uniform_(-bound, bound))
        self.out = nn.Parameter(torch.zeros(WIDTH, WIDTH))
        self.values = None
        if vocab_size:
            self.values = nn.Embedding(vocab_size, WIDTH)
            self.values.weight.data.uniform_(-bound, bound)
            self.gate = nn.Parameter(torch.zeros(WIDTH // HEAD, HEAD))

    def forward(self, x, tokens, rope, mask):
        B, T, _ = x.shape
        q, k, v = (F.linear(x, w).view(B, T, -1, HEAD) for w in self.qkv)  # (B, T, H, D)
        if self.values is not None:
            gate = 2 * torch.sigmoid(F.linear(x[..., :HEAD], self.gate))  # (B, T, H), begins at 1
            v = v + gate[..., None] * self.values(tokens).view_as(v).to(v.dtype)
        q, k = (norm(rotate(z, *rope)).to(v.dtype) for z in (q, k))
        y = attend(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), mask)
        return F.linear(y.transpose(1, 2).reshape(B, T, WIDTH), self.out)


class MLP(nn.Module):
    def __init__(self):
        super().__init__()
        bound = (3 / WIDTH) ** 0.5
        self.up = nn.Parameter(torch.empty(HIDDEN * WIDTH, WIDTH).uniform_(-bound, bound))
        self.down = nn.Parameter(torch.zeros(WIDTH, HIDDEN * WIDTH))

    def forward(self, x):
        return F.linear(F.relu(F.linear(x, self.up)).square(), self.down)


class GPT(nn.Module):
    def __init__(self, vocab_size: int, sequence_len: int):
        super().__init__()
        self.embed = nn.Embedding(vocab_size, WIDTH)
        self.head = nn.Linear(WIDTH, vocab_size, bias=False)
        nn.init.normal_(self.head.weight, std=0.001)
        # Every second layer has value embeddings, counted so that the last one has.
        self.attentions = nn.ModuleList(
            Attention(vocab_size if (DEPTH - i) % 2 else None) for i in range(DEPTH)
        )
        self.mlps = nn.ModuleList(MLP() for _ in range(DEPTH))
        self.residual = nn.Parameter(torch.ones(DEPTH))
        self.x0 = nn.Parameter(torch.full((DEPTH,), 0.1))
        speed = 10_000.0 ** -(torch.arange(0, HEAD, 2) / HEAD)
        angle = torch.arange(sequence_len)[:, None, None] * speed  # (T, 1, D / 2)
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin(), persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits (B, T, V) in float32 for tokens (B, T)."""
        fast = tokens.is_cuda
        T = tokens.size(1)
        rope = self.cos[:T], self.sin[:T]
        near = window_mask(T, T // 2, tokens.device, flex=fast)
        windows = (WINDOWS * DEPTH)[: DEPTH - 1] + "L"
        with torch.autocast(tokens.device.type, torch.bfloat16, enabled=fast or CPU_BF16):
            x = x0 = norm(self.embed(tokens).to(torch.bfloat16 if fast else torch.float32))
            for i, (attention, mlp) in enumerate(zip(self.attentions, self.mlps, strict=True)):
                x = self.residual[i] * x + self.x0[i] * x0
                x = x + attention(norm(x), tokens, rope, near if windows[i] == "S" else None)
                x = x + mlp(norm(x))
            logits = self.head(norm(x) / SOFTCAP).float()
        return SOFTCAP * torch.tanh(logits)


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


def orthogonal(g: Tensor) -> Tensor:
    """Replace the singular values of matrices (N, R, C) by about 1."""
    x = g.bfloat16() if g.is_cuda or CPU_BF16 else g
    x = x.mT if g.size(-2) > g.size(-1) else x
    x = x / (1.02 * x.norm(dim=(-2, -1), keepdim=True) + 1e-6)
    for a, b, c in POLAR:
        s = x @ x.mT
        x = a * x + (b * s + c * (s @ s)) @ x
    return (x.mT if g.size(-2) > g.size(-1) else x).type_as(g)


class Muon(torch.optim.Optimizer):
    """Momentum made orthogonal (arXiv 2502.16982), evened out by row (NorMuon, arXiv 2510.05491).

    A group holds parameters of one shape, whose last two dimensions are a matrix.
    """

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            lr, momentum, decay = group["lr"], group["momentum"], group["weight_decay"]
            g = torch.stack([p.grad for p in group["params"]]).flatten(0, -3)  # (N, R, C)
            w = torch.stack(group["params"]).flatten(0, -3)
            R, C = g.shape[-2:]
            state = self.state[group["params"][0]]
            if not state:
                state["mean"] = torch.zeros_like(g)
                state["power"] = torch.zeros_like(g.mean(-1 if R >= C else -2, keepdim=True))
            state["mean"].lerp_(g, 1 - momentum)
            g = orthogonal(g.lerp_(state["mean"], momentum))
            power = g.square().mean(-1 if R >= C else -2, keepdim=True)
            state["power"].lerp_(power, 1 - BETAS[1])
            even = state["power"].clamp_min(1e-10).rsqrt()
            # The whole matrix keeps its size, which is a sum over what each row contributes.
            evened = (power * even**2).sum((-2, -1), keepdim=True).clamp_min(1e-10)
            kept = power.sum((-2, -1), keepdim=True) / evened
            g = g * (even * (kept * max(1, R / C)).sqrt())
            # Weight decay only where it agrees with the step: cautious (arXiv 2411.16085).
            w = w.sub_(w * (g * w >= 0), alpha=lr * decay).sub_(g, alpha=lr)
            w = w.view(len(group["params"]), *group["params"][0].shape)
            torch._foreach_copy_(group["params"], list(w))


def optimizers(model: GPT) -> list[torch.optim.Optimizer]:
    """Return Muon for the matrices inside the layers and AdamW for everything else."""
    layers = [*model.attentions, *model.mlps]
    shapes: dict[torch.Size, list[nn.Parameter]] = {}
    for p in (p for layer in layers for p in layer.parameters(recurse=False)):
        shapes.setdefault(p.shape, []).append(p)
    embeddings = [m.weight for m in model.modules() if isinstance(m, nn.Embedding)]
    muon = Muon([{"params": ps, "peak": MATRIX_LR} for ps in shapes.values()], {"lr": 0.0})
    adam = [
        {"params": embeddings, "peak": EMBED_LR},
        {"params": [model.head.weight], "peak": HEAD_LR},
        {"params": [model.residual], "peak": SCALAR_LR / 100},
        {"params": [model.x0], "peak": SCALAR_LR, "betas": (0.96, 0.95)},
    ]
    return [muon, torch.optim.AdamW(adam, betas=BETAS, eps=1e-10, weight_decay=0.0, fused=True)]


def schedule(optimizer: torch.optim.Optimizer, progress: float) -> None:
    """Set rates, momentum and decay for a step that begins at `progress` of the budget."""
    rise = min(1.0, (progress + 1e-3) / (WARMUP + 1e-3))
    fall = min(1.0, (1 - progress) / WARMDOWN)
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * min(rise, FINAL_LR + (1 - FINAL_LR) * fall)
        if isinstance(optimizer, Muon):
            group["momentum"] = MOMENTUM - max(0.0, 1 - progress / 0.1) * (MOMENTUM - 0.85)
            group["weight_decay"] = WEIGHT_DECAY * (1 - progress)


def main() -> None:
    mps = "mps" if torch.backends.mps.is_available() else "cpu"
    device = torch.device("cuda" if torch.cuda.is_available() else mps)
    torch.manual_seed(SEED)
    torch.set_float32_matmul_precision("high")
    V, T = sizes()
    model = build_model(V, T).to(device)
    forward = torch.compile(model, dynamic=False) if device.type == "cuda" else model
    rows = max(1, min(MICRO_ROWS, BATCH // T))
    parts = max(1, BATCH // (rows * T))
    steppers = optimizers(model)
    batches = loader(rows, device)

    def loss_of(x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(forward(x).flatten(0, 1), y.flatten()) / parts

    x, y = next(batches)
    loss_of(x, y).backward()  # compiles and warms up; nothing of it is kept
    model.zero_grad(set_to_none=True)
    gc.freeze()  # what set-up made needs no collector

    clock = Clock()
    progress, step = clock.start(model), 0
    while progress < 1:
        losses = []
        for _ in range(parts):
            loss = loss_of(x, y)
            losses.append(loss.detach())
            loss.backward()
            x, y = next(batches)
        for optimizer in steppers:
            schedule(optimizer, progress)
            optimizer.step()
        model.zero_grad(set_to_none=True)
        loss = torch.stack(losses).sum().item()
        if not loss < 100:
            raise SystemExit(f"loss is {loss} at step {step}: training has diverged")
        progress = clock.tick(parts * rows * T, loss)
        if step % 100 == 0 or progress >= 1:
            print(f"{progress:6.1%}  step {step}  loss {loss:.4f}", flush=True)
        step += 1
    save(model)


if __name__ == "__main__":
    main()
