"""The supervisor's configuration: infra/supervisord.conf, a program for each part, and groups.

The parts of a group stop together, in up to a second: so often the supervisor looks. The services
stop first and the broker last.
"""

from pathlib import Path
from string import Template

from infra.stack.config import ROOT, SERVICES, Stack

# autorestart: whatever ends, killed or not, comes back. startretries: practically for ever; the
# pause grows by a second with each failed try. startsecs: how long it has to live to count as
# started. stopwaitsecs: how long it may take to finish its work before it is killed.
_PROGRAM = Template("""
[program:$part]
command="%(ENV_STACK_PYTHON)s" -m infra.stack.launch $part
autorestart=true
startretries=10000
startsecs=1
stopsignal=TERM
stopwaitsecs=20
killasgroup=true
redirect_stderr=true
stdout_logfile=%(ENV_STATE_DIR)s/logs/$part.log
stdout_logfile_maxbytes=10MB
stdout_logfile_backups=3
""")


_GROUP = Template("""
[group:$group]
programs=$parts
priority=$priority
""")

_PRIORITIES = {"broker": 10, "outside": 20, "services": 30}


def configuration(stack: Stack) -> Path:
    """Write it into the stack's folder, for the parts that this stack runs."""
    head = (ROOT / "infra" / "supervisord.conf").read_text()
    programs = [_PROGRAM.substitute(part=part) for part in stack.parts]
    groups = [
        _GROUP.substitute(group=group, parts=",".join(parts), priority=priority)
        for group, priority in _PRIORITIES.items()
        if (parts := [part for part in stack.parts if _group(part) == group])
    ]
    file = stack.state_dir / "supervisord.conf"
    file.write_text("".join((head, *programs, *groups)))
    return file


def name(part: str) -> str:
    """The part as the supervisor knows it."""
    return f"{_group(part)}:{part}"


def _group(part: str) -> str:
    if part == "nats":
        return "broker"
    return "services" if part in SERVICES else "outside"
