from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from core.errors import InvalidInput, UnknownName
from core.ingest.layouts import LAYOUTS, Assignment, LayoutOptions, Tree, choose
from core.ingest.tables import parse_table


def tree(files: Iterable[str], tables: Mapping[str, str] | None = None) -> Tree:
    parsed = {n: parse_table(n, t.encode()) for n, t in (tables or {}).items()}
    return Tree(files, parsed)


def assigned(found: Tree, layout: str = "auto", **options: Any) -> tuple[str, Assignment]:
    chosen = choose(found, layout)
    return chosen.name, chosen.assign(found, LayoutOptions(**options))


def labels(answer: Assignment) -> dict[str, str]:
    return {item.name: item.label for item in answer.items}


def metadata(answer: Assignment) -> dict[str, Any]:
    return {item.name: item.metadata for item in answer.items}


@pytest.mark.parametrize("wrapper", ["", "ds/", "a/b/"])
@pytest.mark.parametrize("split", ["", "train/"])
def test_imagefolder_with_wrappers_and_splits(wrapper: str, split: str) -> None:
    files = [f"{wrapper}{split}{name}" for name in ("nv/1.jpg", "nv/deep/2.jpg", "mel/3.jpg")]
    name, answer = assigned(tree([*files, f"{wrapper}README.txt"]))
    assert name == "imagefolder"
    assert list(labels(answer).values()) == ["nv", "nv", "mel"]
    assert [i.metadata for i in answer.items] == [{"source_split": "train"} if split else {}] * 3
    assert [r.code for r in answer.rejects] == ["no_label"]


def test_one_class_folder_is_a_label_and_no_wrapper() -> None:
    assert labels(assigned(tree(["nv/1.jpg", "nv/2.jpg"]))[1]) == {
        "nv/1.jpg": "nv",
        "nv/2.jpg": "nv",
    }


def test_imagefolder_has_no_columns() -> None:
    with pytest.raises(InvalidInput) as error:
        assigned(tree(["nv/1.jpg"]), "imagefolder", label_column="dx")
    assert error.value.code == "unknown_column"


HAM = """lesion_id,image_id,dx,dx_type,age,sex,localization
L1,I1,nv,histo,45.0,male,back
L1,I2,nv,histo,,unknown,
"""


@pytest.mark.parametrize("folder", ["", "ham10000/", "x/HAM10000_images_part_1/"])
def test_ham10000(folder: str) -> None:
    name, answer = assigned(tree([f"{folder}I1.jpg", f"{folder}I2.jpg"], {"m/metadata.csv": HAM}))
    assert name == "ham10000"
    assert set(labels(answer).values()) == {"nv"}
    one, two = answer.items
    assert one.metadata == {
        "lesion_id": "L1",
        "age": 45.0,
        "sex": "male",
        "localization": "back",
        "dx_type": "histo",
    }
    assert two.metadata == {"lesion_id": "L1", "dx_type": "histo"}


def test_label_and_group_columns() -> None:
    found = tree(["I1.jpg", "I2.jpg"], {"m.csv": HAM})
    _, answer = assigned(found, label_column="sex", group_column="Localization")
    assert labels(answer) == {"I1.jpg": "male"}
    assert metadata(answer)["I1.jpg"]["group"] == "back"
    assert [r.code for r in answer.rejects] == ["no_label"]


@pytest.mark.parametrize("option", ["label_column", "group_column"])
def test_unknown_columns_are_listed(option: str) -> None:
    with pytest.raises(InvalidInput) as error:
        assigned(tree(["I1.jpg"], {"m.csv": HAM}), **{option: "nope"})
    assert error.value.code == "unknown_column"
    assert error.value.extra["columns"][:3] == ["lesion_id", "image_id", "dx"]
    assert error.value.errors[0].pointer == f"/{option}"


