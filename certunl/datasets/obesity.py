"""Seven levels of weight, from eating habits and physical condition."""

from certunl.datasets._columns import Columns, category, number, rows_of
from certunl.datasets._files import Original, locate
from certunl.datasets._splits import Splits, every_fifth, from_table

__all__ = ["obesity"]

_FILE = "ObesityDataSet_raw_and_data_sinthetic.csv"
_ORIGINAL = Original(
    "obesity", "F. Mendoza Palechor and A. De la Hoz Manotas (UCI, Estimation of Obesity Levels)", ((_FILE,),)
)

_YES = category("no", "yes")
_HOW_OFTEN = category("no", "Sometimes", "Frequently", "Always")

# The divisors are a century, two metres, 200 kilograms and the largest answers of the questionnaire.
_COLUMNS: Columns = {
    "Gender": category("Female", "Male"),
    "Age": number(100.0, 150),
    "Height": number(2.0, 3),
    "Weight": number(200.0, 700),
    "family_history_with_overweight": _YES,
    "FAVC": _YES,
    "FCVC": number(3.0, 3),
    "NCP": number(4.0, 4),
    "CAEC": _HOW_OFTEN,
    "SMOKE": _YES,
    "CH2O": number(3.0, 3),
    "SCC": _YES,
    "FAF": number(3.0, 3),
    "TUE": number(2.0, 2),
    "CALC": _HOW_OFTEN,
    "MTRANS": category("Automobile", "Bike", "Motorbike", "Public_Transportation", "Walking"),
}
_CLASSES = (
    "Insufficient_Weight",
    "Normal_Weight",
    "Overweight_Level_I",
    "Overweight_Level_II",
    "Obesity_Type_I",
    "Obesity_Type_II",
    "Obesity_Type_III",
)


def obesity(train: int | None = None, test: int | None = None, data_dir: str | None = None) -> Splits:
    """1,689 training and 422 test rows f32[n, 31], 7 classes from insufficient weight to obesity of type III.

    Every fifth row is a test row. Categories are one-hot by the authors' list. Numbers are divided by constants (100
    years, 2 m, 200 kg, the largest answer of the questionnaire). Rows have no owners. The authors made 77% of the rows
    synthetically.
    """
    path = locate(_ORIGINAL, data_dir)[_FILE]
    x, y = rows_of(path, _COLUMNS, "NObeyesdad", _CLASSES, header=True)
    fit, held_out = every_fifth(len(y))
    return Splits(
        from_table(x[fit], y[fit], train, "train"), from_table(x[held_out], y[held_out], test, "test"), len(_CLASSES)
    )
