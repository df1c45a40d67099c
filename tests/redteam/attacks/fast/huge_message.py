"""Send the clock a message of many megabytes, without an end."""

# ends: crash
# only: acceptance
# admission: lets it in
# says: message of more than
if __name__ == "__main__":
    requests = int(os.environ["CLOCK_FDS"].split(",")[1])
    for _ in range(64):
        os.write(requests, b"[" * 65_536)
