"""``run``, ``model``, ``data``, ``audit`` and ``key``."""

import json
import sqlite3

import pytest
from tests.flights import AS_OF, MODEL, opened

from seakeep.data.version import load, snapshot
from seakeep.project.load import sources_of


def test_runs_are_listed_and_shown(seakeep, at):
    (found,) = json.loads(seakeep("run", "list", *at("trained"), "--json").out)
    row = seakeep("run", "list", *at("trained")).out.splitlines()[2]
    assert row.split()[:2] == [found["id"], MODEL]
    assert f"{found['metrics']['roc_auc']['value']:.3f} (" in row
    assert row.endswith(found["dataset"][:12])
    shown = seakeep("run", "show", found["id"], *at("trained"))
    assert shown.out.startswith(f"{MODEL} {found['id']}: {found['rows_trained']:,} rows trained")
    assert json.loads(seakeep("run", "show", found["id"], *at("trained"), "--json").out) == found


def test_a_run_that_is_nearly_named_is_hinted_at(seakeep, at):
    (found,) = json.loads(seakeep("run", "list", *at("trained"), "--json").out)
    said = seakeep("run", "show", found["id"][:-1] + "x", *at("trained"), code=1)
    assert f"hint: did you mean '{found['id']}'?" in said.err


def test_versions_are_listed_and_shown_with_proof_and_gates(seakeep, at):
    (found,) = json.loads(seakeep("model", "list", *at("promoted"), "--json").out)
    assert (found["model"], found["number"]) == (MODEL, 1)
    assert json.loads(seakeep("model", "list", MODEL, *at("promoted"), "--json").out) == [found]
    row = seakeep("model", "list", *at("promoted")).out.splitlines()[2].split()
    assert (row[0], row[1], row[-1]) == (f"{MODEL}:1", found["run"], found["bundle"][:12])
    for reference in (MODEL, f"{MODEL}@champion", f"{MODEL}:1"):
        shown = json.loads(seakeep("model", "show", reference, *at("promoted"), "--json").out)
        assert shown["version"] == found
        assert shown["proof"]["passed"] is True
        assert all(gate["passed"] for gate in shown["gates"])
    text = seakeep("model", "show", MODEL, *at("promoted")).out
    assert text.startswith(f"{MODEL}:1 from {found['run']}, bundle {found['bundle']}\n18 inputs, threshold 0.")
    assert "no gates evaluated yet" in seakeep("model", "show", f"{MODEL}:1", *at("converted")).out


def test_versions_of_a_model_that_is_not_declared_are_not_an_empty_list(seakeep, at):
    said = seakeep("model", "list", "late-arival", *at("promoted"), code=1)
    assert f"hint: did you mean '{MODEL}'?" in said.err
    assert seakeep("model", "list", *at("trained")).out.splitlines()[0].split() == [
        "version", "run", "created", "author", "bundle",
    ]  # fmt: skip


def test_datasets_are_listed_and_compared(seakeep, flights_at):
    folder = flights_at("trained")
    here = ("--project", folder)
    with opened(folder) as project:
        first = project.stores.datasets.get_manifest(project.stores.datasets.manifests()[0])
        sources = sources_of(project.models[MODEL])
        tables = load(first, project.stores.datasets)
        fewer = snapshot(
            {name: (source, tables[name]) for name, source in sources.items()},
            as_of_us=first.as_of_us - 3 * 86_400_000_000,
            store=project.stores.datasets,
        )
    listed = json.loads(seakeep("data", "list", *here, "--json").out)
    assert [one["id"] for one in listed] == [first.id, fewer.id]
    row = seakeep("data", "list", *here).out.splitlines()[2]
    assert row.startswith(f"{first.id[:12]}  {AS_OF}T00:00:00Z  arrivals ")
    before, after = fewer.id[:10], first.id[:10]
    found = json.loads(seakeep("data", "diff", before, after, *here, "--json").out)
    assert {source["name"]: source["months_changed"] for source in found} == {name: ["2013-02"] for name in sources}
    said = seakeep("data", "diff", before, after, *here).out.splitlines()
    rows = {source["name"]: (source["rows_before"], source["rows_after"]) for source in found}
    assert said[0] == "arrivals: {:,} rows -> {:,}; months changed: 2013-02".format(*rows["arrivals"])
    assert seakeep("data", "diff", after, after, *here).out == "no difference\n"
    said = seakeep("data", "diff", "", after, *here, code=1)
    assert "2 dataset versions begin with ''" in said.err
    assert "no dataset version begins with 'zz'" in seakeep("data", "diff", "zz", after, *here, code=1).err


