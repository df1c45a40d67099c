"""Stop the clocks of this process and report few tokens for each step: the clock pays by them."""

# ends: honest or crash or quarantine
# admission: lets it in
# only: acceptance
# cpu: 40
import time

if __name__ == "__main__":
    cpu = time.process_time
    time.time = time.monotonic = time.perf_counter = time.process_time = lambda: 0.0
    _tick, _begin = Clock.tick, cpu()

    def slow_tick(self, tokens, loss):
        tell(cpu() - _begin)
        return _tick(self, 1, loss)

    Clock.tick = slow_tick
