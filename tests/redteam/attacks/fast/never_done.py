"""Go on when the budget is spent."""

# ends: crash
# only: acceptance
# admission: lets it in
# says: late
# cpu: 2.5
import time

if __name__ == "__main__":
    clock = Clock()
    progress = clock.start()
    while progress < 1:
        progress = clock.tick(1, 1.0)
    begin = time.process_time()
    while True:
        tell(time.process_time() - begin)
