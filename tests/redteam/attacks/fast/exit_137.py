"""End as if the machine had killed it, to be run again until luck helps."""

# ends: crash
# admission: lets it in
# says: killed 5 times
if __name__ == "__main__":
    os._exit(137)
