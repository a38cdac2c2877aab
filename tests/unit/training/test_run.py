import re

import msgspec
from sklearn.ensemble import HistGradientBoostingClassifier

from seakeep.clock import FixedClock, TimeOrderedIds
from seakeep.records.run import Environment, Run
from seakeep.training.fit import fit
from seakeep.training.run import Inputs, assemble, definition_digest, new_run_id


def train(frame):
    frame = frame.select(~(frame.values["x"] > 10))
    data = frame.to_pandas().assign(kind=0.0)
    return _Plain(max_iter=5).fit(data, frame.label)


class _Plain(HistGradientBoostingClassifier):
    def predict_proba(self, frame):
        return super().predict_proba(frame.assign(kind=0.0))


def test_run_ids_are_short_and_different():
    ids = TimeOrderedIds(FixedClock(0))
    one, other = new_run_id(ids), new_run_id(ids)
    assert re.fullmatch(r"r-[0-9a-f]{12}", one)
    assert one != other


def test_the_record_holds_every_input_and_survives_json(make_frame, make_model):
    model = make_model(train)
    inputs = Inputs(
        id="r-0123456789ab",
        started_us=7,
        seed=1,
        as_of_us=9,
        dataset="d" * 64,
        code={"project.py": "c" * 64},
        definition=model.definition,
        environment=Environment(python="CPython 3.11", platform="Linux", cpu="example", packages={"numpy": "2"}),
        trainer="train_hastily",
    )
    fitted = fit(model, make_frame())
    run = assemble(inputs, fitted, seconds=1.5)
    assert (run.id, run.model, run.dataset, run.trainer) == ("r-0123456789ab", "example", "d" * 64, "train_hastily")
    assert run.artefact == fitted.sha256
    assert run.rows_validated == len(fitted.validate)
    back = msgspec.json.decode(msgspec.json.encode(run), type=Run)
    assert msgspec.json.encode(back) == msgspec.json.encode(run)
    assert definition_digest(back.definition) == run.definition_digest


def test_the_definitions_digest_depends_on_it(make_model):
    one, other = make_model(train), make_model(train)
    assert definition_digest(one.definition) == definition_digest(other.definition)
    renamed = msgspec.structs.replace(other.definition, name="another")
    assert definition_digest(renamed) != definition_digest(one.definition)
