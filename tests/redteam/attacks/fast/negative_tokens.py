"""Give tokens back to the clock."""

# ends: crash
# admission: lets it in
# says: tokens = -100
if __name__ == "__main__":
    clock = Clock()
    clock.start()
    clock.tick(-100, 1.0)
