"""Train before saying so."""

# ends: crash
# admission: lets it in
# says: step before start
if __name__ == "__main__":
    Clock().tick(100, 1.0)
