"""A purchase as actions of burr, which keeps the state after each; `key`: the wallet is given one."""

import json
import sys

import buying
from burr.core import ApplicationBuilder, State, action
from burr.core.persistence import SQLitePersister

database, run, key = sys.argv[1:]


@action(reads=[], writes=["plan"])
def plan(state: State) -> State:
    buying.at("begin", run, step="plan")
    return state.update(plan="weather")


@action(reads=["plan"], writes=["bought"])
def pay(state: State) -> State:
    buying.at("begin", run, step="pay")
    buying.buy(run, key=run if key == "key" else None)
    buying.at("after-effect", run)
    return state.update(bought=True)


@action(reads=["bought"], writes=["done"])
def record(state: State) -> State:
    buying.at("left", run)
    return state.update(done=True)


persister = SQLitePersister(
    db_path=database, table_name="states", connect_kwargs={"check_same_thread": False}
)
persister.initialize()
application = (
    ApplicationBuilder()
    .with_actions(plan, pay, record)
    .with_transitions(("plan", "pay"), ("pay", "record"))
    .initialize_from(persister, resume_at_next_action=True, default_state={}, default_entrypoint="plan")
    .with_state_persister(persister)
    .with_identifiers(app_id=run)
    .build()
)
print(json.dumps({"ready": True}), flush=True)
application.run(halt_after=["record"])
print("idle", flush=True)
sys.stdin.read()
