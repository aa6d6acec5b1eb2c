#!/usr/bin/env python3
"""A whole agent over HTTP, in Python 3.9+ without packages: it claims, runs, beats and reports.

    SERVER_URL=http://127.0.0.1:3000 AGENT_ID=my-agent python3 examples/agent.py

docs/agents-over-http.md has what the calls promise. A command may run again after this process was
killed, with the same id: what a handler does should be idempotent.
"""
import http.client, itertools, json, os, random, signal, threading, time, urllib.parse, uuid

SERVER = (os.environ.get("SERVER_URL") or "http://127.0.0.1:3000").rstrip("/")
AGENT_ID = os.environ.get("AGENT_ID") or f"python-{uuid.uuid4().hex[:8]}"
SESSION = str(uuid.uuid4())  # each process draws one: the newest is the agent
CONCURRENCY, CLAIM_WAIT_S, BEAT_WAIT_S, GRACE_S = 4, 25, 30, 5
MAX_RESULT_BYTES = 1_000_000

# ---- The types that it carries out. A handler calls attempt.pause() now and then, which raises
# ---- Ended when it is to stop. Any other exception fails the attempt.

def count_primes(payload, attempt):
    below, primes = int(payload["below"]), []
    if below > 10_000_000:
        raise ValueError("below is more than 10,000,000")
    for n in range(2, below):
        attempt.pause(0)
        if all(n % p for p in itertools.takewhile(lambda p: p * p <= n, primes)):
            primes.append(n)
    return {"count": len(primes)}

def delay(payload, attempt):
    started = time.monotonic()
    attempt.pause(payload["ms"] / 1000)
    return {"ok": True, "tookMs": round((time.monotonic() - started) * 1000)}

HANDLERS = {"COUNT_PRIMES": count_primes, "DELAY": delay}
WRONG_PAYLOAD = (KeyError, TypeError, ValueError)  # to try again would not help
CONTRACTS = [{  # of its own types: once it has registered, anybody may submit them
    "type": "COUNT_PRIMES", "description": "Counts the primes below a number.",
    "payloadSchema": {"type": "object", "required": ["below"], "additionalProperties": False,
                      "properties": {"below": {"type": "integer", "maximum": 10_000_000}}},
    "resultSchema": {"type": "object", "required": ["count"],
                     "properties": {"count": {"type": "integer"}}}}]

# ---- HTTP. A server that is away or out of order is an OSError: it may be back soon.

class Refused(Exception):
    """The server has understood, and says no."""

