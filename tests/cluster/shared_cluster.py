#!/usr/bin/env python3
"""shared_cluster.py up|down: the cluster that the tests share. Exit status 77 where none can run, 1 if CI=true."""

import os
import sys

import cluster_harness as harness


def main():
    able = harness.attempt("check")
    if able.returncode != 0:
        sys.stderr.write(f"NOT RUN, because no cluster can run here: {able.stdout.strip()}\n")
        return 1 if os.environ.get("CI") == "true" else harness.NOT_RUN
    done = harness.attempt(*(["up", len(harness.NODES)] if sys.argv[1] == "up" else ["down"]))
    sys.stderr.write(done.stdout)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
