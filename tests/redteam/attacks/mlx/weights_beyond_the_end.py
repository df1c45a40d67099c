"""Describe in the weights' header numbers that lie behind the end of the file."""

# ends: crash
# stage: score
# forges: yes
# only: acceptance
# admission: lets it in
import json


def forge(weights):
    content = weights.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    for name, tensor in header.items():
        if name != "__metadata__":
            tensor["data_offsets"] = [n + (1 << 40) for n in tensor["data_offsets"]]
    text = json.dumps(header).encode()
    weights.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + size :])


# the rest runs in the kit's sandbox
NOTHING = 1