def call(path, body, timeout_s=10):
    scheme, host, prefix = urllib.parse.urlsplit(SERVER)[:3]
    connect = http.client.HTTPSConnection if scheme == "https" else http.client.HTTPConnection
    connection = connect(host, timeout=timeout_s)
    try:
        connection.request("POST", prefix + path, json.dumps(body),
                           {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer = json.loads(response.read() or "null")
    except (http.client.HTTPException, ValueError) as error:
        raise OSError(f"no whole answer: {error!r}") from None
    finally:
        connection.close()
    if response.status < 300:
        return answer
    if response.status >= 500 or response.status in (408, 429):
        raise OSError(f"{response.status} {answer}")
    if answer["code"] == "superseded":
        say("superseded: a newer process is this agent")
        os._exit(3)  # whoever restarts processes must leave this one alone
    raise Refused(answer["code"], answer["errors"])

def persist(ask):
    """Asks until there is an answer. The pauses grow, by chance: not all agents come at once."""
    for failures in itertools.count():
        try:
            return ask()
        except Refused as refusal:
            if refusal.args[0] != "unknown_agent":
                raise
            if not stopping:
                register()
        except OSError as error:
            say(f"the server is away: {error}")
        time.sleep(random.uniform(0, min(10, 0.2 * 2 ** min(failures, 9))))

def register():
    body = {"agentId": AGENT_ID, "session": SESSION, "concurrency": CONCURRENCY,
            "types": list(HANDLERS), "contracts": CONTRACTS, "pid": os.getpid()}
    persist(lambda: call("/agents", body))
    say(f"ready: {AGENT_ID}")

def say(text):
    print(text, flush=True)

# ---- What the threads share; they touch it while they hold `changed`.

changed = threading.Condition()
attempts = {}  # by command id: what runs or has yet to be reported
results = {}  # by command id: what was completed but not accepted yet; it is not executed again
claim_no = settled_claim_no = 0
draining = stopping = False

# ---- An attempt: one claimed command, in a thread of its own.

class Ended(Exception):
    """The attempt was cancelled, took too long, or is no longer ours."""

class Attempt:
    def __init__(self, command):
        self.command, self.id = command, command["id"]
        self.over, self.why = threading.Event(), None
        self.timer = threading.Timer(command["timeoutMs"] / 1000, self.end, ["timed_out"])
        for thread in (self.timer, threading.Thread(target=self.carry_out)):
            thread.daemon = True
            thread.start()

    def end(self, why):
        self.why = self.why or why
        self.over.set()

    def pause(self, seconds):
        if self.over.wait(seconds):
            raise Ended

    def key(self):
        return {"id": self.id, "attempt": self.command["attempt"]}

    def carry_out(self):
        say(f"{self.id}: {self.command['type']}, attempt {self.command['attempt']}")
        outcome = self.run()
        self.timer.cancel()
        try:
            if outcome:
                self.report(outcome)
        except Refused as refusal:  # it is nothing that can be stored
            self.report(failed(f"the outcome was refused: {refusal}", retryable=False))
        finally:
            with changed:
                del attempts[self.id]
                changed.notify_all()

    def run(self):
        try:
            if self.id not in results:
                result = HANDLERS[self.command["type"]](self.command["payload"], self)
                if len(json.dumps(result, allow_nan=False)) > MAX_RESULT_BYTES:
                    raise ValueError("the result is too large")
                results[self.id] = result
            return {"outcome": "completed", "result": results[self.id]}
        except Ended:  # what was taken or given back is not ours to report
            return failed(self.why, self.why) if self.why in ("cancelled", "timed_out") else None
        except Exception as error:
            return failed(repr(error), retryable=not isinstance(error, WRONG_PAYLOAD))

    def report(self, outcome):
        body = {"session": SESSION, "reports": [{**self.key(), **outcome}]}
        [answer] = persist(lambda: call(f"/agents/{AGENT_ID}/results", body))["answers"]
        if answer == "accepted":
            results.pop(self.id, None)
        for oldest in list(results)[:-1000]:
            results.pop(oldest, None)
        say(f"{self.id}: {outcome['outcome']}, {answer}")

def failed(message, outcome="failed", retryable=True):
    code = "executor_error" if outcome == "failed" else outcome
    return {"outcome": outcome,
            "error": {"code": code, "message": message[:1000], "retryable": retryable}}

# ---- Claims and beats: one of each at a time.

def claim():
    """A claim is settled once what it brought is in `attempts`, or its answer will not come.
    What the server gave us by then and no beat lists as running was never started: it goes back."""
    global claim_no, settled_claim_no
    with changed:
        changed.wait_for(lambda: len(attempts) < CONCURRENCY and not draining and not stopping)
        claim_no += 1
        body = {"agentId": AGENT_ID, "session": SESSION, "claimNo": claim_no,
                "limit": CONCURRENCY - len(attempts), "wait": CLAIM_WAIT_S}
    commands = []
    try:
        commands = call("/commands/claim", body, CLAIM_WAIT_S + 10)
    finally:
        with changed:
            for command in commands:
                # Not beside an older attempt of the same command, which has yet to end.
                if not stopping and command["id"] not in attempts:
                    attempts[command["id"]] = Attempt(command)
            settled_claim_no = claim_no
            changed.notify_all()

def beat(wait_s=BEAT_WAIT_S):
    """Says what runs. The server holds the answer until something of ours is cancelled (or was claimed
    since, and is), or until the next beat is due."""
    global draining
    with changed:
        sent = dict(attempts)
        body = {"session": SESSION, "running": [attempt.key() for attempt in sent.values()],
                "settledClaimNo": settled_claim_no, "draining": stopping, "wait": wait_s}
    answer = call(f"/agents/{AGENT_ID}/beat", body, wait_s + 5)
    with changed:
        draining = answer["drain"]
        for why, known in (("revoked", sent), ("cancelled", attempts)):
            for id in set(answer[why]) & set(known):
                known[id].end(why)
        changed.notify_all()

def forever(ask):
    try:
        while True:
            persist(ask)
    except Exception as error:
        say(f"cannot go on: {error!r}")
        os._exit(1)

# ---- The process.

def say_goodbye():
    """Lets what runs end within some seconds. To sign off gives the rest back, untouched."""
    global stopping
    with changed:
        stopping = True
        changed.wait_for(lambda: not attempts, GRACE_S)
        for attempt in attempts.values():
            attempt.end("released")
    beat(0)  # what a last claim may have brought goes back as never started
    call(f"/agents/{AGENT_ID}/sign-off", {"session": SESSION})

def on_stop_request(handler):
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handler)

def main():
    on_stop_request(signal.default_int_handler)
    try:
        register()
        for ask in (claim, beat):
            threading.Thread(target=forever, args=[ask], daemon=True).start()
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        on_stop_request(signal.SIG_DFL)  # a second one ends it at once
    try:
        say_goodbye()
    except (OSError, Refused) as error:
        say(f"could not sign off: {error}")
    say("stopped")
    os._exit(0)  # whatever handlers still do

if __name__ == "__main__":
    main()
