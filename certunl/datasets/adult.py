"""Rows of the 1994 census of the United States; the class is an income above 50,000 dollars a year."""

from certunl.datasets._columns import Columns, category, number, rows_of
from certunl.datasets._files import Original, locate
from certunl.datasets._splits import Splits, from_table

__all__ = ["adult"]

_ORIGINAL = Original("adult", "B. Becker and R. Kohavi (UCI, Adult)", (("adult.data", "adult.test"),))

_WORK = "Private, Self-emp-not-inc, Self-emp-inc, Federal-gov, Local-gov, State-gov, Without-pay, Never-worked"
_EDUCATION = (
    "Bachelors, Some-college, 11th, HS-grad, Prof-school, Assoc-acdm, Assoc-voc, 9th, 7th-8th, 12th, Masters, 1st-4th, "
    "10th, Doctorate, 5th-6th, Preschool"
)
_MARRIAGE = "Married-civ-spouse, Divorced, Never-married, Separated, Widowed, Married-spouse-absent, Married-AF-spouse"
_OCCUPATION = (
    "Tech-support, Craft-repair, Other-service, Sales, Exec-managerial, Prof-specialty, Handlers-cleaners, "
    "Machine-op-inspct, Adm-clerical, Farming-fishing, Transport-moving, Priv-house-serv, Protective-serv, Armed-Forces"
)
_RELATIONSHIP = "Wife, Own-child, Husband, Not-in-family, Other-relative, Unmarried"
_RACE = "White, Asian-Pac-Islander, Amer-Indian-Eskimo, Other, Black"
_COUNTRY = (
    "United-States, Cambodia, England, Puerto-Rico, Canada, Germany, Outlying-US(Guam-USVI-etc), India, Japan, Greece, "
    "South, China, Cuba, Iran, Honduras, Philippines, Italy, Poland, Jamaica, Vietnam, Mexico, Portugal, Ireland, "
    "France, Dominican-Republic, Laos, Ecuador, Taiwan, Haiti, Columbia, Hungary, Guatemala, Nicaragua, Scotland, "
    "Thailand, Yugoslavia, El-Salvador, Trinadad&Tobago, Peru, Hong, Holand-Netherlands"
)
_UNKNOWN = "?"

# The divisors follow from the meaning of a field, such as a century, 16 school grades or 100 hours. Money and counts of
# people are divided by a number of powers of ten.
_COLUMNS: Columns = {
    "age": number(100.0, 150),
    "workclass": category(*_WORK.split(", "), _UNKNOWN),
    "fnlwgt": number(6.0, 1e9, logarithm=True),
    "education": category(*_EDUCATION.split(", ")),
    "education-num": number(16.0, 16, least=1),
    "marital-status": category(*_MARRIAGE.split(", ")),
    "occupation": category(*_OCCUPATION.split(", "), _UNKNOWN),
    "relationship": category(*_RELATIONSHIP.split(", ")),
    "race": category(*_RACE.split(", ")),
    "sex": category("Female", "Male"),
    "capital-gain": number(5.0, 1e9, logarithm=True),
    "capital-loss": number(5.0, 1e9, logarithm=True),
    "hours-per-week": number(100.0, 168),
    "native-country": category(*_COUNTRY.split(", "), _UNKNOWN),
}
_CLASSES = ("<=50K", ">50K")


def adult(train: int | None = None, test: int | None = None, data_dir: str | None = None) -> Splits:
    """32,561 training and 16,281 test rows f32[n, 108], 2 classes (1 is more than 50,000 dollars).

    Categories are one-hot by the authors' list; "?" is a category too. Numbers are divided by constants, age by 100
    years, education-num by 16 grades, hours-per-week by 100, log10(1 + fnlwgt) by 6, and log10(1 + dollars) of capital
    gain and loss by 5. Rows have no owners.
    """
    paths = locate(_ORIGINAL, data_dir)
    parts = [rows_of(path, _COLUMNS, "income", _CLASSES, comment="|") for path in paths.values()]
    return Splits(from_table(*parts[0], train, "train"), from_table(*parts[1], test, "test"), len(_CLASSES))
