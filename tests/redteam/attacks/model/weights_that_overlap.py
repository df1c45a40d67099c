"""Describe in the weights' header numbers that lie elsewhere, negative or twice."""

# ends: crash
# stage: score
# forges: yes
# admission: lets it in
import json


def forge(weights):
    content = weights.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    for tensor in header.values():
        tensor["data_offsets"] = [0, tensor["data_offsets"][1] - tensor["data_offsets"][0]]
    text = json.dumps(header).encode()
    weights.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + size :])


# the rest runs in the kit's sandbox
NOTHING = 1
