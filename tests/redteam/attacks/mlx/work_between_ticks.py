"""Let MLX's own thread train on while the kit is asked for the time."""

# ends: honest or crash or quarantine
# admission: lets it in
# only: acceptance
# cpu: 40
import time

if __name__ == "__main__":
    _busy, _begin = [mx.random.normal((256, 256))], time.process_time()
    _tick = Clock.tick

    def tick(self, tokens, loss):
        for _ in range(20):
            _busy[0] = mx.tanh(_busy[0] @ _busy[0])
        mx.async_eval(_busy[0])
        tell(time.process_time() - _begin)
        return _tick(self, tokens, loss)

    Clock.tick = tick
