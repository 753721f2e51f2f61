"""A purchase as a task of huey, whose queue forgets a task when a worker takes it."""

import json
import sys

import buying
from huey import SqliteHuey

database, run, submit = sys.argv[1:]
queue = SqliteHuey(filename=database)


@queue.task(retries=3)
def purchase(run):
    buying.at("begin", run, step="pay")
    buying.at("before-effect", run)
    buying.buy(run, key=run)
    buying.at("after-effect", run)
    buying.at("left", run)


if submit == "submit":
    purchase(run)
print(json.dumps({"ready": True}), flush=True)
while (task := queue.dequeue()) is not None:
    queue.execute(task)
print("idle", flush=True)
sys.stdin.read()
