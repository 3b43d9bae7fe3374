#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Recordings of trace events for Python, and as text.

As a program it prints a recording, a line a record, as QEMU's script of the same name does:

    simpletrace.py [--no-header] <trace-events> <trace-file>

As a module it hands the records to an analyser:

    import simpletrace

    class States(simpletrace.Analyzer2):
        def begin(self):
            self.count = 0
        def runstate_set(self, current_state, current_name, new_state, new_name, *, timestamp_ns):
            print(timestamp_ns, current_name, "->", new_name)
        def catchall(self, *args, event, timestamp_ns, pid, event_id):
            self.count += 1
        def end(self):
            print(self.count, "other records")

    simpletrace.run(States())          # takes the arguments of the program

Whatever `vitrine-trace` reads can be read: the simple format of every release of QEMU (versions 0,
2, 3 and 4), CTF directories, flight recordings, all of them compressed with zstd too. `vitrine-trace`
does the reading, in a process of its own that sends pickles of records through a pipe (`vitrine-trace
convert --to pickle`). It is the one that VITRINE_TRACE in the environment names, else the one that
belongs to the tree or the installation this file is in, else the first on PATH.

Needs Python 3.9 and nothing beside its library.
"""

import contextlib
import functools
import inspect
import io
import os
import pickle
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import warnings

__all__ = ["Analyzer", "Analyzer2", "Event", "TraceError", "process", "run"]

STREAM_VERSION = 1  # of what `vitrine-trace convert --to pickle` writes
READ_SIZE = 1 << 20
HEADER_ID = 0xffffffffffffffff
HEADER_MAGIC = 0xf2b177cb0aa429b4
NAMES_SIZE = 64 << 10  # of --event: one argument may not be much longer
LOST = "Dropped_Event"


class TraceError(ValueError):
    """A recording or its declarations cannot be read. str() is the sentence to show; where QEMU's
    script had one for the case, its first line is that."""


class Event:
    """A declared event, as an analyser sees it."""

    def __init__(self, name, args=(), fmt="", properties=()):
        self.name = name
        self.args = list(args)  # pairs of a type and a name
        self.fmt = fmt  # a C string literal
        self.properties = list(properties)  # of "disable", "vcpu", "tcg"

    def __repr__(self):
        args = ", ".join(kind + ("" if kind.endswith("*") else " ") + name for kind, name in self.args)
        return f"<Event {self.name}({args or 'void'})>"


# --- analysers

class Analyzer:
    """Derive from this and add methods. A method with the name of an event is called for each of its
    records, with the arguments of the record; if it has one positional parameter more, the timestamp
    comes first, if it has two more, timestamp and pid come first. Records of all other events go to
    catchall(). Timestamps are in nanoseconds; strings are bytes."""

    _depth = 0

    def begin(self):
        """Called before the first record."""

    def catchall(self, event, rec):
        """Called for a record whose event has no method. rec is (event name, timestamp, pid,
        argument, ...); for lost events its first item is "dropped"."""

    def end(self):
        """Called behind the last record; not after an error."""

    # Entering it begins the work, unless it is entered already: process() may be called in the body
    # of a with statement.
    def __enter__(self):
        self._depth += 1
        if self._depth == 1:
            self.begin()
        return self

    def __exit__(self, kind, error, traceback):
        self._depth -= 1
        if self._depth == 0 and kind is None:
            self.end()
        return False


class Analyzer2(Analyzer):
    """As Analyzer, but methods get only the arguments of the record by position. The rest comes by
    keyword, to whatever method has the keyword: `event`, an object with name, args, fmt and
    properties; `event_id`, the name of the event; `timestamp_ns`; `pid`."""

    def catchall(self, *rec_args, event, timestamp_ns, pid, event_id):
        """Called for a record whose event has no method."""


_KEYWORDS = {"event": "event", "event_id": "event.name", "timestamp_ns": "rec[1]", "pid": "rec[2]"}


def _ignore(rec):
    pass


def _signature(method):
    """The signature of a bound method, or None where Python does not know it."""
    try:
        return inspect.signature(method)
    except (TypeError, ValueError):
        return None


def _positional(signature):
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [p for p in signature.parameters.values() if p.kind in kinds]


def _keyword_names(signature, nargs):
    """Those of _KEYWORDS that a method takes behind nargs positional arguments."""
    positional = _positional(signature)
    first = [p.name for p in positional[:nargs] if p.kind is p.POSITIONAL_OR_KEYWORD]
    other = [p.name for p in positional[nargs:] if p.kind is p.POSITIONAL_OR_KEYWORD]
    other += [p.name for p in signature.parameters.values() if p.kind is p.KEYWORD_ONLY]
    if any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values()):
        other += [word for word in _KEYWORDS if word not in first]
    return [word for word in _KEYWORDS if word in other]


def _check(signature, method, event, nargs, words, wanted):
    """Complains about a method that cannot be called so, before its first record."""
    try:
        signature.bind(*[None] * nargs, **dict.fromkeys(words))
    except TypeError as error:
        name = getattr(method, "__qualname__", event.name)
        raise TypeError(f"{name}() does not fit the event: expected {wanted}; {error}") from None


def _call(expression, **names):
    """A function of a record made of an expression of ours; nothing foreign is in it. Faster than a
    closure that decides anew for each record."""
    return eval("lambda rec: " + expression, {"__builtins__": {}, **names})  # pylint: disable=eval-used


class _Calls:
    """How records reach an analyser of the older kind."""

    base = Analyzer

    def __init__(self, analyzer):
        self.analyzer = analyzer
        self.silent = getattr(analyzer.catchall, "__func__", None) is self.base.catchall

    def of(self, event, nargs):
        """What to call with each record of an event."""
        method = None
        if not hasattr(self.base, event.name):
            method = getattr(self.analyzer, event.name, None)
        if callable(method):
            return self.method(method, event, nargs)
        return _ignore if self.silent else self.catchall(event, nargs)

    def catchall(self, event, nargs):  # pylint: disable=unused-argument
        if event.name == LOST:
            return _call("fn(event, ('dropped',) + rec[1:])", fn=self.analyzer.catchall, event=event)
        return functools.partial(self.analyzer.catchall, event)

    def method(self, method, event, nargs):
        signature = _signature(method)
        count = nargs if signature is None else len(_positional(signature))
        if count == nargs + 2:
            return _call("fn(*rec[1:])", fn=method)
        if count == nargs + 1:
            return _call("fn(rec[1], *rec[3:])", fn=method)
        if signature is not None:
            _check(signature, method, event, nargs, (),
                   f"{nargs} positional parameters, {nargs + 1} (the timestamp first) or {nargs + 2} "
                   "(timestamp and pid first)")
        return _call("fn(*rec[3:])", fn=method)

    def wanted(self):
        """The names of all events that can make a difference, for `--event`; None: any may."""
        analyzer = self.analyzer
        if not self.silent or hasattr(analyzer, "__getattr__"):
            return None
        names = [name for name in dir(analyzer) if not hasattr(self.base, name) and name.isascii()]
        text = ",".join(names) or "-"  # which is no event's name
        return text if len(text) <= NAMES_SIZE else None


class _Calls2(_Calls):
    """The same for an Analyzer2."""

    base = Analyzer2

    def catchall(self, event, nargs):
        return self.method(self.analyzer.catchall, event, nargs)

    def method(self, method, event, nargs):
        signature = _signature(method)
        words = list(_KEYWORDS)
        if signature is not None:
            words = _keyword_names(signature, nargs)
            _check(signature, method, event, nargs, words,
                   f"{nargs} positional parameters and, by keyword, any of {', '.join(_KEYWORDS)}")
        given = "".join(f", {word}={_KEYWORDS[word]}" for word in words)
        return _call(f"fn(*rec[3:]{given})", fn=method, event=event)


# --- the reader

def _is_path(thing):
    return isinstance(thing, (str, bytes, os.PathLike))


def _exists(thing):
    """Raises FileNotFoundError for the path of nothing."""
    if _is_path(thing) and os.fsdecode(thing) != "-":
        os.stat(thing)


def _is_program(path):
    return os.path.isfile(path) and os.access(path, os.X_OK)


def _find_reader():
    """The path of vitrine-trace."""
    named = os.environ.get("VITRINE_TRACE")
    if named:
        return named
    here = os.path.dirname(os.path.realpath(__file__))
    places = [
        os.path.join(here, "..", "bin"),
        here,
        os.path.join(here, "..", "build"),
        os.path.join(here, "..", "..", "..", "bin"),  # from lib/python3.11/site-packages
    ]
    for place in places:
        path = os.path.join(place, "vitrine-trace")
        if _is_program(path):
            return path
    path = shutil.which("vitrine-trace")
    if path is None:
        raise TraceError("vitrine-trace, which reads the recordings, was not found beside "
                         f"{__file__} nor on PATH: install it, or name it in VITRINE_TRACE")
    return path


# What QEMU's script said, by the sentence of our reader: a pattern and a function of its match.
_SENTENCES = (
    (r"the recording ends inside its header|not a recording: .*; found (?!(?:[0-9a-f]{2} ){7})",
     lambda m: "Error reading header. Wrong filetype provided?"),
    (r"not a recording: .*; found ((?:[0-9a-f]{2} ?){8})",
     lambda m: f"Not a valid trace file, header id {int.from_bytes(bytes.fromhex(m[1]), sys.byteorder)}"
               f" != {HEADER_ID}"),
    (r"expected the magic number 0x\w+ .*, found 0x(\w+)",
     lambda m: f"Not a valid trace file, header magic {int(m[1], 16)} != {HEADER_MAGIC}"),
    (r"expected version .* of the simple format, found (\d+)",
     lambda m: f"Unknown version {m[1]} of tracelog format!"),
    (r"at byte \d+: event '(.*?)' is logged but not declared in ",
     lambda m: f"'{m[1]}' event is logged but is not declared in the trace events file, try using "
               "trace-events-all instead."),
)


class _Reader:
    """vitrine-trace at work on one recording. A context manager: leaving it ends the process."""

    def __init__(self, events, log, read_header, to, event=None, stdout=subprocess.PIPE):
        self.stack = contextlib.ExitStack()
        self.names = {}  # what our sentences call a file: what the caller does
        self.feed_error = None
        try:
            self.start(events, log, read_header, to, event, stdout)
        except BaseException:
            self.stack.close()
            raise

    def start(self, events, log, read_header, to, event, stdout):
        command = [_find_reader(), "convert", "--to", to]
        if not read_header:
            command += ["--no-header"]
        if event is not None:
            command += ["--event", event]
        if events is not None:
            command += ["--events=" + self.events_path(events)]
        path, stdin = self.log_path(log)
        command += ["--", path]
        self.messages = self.stack.enter_context(tempfile.TemporaryFile())
        try:
            self.process = subprocess.Popen(command, stdin=stdin, stdout=stdout, stderr=self.messages)
        except OSError as error:
            raise TraceError(f"{command[0]}, which reads the recordings, cannot be run: "
                             f"{error.strerror}") from None
        self.stack.callback(self.stop)
        self.feeder = None
        if stdin == subprocess.PIPE:
            self.feeder = threading.Thread(target=self.feed, args=(log,), daemon=True)
            self.feeder.start()

    # Declarations

    def events_path(self, events):
        if _is_path(events):
            return os.fsdecode(events)
        if hasattr(events, "read"):
            text = events.read()
            name = getattr(events, "name", None)
            name = name if isinstance(name, str) else "the trace events file"
        else:
            text = "".join(map(_declaration, events))
            name = "the list of events"
        if isinstance(text, str):
            text = text.encode(errors="surrogateescape")
        file = self.stack.enter_context(tempfile.NamedTemporaryFile(suffix=".events"))
        file.write(text)
        file.flush()
        self.names[file.name] = name
        return file.name

    # The recording

    def log_path(self, log):
        """What to name on the command line, and the standard input that goes with it."""
        if _is_path(log):
            path = os.fsdecode(log)
            return path, None if path == "-" else subprocess.DEVNULL
        name = getattr(log, "name", None)
        self.names["standard input"] = name if isinstance(name, str) else "the trace file"
        if isinstance(log, io.TextIOBase):
            raise TypeError("the trace file has to be opened in binary mode: open(path, 'rb')")
        # A plain file is handed over; what comes through anything else is sent on. Only these two
        # are known to show the bytes of their descriptor.
        if type(log) in (io.BufferedReader, io.FileIO) and stat.S_ISREG(os.fstat(log.fileno()).st_mode):
            position = log.tell()
            os.lseek(log.fileno(), position, os.SEEK_SET)
            self.stack.callback(_to_end, log)
            return "-", log.fileno()
        return "-", subprocess.PIPE

    def feed(self, log):
        """Sends the bytes of `log` on: a thread of its own."""
        read = getattr(log, "read1", log.read)
        try:
            while True:
                part = read(READ_SIZE)
                if not part:
                    break
                self.process.stdin.write(part)
                self.process.stdin.flush()
        except BrokenPipeError:
            pass  # the reader needs no more; its status tells whether it is content
        except BaseException as error:  # pylint: disable=broad-except
            self.feed_error = error
        finally:
            with contextlib.suppress(OSError):
                self.process.stdin.close()

    # The end

    def finish(self):
        """Waits for the end of the process; raises what was wrong."""
        status = self.process.wait()
        if status == 0 and self.feeder:
            self.feeder.join()
        if self.feed_error:
            raise self.feed_error
        if status != 0:
            raise TraceError(self.complaint(status))

    def complaint(self, status):
        self.messages.seek(0)
        text = self.messages.read().decode(errors="replace")
        lines = [re.sub(r"^vitrine-trace convert: ", "", line) for line in text.splitlines()
                 if not line.startswith("'vitrine-trace convert --help'")]
        # What follows is an option of vitrine-trace.
        text = re.sub(r"; name the [^;\n]* with --events", "", "\n".join(lines))
        for ours, name in self.names.items():
            text = text.replace(ours, name)
        if status < 0:
            lines = [text] if text else []
            return "\n".join(lines + ["vitrine-trace, which reads the recording, was ended by "
                                      f"{signal.Signals(-status).name}"])
        for pattern, sentence in _SENTENCES:
            match = re.search(pattern, text)
            if match:
                return sentence(match) + "\n" + text
        return text or f"vitrine-trace, which reads the recording, ended with status {status}"

    def stop(self):
        if self.process.stdout:
            self.process.stdout.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.stack.close()
        return False


def _to_end(file):
    """The file was read behind Python's back; leaves it as if it had been read here."""
    with contextlib.suppress(OSError, ValueError):
        file.seek(0, os.SEEK_END)


