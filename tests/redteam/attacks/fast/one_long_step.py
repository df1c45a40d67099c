"""Make the last step, shortly before the budget ends, ten budgets long."""

# ends: honest or crash
# admission: lets it in
# cpu: 1.2
import time

if __name__ == "__main__":

    class Clock(Clock):
        before = 0.0

        def tick(self, tokens, loss):
            if self.before > 0.5:
                while time.process_time() < 3:
                    tell(time.process_time())
            self.before = super().tick(tokens, loss)
            return self.before
