"""Never return."""

# ends: crash
# says: hang: 20 s ran out while importing kernel.py
# setup_seconds: 20
# only: acceptance

while True:
    pass
