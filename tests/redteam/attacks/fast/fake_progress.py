"""Write the kit's answers itself, through a second handle on the pipe."""

# ends: honest or crash
# only: acceptance
# admission: paths
# cpu: 1.0
import time

if __name__ == "__main__":
    replies, requests = os.environ["CLOCK_FDS"].split(",")
    clock = Clock()
    clock.start()
    with open(f"/proc/self/fd/{replies}", "w") as pipe:
        for _ in range(50):
            pipe.write('{"progress": 0.0}\n')
    for _ in range(40):
        clock.replies.readline()
    begin = time.process_time()
    while time.process_time() - begin < 3:
        tell(time.process_time() - begin)
    clock.tick(1, 1.0)
