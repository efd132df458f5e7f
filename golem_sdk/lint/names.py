"""Functions whose effects are not journaled, by their dotted names. What is intercepted is taken out."""

from __future__ import annotations

import sys

from golem_sdk.intercept.interceptor import PYTHON, Treatment
from golem_sdk.intercept.table import TABLE

__all__ = [
    "CLOCKS",
    "COMPILED",
    "DRAWS",
    "FILE_READS",
    "FILE_WRITES",
    "NETWORK",
    "PROCESSES",
    "THREADS",
    "UNCOVERED",
    "is_recorded",
    "words",
]

_JOURNALED = frozenset(Treatment) - {Treatment.REFUSED, Treatment.PASSED_ON}
_RECORDED = {
    function
    for row in TABLE
    for replaced in row.replaces
    if _JOURNALED.intersection(replaced.treatments)
    for function in replaced.functions
}
_LIBRARIES = {row.library for row in TABLE} - {PYTHON}
_CLIENTS = frozenset({"http.client", "sqlite3", "subprocess", "urllib.request", "xmlrpc.client"})
_ENDS_IN = {
    "concurrent.futures.ProcessPoolExecutor": "concurrent.futures.process.ProcessPoolExecutor.submit",
    "multiprocessing.Process": "multiprocessing.process.BaseProcess.start",
}
"""What is intercepted of a class."""


def is_recorded(name: str) -> bool:
    """Whether a call by this dotted name is a durable call, or makes some."""
    module = name.rpartition(".")[0]
    return name in _RECORDED or module in _CLIENTS or name.partition(".")[0] in _LIBRARIES


def words(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


def _left(text: str) -> frozenset[str]:
    """The names of which nothing is recorded; ``os: remove mkdir`` are two."""
    found: set[str] = set()
    for line in text.strip().splitlines():
        module, _, names = line.partition(":")
        found |= {f"{module.strip()}.{name}" for name in names.split()}
    return frozenset(
        name
        for name in found
        if _ENDS_IN.get(name, name) not in _RECORDED and name.partition(".")[0] not in _LIBRARIES
    )


CLOCKS = _left("""
    os: times
    pandas.Timestamp: now today utcnow
    pendulum: now today tomorrow yesterday
    resource: getrusage
    signal: alarm setitimer
    whenever.Instant: now
    whenever.ZonedDateTime: now_in_system_tz
""")

DRAWS = _left("""
    nacl.utils: random
    ssl: RAND_bytes
    tensorflow.random: normal uniform shuffle
    torch: bernoulli multinomial normal rand randint randn randperm
""")

FILE_WRITES = _left("""
    mmap: mmap
    os: copy_file_range fchmod fchown ftruncate posix_fallocate pwrite pwritev sendfile splice write writev
""")

FILE_READS = _left("""
    linecache: getline getlines
    os: fstat pread preadv read readv
    shutil: disk_usage
""")

NETWORK = _left("""
    asyncio: start_server start_unix_server
    confluent_kafka: Consumer Producer
    ftplib: FTP FTP_TLS
    grpc: insecure_channel secure_channel
    imaplib: IMAP4 IMAP4_SSL
    kafka: KafkaConsumer KafkaProducer
    motor.motor_asyncio: AsyncIOMotorClient
    mysql.connector: connect
    paramiko: SSHClient
    pika: BlockingConnection
    poplib: POP3 POP3_SSL
    psycopg2: connect
    pymongo: MongoClient
    pymysql: connect
    smtplib: SMTP SMTP_SSL
    socket: create_connection create_server getaddrinfo gethostbyname socket socketpair
    websocket: WebSocket create_connection
    websockets: connect
    websockets.sync.client: connect
""")

UNCOVERED = sorted({name.partition(".")[0] for name in NETWORK} - sys.stdlib_module_names)
"""Packages of other libraries that talk to the outside past every interceptor."""

PROCESSES = _left("""
    multiprocessing: Pool Process
    os: execl execle execlp execv execve execvp execvpe fork forkpty posix_spawn posix_spawnp spawnl spawnle
    os: spawnlp spawnv spawnve spawnvp startfile waitpid
    pty: fork spawn
    concurrent.futures: ProcessPoolExecutor
""")

THREADS = _left("""
    _thread: start_new_thread
""")

COMPILED = _left("""
    cffi: FFI
    ctypes: CDLL PyDLL
    ctypes.cdll: LoadLibrary
""")
