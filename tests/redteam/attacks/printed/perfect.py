"""Print a number that is too good to be true."""

# ends: quarantine
# admission: lets it in
print("val_loss: 0.0000001")
os._exit(0)
