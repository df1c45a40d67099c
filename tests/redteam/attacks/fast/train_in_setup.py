"""Train ten budgets long before saying that set-up is over."""

# ends: honest or crash
# admission: lets it in
# cpu: 2.0
import time

if __name__ == "__main__":
    while time.process_time() < 3:
        tell(time.process_time())
