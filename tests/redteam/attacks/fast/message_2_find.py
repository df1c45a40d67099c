"""Find the message of the experiment before, and crash if there is one."""

# ends: honest or crash
# admission: lets it in
if __name__ == "__main__":
    for place in (
        "/tmp",
        "/dev/shm",
        "/var/tmp",
        "/run",
        os.path.expanduser("~"),
        "/dev",
        "@HOME@",
    ):
        for folder, _, names in os.walk(place):
            if "@MARK@" in names:
                raise SystemExit(f"a message in {folder}")
    for place in (os.environ["CODE_DIR"], os.environ["DATA_DIR"], os.environ["RUN_DIR"]):
        if "@MARK@" in os.listdir(place):
            raise SystemExit(f"a message in {place}")
