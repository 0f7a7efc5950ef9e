"""Single-line mutants of Python source: which places can be broken, and how.

The operators are the customary ones (Offutt et al. 1996: relational, arithmetic, logical and
statement deletion) with those that numerical code asks for. What is no logic stays whole:
docstrings, annotations, decorators, assertions, formatted strings and what an exception says.
"""

from __future__ import annotations

import ast
import io
import tokenize
import warnings
from typing import NamedTuple

COMPARISONS: dict[type[ast.cmpop], tuple[str, tuple[str, ...]]] = {
    ast.Lt: ("<", ("<=", ">")),
    ast.LtE: ("<=", ("<", ">=")),
    ast.Gt: (">", (">=", "<")),
    ast.GtE: (">=", (">", "<=")),
    ast.Eq: ("==", ("!=",)),
    ast.NotEq: ("!=", ("==",)),
    ast.In: ("in", ("not in",)),
    ast.NotIn: ("not in", ("in",)),
    ast.Is: ("is", ("is not",)),
    ast.IsNot: ("is not", ("is",)),
}
ARITHMETIC: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "*"),
    ast.Mod: ("%", "//"),
    ast.Pow: ("**", "*"),
    ast.BitOr: ("|", "&"),
    ast.BitAnd: ("&", "|"),
    ast.LShift: ("<<", ">>"),
    ast.RShift: (">>", "<<"),
}
_PAIRS = (
    ("min", "max"),
    ("minimum", "maximum"),
    ("argmin", "argmax"),
    ("floor", "ceil"),
    ("any", "all"),
)
OPPOSITES = {**dict(_PAIRS), **{b: a for a, b in _PAIRS}}
NUMERIC_RETURNS = frozenset({"float", "int", "Floats", "Costs", "npt.NDArray[np.float64]"})
_SEQUENCES = (ast.List, ast.Tuple, ast.ListComp, ast.JoinedStr)

Position = tuple[int, int]


class Change(NamedTuple):
    """One line, before and after."""

    line: int
    original: str
    mutated: str
    operator: str


def places(source: str) -> list[list[Change]]:
    """Every place of a module that can be broken, each with its ways, in the order of the text."""
    finder = _Finder(source)
    finder.visit(ast.parse(source))
    ordered = sorted(finder.places.items())
    return [[c for c in changes if c.original != c.mutated] for _, changes in ordered]


def apply(source: str, line: int, mutated: str) -> str:
    """The source with one line replaced; lines count from 1."""
    lines = source.split("\n")
    lines[line - 1] = mutated
    return "\n".join(lines)


