"""Make files until the folder can't be listed any more."""

# ends: crash
# admission: lets it in
# says: wrote too much|set-up took
# only: acceptance
if __name__ == "__main__":
    for i in range(150_000):
        os.close(os.open(os.path.join(os.environ["RUN_DIR"], str(i)), os.O_CREAT))
