"""Print a good number and end with a failure."""

# ends: crash
# admission: lets it in
print("val_loss: 0.0001")
raise SystemExit(3)
