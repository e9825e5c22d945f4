"""The supervisor's configuration: infra/supervisord.conf, a program for each part, and groups.

The parts of a group stop together, within a second, the supervisor's interval. The services stop
first and the broker last.
"""

import os
from pathlib import Path
from string import Template

from infra.stack.config import BROKERS, ROOT, SERVICES, Stack

# autorestart: a part that ends, killed or not, is started again. startretries: in effect without a
# limit; the pause grows by a second with each failed attempt. startsecs: run time after which it
# counts as started. stopwaitsecs: time to drain and to finish its work before it
# is killed.
_PROGRAM = Template("""
[program:$part]
command=/bin/sh -c 'cd "$$STACK_ROOT" && exec "$$STACK_PYTHON" -m infra.stack.launch $part'
autorestart=true
startretries=10000
startsecs=1
stopsignal=TERM
stopwaitsecs=$stop_seconds
killasgroup=true
redirect_stderr=true
stdout_logfile=logs/$part.log
stdout_logfile_maxbytes=10MB
stdout_logfile_backups=3
""")


_GROUP = Template("""
[group:$group]
programs=$parts
priority=$priority
""")

# Called every five seconds. Its output is the supervisor's protocol.
_BROKER_WATCH = """
[eventlistener:broker_watch]
command=/bin/sh -c 'cd "$STACK_ROOT" && exec "$STACK_PYTHON" -m infra.stack.broker_watch'
events=TICK_5
autorestart=true
startretries=10000
stderr_logfile=logs/broker_watch.log
stderr_logfile_maxbytes=1MB
stderr_logfile_backups=1
"""

_STOP_SECONDS = 20

_PRIORITIES = {"broker": 10, "external": 20, "services": 30}


def configuration(stack: Stack) -> Path:
    """Write it into the stack's folder, for the parts that this stack runs."""
    head = (ROOT / "infra" / "supervisord.conf").read_text()
    drain = os.environ.get("DRAIN_SECONDS") or "0"
    seconds = _STOP_SECONDS + (int(drain) if drain.isdecimal() else 0)
    programs = [_PROGRAM.substitute(part=part, stop_seconds=seconds) for part in stack.parts]
    groups = [
        _GROUP.substitute(group=group, parts=",".join(parts), priority=priority)
        for group, priority in _PRIORITIES.items()
        if (parts := [part for part in stack.parts if _group(part) == group])
    ]
    file = stack.state_dir / "supervisord.conf"
    file.write_text("".join((head, *programs, *groups, _BROKER_WATCH)))
    return file


def name(part: str) -> str:
    """The part's name at the supervisor."""
    return f"{_group(part)}:{part}"


def _group(part: str) -> str:
    if part in BROKERS:
        return "broker"
    return "services" if part in SERVICES else "external"
