"""`@agent` and `@durable`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec, Protocol, TypeVar, overload
from weakref import WeakKeyDictionary

from golem_sdk.codec.values import encode
from golem_sdk.core.function_type import FunctionType
from golem_sdk.durability import (
    SCOPE,
    Body,
    Session,
    current,
    working_call,
    working_call_async,
)
from golem_sdk.errors import UsageError
from golem_sdk.modules import lasting_name
from golem_sdk.runtime.definitions import AgentDefinition, code_fingerprint, register

__all__ = ["agent", "durable", "durable_cached"]

A = TypeVar("A", bound=Callable[..., Any])
F = TypeVar("F", bound=Callable[..., Any])
P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)


class _Cached(Protocol[P, R_co]):
    """A function whose results are kept."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...

    def cache_clear(self) -> None:
        """Forget what was kept for the running agent."""


@overload
def agent(target: A, /) -> A: ...
@overload
def agent(*, name: str | None = None) -> Callable[[A], A]: ...


def agent(target: Any = None, /, *, name: str | None = None) -> Any:
    """Make a class or a function a durable agent type.

    A class's constructor arguments are an agent's identity; its public methods, sync or async, are its
    invocations. A function's arguments are the identity of an agent that runs once. The class or function
    itself is returned unchanged: called without a runtime it is plain Python.

    Args:
        target: the class or function (left out when ``name`` is given).
        name: the type's name in agent ids and in the store; by default the class's or function's name.

    Raises:
        UsageError: the target cannot be an agent type; the message says why and what to write instead.

    Example:
        >>> from golem_sdk import Runtime, agent
        >>> @agent
        ... class Greeter:
        ...     def __init__(self, name: str) -> None:
        ...         self.name, self.greeted = name, 0
        ...
        ...     def greet(self) -> str:
        ...         self.greeted += 1
        ...         return f"hello {self.name} ({self.greeted})"
        >>> with Runtime.memory() as runtime:
        ...     runtime.get(Greeter, "Ada").greet()
        'hello Ada (1)'
    """
    if target is None:
        return lambda found: agent_type(found, name)
    return agent_type(target, name)


def agent_type(target: Any, name: Any) -> Any:
    """Check and register one agent type; gives it back unchanged."""
    if not (isinstance(target, type) or inspect.isfunction(target)):
        raise UsageError(
            f"@agent goes on a class or a function, not on {target!r};"
            ' with a name it is written @agent(name="...")'
        )
    chosen = name if name is not None else target.__name__
    if not isinstance(chosen, str) or not chosen.isidentifier():
        raise UsageError(
            f"an agent type's name must be a Python identifier, not {chosen!r}; it is part of agent ids"
        )
    _refuse_generators(target)
    methods = _methods(target) if isinstance(target, type) else {target.__name__: _is_async(target)}
    try:
        signature = inspect.signature(target)
    except ValueError as error:
        raise UsageError(f"@agent cannot read the constructor of {target!r}: {error}") from None
    file, code = code_fingerprint(target)
    register(AgentDefinition(chosen, target, signature, methods, file, code))
    return target


def _methods(target: type) -> dict[str, bool]:
    methods = {}
    for name in dir(target):
        if name.startswith("_"):
            continue
        found = inspect.getattr_static(target, name)
        function = found.__func__ if isinstance(found, classmethod | staticmethod) else found
        if inspect.isfunction(function):
            _refuse_generators(function)
            methods[name] = _is_async(function)
    if not methods:
        raise UsageError(f"agent class {target.__qualname__} has no public method to invoke")
    return methods


def _refuse_generators(function: Any) -> None:
    plain = inspect.unwrap(function) if inspect.isfunction(function) else function
    if inspect.isgeneratorfunction(plain) or inspect.isasyncgenfunction(plain):
        raise UsageError(
            f"{function.__qualname__} is a generator: its items could not be recorded as one result;"
            " return a list instead"
        )