def _literal(text):
    """A C string literal."""
    text = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + text.replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r") + '"'


def _declaration(event):
    """An object with name and args as a line of a trace-events file."""
    args = ", ".join(f"{kind} {name}" for kind, name in event.args) or "void"
    fmt = getattr(event, "fmt", "") or ""
    if not fmt.startswith('"'):
        fmt = _literal(fmt)
    line = "".join(p + " " for p in getattr(event, "properties", None) or ())
    line += f"{event.name}({args}) {fmt}"
    if "\n" in line or "\r" in line:
        raise TraceError(f"the declaration of event {event.name!r} is more than a line")
    return line + "\n"


class _Unpickler(pickle.Unpickler):
    """The stream holds nothing but numbers, texts, lists, tuples and a dict."""

    def find_class(self, module_name, global_name):
        raise pickle.UnpicklingError(f"found {module_name}.{global_name}")


def _load(reader):
    """The next object of the stream; EOFError at its end."""
    stream = reader.process.stdout
    try:
        return _Unpickler(stream).load()
    except EOFError:
        raise
    except Exception as error:  # pylint: disable=broad-except # damaged pickles raise all sorts
        if not stream.read(1):
            reader.finish()  # it ended in the middle of its work and may have said why
        raise TraceError(f"{reader.process.args[0]} does not send what {__file__} reads: "
                         f"{error}") from None