def test_isic_one_hot_joined_with_metadata() -> None:
    truth = "image,MEL,NV,BCC\nA,0.0,1.0,0.0\nB_downsampled,1,0,0\nC,1,1,0\n"
    more = "image,age_approx,anatom_site_general,lesion_id,sex\nA,30,head,L9,female\n"
    files = ["in/A.jpg", "in/B_downsampled.jpg", "in/C.jpg"]
    name, answer = assigned(tree(files, {"GroundTruth.csv": truth, "Metadata.csv": more}))
    assert name == "isic"
    assert labels(answer) == {"in/A.jpg": "nv", "in/B_downsampled.jpg": "mel"}
    assert metadata(answer)["in/A.jpg"] == {
        "age": 30.0,
        "localization": "head",
        "lesion_id": "L9",
        "sex": "female",
    }
    assert answer.tables_used == {"GroundTruth.csv", "Metadata.csv"}
    assert [r.name for r in answer.rejects] == ["in/C.jpg"]


@pytest.mark.parametrize(
    ("table", "label"),
    [
        (
            "image_name,patient_id,diagnosis,benign_malignant,target\nA,P1,unknown,benign,0\n",
            "benign",
        ),
        ("isic_id,target,patient_id\nA,1,P1\n", "malignant"),
        ("isic_id,diagnosis,patient_id\nA,melanoma,P1\n", "melanoma"),
    ],
)
def test_isic_other_years(table: str, label: str) -> None:
    name, answer = assigned(tree(["A.jpg"], {"t.csv": table}))
    assert (name, labels(answer)) == ("isic", {"A.jpg": label})
    assert metadata(answer)["A.jpg"]["patient_id"] == "P1"


def test_derm7pt_cases_have_two_images() -> None:
    header = "case_num,diagnosis,location,sex,clinic,derm"
    meta = f"{header}\n7,melanoma,back,male,NEL/Nel025.JPG,NEL/Nel026.jpg\n"
    tables = {"meta/meta.csv": meta, "meta/test_indexes.csv": "indexes\n0\n"}
    name, answer = assigned(tree(["images/Nel/Nel025.jpg", "images/Nel/Nel026.jpg"], tables))
    assert name == "derm7pt"
    assert {m["image_type"] for m in metadata(answer).values()} == {"clinical", "dermoscopic"}
    assert {m["case_id"] for m in metadata(answer).values()} == {"7"}
    assert {m["source_split"] for m in metadata(answer).values()} == {"test"}
    assert answer.tables_used == set(tables)


def test_fitzpatrick17k() -> None:
    table = "md5hash,fitzpatrick_scale,label\nab,4,acne\ncd,-1,acne\n"
    name, answer = assigned(tree(["x/ab.jpg", "x/cd.jpg"], {"f.csv": table}))
    assert name == "fitzpatrick17k"
    assert metadata(answer) == {"x/ab.jpg": {"fitzpatrick": 4}, "x/cd.jpg": {}}


@pytest.mark.parametrize(
    "data",
    [
        b"file,label\n1.jpg,n\xc3\xa4vus\n",
        b"\xef\xbb\xbffile,label\r\n1.jpg,n\xc3\xa4vus\r\n",
        b"file;label\n1.jpg;n\xe4vus\n",
        b"file\tlabel\n\n1.jpg\tn\xc3\xa4vus\n",
        "file,label\n1.jpg,nävus\n".encode("utf-16"),
        b'"file" , "label"\n1.jpg, n\xc3\xa4vus \n'.replace(b'" ,', b'",').replace(b', "', b',"'),
    ],
)
def test_encodings_and_separators(data: bytes) -> None:
    found = Tree(["a/1.jpg"], {"t.csv": parse_table("t.csv", data)})
    assert labels(assigned(found)[1]) == {"a/1.jpg": "nävus"}


def test_rows_and_files_that_do_not_meet() -> None:
    table = "file,label\n1.jpg,nv\n1.jpg,nv\n2.jpg,nv\n2.jpg,mel\n3.jpg,\ngone.jpg,nv\n"
    name, answer = assigned(tree(["1.jpg", "2.jpg", "3.jpg", "4.jpg"], {"t.csv": table}))
    assert (name, labels(answer)) == ("csv", {"1.jpg": "nv"})
    assert {r.name: r.code for r in answer.rejects} == {
        "2.jpg": "conflicting_label",
        "3.jpg": "no_label",
        "4.jpg": "no_label",
    }
    assert [w.split(":")[0] for w in answer.warnings] == ["rows_without_file", "duplicate_rows"]


def test_file_column_is_found_by_content() -> None:
    table = "what,where,dx\nx,1,nv\ny,2,mel\n"
    assert labels(assigned(tree(["1.png", "2.png"], {"t.csv": table}))[1]) == {
        "1.png": "nv",
        "2.png": "mel",
    }


