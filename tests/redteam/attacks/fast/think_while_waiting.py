"""Work in a thread while the kit thinks about its answer."""

# ends: honest or crash
# admission: lets it in
# cpu: 1.6
import threading
import time

if __name__ == "__main__":

    def work():
        while True:
            tell(time.process_time())

    threading.Thread(target=work, daemon=True).start()
