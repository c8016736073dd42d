"""Gene sets as besca, Enrichr and Brain.GMT have them: what says nothing is let be, and one warning reports it."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

import flowgrad as fg

BESCA = (  # long descriptions, a gene twice, a field that is blank, a set that is called as a gene is
    "Tcell_scv\tGenes used for annotation of PBMCs/TILs (v6 Jul19)\tCD3E\tLAT\tCD6\tLAT\n"
    "Mono14\tGenes used for annotation of PBMCs/TILs (v6 Jul19)\tCD14\t \tCD163\n"
    "CD4\tsurface marker\tCD4\tIL7R\n"
)
ENRICHR = (  # no descriptions, a tab at the end of each line, blanks within names
    "Apoptosis WP254\t\tCASP3\tBAX\tBCL2\t\nCell Cycle (homo sapiens)\t\tCDK1\tBAX\t\n"
)
ENRICHR_WEIGHTED = "GO_A\t\tCASP3,1.0\tBAX,0.25\nGO_B\t\tBAX,1.0\n"
BRAIN = (  # as long as the longest set, the rest empty; sets that come again, the same or with other genes
    "DropViz_Astrocyte\tNA\tSlc1a3\tGfap\tAqp4\t\t\t\n"
    "DropViz_Microglia\tNA\tCx3cr1\tP2ry12\t\t\t\t\n"
    "DropViz_Microglia\tNA\tP2ry12\tCx3cr1\t\t\t\t\n"
    "HippoSeq_CA1\thttps://hipposeq.janelia.org\t\tWfs1\t\tWfs1\t\t\n"
    "HippoSeq_CA1\tupdated\tWfs1\tFibcd1\t\t\t\t\n"
    "GeneWeaver_empty\tNA\t\t\t\t\t\t\n"
)


def load(folder: Path, text: str, **options: object) -> tuple[fg.Network, list[str]]:
    """The network, and what one warning said, without the file's name."""
    (folder / "sets.gmt").write_text(text)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        net = fg.load(folder / "sets.gmt", **options)
    assert [w.category for w in caught] == [fg.errors.FileWarning] * len(caught)
    assert len(caught) < 2
    return net, [part for w in caught for part in str(w.message).split(": ", 1)[1].split("; ")]


def members(net: fg.Network) -> dict[str, list[str]]:
    return {v: list(net.graph.pred[v]) for v in net.outputs}


def test_besca(tmp_path: Path) -> None:
    net, said = load(tmp_path, BESCA, set_prefix="set:")
    assert members(net) == {
        "set:Tcell_scv": ["CD3E", "LAT", "CD6"],
        "set:Mono14": ["CD14", "CD163"],
        "set:CD4": ["CD4", "IL7R"],
    }
    assert said == [
        "repeated genes count once: 1, first in line 1: 'LAT'",
        "empty fields are skipped: 1, first in line 2",
    ]
    with pytest.raises(fg.errors.FileError, match="line 3: set 'CD4' is also a gene, in line 3"):
        load(tmp_path, BESCA)


def test_enrichr(tmp_path: Path) -> None:
    net, said = load(tmp_path, ENRICHR)
    assert said == []
    assert members(net) == {"Apoptosis WP254": ["CASP3", "BAX", "BCL2"], "Cell Cycle (homo sapiens)": ["CDK1", "BAX"]}
    net, _ = load(tmp_path, ENRICHR_WEIGHTED)
    assert net.graph.edges["BAX", "GO_A"]["membership"] == 0.25


def test_brain_gmt(tmp_path: Path) -> None:
    net, said = load(tmp_path, BRAIN, duplicates="union")
    assert members(net) == {
        "DropViz_Astrocyte": ["Slc1a3", "Gfap", "Aqp4"],
        "DropViz_Microglia": ["Cx3cr1", "P2ry12"],
        "HippoSeq_CA1": ["Wfs1", "Fibcd1"],
    }
    assert net.graph.nodes["HippoSeq_CA1"]["description"] == "https://hipposeq.janelia.org"
    assert [part.split(":")[0] for part in said] == [
        "repeated sets of the same genes count once",
        "empty fields are skipped",
        "repeated genes count once",
        "sets without genes are left out",
    ]
    assert members(load(tmp_path, BRAIN, duplicates="first")[0])["HippoSeq_CA1"] == ["Wfs1"]
    with pytest.raises(fg.errors.FileError, match="line 5: set 'HippoSeq_CA1' was given in line 4, with other genes"):
        load(tmp_path, BRAIN)


def test_comments_have_no_tabs(tmp_path: Path) -> None:
    net, said = load(tmp_path, "# curated by hand\nA\tna\tx\ty\n#\nB\tna\ty\n#C\tna\tx\n")
    assert (net.outputs, said) == (("A", "B", "#C"), [])
