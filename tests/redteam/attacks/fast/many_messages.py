"""Send many messages at once, without waiting for answers."""

# ends: crash
# only: acceptance
# admission: lets it in
# says: clock protocol
if __name__ == "__main__":
    requests = int(os.environ["CLOCK_FDS"].split(",")[1])
    os.write(requests, b'{"start": true}\n' + b'{"tokens": 1000000, "loss": 0}\n' * 50)
    import time

    time.sleep(5)
