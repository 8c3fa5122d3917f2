"""Pictures of quality.json are drawn from any mix of rows."""

from __future__ import annotations

from core.plots.quality import features_figure, similarity_figure
from core.quality.rows import QualityRow

PNG = b"\x89PNG"


def test_rows_of_all_kinds() -> None:
    rows = [
        QualityRow("fd_net", None, "net", 900, 12.0, floor=3.0, floor_range=(2.5, 3.5)),
        QualityRow("fd_net", "a$", "net", 30, 80.0, floor=70.0, estimable=False, reason="n"),
        QualityRow("fd_net", "b", "net", 3, None, estimable=False, reason="few"),
        QualityRow("kid_net", None, "net", 900, 0.1, interval=(0.05, 0.2), floor=-0.001),
        QualityRow("fid", None, "inception_fid", 900, 12.0, floor=3.0, floor_range=(2.5, 3.5)),
        QualityRow("fd_infinity_net", None, "net", 9000, -0.1, floor=0.1),
        QualityRow("vendi_net", None, "net", 900, 30.0, floor=35.0, floor_range=(34.0, 36.0)),
        QualityRow("ssim_raw", None, None, 9, 0.5),
        QualityRow("distance_ratio_net", None, "net", 90, 0.9, floor=1.0),
        QualityRow("authpct_net", None, "net", 0, None, estimable=False, reason="derivative"),
        QualityRow("membership_auc_net", None, "net", 90, 0.6, interval=(0.5, 0.7), floor=0.5),
        *(
            QualityRow(f"{name}_net", None, "net", 900, 0.4, interval=(0.3, 0.5), floor=0.7)
            for name in ("precision", "recall", "density", "coverage")
        ),
    ]
    picture = features_figure([row.as_json() for row in rows])
    assert picture is not None
    assert picture.startswith(PNG)
    fewer = features_figure([row.as_json() for row in rows[:3]])
    assert fewer is not None
    assert fewer != picture


def test_nothing_to_draw_is_no_picture() -> None:
    ssim = QualityRow("ssim_raw", None, None, 9, 0.5).as_json()
    assert features_figure([ssim]) is None
    assert similarity_figure({}) is None
    assert similarity_figure({"ssim": ([], [])}) is None


def test_similarities() -> None:
    for aligned, raw in (([0.9, 1.0], [0.2, -0.4]), ([], [0.5]), ([1.0], [])):
        measures = {"ssim": (aligned, raw), "ms_ssim": ([], []), "lpips": (raw, [1.7])}
        picture = similarity_figure(measures)
        assert picture is not None
        assert picture.startswith(PNG)
