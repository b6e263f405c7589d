"""From a formula of the library to JavaScript, by tracing: no formula of the page is written a second time.

JAX traces a scalar function into a jaxpr, a list of primitive operations on numbers (or on arrays of one number). Each
becomes one JavaScript expression; calls inside are inlined, values that are used once are folded into the expression
that uses them. An operation without a counterpart is refused by name, never guessed. A complex
number is a pair of expressions, its real and its imaginary part.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from lindyn.support import checks

_OPERATORS = {
    "add": "({}+{})", "add_any": "({}+{})", "sub": "({}-{})", "mul": "({}*{})", "div": "({}/{})",
    "max": "Math.max({},{})", "min": "Math.min({},{})", "pow": "Math.pow({},{})", "atan2": "Math.atan2({},{})",
    "eq": "({}==={})", "ne": "({}!=={})", "gt": "({}>{})", "ge": "({}>={})", "lt": "({}<{})", "le": "({}<={})",
    "and": "({}&&{})", "or": "({}||{})", "neg": "(-{})", "not": "(!{})", "exp": "Math.exp({})", "sign": "Math.sign({})",
    "expm1": "Math.expm1({})", "log": "Math.log({})", "log1p": "Math.log1p({})", "sqrt": "Math.sqrt({})",
    "abs": "Math.abs({})", "sin": "Math.sin({})", "cos": "Math.cos({})", "tan": "Math.tan({})", "atan": "Math.atan({})",
    "tanh": "Math.tanh({})", "cosh": "Math.cosh({})", "sinh": "Math.sinh({})", "floor": "Math.floor({})",
    "cbrt": "Math.cbrt({})", "is_finite": "Number.isFinite({})", "select_n": "({0}?{2}:{1})",
}  # fmt: skip
# of pairs (a, b) and (c, d), real and imaginary parts
_COMPLEX = {
    "add": ("({a}+{c})", "({b}+{d})"), "sub": ("({a}-{c})", "({b}-{d})"), "neg": ("(-{a})", "(-{b})"),
    "mul": ("(({a}*{c})-({b}*{d}))", "(({a}*{d})+({b}*{c}))"),
    "div": ("((({a}*{c})+({b}*{d}))/(({c}*{c})+({d}*{d})))", "((({b}*{c})-({a}*{d}))/(({c}*{c})+({d}*{d})))"),
}  # fmt: skip
_SAME = {"stop_gradient", "copy", "copy_p", "broadcast_in_dim", "squeeze", "reshape", "reduce_precision", "reduce_sum"}
_CALLS = ("jaxpr", "call_jaxpr", "fun_jaxpr")
_MOST_FACTORS = 4  # a whole power up to this is written as a product, as XLA computes it
_NAME = re.compile(r"[A-Za-z_$][\w$]*")


def to_javascript(function: Callable[..., Any], name: str, arguments: Sequence[str]) -> str:
    """Return a JavaScript function that computes what a scalar function of the library computes.

    Args:
        function: of numbers, written with operations that JAX traces; returns a number or a tuple of numbers.
        name: of the JavaScript function.
        arguments: names of its arguments, one for each of `function`'s.

    Returns:
        Source text, `function name(…){…}`; a tuple becomes an array.

    Raises:
        InvalidArgument: an operation without a counterpart in JavaScript (the message names it), or an array inside.

    Examples:
        >>> print(to_javascript(lambda x, y: x * y + 1.0, "f", ["x", "y"]))
        function f(x,y){return ((x*y)+1);}
    """
    import jax

    if not callable(function):
        raise checks.InvalidArgument("function", "be a function of numbers", f"it is {checks.shown(function)}")
    for word in (name, *checks.listed("arguments", arguments, "a list of names")):
        if not isinstance(word, str) or not _NAME.fullmatch(word):
            raise checks.InvalidArgument("name", "be a name in JavaScript", f"it is {checks.shown(word)}")
    with jax.enable_x64(True):
        closed = jax.make_jaxpr(function)(*[0.5] * len(arguments))
    writer = _Writer()
    results = writer.inline(closed.jaxpr, closed.consts, list(arguments))
    value = results[0] if len(results) == 1 else "[" + ",".join(results) + "]"
    return f"function {name}({','.join(arguments)}){{{writer.text(value)}return {writer.folded(value)};}}"


class _Writer:
    """Collects `const` lines; what is used once is folded into its use."""

    def __init__(self) -> None:
        self._lines: dict[str, str] = {}
        self._names: dict[str, str] = {}

    def inline(self, jaxpr: Any, constants: Sequence[Any], arguments: Sequence[str]) -> list[str]:
        """Write the operations of a jaxpr and return the expressions of its results."""
        known: dict[Any, str] = {}

        def of(atom: Any) -> str:
            return _literal(atom.val) if hasattr(atom, "val") else known[atom]

        known.update(zip(jaxpr.constvars, map(_literal, constants), strict=True))
        known.update(zip(jaxpr.invars, arguments, strict=True))
        for equation in jaxpr.eqns:
            inputs = [of(atom) for atom in equation.invars]
            inner = next((equation.params[key] for key in _CALLS if key in equation.params), None)
            if inner is not None and equation.primitive.name not in ("while", "scan", "cond"):
                body, consts = getattr(inner, "jaxpr", inner), getattr(inner, "consts", ())
                known.update(zip(equation.outvars, self.inline(body, consts, inputs), strict=True))
                continue
            if any(v.aval.size != 1 for v in equation.outvars):
                raise checks.InvalidArgument(
                    "function", "compute with numbers alone", f"{equation.primitive.name} makes an array"
                )
            known[equation.outvars[0]] = self._number(equation, inputs)
        return [of(atom) for atom in jaxpr.outvars]

    def _number(self, equation: Any, inputs: list[Any]) -> Any:
        """Name the result of an operation: an expression, or a pair of them."""
        name = equation.primitive.name
        if name in ("real", "imag"):
            return inputs[0][name == "imag"]
        if equation.outvars[0].aval.dtype.kind != "c" or name in _SAME:
            return self._named(_expression(equation, inputs))
        if name == "complex":
            return tuple(inputs)
        pairs = [x if isinstance(x, tuple) else (x, "0") for x in inputs]
        if name == "convert_element_type":
            return pairs[0]
        if name not in _COMPLEX:
            raise _unknown(name, " of complex numbers")
        parts = dict(zip("abcd", [part for pair in pairs for part in pair], strict=False))
        return tuple(self._named(text.format(**parts)) for text in _COMPLEX[name])

    def _named(self, expression: str) -> str:
        """Give an expression a name; equal expressions share one."""
        if _NAME.fullmatch(expression) or not re.search(r"[A-Za-z$_(]", expression):
            return expression
        if expression not in self._names:
            self._names[expression] = f"v{len(self._names)}"
            self._lines[self._names[expression]] = expression
        return self._names[expression]

    def _uses(self, value: str) -> Counter[str]:
        """How often each name is used by what the result needs."""
        uses: Counter[str] = Counter()
        waiting = [value]
        while waiting:
            for word in _NAME.findall(waiting.pop()):
                if word in self._lines:
                    uses[word] += 1
                    if uses[word] == 1:
                        waiting.append(self._lines[word])
        return uses

    def _fold(self, expression: str, uses: Counter[str]) -> str:
        return _NAME.sub(
            lambda m: self._fold(self._lines[m[0]], uses) if m[0] in self._lines and uses[m[0]] == 1 else m[0],
            expression,
        )

    def text(self, value: str) -> str:
        """Return the `const` lines that a result needs, in order."""
        uses = self._uses(value)
        kept = [(name, line) for name, line in self._lines.items() if uses[name] > 1]
        return "".join(f"const {name}={self._fold(line, uses)};" for name, line in kept)

    def folded(self, value: str) -> str:
        """Return the result's own expression."""
        return self._fold(value, self._uses(value))