def _batches(reader):
    """What vitrine-trace sends: lists of new events, event numbers and records."""
    head = None
    with contextlib.suppress(EOFError):
        head = _load(reader)
        version = head.get("version") if isinstance(head, dict) else None
        if version != STREAM_VERSION:
            raise TraceError(f"{reader.process.args[0]} is of another release than {__file__}: "
                             f"expected version {STREAM_VERSION} of its records, found {version}")
        while True:
            yield _load(reader)
    reader.finish()
    if head is None:
        raise TraceError(f"{reader.process.args[0]} sent nothing: it is no vitrine-trace")


# --- what users call

def process(events, log, analyzer, read_header=True):
    """Reads a recording and calls the methods of an analyser, begin() and end() included.

    events       the declarations: the path of a trace-events file, an open one, or a list of objects
                 with name and args; None takes those beside the recording or the installed ones
    log          the path of the recording, or an open file; "-" is standard input
    read_header  False: the recording has no header, its event numbers are positions in `events`

    Raises TraceError for what cannot be read, after the records before the damage."""
    for path in (events, log):
        _exists(path)
    newer = isinstance(analyzer, Analyzer2)
    if not newer:
        # Shown only to those who ask for it (-W default): the older kind goes on working.
        warnings.warn("Analyzer is the older interface, Analyzer2 is the newer one",
                      DeprecationWarning, stacklevel=1)
    given = {}
    if not (events is None or _is_path(events) or hasattr(events, "read")):
        events = list(events)
        given = {event.name: event for event in events}
    calls = (_Calls2 if newer else _Calls)(analyzer)
    with _entered(analyzer):
        with _Reader(events, log, read_header, "pickle", calls.wanted()) as reader:
            _dispatch(_batches(reader), calls, given)


