"""Whose the images are, and what may be done with them: it goes into every card."""

from keras_dd.config import UserError

# {data set: (licence, citation)}.  Digits: as https://archive.ics.uci.edu/dataset/80 says.  CIFAR: its page,
# https://www.cs.toronto.edu/~kriz/cifar.html, asks to cite the report and speaks of no licence, and the metadata of
# TensorFlow Datasets 4.9.10 have none; the report names no institution.
DATA = {
    "digits": (
        "CC BY 4.0",
        "E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998, "
        "doi 10.24432/C50P49; its test file, as in scikit-learn",
    ),
    "cifar10": (
        "none stated, neither on its page nor by TensorFlow Datasets; its authors ask to cite the report",
        "A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, technical report, 2009, "
        "https://www.cs.toronto.edu/~kriz/learning-features-2009-TR.pdf",
    ),
}
DATA["cifar100"] = DATA["cifar10"]


def rights(dataset, licence, citation):
    """(licence, citation) of a data set."""
    known = DATA.get(dataset, (None, None))
    rights = licence or known[0], citation or known[1]
    if None in rights:
        raise UserError(
            f"licence and citation of data set {dataset!r} are not known here: say them, with --data-licence and "
            "--citation"
        )
    return rights
