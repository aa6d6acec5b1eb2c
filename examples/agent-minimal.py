#!/usr/bin/env python3
"""The least that is an agent: it asks for a command, runs it, says what came of it. One at a time.

It has no session and never beats: nobody can tell it to cancel, and what it got is nobody else's
until its time (timeoutMs) is up, whatever happens here. Killed and started again it gets that command
again, first: its AGENT_ID must be its own and stay the same. agent.py does all that this does not.
"""
import http.client, json, os, random, time, urllib.error, urllib.request

SERVER = (os.environ.get("SERVER_URL") or "http://127.0.0.1:3000").rstrip("/")
AGENT_ID = os.environ.get("AGENT_ID") or "python-minimal"

def call(method, path, body=None):
    """Repeats it until there is an answer; an HTTPError is a refusal."""
    request = urllib.request.Request(SERVER + path, body and json.dumps(body).encode(),
                                     {"Content-Type": "application/json"}, method=method)
    while True:
        try:
            with urllib.request.urlopen(request, timeout=40) as response:
                return json.loads(response.read() or "null")
        except (OSError, http.client.HTTPException, ValueError) as error:
            if isinstance(error, urllib.error.HTTPError) and error.code < 500:
                raise
            time.sleep(random.uniform(1, 5))

def delay(payload):
    time.sleep(payload["ms"] / 1000)
    return {"ok": True, "tookMs": payload["ms"]}

while True:
    command = call("GET", f"/commands/next?agentId={AGENT_ID}&types=DELAY&wait=30")
    if command is None:  # 204: nothing to do
        continue
    print(command["id"], flush=True)
    try:
        outcome = {"result": delay(command["payload"])}
    except Exception as error:
        outcome = {"error": {"message": repr(error), "retryable": True}}
    try:
        call("PUT", f"/commands/{command['id']}/result",
             {"agentId": AGENT_ID, "attempt": command["attempt"], **outcome})
    except urllib.error.HTTPError as refusal:  # 409: too late, it is no longer ours
        print(command["id"], refusal.read().decode(), flush=True)
