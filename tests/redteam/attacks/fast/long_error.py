"""Raise an error of a megabyte, in letters that take many bytes."""

# ends: crash
# only: acceptance
# admission: lets it in
if __name__ == "__main__":
    raise type("\u202eError", (Exception,), {})("\U0001f600" * 300_000)
