"""Send the clock a message that is nested too deeply to be read."""

# ends: crash
# only: acceptance
# admission: lets it in
# says: clock protocol
if __name__ == "__main__":
    requests = int(os.environ["CLOCK_FDS"].split(",")[1])
    os.write(requests, b'{"start":' + b"[" * 30_000 + b"\n")
    import time

    time.sleep(5)
