"""Let the dictionary be a pipe that makes its reader wait for ever."""

# ends: crash
# admission: lets it in
# says: no regular file
if __name__ == "__main__":
    learn([b"x"], Clock())
    os.mkfifo(os.path.join(os.environ["RUN_DIR"], "dictionary"))
    os.mkfifo(os.path.join(os.environ["RUN_DIR"], "foreign-imports.json"))
    os._exit(0)
