"""usage: name_probe.py NAME KNOWN COMMAND...: does a worker that is started by COMMAND reach NAME?

Runs in a network namespace of its own, where it is the name server (which knows KNOWN as 127.0.0.1 and nothing else)
and the coordinator (which only accepts the connection). Exit status 0 when the worker connected.
"""

import fcntl
import os
import socket
import struct
import subprocess
import sys
import threading

SET_FLAGS, UP_AND_RUNNING = 0x8914, 0x41
SECONDS = 20


def raise_loopback():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SET_FLAGS, struct.pack("16sh14x", b"lo", UP_AND_RUNNING))


def question(packet):
    """(name, type, end of the question) of the one question in a packet."""
    labels, at = [], 12
    while packet[at]:
        labels.append(packet[at + 1:at + 1 + packet[at]].decode())
        at += 1 + packet[at]
    return ".".join(labels), struct.unpack("!H", packet[at + 1:at + 3])[0], at + 5


def answer(packet, known):
    name, kind, end = question(packet)
    found = name.lower() == known
    has_address = found and kind == 1
    head = packet[:2] + struct.pack("!HHHHH", 0x8580 if found else 0x8583, 1, has_address, 0, 0)
    record = struct.pack("!HHHIH4s", 0xC00C, 1, 1, 60, 4, socket.inet_aton("127.0.0.1")) if has_address else b""
    return name, head + packet[12:end] + record


def serve_names(server, known):
    while True:
        packet, client = server.recvfrom(2048)
        name, reply = answer(packet, known)
        print(f"asked for {name}", flush=True)
        server.sendto(reply, client)


def main(name, known, *command):
    raise_loopback()
    names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    names.bind(("127.0.0.1", 53))
    threading.Thread(target=serve_names, args=(names, known), daemon=True).start()
    coordinator = socket.create_server(("127.0.0.1", 7420))
    coordinator.settimeout(SECONDS)
    variables = {"PATH": os.environ["PATH"], "MUSTER_JOB_UID": "1", "MUSTER_MEMBER": "0.1", "MUSTER_TOKEN": "t",
                 "MUSTER_COORDINATOR": f"{name}:7420", "MUSTER_NODE": "n", "MUSTER_BIND": "127.0.0.1"}
    with subprocess.Popen(command, env=variables) as worker:
        try:
            coordinator.accept()[0].close()
            print("connected", flush=True)
            return 0
        except socket.timeout:
            print(f"no connection after {SECONDS} s", flush=True)
            return 1
        finally:
            worker.kill()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
