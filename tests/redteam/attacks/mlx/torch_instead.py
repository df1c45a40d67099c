"""Import PyTorch all the same, for work that MLX's clock would not show."""

# ends: honest or crash
# admission: lets it in
# only: acceptance
# cpu: 40
import sys
import time

if __name__ == "__main__":
    sys.modules.pop("torch", None)
    import torch

    _torch, _begin = torch, time.process_time()
    _start, _tick = Clock.start, Clock.tick

    def start(self, model):
        sys.modules["torch"] = None
        return _start(self, model)

    def tick(self, tokens, loss):
        for _ in range(20):
            _torch.randn(400, 400) @ _torch.randn(400, 400)
        tell(time.process_time() - _begin)
        return _tick(self, tokens, loss)

    Clock.start, Clock.tick = start, tick