def _expression(equation: Any, inputs: list[str]) -> str:
    name = equation.primitive.name
    if name in _OPERATORS:
        return _OPERATORS[name].format(*inputs)
    if name == "square":
        return f"({inputs[0]}*{inputs[0]})"
    if name == "integer_pow":
        power = int(equation.params["y"])
        if 0 < power <= _MOST_FACTORS:
            return "(" + "*".join([inputs[0]] * power) + ")"
        return f"Math.pow({inputs[0]},{power})"
    if name == "rsqrt":
        return f"(1/Math.sqrt({inputs[0]}))"
    if name == "convert_element_type":
        # a truth value that becomes a number; between kinds of numbers JavaScript makes no difference
        return f"(+{inputs[0]})" if equation.invars[0].aval.dtype.kind == "b" else inputs[0]
    if name in _SAME:
        return inputs[0]
    if name == "dot_general":  # of arrays of one number each
        return f"({inputs[0]}*{inputs[1]})"
    raise _unknown(name)


def _unknown(name: str, of: str = "") -> checks.InvalidArgument:
    return checks.InvalidArgument(
        "function", "use operations that JavaScript has", f"it uses {name}{of}", "write it in plain arithmetic"
    )


def _literal(value: Any) -> Any:
    number = value.item() if hasattr(value, "item") else value
    if isinstance(number, complex):
        return _literal(number.real), _literal(number.imag)
    if isinstance(number, bool):
        return "true" if number else "false"
    number = float(number)
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "Infinity" if number > 0 else "(-Infinity)"
    text = repr(int(number)) if number == int(number) and abs(number) < 2**53 else repr(number)
    return text if number >= 0 else f"({text})"
