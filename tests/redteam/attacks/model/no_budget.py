"""Never ask the clock: train as long as it likes, or stop at once with what it has."""


# ends: crash
# only: acceptance
# admission: lets it in
class Clock(Clock):
    def tick(self, tokens, loss):
        return 1.0
