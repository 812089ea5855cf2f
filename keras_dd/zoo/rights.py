"""Whose the images are, and what may be done with them: it goes into every card."""

from keras_dd.config import UserError

# {data set: (licence, citation)}, as their pages say.
DATA = {
    "digits": (
        "CC BY 4.0",
        "E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998, "
        "doi 10.24432/C50P49; its test file, as in scikit-learn",
    ),
    "cifar10": (
        "none stated by its authors",
        "A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, University of Toronto, 2009",
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
