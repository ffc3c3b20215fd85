#!/usr/bin/env python3
"""Runs inside a node: sends what it is told to by UDP, and says what it received.

Standard input, a line each: ADDRESS TEXT. Standard output: the text of each packet that arrived.
"""

import socket
import sys
import threading

PORT = 7946


def main():
    own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    own.bind((sys.argv[1], PORT))

    def receive():
        while True:
            sys.stdout.write(own.recv(2000).decode() + "\n")
            sys.stdout.flush()

    threading.Thread(target=receive, daemon=True).start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        address, text = line.split()
        try:
            own.sendto(text.encode(), (address, PORT))
        except OSError:
            pass  # the address cannot be resolved, or the cable is out: nothing was sent


if __name__ == "__main__":
    main()
