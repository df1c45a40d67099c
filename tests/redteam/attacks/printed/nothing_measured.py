"""Print no number, but words that look like one."""

# ends: crash
# whole: yes
# admission: lets it in
import os

print("my_val_loss: 0.1 val_loss:0.x val_loss = zero \x1b[31mval_loss\x1b[0m : <b>0.1</b>")
os._exit(0)
