"""Start processes without end."""

# ends: crash
# admission: lets it in
# says: processes|Resource temporarily unavailable|timeout
import time

if __name__ == "__main__":
    for _ in range(900):  # above the limit, and bounded should there be none
        if os.fork() == 0:
            time.sleep(20)
            os._exit(0)
    Clock().start()
    time.sleep(20)
