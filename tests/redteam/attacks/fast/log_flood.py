"""Print without end, on both streams, in lines of all lengths."""

# ends: honest
# admission: lets it in
import sys

if __name__ == "__main__":
    for i in range(60):
        os.write(1, b"bits_per_byte: 0.001 " * 20_000)
        os.write(2, b"\n" * 10_000)
