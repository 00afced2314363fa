#!/usr/bin/env python3
"""Submits a job to mrd and waits for it, with Python's standard library alone.

    submit.py --output /absolute/out wordcount /absolute/input...
    submit.py --addr unix:/path/mrd.sock ...
    submit.py --addr tcp:HOST:PORT --keys FOLDER ...     # the folder client of `mrctl auth init`

The request is JSON in POST /rpc. The submit id is made once and sent again after a
connection broke: the daemon makes one job of it, however often it arrives.
"""

import argparse
import http.client
import json
import os
import socket
import ssl
import sys
import time
import uuid


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Daemon:
    def __init__(self, addr, keys):
        self.addr, self.keys = addr, keys
        self.headers = {"Content-Type": "application/json"}
        if keys:
            with open(os.path.join(keys, "token")) as f:
                self.headers["Authorization"] = "Bearer " + f.read().strip()

    def connect(self, timeout=30):
        kind, _, where = self.addr.partition(":")
        if kind == "unix":
            return UnixConnection(where, timeout)
        host, _, port = where.rpartition(":")
        tls = ssl.create_default_context(cafile=os.path.join(self.keys, "ca.pem"))
        return http.client.HTTPSConnection(host.strip("[]"), int(port), timeout=timeout, context=tls)

    def once(self, method, params):
        conn = self.connect()
        try:
            conn.request("POST", "/rpc", json.dumps({"method": method, "params": params}), self.headers)
            return json.load(conn.getresponse())
        finally:
            conn.close()

    def call(self, method, params, tries=8):
        """Calls until there is an answer: all of the daemon's calls may be repeated."""
        for attempt in range(tries):
            try:
                answer = self.once(method, params)
            except (OSError, http.client.HTTPException, ValueError) as e:
                if attempt == tries - 1:
                    sys.exit(f"submit.py: no answer from {self.addr}: {e}")
                time.sleep(min(2, 0.05 * 2**attempt))
                continue
            if answer["error"] and answer["error"]["kind"] == "unreachable" and attempt < tries - 1:
                time.sleep(min(2, 0.05 * 2**attempt))  # it is stopping: the next one may be there soon
                continue
            if answer["error"]:
                sys.exit(f"submit.py: {answer['error']['kind']}: {answer['error']['message']}")
            return answer["result"]


def main():
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    store = os.environ.get("MR_STORE") or os.path.join(state, "mr")
    addr = os.environ.get("MR_ADDR") or "unix:" + os.path.join(store, "mrd.sock")
    p = argparse.ArgumentParser(description="submit a job to mrd and wait for it")
    p.add_argument("job")
    p.add_argument("input", nargs="+")
    p.add_argument("--output", required=True)
    p.add_argument("--addr", default=addr)
    p.add_argument("--keys", help="folder with ca.pem and token; needed for tcp:")
    a = p.parse_args()
    if a.addr.startswith("tcp:") and not a.keys:
        p.error("tcp: needs --keys")

    daemon = Daemon(a.addr, a.keys)
    spec = {
        "job": a.job,
        "inputs": [os.path.abspath(i) for i in a.input],
        "output": os.path.abspath(a.output),
    }
    job = daemon.call("Jobs.Submit", {"submit_id": str(uuid.uuid4()), "spec": spec})["job"]
    print(job, flush=True)
    version = 0
    while True:
        status = daemon.call("Jobs.Wait", {"job": job, "since": version})["status"]
        version = status["version"]
        if status["state"] in ("SUCCEEDED", "FAILED", "KILLED"):
            break
    print(status["state"], status["output"] if status["state"] == "SUCCEEDED" else status["error"])
    sys.exit(0 if status["state"] == "SUCCEEDED" else 1)


if __name__ == "__main__":
    main()
