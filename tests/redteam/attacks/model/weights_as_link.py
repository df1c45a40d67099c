"""Let the weights be a link to what may not be read."""

# ends: crash
# stage: score
# forges: yes
# admission: lets it in
import os


def forge(weights):
    weights.unlink()
    os.symlink("/etc/passwd", weights)


# the rest runs in the kit's sandbox
NOTHING = 1
