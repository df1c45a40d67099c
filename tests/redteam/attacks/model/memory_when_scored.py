"""Use the machine's memory where the model is measured."""

# ends: crash
# stage: score
# admission: lets it in
# only: acceptance
import time

if __name__ != "__main__":
    taken = [torch.ones(64 << 20) for _ in range(100)]
    time.sleep(5)
