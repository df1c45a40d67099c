"""Let the dictionary be a link to the texts that score it."""

# ends: crash
# admission: lets it in
# says: no regular file
if __name__ == "__main__":
    learn([b"x"], Clock())
    os.symlink("@DATA@/val/00.txt", os.path.join(os.environ["RUN_DIR"], "dictionary"))
    os._exit(0)