def test_flat_images_without_label_column_name_the_columns() -> None:
    with pytest.raises(InvalidInput) as error:
        assigned(tree(["1.png"], {"t.csv": "file,finding\n1.png,nv\n"}))
    assert (error.value.code, error.value.extra["columns"]) == (
        "unknown_column",
        ["file", "finding"],
    )


@pytest.mark.parametrize("layout", ["csv", "ham10000", "isic", "derm7pt", "fitzpatrick17k"])
def test_layouts_that_need_a_table_say_so(layout: str) -> None:
    with pytest.raises(InvalidInput) as error:
        assigned(tree(["nv/1.jpg"]), layout)
    assert error.value.code == "missing_table"


def test_unknown_layout() -> None:
    with pytest.raises(UnknownName):
        choose(tree([]), "ham1000")


def test_masks_beside_images() -> None:
    files = ["p/1.jpg", "p/1_mask.png", "p/2.jpg", "m/2_segmentation.png", "p/3_mask.png"]
    name, answer = assigned(tree(files, {"p/labels.csv": "name,diagnosis\n1,nv\n2,mel\n"}))
    assert name == "masks"
    assert labels(answer) == {"p/1.jpg": "nv", "p/2.jpg": "mel"}
    assert [i.annotations for i in answer.items] == [
        {"mask": "p/1_mask.png"},
        {"mask": "m/2_segmentation.png"},
    ]
    assert {r.name: r.code for r in answer.rejects} == {"p/3_mask.png": "no_image"}


def test_masks_in_a_folder_an_image() -> None:
    files = [
        f"d/{k}/{n}" for k in ("aa", "bb") for n in ("image.jpg", "lesions.png", "nonskin.png")
    ]
    table = {"d/labels.csv": "name,label,fitzpatrick\naa,acne,II\n"}
    name, answer = assigned(tree(files, table))
    assert name == "masks"
    item = answer.items[0]
    assert (item.name, item.label, item.metadata) == ("d/aa/image.jpg", "acne", {"fitzpatrick": 2})
    assert item.annotations == {"mask": "d/aa/lesions.png", "nonskin": "d/aa/nonskin.png"}
    assert {r.name: r.code for r in answer.rejects} == {
        "d/bb/image.jpg": "no_label",
        "d/bb/lesions.png": "no_image",
        "d/bb/nonskin.png": "no_image",
    }


def test_masks_in_a_tree_beside_that_of_the_images() -> None:
    images = ["a/nv/1.jpg", "a/mel/1.jpg", "a/mel/2.jpg", "a/df/3.jpg", "a/bcc/3.jpg"]
    masks = ["b/nv/1_mask.png", "b/mel/1_mask.png", "b/2_mask.png", "b/x/3_mask.png"]
    _, answer = assigned(tree([*images, *masks]))
    found = {i.name: i.annotations["mask"] for i in answer.items if i.annotations}
    assert found == dict(zip(images[:3], masks[:3], strict=True))
    assert [(r.name, r.code) for r in answer.rejects] == [("b/x/3_mask.png", "no_image")]


def test_masks_in_class_folders() -> None:
    name, answer = assigned(tree(["nv/1.jpg", "nv/1_mask.png", "mel/2.jpg", "mel/2_mask.png"]))
    assert (name, labels(answer)) == ("masks", {"nv/1.jpg": "nv", "mel/2.jpg": "mel"})


@pytest.mark.parametrize("layout", ["imagefolder", "csv", "masks"])
def test_every_file_is_assigned_once(layout: str) -> None:
    files = ["nv/1.jpg", "nv/1_mask.png", "2.jpg", "x.txt", "nv/9_mask.png"]
    _, answer = assigned(tree(files, {"t.csv": "file,label\n1.jpg,nv\n"}), layout)
    seen = [i.name for i in answer.items] + [r.name for r in answer.rejects]
    seen += [name for item in answer.items for name in item.annotations.values()]
    assert sorted(seen) == sorted(files)


def test_every_layout_is_one_file() -> None:
    assert LAYOUTS.names() == [
        "csv",
        "derm7pt",
        "fitzpatrick17k",
        "ham10000",
        "imagefolder",
        "isic",
        "masks",
    ]
