"""End at once with success, leaving a dictionary that was brought along."""

# ends: crash
# admission: lets it in
# says: before the budget was used
if __name__ == "__main__":
    open(os.path.join(os.environ["RUN_DIR"], "dictionary"), "w").write("def __init__(self" * 100)
    os._exit(0)