@contextlib.contextmanager
def _entered(analyzer):
    """`with analyzer`, also for a class that has only the methods of Analyzer."""
    if hasattr(analyzer, "__enter__"):
        with analyzer:
            yield
    else:
        analyzer.begin()
        yield
        analyzer.end()


def _dispatch(batches, calls, given):
    known = []  # events, by their numbers
    call = []  # what to call for each; None until its first record

    for events, numbers, records in batches:
        for name, args, fmt, properties in events:
            known.append((given.get(name) or Event(name, args, _literal(fmt), properties), len(args)))
            call.append(calls.of(*known[-1]))
        for function, rec in zip(map(call.__getitem__, numbers), records):
            function(rec)


def _arguments():
    """The arguments of the program: declarations, recording, whether it has a header."""
    args = sys.argv[1:]
    header = not (args and args[0] == "--no-header")
    if not header:
        del args[0]
    if len(args) != 2 or args[0].startswith("--"):
        program = sys.argv[0] if sys.argv else "simpletrace.py"
        print(f"usage: {program} [--no-header] <trace-events> <trace-file>", file=sys.stderr)
        sys.exit(1)
    for path in args:
        try:
            _exists(path)
        except OSError as error:
            sys.exit(f"{path}: {error.strerror}")
    return (*args, header)


def run(analyzer):
    """Runs an analyser as a program: takes its arguments from the command line; an error is a sentence
    on stderr and exit status 1."""
    events, log, header = _arguments()
    try:
        process(events, log, analyzer, header)
    except TraceError as error:
        sys.stdout.flush()
        sys.exit(str(error))


def _main():
    """Prints a recording. vitrine-trace writes the text itself."""
    events, log, header = _arguments()
    try:
        with _Reader(events, log, header, "simpletrace", stdout=None) as reader:
            reader.finish()
    except TraceError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


if __name__ == "__main__":
    _main()
