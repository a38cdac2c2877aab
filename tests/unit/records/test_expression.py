import msgspec
import pytest

from seakeep.records.expression import Binary, Column, Constant, Node, Unary, col, columns_of

A, B = col("a"), col("b")


def text(node):
    """An expression as it is written by hand."""
    match node:
        case Column():
            return node.name
        case Constant():
            return repr(node.value)
        case Unary():
            return f"{node.name}({text(node.operand)})"
        case Binary():
            return f"({text(node.left)} {node.name} {text(node.right)})"


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (A + 1, "(a add 1.0)"),
        (1 + A, "(1.0 add a)"),
        (A - B, "(a sub b)"),
        (1 - A, "(1.0 sub a)"),
        (A * 2.5, "(a mul 2.5)"),
        (2 * A, "(2.0 mul a)"),
        (A / B, "(a div b)"),
        (1 / A, "(1.0 div a)"),
        (A > 15, "(a gt 15.0)"),
        (15 < A, "(a gt 15.0)"),  # noqa: SIM300 -- the mirrored comparison is what is tested
        (A >= 15, "(a ge 15.0)"),
        (A < 15, "(a lt 15.0)"),
        (A <= 15, "(a le 15.0)"),
        (A == "UA", "(a eq 'UA')"),
        (A != "UA", "(a ne 'UA')"),
        (A == B, "(a eq b)"),
        (A == True, "(a eq True)"),  # noqa: E712 -- an expression, not a test
        ((A > 1) & (B < 2), "((a gt 1.0) and (b lt 2.0))"),
        ((A > 1) | ~(B < 2), "((a gt 1.0) or not((b lt 2.0)))"),
        (-A, "neg(a)"),
        (A.is_missing(), "is_missing(a)"),
        (A.fill(0), "(a fill 0.0)"),
        (A.abs().log1p(), "log1p(abs(a))"),
        (A.dt.hour(), "hour(a)"),
        (A.dt.minute(), "minute(a)"),
        (A.dt.weekday(), "weekday(a)"),
        (A.dt.month(), "month(a)"),
        (A + B * 2 - 1, "((a add (b mul 2.0)) sub 1.0)"),
    ],
)
def test_operators_build_what_they_say(expression, expected):
    assert text(expression) == expected


@pytest.mark.parametrize("expression", [A, A > 15, ~((A + 1) / B == "x") | A.dt.hour().is_missing(), A == False])  # noqa: E712 -- an expression, not a test
def test_an_expression_survives_its_travel_as_json(expression):
    again = msgspec.json.decode(msgspec.json.encode(expression), type=Node)
    assert text(again) == text(expression)


@pytest.mark.parametrize(
    "wrong", [lambda: A and B, lambda: not A, lambda: 1 < A < 2, lambda: bool(A > B), lambda: A in [B, A]]
)
def test_an_expression_has_no_truth_value(wrong):
    with pytest.raises(TypeError, match=r"combine with & \| ~"):
        wrong()


@pytest.mark.parametrize("value", [None, [1], b"x", 1j, object()])
def test_what_is_no_value_cannot_be_used(value):
    with pytest.raises(TypeError, match="cannot use"):
        A + value


def test_columns_are_named_once_in_the_order_of_first_use():
    assert columns_of((B + A) * (A - col("c")) > B) == ("b", "a", "c")
    assert columns_of(Constant(1.0)) == ()
    assert columns_of(~A.is_missing()) == ("a",)


def test_a_very_deep_expression_is_read_without_recursion():
    expression = A
    for _ in range(5_000):
        expression += B
    assert columns_of(expression) == ("a", "b")


@pytest.mark.parametrize(
    "json",
    [
        b"{}",
        b'{"op":"column"}',
        b'{"op":"call","name":"eval"}',
        b'{"op":"unary","name":"exp","operand":{"op":"column","name":"a"}}',
        b"3",
    ],
)
def test_what_is_no_expression_is_not_read(json):
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(json, type=Node)
