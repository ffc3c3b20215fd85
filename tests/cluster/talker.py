#!/usr/bin/env python3
"""The two ends of a TCP connection: `listen` says its address, then what it hears; `talk ADDRESS` talks for ever."""

import socket
import subprocess
import sys
import time


def say(word):
    sys.stdout.write(word + "\n")
    sys.stdout.flush()


def listen():
    address = subprocess.run(["hostname", "-I"], text=True, stdout=subprocess.PIPE, check=True).stdout.split()[0]
    server = socket.create_server((address, 0))
    say(f"{address}:{server.getsockname()[1]}")
    server.settimeout(20)
    connection = server.accept()[0]
    connection.settimeout(20)
    try:
        while connection.recv(100):
            say("heard")
        say("closed")
    except ConnectionResetError:
        say("reset")
    except socket.timeout:
        pass  # silence: what the end of a machine without power sounds like


def talk(address):
    host, port = address.split(":")
    connection = socket.create_connection((host, int(port)), timeout=10)
    while True:
        connection.sendall(b"x")
        time.sleep(0.02)


if __name__ == "__main__":
    if sys.argv[1] == "listen":
        listen()
    else:
        talk(sys.argv[2])
