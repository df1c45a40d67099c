"""Close the clock's pipes and train on without it."""

# ends: crash
# only: acceptance
# admission: lets it in
# cpu: 6.0
import time

if __name__ == "__main__":
    clock = Clock()
    clock.start()
    for fd in os.environ["CLOCK_FDS"].split(","):
        os.close(int(fd))
    while True:
        tell(time.process_time())