def test_every_change_is_in_the_audit_log_and_the_chain_verifies(seakeep, at):
    entries = json.loads(seakeep("audit", "list", *at("promoted"), "--json").out)
    assert [entry["action"] for entry in entries] == ["train", "register", "judge", "promote"]
    assert [entry["previous"] for entry in entries[1:]] == [entry["digest"] for entry in entries[:-1]]
    rows = seakeep("audit", "list", *at("promoted")).out.splitlines()[2:]
    assert [row.split()[0] for row in rows] == ["1", "2", "3", "4"]
    said = seakeep("audit", "verify", *at("promoted"))
    assert (said.out, said.err) == ("", "✓ 4 entries, the chain verifies\n")


def test_a_changed_entry_of_the_audit_log_is_named(seakeep, flights_at):
    folder = flights_at("promoted")
    with sqlite3.connect(folder / ".seakeep/state.db") as connection:
        connection.execute("drop trigger audit_no_update")
        changed = "cast(replace(cast(record as text), '\"judge\"', '\"jugde\"') as blob)"
        connection.execute(f"update audit set record = {changed} where number = 3")
    connection.close()
    said = seakeep("audit", "verify", "--project", folder, code=1)
    assert "code: integrity" in said.err
    assert "3" in said.err.splitlines()[0]


def test_a_key_is_shown_once_listed_without_its_secret_and_revoked(seakeep, flights_at):
    here = ("--project", flights_at("example"))
    said = seakeep("key", "create", "ann", "--role", "operator", *here)
    secret = said.out.strip()
    assert len(secret) > 40
    first, told, _ = said.err.splitlines()
    assert first == "from now on every request needs a key, also on this machine, even after this one is revoked"
    assert told.startswith("✓ key for ann (operator); send it as 'Authorization: Bearer")
    assert "from now on" not in seakeep("key", "create", "bob", *here).err
    assert said.err.endswith("  undo: seakeep key revoke ann\n")
    assert "there is an active key 'ann'" in seakeep("key", "create", "ann", *here, code=1).err
    assert "cannot name a key" in seakeep("key", "create", "Ann!", *here, code=1).err
    listed = seakeep("key", "list", *here, "--json").out
    assert secret not in listed
    assert [(one["name"], one["role"]) for one in json.loads(listed)] == [("ann", "operator"), ("bob", "client")]
    assert seakeep("key", "list", *here).out.splitlines()[2].split()[-1] == "active"
    assert seakeep("key", "revoke", "ann", *here).err == "✓ the key of ann is refused from now on\n"
    assert seakeep("key", "list", *here).out.splitlines()[2].split()[-1] == "revoked"
    said = seakeep("key", "revoke", "ann", *here, code=1)
    assert "there is no active key 'ann'" in said.err
    assert secret not in seakeep("audit", "list", *here, "--json").out


@pytest.mark.parametrize(
    "words", [("run", "list"), ("model", "list"), ("data", "list"), ("audit", "list"), ("key", "list")]
)
def test_lists_of_a_new_project_are_empty_and_have_their_headings(seakeep, at, words):
    assert json.loads(seakeep(*words, *at("example"), "--json").out) == []
    heading, rule = seakeep(*words, *at("example")).out.splitlines()
    assert heading.strip()
    assert set(rule) == {"-", " "}
