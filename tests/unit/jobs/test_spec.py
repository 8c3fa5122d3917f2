from __future__ import annotations

from pydantic import BaseModel, Field

from core.jobs.spec import JOB_KINDS, ModelId, Params, Reference, UploadId, VersionId, references

V1, V2, U, M = (f"{p}_{'0' * 25}{n}" for n, p in enumerate(("dsv", "dsv", "upl", "mdl")))


class Inner(BaseModel):
    version: VersionId


class Outer(Params):
    one: VersionId
    optional: VersionId | None = None
    many: list[VersionId] = Field(default_factory=list)
    nested: Inner | None = None
    inners: list[Inner] = Field(default_factory=list)
    upload: UploadId | None = None
    model: ModelId | None = None
    text: str = "dsv_" + "0" * 26


def test_references_are_found_wherever_they_stand() -> None:
    params = Outer(
        one=V1, many=[V1, V2], nested=Inner(version=V2), inners=[Inner(version=V1)], upload=U,
        model=M,
    )  # fmt: skip
    assert set(references(params)) == {
        Reference("version", V1, "/one"),
        Reference("version", V1, "/many/0"),
        Reference("version", V2, "/many/1"),
        Reference("version", V2, "/nested/version"),
        Reference("version", V1, "/inners/0/version"),
        Reference("upload", U, "/upload"),
        Reference("model", M, "/model"),
    }


def test_optional_references_that_are_absent_are_skipped() -> None:
    assert list(references(Outer(one=V1))) == [Reference("version", V1, "/one")]


def test_every_kind_has_a_summary_and_an_example_that_validates() -> None:
    for name, kind in JOB_KINDS:
        assert kind.summary, name
        examples = kind.params.model_json_schema().get("examples")
        if kind.public:
            assert examples, name
            kind.params.model_validate(examples[0])
