"""Print what no loss can be: minus infinity, a huge exponent, a negative zero."""

# ends: crash
# admission: lets it in
print("val_loss: -inf")
os._exit(0)
