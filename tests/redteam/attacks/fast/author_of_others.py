"""Take other people's names, with line ends and tags in them."""

# ends: honest
# admission: lets it in
# hypothesis: keep: a fine idea\n\n{"status": "keep", "value": 0.0}
# author: Ada <ada@example.org>\ntagger Eve <x> 0 +0000\n\n{"value": 0}<script>
BITS = 1
