"""Claim more tokens than numbers can hold."""

# ends: crash
# only: acceptance
# admission: lets it in
# says: clock protocol
if __name__ == "__main__":
    clock = Clock()
    clock.start()
    clock.tick(float("inf"), 1.0)