def _is_async(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(function)


@overload
def durable(target: F, /) -> F: ...
@overload
def durable(
    *, function_type: FunctionType = FunctionType.WRITE_REMOTE, name: str | None = None
) -> Callable[[F], F]: ...


def durable(
    target: Any = None,
    /,
    *,
    function_type: FunctionType = FunctionType.WRITE_REMOTE,
    name: str | None = None,
) -> Any:
    """Mark a function as one side effect: inside an agent each call of it is one durable call.

    Its arguments and its result (or exception) are recorded; on replay the function is not run and gives
    what was recorded. Nothing inside it is recorded by itself. Outside agents it is plain Python. Works on
    functions, methods, class and static methods, sync and async. A method's ``self`` is not recorded.

    Args:
        target: the function or method (left out when options are given).
        function_type: what kind of side effect; decides what is committed before and after it.
        name: the name under which calls are recorded, by default module and qualified name.

    Raises:
        UsageError: the target is no function, or a generator.

    Example:
        >>> from golem_sdk import FunctionType, Runtime, agent, durable
        >>> @durable(function_type=FunctionType.READ_REMOTE)
        ... def price(item: str) -> int:
        ...     return {"tea": 3}[item]
        >>> @agent
        ... def bill(item: str) -> int:
        ...     return price(item) * 2
        >>> with Runtime.memory() as runtime:
        ...     runtime.run(bill, "tea")
        6
    """
    if target is None:
        return lambda found: _durable(found, function_type, name)
    return _durable(target, function_type, name)


def _durable(target: Any, function_type: FunctionType, name: str | None) -> Any:
    if not isinstance(function_type, FunctionType):
        raise UsageError(f"function_type must be a FunctionType, not {function_type!r}")
    if isinstance(target, classmethod | staticmethod):
        return type(target)(_durable(target.__func__, function_type, name))
    if not inspect.isfunction(target):
        raise UsageError(
            f"@durable goes on a function or method, not on {target!r}"
            " (to make a class durable, use @agent)"
        )
    _refuse_generators(target)
    call = _Call(target, name or f"{lasting_name(target.__module__)}.{target.__qualname__}")
    if _is_async(target):

        @functools.wraps(target)
        async def perform_async(*args: Any, **kwargs: Any) -> Any:
            session = current()
            if session is None:
                return await target(*args, **kwargs)
            request = call.request(args, kwargs)
            body = functools.partial(_body_async, target, args, kwargs)
            return await working_call_async(session, call.name, function_type, request, body)

        return perform_async

    @functools.wraps(target)
    def perform(*args: Any, **kwargs: Any) -> Any:
        session = current()
        if session is None:
            return target(*args, **kwargs)
        request = call.request(args, kwargs)

        def body() -> Any:
            with Body():
                return target(*args, **kwargs)

        return working_call(session, call.name, function_type, request, body)

    return perform


async def _body_async(
    target: Callable[..., Awaitable[Any]], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    with Body():
        return await target(*args, **kwargs)


class _Call:
    """What is recorded of a call to one durable function."""

    def __init__(self, target: Callable[..., Any], name: str) -> None:
        if not name:
            raise UsageError("the name of a durable function must not be empty")
        self.name = name
        self._skipped = int(_takes_owner(target))

    def request(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> object:
        """Positional and keyword arguments without ``self``."""
        return [list(args[self._skipped :]), kwargs]


def _takes_owner(target: Callable[..., Any]) -> bool:
    """Whether a function is a method, which is given its object or class first."""
    parameters = list(inspect.signature(target).parameters)
    local_name = target.__qualname__.rpartition("<locals>.")[2]
    return "." in local_name and parameters[:1] in (["self"], ["cls"])


@overload
def durable_cached(target: Callable[P, R_co], /) -> _Cached[P, R_co]: ...
@overload
def durable_cached(
    *,
    function_type: FunctionType = FunctionType.READ_REMOTE,
    name: str | None = None,
    maxsize: int | None = 128,
) -> Callable[[Callable[P, R_co]], _Cached[P, R_co]]: ...


def durable_cached(
    target: Any = None,
    /,
    *,
    function_type: FunctionType = FunctionType.READ_REMOTE,
    name: str | None = None,
    maxsize: int | None = 128,
) -> Any:
    """Mark a function as one side effect whose result each agent keeps: tokens, price lists, lists of tools.

    As with `durable`, a call is one durable call; but only the first with these arguments in each agent. The
    later ones give what that gave, until it is forgotten. Replay repeats all this, whereas a cache of the
    process (`functools.cache`, a global dict) would be filled by one agent and found full by the next, whose
    replay in another process would then make other calls than were recorded.

    Exceptions are not kept. Arguments are the same if they are stored alike: ``1`` and ``1.0`` are two.
    Results are shared by all calls of the agent: do not change them. Outside agents, and where nothing is
    recorded (`persistence_level`), nothing is kept. ``cache_clear()`` of the function forgets what was kept
    for the running agent, say when a token was refused.

    Args:
        target: the function, sync or async (left out when options are given). Not a method: different
            objects would share their results.
        function_type: what kind of side effect; decides what is committed before and after it.
        name: the name under which calls are recorded, by default module and qualified name.
        maxsize: how many results are kept for each agent; the one that was used longest ago goes first.
            ``None``: all.

    Raises:
        UsageError: the target is no function, or a method or generator; or ``maxsize`` is out of range.

    Example:
        >>> from golem_sdk import Runtime, agent, durable_cached
        >>> @durable_cached
        ... def token(host: str) -> str:
        ...     print("asked", host)
        ...     return f"secret of {host}"
        >>> @agent
        ... def client(host: str) -> list[str]:
        ...     return [token(host), token(host)]
        >>> with Runtime.memory() as runtime:
        ...     runtime.run(client, "shop")
        asked shop
        ['secret of shop', 'secret of shop']
    """
    if target is None:
        return lambda found: _durable_cached(found, function_type, name, maxsize)
    return _durable_cached(target, function_type, name, maxsize)


def _durable_cached(
    target: Any, function_type: FunctionType, name: str | None, maxsize: Any
) -> Any:
    if not inspect.isfunction(target) or _takes_owner(target):
        raise UsageError(
            f"@durable_cached goes on a function, not on {target!r}; of a method, whose objects would share"
            " their results, make a function that is given what it needs"
        )
    perform, kept = _durable(target, function_type, name), _Kept(function_type, maxsize)
    if _is_async(target):

        @functools.wraps(target)
        async def look_up_async(*args: Any, **kwargs: Any) -> Any:
            found = kept.of_agent()
            if found is None:
                return await perform(*args, **kwargs)
            key = _key(args, kwargs)
            if key not in found:
                kept.keep(found, key, await perform(*args, **kwargs))
            return kept.used(found, key)

        function: Any = look_up_async
    else:

        @functools.wraps(target)
        def look_up(*args: Any, **kwargs: Any) -> Any:
            found = kept.of_agent()
            if found is None:
                return perform(*args, **kwargs)
            key = _key(args, kwargs)
            if key not in found:
                kept.keep(found, key, perform(*args, **kwargs))
            return kept.used(found, key)

        function = look_up
    function.cache_clear = kept.clear
    return function


class _Kept:
    """The results of one function, for each agent that is loaded: replay comes by all of them again."""

    def __init__(self, function_type: FunctionType, maxsize: Any) -> None:
        if maxsize is not None and (not isinstance(maxsize, int) or maxsize < 1):
            raise UsageError(f"maxsize is a whole number from 1, or None: all; not {maxsize!r}")
        self._function_type = function_type
        self._maxsize: int | None = maxsize
        self._by_session: WeakKeyDictionary[Session, dict[bytes, Any]] = WeakKeyDictionary()

    def of_agent(self) -> dict[bytes, Any] | None:
        """Of the running agent; ``None``: not in one, or replay would not come by this call."""
        session, scope = current(), SCOPE.get()
        if session is None or scope.zone or scope.skips(self._function_type):
            return None
        return self._by_session.setdefault(session, {})

    def keep(self, found: dict[bytes, Any], key: bytes, value: Any) -> None:
        """Keep a result; the one that was used longest ago may have to go."""
        found[key] = value
        if self._maxsize is not None and len(found) > self._maxsize:
            del found[next(iter(found))]

    def used(self, found: dict[bytes, Any], key: bytes) -> Any:
        """A result that is kept, which now is the one used last."""
        value = found[key] = found.pop(key)
        return value

    def clear(self) -> None:
        """Forget the results of the running agent."""
        found = self.of_agent()
        if found is not None:
            found.clear()


def _key(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
    return encode([list(args), [[name, kwargs[name]] for name in sorted(kwargs)]])
