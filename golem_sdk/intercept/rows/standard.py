"""Clocks, entropy, output and threads of Python itself."""

from __future__ import annotations

from golem_sdk.intercept.interceptor import Interceptor, Replaced, Treatment

__all__ = ["STANDARD"]

STANDARD = (
    Interceptor(
        name="clock",
        adapters={"time": "golem_sdk.intercept.clock:time_patches"},
        replaces=(
            Replaced(
                "time",
                "time time_ns monotonic monotonic_ns perf_counter perf_counter_ns process_time"
                " process_time_ns thread_time thread_time_ns clock_gettime clock_gettime_ns"
                " localtime gmtime ctime asctime strftime",
                Treatment.READ_LOCAL,
            ),
            Replaced("time", "sleep", Treatment.TIMER),
        ),
        limits="`localtime` to `strftime` are recorded where they mean now; the local time zone itself is "
        "not (run with the same `TZ`), nor are `os.times` and clocks of compiled libraries",
    ),
    Interceptor(
        name="dates",
        adapters={"datetime": "golem_sdk.intercept.dates:datetime_patches"},
        replaces=(Replaced("datetime.datetime", "now utcnow", Treatment.READ_LOCAL),),
        limits="`today` follows `time.time`; not `now = datetime.now` bound before the first runtime was "
        "opened, nor interpreters other than CPython",
    ),
    Interceptor(
        name="libraries",
        limits="clocks inside HTTP clients, `logging`, `tenacity` and the like show the agent's logical "
        "time, those of `asyncio`, `threading`, `queue`, `socket` and the like the real one (but where an "
        "agent's threads wait for each other, logical time); neither is recorded",
    ),
    Interceptor(
        name="entropy",
        adapters={
            "os": "golem_sdk.intercept.entropy:os_patches",
            "random": "golem_sdk.intercept.entropy:random_patches",
            "tempfile": "golem_sdk.intercept.entropy:tempfile_patches",
            "uuid": "golem_sdk.intercept.entropy:uuid_patches",
        },
        replaces=(
            Replaced("os", "urandom getrandom", Treatment.READ_LOCAL),
            Replaced(
                "random",
                "random uniform triangular randint choice randrange sample shuffle choices"
                " normalvariate lognormvariate expovariate vonmisesvariate gammavariate gauss"
                " betavariate binomialvariate paretovariate weibullvariate getrandbits randbytes"
                " seed getstate setstate",
                Treatment.SEEDED,
            ),
            Replaced("random.Random", "seed", Treatment.READ_LOCAL),
            Replaced("uuid", "uuid1", Treatment.READ_LOCAL),
            Replaced("tempfile", "_Random", Treatment.PASSED_ON),
        ),
        limits="`secrets`, `SystemRandom` and `uuid4` end in `os.urandom`; random secrets are in the oplog. "
        "Not `/dev/urandom` opened as a file, nor generators of compiled libraries",
    ),
    Interceptor(
        name="output",
        adapters={
            "builtins": "golem_sdk.intercept.output:print_patches",
            "logging": "golem_sdk.intercept.output:logging_patches",
        },
        replaces=(
            Replaced("builtins", "print", Treatment.LOGGED),
            Replaced("logging.Logger", "callHandlers", Treatment.LOGGED),
        ),
        limits="shown once, not again on replay; not `sys.stdout.write`, nor `print(file=...)` to anything "
        "but a standard stream",
    ),
    Interceptor(
        name="threads",
        version=3,
        adapters={
            "asyncio": "golem_sdk.intercept.threads:task_patches",
            "concurrent.futures.process": "golem_sdk.intercept.threads:process_pool_patches",
            "concurrent.futures.thread": "golem_sdk.intercept.threads:thread_pool_patches",
            "multiprocessing.pool": "golem_sdk.intercept.threads:old_pool_patches",
            "multiprocessing.process": "golem_sdk.intercept.threads:process_patches",
            "os": "golem_sdk.intercept.threads:fork_patches",
            "threading": "golem_sdk.intercept.threads:thread_patches",
        },
        replaces=(
            Replaced("threading.Thread", "__init__ start join is_alive", Treatment.BY_LOOP),
            Replaced(
                "concurrent.futures.thread.ThreadPoolExecutor", "submit shutdown", Treatment.BY_LOOP
            ),
            Replaced(
                "concurrent.futures.thread.ThreadPoolExecutor", "__init__", Treatment.READ_LOCAL
            ),
            Replaced("concurrent.futures.process.ProcessPoolExecutor", "submit", Treatment.REFUSED),
            Replaced("multiprocessing.pool.ThreadPool", "__init__", Treatment.REFUSED),
            Replaced("multiprocessing.process.BaseProcess", "start", Treatment.REFUSED),
            Replaced("os", "fork forkpty", Treatment.REFUSED),
            Replaced("asyncio", "as_completed all_tasks to_thread", Treatment.BY_LOOP),
        ),
        limits="one thread of an agent runs at a time, and another goes on when it waits; at its end an "
        "invocation waits for its threads, and ends daemons. Thread pools without `initializer`; how many "
        "threads one has by default is recorded, if agent code makes it. Not `_thread.start_new_thread`, nor "
        "threads of compiled libraries",
    ),
    Interceptor(
        name="locks",
        adapters={"threading": "golem_sdk.intercept.locks:lock_patches"},
        replaces=(
            Replaced("threading", "Lock RLock", Treatment.BY_LOOP),
            Replaced("threading.Condition", "wait", Treatment.BY_LOOP),
        ),
        limits="those that agent code makes, and with them its conditions, events, semaphores, barriers, "
        "queues and futures; threads that wait for each other for ever get a `UsageError`. For what was made "
        "outside agents, and `queue.SimpleQueue`, the whole agent waits; if that lasts, the log says where",
    ),
    Interceptor(
        name="timers",
        version=2,
        adapters={"threading": "golem_sdk.intercept.threads:timer_patches"},
        replaces=(Replaced("threading.Timer", "__init__", Treatment.TIMER),),
        limits="the invocation waits for those that are not cancelled",
    ),
    Interceptor(
        name="imports",
        replaces=(Replaced("importlib._bootstrap", "_find_and_load", Treatment.PASSED_ON),),
        limits="what a module does while it is imported is not recorded, nor are finalisers that the "
        "garbage collector runs; `importlib.reload` is agent code",
    ),
)
