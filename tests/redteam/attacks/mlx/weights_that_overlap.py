"""Describe in the weights' header numbers that lie elsewhere, all of them at the same place."""

# ends: crash
# stage: score
# forges: yes
# admission: lets it in
import json


def forge(weights):
    content = weights.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    for name, tensor in header.items():
        if name != "__metadata__":
            begin, end = tensor["data_offsets"]
            tensor["data_offsets"] = [0, end - begin]
    text = json.dumps(header).encode()
    weights.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + size :])


# the rest runs in the kit's sandbox
NOTHING = 1
