"""The exceptions that a step may raise, and the answers of a check."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic

import msgspec
from typing_extensions import TypeVar

from sagakit.definition.nesting import check_nesting

R_co = TypeVar("R_co", covariant=True)


class Reject(Exception):
    """A business refusal: the step is known not done, and the saga is undone. `code` and `detail` reach the outcome.

    A detail that JSON cannot hold is kept as its `repr`. Of a detail that is too large, the fields that fit are kept,
    and `not_kept` names the others. In an ExceptionGroup a refusal counts only if all other exceptions are known not
    done, too; otherwise the attempt is unknown. Raises TypeError, ValueError.

    ```python
    raise Reject("card_declined", reason=answer.reason)
    ```
    """

    if not TYPE_CHECKING:  # type checkers know the signature of `__init__`

        def __new__(cls, *given, **detail):
            return _new(Reject, cls, given, detail, "Reject('sold_out', sku=sku): the code first, without its name")

    def __init__(self, code: str, /, **detail: object) -> None:
        self.code: str = _text(code, "the code of a Reject", "Reject('not_found', status=404)")
        self.detail: dict[str, object] = detail
        super().__init__(self.code)
        try:
            check_nesting(msgspec.json.encode(detail, enc_hook=repr))
        except Exception as error:  # a repr may raise anything
            raise ValueError(
                f"Reject({self.code!r}): its detail cannot be kept as JSON ({error!r}): say it as text"
            ) from error


class Retry(Exception):
    """A request to be called again: after `after`, or by the retry policy.

    `not_done=True` says that this attempt is known not to have happened. Otherwise its outcome is unknown, and the next
    attempt has the same key. In an ExceptionGroup the longest `after` counts, and `not_done` only if all other
    exceptions are known not done, too. Raises TypeError, ValueError.

    ```python
    raise Retry("the warehouse is closed", after=timedelta(hours=1), not_done=True)
    ```
    """

    if not TYPE_CHECKING:

        def __new__(cls, *given, **options):
            return _new(Retry, cls, given, options, "Retry('closed', after=timedelta(hours=1)): the reason first")

    def __init__(self, reason: str, /, *, after: timedelta | None = None, not_done: bool = False) -> None:
        self.reason: str = _text(reason, "the reason of a Retry", "Retry(str(error))")
        super().__init__(self.reason)
        if after is not None and not isinstance(after, timedelta):
            raise TypeError(f"Retry(after={after!r}): say a timedelta, such as timedelta(seconds=5)")
        self.after: timedelta | None = after
        self.not_done: bool = not_done


def _new(base: Any, cls: Any, given: tuple[Any, ...], named: dict[str, Any], example: str) -> Any:
    """Return a new exception. Raises TypeError unless it was given one text, and all else by name.

    A subclass of the user's with an `__init__` takes what that takes.
    """
    if len(given) != 1 and cls.__init__ is base.__init__:
        told = [*map(repr, given), *(f"{name}={value!r}" for name, value in named.items())]
        raise TypeError(f"{cls.__name__}({', '.join(told)}): write {example}, and all else by name")
    return Exception.__new__(cls, *given)


def _text(given: str, what: str, example: str) -> str:
    """Return the text as a plain `str`: of an enum that is a str, its value. Raises TypeError, ValueError."""
    if not isinstance(given, str):
        raise TypeError(f"{what} is text, not {given!r}: say {example}")
    text = str.__str__(given)
    try:
        text.encode()
    except UnicodeEncodeError:
        escaped = "text.encode(errors='backslashreplace').decode()"
        raise ValueError(
            f"{what} holds half a character, as undecodable file names do: {text!a}: say {escaped}"
        ) from None
    return text


class Done(Generic[R_co]):
    """A check's answer: the action happened, with this result.

    ```python
    @charge.check
    async def charged(self, order: Order, ctx: Context) -> Done[str] | NotDone:
        found = await self.psp.find(ctx.action_key)
        return NotDone() if found is None else Done(found.id)
    ```
    """

    __match_args__ = ("result",)

    def __init__(self, result: R_co) -> None:
        self.result = result


class NotDone:
    """A check's answer: the action did not happen **and no longer can** (P3)."""
