"""Say twice that set-up is over, to be given the time again."""

# ends: crash
# admission: lets it in
# says: start twice
if __name__ == "__main__":
    clock = Clock()
    clock.start()
    clock.start()