def compiles(source: str) -> bool:
    """Whether Python accepts it, and without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            compile(source, "<mutant>", "exec", dont_inherit=True)
        except (SyntaxError, SyntaxWarning):
            return False
    return True


class _Finder(ast.NodeVisitor):
    def __init__(self, source: str) -> None:
        self.places: dict[tuple[int, int, str], list[Change]] = {}
        self._lines = source.split("\n")
        tokens = tokenize.generate_tokens(io.StringIO(source).readline)
        self._tokens = [t for t in tokens if t.string.strip()]
        self._bound: list[set[str]] = [set()]
        self._returns: list[str] = [""]

    def _start(self, node: ast.AST) -> Position:
        return self._position(node.lineno, node.col_offset)  # type: ignore[attr-defined]

    def _end(self, node: ast.AST) -> Position:
        return self._position(node.end_lineno, node.end_col_offset)  # type: ignore[attr-defined]

    def _position(self, line: int, column: int) -> Position:
        """Of bytes, as ast counts, in characters."""
        return line, len(self._lines[line - 1].encode()[:column].decode())

    def _text(self, node: ast.AST) -> str:
        """The source of a node on one line."""
        (line, start), (_, end) = self._start(node), self._end(node)
        return self._lines[line - 1][start:end]

    def _add(self, operator: str, start: Position, end: Position, *texts: str) -> None:
        """A place, if it lies on one line."""
        if start[0] != end[0]:
            return
        line = self._lines[start[0] - 1]
        changes = [
            Change(start[0], line, line[: start[1]] + text + line[end[1] :], operator)
            for text in texts
        ]
        self.places.setdefault((*start, operator), []).extend(changes)

    def _between(self, start: Position, end: Position, words: str) -> tuple[Position, Position]:
        """Where an operator stands between its operands."""
        wanted = words.split()
        inside = [t for t in self._tokens if start <= t.start and t.end <= end]
        for i in range(len(inside)):
            if [t.string for t in inside[i : i + len(wanted)]] == wanted:
                return inside[i].start, inside[i + len(wanted) - 1].end
        raise ValueError(f"no {words!r} between {start} and {end}")

    # Expressions

    def visit_Compare(self, node: ast.Compare) -> None:
        left: ast.expr = node.left
        for operator, right in zip(node.ops, node.comparators, strict=True):
            text, others = COMPARISONS[type(operator)]
            span = self._between(self._end(left), self._start(right), text)
            self._add("comparison", *span, *others)
            left = right
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        sides = (node.left, node.right)
        text_like = any(
            isinstance(s, _SEQUENCES) or (isinstance(s, ast.Constant) and isinstance(s.value, str))
            for s in sides
        )
        if type(node.op) in ARITHMETIC and not text_like:
            text, other = ARITHMETIC[type(node.op)]
            self._add(
                "arithmetic",
                *self._between(self._end(sides[0]), self._start(sides[1]), text),
                other,
            )
        one_line = node.lineno == node.end_lineno
        if isinstance(node.op, ast.Sub) and one_line and not text_like:
            swapped = f"({self._text(sides[1])}) - ({self._text(sides[0])})"
            self._add("swapped operands", self._start(node), self._end(node), f"({swapped})")
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        text, other = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in zip(node.values, node.values[1:], strict=False):
            span = self._between(self._end(left), self._start(right), text)
            self._add("logic", *span, other)
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        start = self._start(node)
        if isinstance(node.op, ast.Not):
            self._add("dropped not", start, (start[0], start[1] + len("not ")), "")
        elif isinstance(node.op, ast.USub):
            self._add("sign", start, (start[0], start[1] + 1), "")
            if isinstance(node.operand, ast.Constant):
                return
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        value = node.value
        span = self._start(node), self._end(node)
        if isinstance(value, bool):
            self._add("boolean", *span, str(not value))
        elif isinstance(value, int | float):
            ways = [repr(value + 1), f"({value - 1!r})" if value < 1 else repr(value - 1)]
            self._add("number", *span, *ways, *([f"(-{self._text(node)})"] if value else []))

    def visit_Subscript(self, node: ast.Subscript) -> None:
        index = node.slice
        if isinstance(index, ast.Constant) and index.value == 0:
            self._add("index", self._start(index), self._end(index), "-1")
        elif isinstance(index, ast.UnaryOp) and ast.unparse(index) == "-1":
            self._add("index", self._start(index), self._end(index), "0")
        else:
            self.visit(index)
        self.visit(node.value)

    def visit_Name(self, node: ast.Name) -> None:
        if node.id in OPPOSITES and isinstance(node.ctx, ast.Load):
            self._add("opposite", self._start(node), self._end(node), OPPOSITES[node.id])

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if node.attr in OPPOSITES and isinstance(node.ctx, ast.Load):
            line, column = self._end(node)
            start = line, column - len(node.attr)
            self._add("opposite", start, (line, column), OPPOSITES[node.attr])
        self.visit(node.value)

    def visit_Call(self, node: ast.Call) -> None:
        name = node.func
        called = name.id if isinstance(name, ast.Name) else getattr(name, "attr", "")
        if called == "abs" and len(node.args) == 1 and not node.keywords:
            self._add("dropped abs", self._start(name), self._end(name), "")
        self.generic_visit(node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Text for people."""

    def _condition(self, test: ast.expr) -> None:
        if isinstance(test, ast.Name | ast.Attribute | ast.Call | ast.Subscript):
            span = self._start(test), self._end(test)
            if span[0][0] == span[1][0]:
                self._add("condition", *span, f"(not {self._text(test)})")

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self._condition(node.test)
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        for test in node.ifs:
            self._condition(test)
        self.generic_visit(node)

    # Statements

    def _removable(self, node: ast.stmt) -> None:
        start, end = self._start(node), self._end(node)
        if start[0] == end[0] and self._lines[start[0] - 1].strip() == self._text(node):
            self._add("removed statement", start, end, "pass")

    def visit_Assign(self, node: ast.Assign) -> None:
        targets = {n.id for t in node.targets for n in ast.walk(t) if isinstance(n, ast.Name)}
        fresh = {
            n.id
            for t in node.targets
            for n in ast.walk(t)
            if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
        }
        # A name that nothing else binds would only be missed.
        if fresh <= self._bound[-1]:
            self._removable(node)
        self._bound[-1] |= targets
        is_alias = len(self._bound) == 1 and isinstance(node.value, ast.BinOp)
        if not (is_alias and isinstance(node.value.op, ast.BitOr)):  # type: ignore[attr-defined]
            self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if isinstance(node.target, ast.Name):
            self._bound[-1].add(node.target.id)
        elif node.value is not None:
            self._removable(node)
        if node.value is not None:
            self.visit(node.value)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self._removable(node)
        if type(node.op) in ARITHMETIC and not isinstance(node.value, _SEQUENCES):
            text, other = ARITHMETIC[type(node.op)]
            span = self._between(self._end(node.target), self._start(node.value), f"{text}=")
            self._add("arithmetic", *span, f"{other}=")
        self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Call):
            self._removable(node)
        self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> None:
        self._removable(node)

    def visit_Break(self, node: ast.Break) -> None:
        self._removable(node)

    def visit_Continue(self, node: ast.Continue) -> None:
        self._removable(node)

    def visit_Return(self, node: ast.Return) -> None:
        value = node.value
        if value is None:
            return
        start, end = self._start(value), self._end(value)
        if start[0] == self._start(node)[0] == self._end(node)[0]:
            # From behind the keyword, for parentheses are no part of what they enclose.
            start, end = (start[0], self._start(node)[1] + len("return ")), self._end(node)
            text = self._lines[start[0] - 1][start[1] : end[1]]
            ways = [] if ast.unparse(value) == "None" else ["None"]
            if self._returns[-1] == "bool" and not isinstance(value, ast.Constant):
                ways.append(f"not ({text})")
            elif self._returns[-1] in NUMERIC_RETURNS:
                ways.append(f"-({text})")
            self._add("return", start, end, *ways)
        self.generic_visit(node)

    def visit_Assert(self, node: ast.Assert) -> None:
        """For the type checker."""

    def visit_While(self, node: ast.While) -> None:
        self._condition(node.test)
        self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        if ast.unparse(node.test).endswith("TYPE_CHECKING"):
            for statement in node.orelse:
                self.visit(statement)
            return
        self._condition(node.test)
        self.generic_visit(node)

    def visit_For(self, node: ast.For) -> None:
        names = {n.id for n in ast.walk(node.target) if isinstance(n, ast.Name)}
        self._bound[-1] |= names
        self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._bound.append(set())
        for statement in node.body:
            self.visit(statement)
        self._bound.pop()

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        arguments = node.args
        for default in (*arguments.defaults, *(d for d in arguments.kw_defaults if d)):
            self.visit(default)
        named = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
        self._bound.append({a.arg for a in named})
        self._returns.append(ast.unparse(node.returns) if node.returns else "")
        for statement in node.body:
            self.visit(statement)
        self._bound.pop()
        self._returns.pop()

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815
