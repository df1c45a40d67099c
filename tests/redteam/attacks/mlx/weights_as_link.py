"""Let the weights be a link to what may not be read."""

# ends: crash
# stage: score
# forges: yes
# only: acceptance
# admission: lets it in
# says: not a regular file
import os


def forge(weights):
    weights.unlink()
    os.symlink("/etc/passwd", weights)


# the rest runs in the kit's sandbox
NOTHING = 1
